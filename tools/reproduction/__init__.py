"""The paper's experiments, at any scale, with what they give.

- ``runs``: a training by its name; ``catalogue``: which of them make an
  experiment, with the paper's numbers
- ``job``: a run with seed and ``options``; ``schedule``: in fewer epochs;
  ``commands``: its command lines
- ``worker``: does a job; ``scheduler``: several of them at a time;
  ``result``: reads what a job gave; ``machine``: what that holds for
- ``numbers``, ``report``, ``figures``, ``markdown``: tables and figures
- ``trainings``: all of these for one experiment; ``paper_scale``: what the
  full configs take
- ``measurements``: the experiments without a training; ``timings`` and
  ``limits``: those
"""
