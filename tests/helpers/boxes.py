import torch


def random_boxes(count, generator, *, corner=150.0, side=(5.0, 65.0)):
    """(count, 4) boxes, xyxy.

    The upper left corner lies in [0, corner], the sides are as long as
    `side` allows.
    """
    least, most = side
    start = corner * torch.rand(count, 2, generator=generator)
    size = least + (most - least) * torch.rand(count, 2, generator=generator)
    return torch.cat((start, start + size), 1)
