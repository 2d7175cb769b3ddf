"""Color Boxes as a dataset of MMDetection."""

from __future__ import annotations

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS

from .._options import named_options
from .color_boxes import (
    CLASSES,
    PALETTE,
    ColorBoxesOptions,
    annotation_file,
    ensure_split,
    image_dir,
    refuse_misspelt,
)


@DATASETS.register_module()
@named_options
class ColorBoxesDataset(CocoDataset):
    """The synthetic Color Boxes dataset (Sec. 4.1 and Appendix I).

    The split is made on first use, when the annotations are loaded:
    ``lazy_init=True`` touches no file. The annotations that an evaluator
    needs are then in ``<data_root>/annotations/<split>.json``. Images without
    objects are kept unless ``filter_cfg`` says otherwise.

    .. code-block:: python

        dataset = dict(type='ColorBoxesDataset', split='val', pipeline=[])
        evaluator = dict(
            type='CocoMetric',
            ann_file='data/color_boxes/annotations/val.json',
        )

    Args:
        split (str): 'train' or 'val'. Defaults to 'train'.
        num_images (int, optional): Images of the split, >= 1. Defaults to
            None: 4,800 for 'train' and 960 for 'val'. A split on disk must
            have as many; ``indices=n`` uses its first n images, which are
            those of a split of n images.
        data_root (str): Folder of the set. Defaults to 'data/color_boxes'.
        generate (bool): Whether to make the split if it is not there.
            Defaults to True.
        workers (int, optional): Threads that make it. Defaults to None: one
            per available CPU core.
        seed (int): Seed of the generator. Defaults to 0.
        image_size (tuple[int, int]): Width and height in pixels. Defaults to
            (500, 400).
        max_objects (int): Most objects of an image. Defaults to 30.
        side_range (tuple[float, float]): Shortest and longest side of a
            rectangle in pixels. Defaults to (12, 80).
        max_iou (float): Highest IoU of two bounding boxes. Defaults to 0.25.
        noise_std (float): Standard deviation of the noise, of the range
            [0, 1]. Defaults to 0.05.
        **kwargs: Arguments of :class:`mmdet.datasets.CocoDataset`, except
            ``ann_file`` and ``data_prefix``, which follow from ``split``.

    Raises:
        TypeError: If ``ann_file`` or ``data_prefix`` is given, or an option
            has the wrong type.
        ValueError: If an option is out of range or, when the annotations are
            loaded, the split on disk was made with other options.
        FileNotFoundError: If the split is not there and ``generate`` is
            False, or a folder of nearly the same name as ``data_root``, which
            is not there, has it; when the annotations are loaded.
    """

    METAINFO = {'classes': CLASSES, 'palette': PALETTE}

    def __init__(
        self,
        *,
        split: str = 'train',
        num_images: int | None = None,
        data_root: str = 'data/color_boxes',
        generate: bool = True,
        workers: int | None = None,
        seed: int = 0,
        image_size: tuple[int, int] = (500, 400),
        max_objects: int = 30,
        side_range: tuple[float, float] = (12, 80),
        max_iou: float = 0.25,
        noise_std: float = 0.05,
        **kwargs,
    ) -> None:
        for name in ('ann_file', 'data_prefix'):
            if name in kwargs:
                raise TypeError(
                    f'{name}={kwargs[name]!r} was given, but ColorBoxesDataset'
                    " sets it itself: use split='train' or 'val' and data_root"
                )
        self.split = split
        self.num_images = num_images
        self.generate = generate
        self.workers = workers
        self.options = ColorBoxesOptions(
            seed=seed,
            image_size=image_size,
            max_objects=max_objects,
            side_range=side_range,
            max_iou=max_iou,
            noise_std=noise_std,
        )
        super().__init__(
            ann_file=annotation_file(split),
            data_prefix={'img': image_dir(split)},
            data_root=data_root,
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """Make the split if need be and load its annotations.

        Returns:
            list[dict]: One entry per image, as CocoDataset makes them.
        """
        if self.generate:
            refuse_misspelt(self.data_root, self.split)
        ensure_split(
            self.data_root,
            self.split,
            num_images=self.num_images,
            options=self.options,
            workers=self.workers,
            generate=self.generate,
        )
        return super().load_data_list()
