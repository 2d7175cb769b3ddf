"""What a detector matches in images, recorded for pictures and diagnostics.

- ``detector``, ``samples``: a model and images by config
- ``record``: one image, matched as in training
- ``summary``, ``timer``: numbers of the matching of some images
- ``example``, ``samples_figure``: images without a detector
"""
