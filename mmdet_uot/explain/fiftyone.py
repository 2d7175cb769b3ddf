"""Export to FiftyOne, where it is installed."""

from __future__ import annotations

from typing import Any

__all__ = ['export_to_fiftyone']


def export_to_fiftyone(name: str, images: list[tuple[dict, str]]) -> Any:
    """Writes what objects get into a FiftyOne data set.

    Its samples have ``ground_truth`` detections with the fields
    ``mass_asked``, ``mass_at_most`` (None without an upper end), ``mass``,
    ``served``, ``reason`` and ``best_iou``.

    Args:
        name (str): Of the data set, which must be a new one.
        images (list[tuple[dict, str]]): Of each image what
            :func:`.export.export_image` gives, and its path.

    Returns:
        fiftyone.Dataset: The data set, persistent.

    Raises:
        ImportError: If FiftyOne is not installed.
        ValueError: If there is such a data set already.
    """
    try:
        import fiftyone
    except ImportError:
        raise ImportError(
            'FiftyOne is not installed; pip install fiftyone'
        ) from None
    dataset = fiftyone.Dataset(name, persistent=True)
    dataset.add_samples(
        [
            fiftyone.Sample(
                filepath=path,
                ground_truth=fiftyone.Detections(
                    detections=[
                        _detection(fiftyone, page, entry)
                        for entry in page['objects']
                    ]
                ),
            )
            for page, path in images
        ]
    )
    return dataset


def _detection(fiftyone: Any, page: dict, entry: dict) -> Any:
    left, top, right, bottom = entry['box']
    width, height = page['width'], page['height']
    return fiftyone.Detection(
        label=entry['label'],
        bounding_box=[
            left / width,
            top / height,
            (right - left) / width,
            (bottom - top) / height,
        ],
        mass_asked=entry['asked'],
        mass_at_most=None if entry['atMost'] == 'inf' else entry['atMost'],
        mass=entry['got'],
        served=entry['served'],
        reason=entry['text'],
        best_iou=max((best['iou'] for best in entry['best']), default=0.0),
    )
