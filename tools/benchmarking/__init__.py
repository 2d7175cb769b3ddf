"""Times the matching beside its peers, for `tools/benchmark_matching.py`.

- `configs`, `inputs`, `cases`: batches like those that the configs train on
- `task`, `algorithm`, `solvers`: a problem, and who solves it
- `timing`, `memory`, `growth`, `losses`, `training_step`: what is measured
- `report`, `figures`: lines, tables and pictures of it
"""
