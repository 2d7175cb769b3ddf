"""mmdet's models, made small, and one step of their training."""

import copy
from pathlib import Path

import mmdet
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config, ConfigDict
from mmengine.runner import set_random_seed

STOCK = Path(mmdet.__file__).parent / '.mim' / 'configs'
AT_MOST = dict(
    max_per_img=50,
    nms_pre=50,
    num_layers=2,
    num_points=64,
    num_proposals=20,
    num_queries=20,
)


def small_model(name, changes=()):
    """The model of a config of mmdet, with few channels and queries."""
    config = Config.fromfile(STOCK / f'{name}.py')
    config.merge_from_dict(
        {f'model.{k}': v for k, v in (changes or {}).items()}
    )
    model = config.model
    model.backbone.update(depth=18, base_channels=32, init_cfg=None)
    model.data_preprocessor.batch_augments = None
    # Conditional DETR and others fix some widths of the transformer.
    transformer = 'encoder' in model or 'panoptic_head' in model
    widths = 'in_channels' if transformer else ('channel', 'channels')

    def shrink(value, key=''):
        if isinstance(value, dict):
            return ConfigDict({k: shrink(v, k) for k, v in value.items()})
        if isinstance(value, (list, tuple)):
            return type(value)(shrink(item, key) for item in value)
        if key in AT_MOST:
            return min(value, AT_MOST[key])
        return value // 8 if key.endswith(widths) and value >= 64 else value

    return shrink(model)


def train_step(config, size):
    """The losses of two images, one of them without ground truths."""
    set_random_seed(0)
    model = MODELS.build(copy.deepcopy(config))
    model.init_weights()
    data = demo_mm_inputs(
        2,
        (3, size, size),
        num_items=[3, 0],
        with_mask=True,
        with_semantic=True,
    )
    data = model.data_preprocessor(data, training=True)
    total, losses = model.parse_losses(model(**data, mode='loss'))
    total.backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
    return {name: value.item() for name, value in losses.items()}
