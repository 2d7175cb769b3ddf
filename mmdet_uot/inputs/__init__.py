"""What a detector gives: mmdet's instances as padded batches.

- ``instances``: fields of mmdet's instances, checked
- ``ground_truths``: those of a batch, padded once for matching and loss
- ``match_batch``: predictions and ground truths of a batch
- ``from_instances``, ``from_decoder``: a batch given image by image, or as
  the tensors of a decoder
- ``arrivals``: numbers of a device that nothing waits for
- ``bad_numbers``: numbers that are NaN, infinite or huge
- ``overlaps``, ``ignored``: geometry of pairs of boxes
"""
