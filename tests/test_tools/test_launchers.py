"""Launchers of several processes where there is no GPU."""

import os
from unittest import mock

import pytest
import torch.distributed as dist
from mmengine.config import Config

from mmdet_uot._cpu_processes import distribute_on_cpu

SLURM = dict(
    SLURM_PROCID='3',
    SLURM_NTASKS='8',
    SLURM_LOCALID='1',
    SLURM_NODELIST='node[5-8]',
)
MPI = dict(
    OMPI_COMM_WORLD_RANK='3',
    OMPI_COMM_WORLD_SIZE='8',
    OMPI_COMM_WORLD_LOCAL_RANK='1',
    MASTER_ADDR='node5',
)
TORCH = dict(
    RANK='3',
    WORLD_SIZE='8',
    LOCAL_RANK='1',
    MASTER_ADDR='node5',
    MASTER_PORT='29500',
)


@pytest.fixture
def environment(tmp_path):
    """The environment variables, with Slurm's command on the PATH."""
    command = tmp_path / 'scontrol'
    command.write_text(
        '#!/bin/sh\n'
        '[ "$*" = "show hostnames node[5-8]" ] && printf "node5\\nnode6\\n"\n'
    )
    command.chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ['PATH']])
    with mock.patch.dict(os.environ, dict(PATH=path)):
        yield os.environ


@pytest.mark.parametrize(
    ('launcher', 'given'), [('slurm', SLURM), ('mpi', MPI), ('pytorch', TORCH)]
)
def test_each_launcher_names_its_processes_for_pytorch(
    launcher, given, environment, monkeypatch
):
    environment.update(given)
    seen = []
    monkeypatch.setattr(
        dist, 'init_process_group', lambda *_: seen.append(dict(environment))
    )
    cfg = Config(dict(launcher=launcher))
    distribute_on_cpu(cfg)
    assert {name: seen[0][name] for name in TORCH} == TORCH
    assert cfg.model_wrapper_cfg.device_ids is None


def test_a_process_that_the_launcher_did_not_start_says_so(environment):
    with pytest.raises(SystemExit, match='that srun starts, which sets SLURM'):
        distribute_on_cpu(Config(dict(launcher='slurm')))
