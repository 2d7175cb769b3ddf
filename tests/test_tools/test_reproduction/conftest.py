import json
import re
from pathlib import Path

import pytest
from reproduction.job import make_job
from reproduction.runs import ssd_uot

NAMES = {
    'mAP': 'AP',
    'mAP_50': 'AP50',
    'AR@100': 'AR',
    'AR@300': 'AR@300',
    'AR@1000': 'AR@1000',
}


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Makes a job of two epochs, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def make(tau2=0.01, seed=0, **settings):
        settings = {'scale': 'cpu', 'epochs': 2, **settings}
        return make_job(ssd_uot(tau2=tau2), seed=seed, **settings)

    return make


class FakeProcess:
    """Ends at the second look, unless told not to."""

    pid = None

    def __init__(self, code):
        self.codes = [None, code]

    def poll(self):
        return self.codes.pop(0) if len(self.codes) > 1 else self.codes[0]


class FakeTools:
    """Writes at once what `tools/train.py` and `tools/test.py` do.

    Attributes:
        commands: (tool, work directory) of each call.
        failing: Names of tools that fail.
    """

    def __init__(self):
        self.commands = []
        self.failing = set()
        self.ap = {'eval_nms': 0.5, 'eval_no_nms': 0.25}
        self.processes = []

    def __call__(self, command, variables, log):
        _, tool, *arguments = command
        tool = Path(tool).stem
        work_dir = Path(arguments[arguments.index('--work-dir') + 1])
        self.commands.append((tool, work_dir.name))
        with log.open('a') as file:
            file.write(f'{tool} of {variables["OMP_NUM_THREADS"]} threads\n')
        code = int(tool in self.failing)
        if not code:
            getattr(self, tool)(work_dir, arguments)
        self.processes.append(FakeProcess(code))
        return self.processes[-1]

    def train(self, work_dir, arguments):
        assert '--resume' in arguments
        epochs = int(re.search(r'-(\d+)e-', work_dir.name)[1])
        self.write_log(work_dir, epochs)
        (work_dir / f'epoch_{epochs}.pth').write_bytes(b'not a zip')

    def test(self, work_dir, arguments):
        assert Path(arguments[1]).name.startswith('epoch_')
        folder = work_dir / '20260101_000000'
        folder.mkdir(parents=True)
        metrics = {f'coco/bbox_{name}': 0.75 for name in NAMES}
        metrics['coco/bbox_mAP'] = self.ap[work_dir.name]
        (folder / f'{folder.name}.json').write_text(json.dumps(metrics))

    @staticmethod
    def write_log(work_dir, epochs):
        """60 iterations an epoch, half a second each, AP = 10 x epoch."""
        folder = work_dir / '20260101_000000' / 'vis_data'
        folder.mkdir(parents=True)
        rows = []
        for epoch in range(1, epochs + 1):
            rows.append(dict(loss=1.0, time=0.5, epoch=epoch, iter=60 * epoch))
            ap = {'coco/bbox_mAP': epoch / 10, 'coco/bbox_mAP_50': epoch / 5}
            rows.append(dict(ap, step=epoch))
        text = ''.join(json.dumps(row) + '\n' for row in rows)
        (folder / 'scalars.json').write_text(text)


@pytest.fixture
def tools():
    return FakeTools()
