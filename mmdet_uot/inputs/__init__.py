"""What a detector gives: mmdet's instances as padded batches.

- ``instances``: fields of all images, checked and padded
- ``match_batch``: predictions and ground truths of a batch
- ``from_instances``: a batch given image by image, or as decoder tensors
- ``bad_numbers``: numbers that are NaN, infinite or huge
- ``overlaps``, ``ignored``: geometry of pairs of boxes
"""
