"""A training that is killed and resumed is the one that was not."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SEED = 'randomness.seed=5'
EPOCH = 4  # iterations

CONFIG = """
_base_ = 'mmdet_uot::ssd300_uot_cpu.py'
custom_imports = dict(imports=['mmdet_uot', 'interruption'])
custom_hooks = [
    dict(type='ReproducibleResumeHook'),
    dict(type='Interruption', iteration=None),
]
channels = (8, 16, 8, 8, 8, 8)
model = dict(
    backbone=dict(base_channels=4),
    neck=dict(in_channels=channels[:2], out_channels=channels),
    bbox_head=dict(in_channels=channels),
)
train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    persistent_workers=True,
    dataset=dict(data_root='data', num_images=8),
)
train_cfg = dict(max_epochs=3)
val_dataloader = val_evaluator = val_cfg = None
default_hooks = dict(
    logger=dict(interval=1), checkpoint=dict(interval=1, save_best=None)
)
log_processor = dict(window_size=1)
randomness = dict(seed=None, deterministic=True)
"""

INTERRUPTION = """
import os
import signal

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class Interruption(Hook):
    '''Kills its process; until then logs random numbers, as dropout's.'''

    def __init__(self, iteration):
        self.iteration = iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration:
            os.kill(os.getpid(), signal.SIGKILL)
        number = torch.rand(()).item()
        runner.message_hub.update_scalar('train/number', number)
"""


@pytest.fixture
def start(tmp_path):
    """Starts tools/train.py on eight images, in batches of two."""
    (tmp_path / 'tiny.py').write_text(CONFIG)
    (tmp_path / 'interruption.py').write_text(INTERRUPTION)
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    processes = []

    def start(work_dir, *options):
        process = subprocess.Popen(
            [
                *(sys.executable, ROOT / 'tools/train.py', 'tiny.py'),
                *('--work-dir', work_dir, *options),
            ],
            cwd=tmp_path,
            env=dict(os.environ, PYTHONPATH=path, OMP_NUM_THREADS='1'),
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def curve(work_dir):
    """What was logged of each iteration, of all runs in their order."""
    rows = []
    for file in sorted(work_dir.glob('*/vis_data/scalars.json')):
        rows += [json.loads(line) for line in file.read_text().splitlines()]
    for row in rows:
        del row['time'], row['data_time']
    return [(row['step'], row) for row in rows]


def test_a_resumed_training_has_the_curve_of_an_uninterrupted(start, tmp_path):
    whole = start('whole', '--cfg-options', SEED)
    killed = start(
        'cut',
        *('--cfg-options', SEED, f'custom_hooks.1.iteration={EPOCH + 2}'),
    )
    assert killed.wait() == -signal.SIGKILL
    before = curve(tmp_path / 'cut')
    # Also the seed comes from the checkpoint.
    assert start('cut', '--resume').wait() == 0
    assert whole.wait() == 0

    expected = curve(tmp_path / 'whole')
    resumed = curve(tmp_path / 'cut')[len(before) :]
    assert [step for step, _ in expected] == list(range(1, 3 * EPOCH + 1))
    assert before == expected[: EPOCH + 2]
    assert resumed == expected[EPOCH:]
