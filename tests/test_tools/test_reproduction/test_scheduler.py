"""What has a result is not done again; what broke off goes on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
from filelock import FileLock
from reproduction.scheduler import do_jobs, done_images


def do(jobs, tools, at_a_time=1):
    return do_jobs(
        jobs, at_a_time=at_a_time, threads=1, start=tools, poll_seconds=0
    )


def test_a_job_is_trained_then_evaluated_twice(make, tools):
    job = make(seed=3)
    assert do([job], tools) == []
    assert tools.commands == [
        ('train', job.name),
        ('test', 'eval_nms'),
        ('test', 'eval_no_nms'),
    ]
    result = job.read_result()
    assert result['metrics']['nms']['AP'] == 50
    assert result['metrics']['no_nms']['AP'] == 25
    assert result['metrics']['nms']['AR'] == 75
    assert result['curve']['epochs'] == [1, 2]
    assert result['curve']['AP'] == [10, 20]
    assert (result['seed'], result['epochs']) == (3, 2)
    assert result['epochs_of_config'] == 10
    assert (result['iterations'], result['seconds_per_iteration']) == (
        120,
        0.5,
    )
    assert result['machine']['cores'] >= 1
    assert set(result['versions']) > {'torch', 'mmdet', 'mmdet_uot'}
    assert 'seed=3' in result['commands'][0]
    assert 'model.test_cfg.nms=None' in result['commands'][2]


def test_what_has_a_result_is_not_done_again(make, tools):
    jobs = [make(seed=seed) for seed in (0, 1)]
    do(jobs[:1], tools)
    first = jobs[0].result_file.read_text()
    tools.commands.clear()
    do(jobs, tools)
    assert ('train', jobs[1].name) in tools.commands
    assert ('train', jobs[0].name) not in tools.commands
    assert jobs[0].result_file.read_text() == first


def test_what_another_process_has_done_meanwhile_is_left_alone(make, tools):
    first, second = (make(seed=seed) for seed in (0, 1))

    def start(*args):
        if second.read_result() is None:
            do([second], tools)
            kept.append(second.result_file.read_text())
        return tools(*args)

    kept = []
    assert do([first, second], start) == []
    assert tools.commands.count(('train', second.name)) == 1
    assert kept == [second.result_file.read_text()]


def test_what_broke_off_in_training_resumes(make, tools):
    job = make()
    tools.failing = {'train'}
    (failure,) = do([job], tools)
    assert f'{job.name}: exit status 1' in failure
    assert 'train of 1 threads' in failure
    assert job.read_result() is None
    tools.failing = set()
    assert do([job], tools) == []
    assert [name for name, _ in tools.commands[:2]] == ['train', 'train']
    assert job.read_result() is not None


def test_what_broke_off_in_an_evaluation_is_not_trained_again(make, tools):
    job = make()
    tools.failing = {'test'}
    assert len(do([job], tools)) == 1
    tools.failing = set()
    tools.commands.clear()
    assert do([job], tools) == []
    assert tools.commands == [('test', 'eval_nms'), ('test', 'eval_no_nms')]
    # The time from start to end is not known then.
    assert job.read_result()['wall_seconds'] is None


def test_a_failure_stops_no_other_job(make, tools):
    jobs = [make(tau2=tau2) for tau2 in (0.1, 1.0)]
    jobs[0].claim_work_dir()
    with FileLock(jobs[0].work_dir / '.lock'):
        (failure,) = do(jobs, tools)
    assert failure == f'{jobs[0].name}: another process does it'
    assert jobs[0].read_result() is None
    assert jobs[1].read_result() is not None


@pytest.mark.parametrize('at_a_time', [1, 2, 3])
def test_so_many_run_at_a_time(at_a_time, make, tools):
    jobs = [make(seed=seed) for seed in range(4)]
    most = []

    def start(*arguments):
        running = [p for p in tools.processes if len(p.codes) > 1]
        most.append(len(running) + 1)
        return tools(*arguments)

    do_jobs(jobs, at_a_time=at_a_time, threads=1, start=start, poll_seconds=0)
    assert max(most) == at_a_time
    assert all(job.read_result() for job in jobs)


def test_results_of_other_options_are_not_taken(make, tools):
    do([make()], tools)
    other = make(options={'optim_wrapper.optimizer.lr': '1.0'})
    with pytest.raises(ValueError, match='was made with options.*--out'):
        other.read_result()
    other.result_file.unlink()
    with pytest.raises(ValueError, match='job.json was made with options'):
        do([other], tools)


def test_progress_counts_images_of_trainings_and_evaluations(make, tools):
    job = make()
    assert job.total_images == 2 * 960 + 2 * 240
    assert done_images(job) == 0
    tools.write_log(job.work_dir, 1)
    assert done_images(job) == 60 * 16
    shutil.rmtree(job.work_dir)
    do([job], tools)
    assert done_images(job) == job.total_images
    job.result_file.unlink()
    assert done_images(job) == job.total_images


@pytest.fixture
def ctrl_c():
    """SIGINT as in a terminal; a shell has it ignored in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures('ctrl_c')
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_no_process(number, make, tmp_path):
    """Nor a child of it, as the workers of a data loader are."""
    pids = tmp_path / 'pids'
    script = (
        'import os, subprocess, sys, time; '
        "child = subprocess.Popen(['sleep', '60']); "
        f'open({str(pids)!r}, "w").write(f"{{os.getpid()}} {{child.pid}}"); '
        'time.sleep(60)'
    )

    def start(command, variables, log):
        return subprocess.Popen(
            [sys.executable, '-c', script], start_new_session=True
        )

    def interrupt():
        while not pids.is_file() or len(pids.read_text().split()) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        do_jobs([make()], at_a_time=1, threads=1, start=start)
    thread.join()
    for pid in pids.read_text().split():
        assert not is_running(pid)


def is_running(pid):
    """Whether a process does more than wait to be reaped."""
    for _ in range(100):
        try:
            with open(f'/proc/{pid}/stat') as file:
                state = file.read().rpartition(')')[2].split()[0]
        except OSError:
            return False
        if state == 'Z':
            return False
        time.sleep(0.05)
    return True


def test_the_result_is_json_that_names_its_config(make, tools):
    job = make()
    do([job], tools)
    result = json.loads(job.result_file.read_text())
    assert result['config'] == 'ssd300_uot_cpu.py'
    assert result['options']['model.train_cfg.assigner.tau2'] == '0.01'
    assert result['options']['param_scheduler.1.T_max'] == '2'
