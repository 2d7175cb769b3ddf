"""Several training processes on machines without a GPU."""

from __future__ import annotations

import os
import subprocess

import torch
from mmengine.config import Config

# What starts the processes, and how it tells them their RANK, WORLD_SIZE and
# LOCAL_RANK.
_LAUNCHERS = {
    'pytorch': ('torchrun', 'RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    'slurm': ('srun', 'SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': (
        'mpirun',
        'OMPI_COMM_WORLD_RANK',
        'OMPI_COMM_WORLD_SIZE',
        'OMPI_COMM_WORLD_LOCAL_RANK',
    ),
}


def distribute_on_cpu(cfg: Config) -> None:
    """Starts the process group and wraps the model without naming GPUs.

    MMEngine's own way does both with GPUs only.

    Args:
        cfg (Config): With the ``launcher`` that started this process; its
            ``model_wrapper_cfg`` is set.

    Raises:
        SystemExit: The launcher did not start this process.
    """
    _name_process(cfg.launcher)
    torch.distributed.init_process_group('gloo')
    wrapper = {
        'type': 'MMDistributedDataParallel',
        'device_ids': None,
        'broadcast_buffers': False,
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
    }
    cfg.model_wrapper_cfg = {**wrapper, **cfg.get('model_wrapper_cfg', {})}


def _name_process(launcher: str) -> None:
    """Sets the environment variables by which PyTorch knows a process."""
    env = os.environ
    starter, *names = _LAUNCHERS[launcher]
    missing = [name for name in names if name not in env]
    if missing:
        raise SystemExit(
            f'error: --launcher {launcher} is for processes that {starter} '
            f'starts, which sets {", ".join(missing)}'
        )
    _, *wanted = _LAUNCHERS['pytorch']
    env.update((name, env[source]) for name, source in zip(wanted, names))
    env.setdefault('MASTER_PORT', '29500')
    if launcher == 'slurm' and 'MASTER_ADDR' not in env:
        command = ['scontrol', 'show', 'hostnames', env['SLURM_NODELIST']]
        hosts = subprocess.check_output(command, text=True)
        env['MASTER_ADDR'] = hosts.split()[0]
