import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.tools import load_tool
from packaging.requirements import Requirement

from mmdet_uot import _host

ROOT = Path(__file__).parents[2]
SETUP = ROOT / 'tools' / 'setup_env'
VERSIONS = ('3.11', '3.10', '3.12')


@pytest.fixture(autouse=True)
def setup_modules(monkeypatch):
    monkeypatch.syspath_prepend(str(SETUP))
    yield
    for name in ('checks', 'shell', 'operators', 'stacks'):
        sys.modules.pop(name, None)


@pytest.fixture
def program():
    return load_tool('setup_env/__main__')


def fake_python(folder, name, **found):
    """An executable that answers the probe with what is given."""
    found = {'version': '3.11', 'venv': True, 'header': True, **found}
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{json.dumps(found)}'\n")
    path.chmod(0o755)
    return str(path)


def test_running_python_is_preferred(tmp_path, monkeypatch):
    import checks

    monkeypatch.setenv('PATH', str(tmp_path))
    fake_python(tmp_path, 'python3.12', version='3.12')
    current = fake_python(tmp_path, 'mine')
    assert checks.find_python(VERSIONS, current) == current


def test_old_python_falls_back_to_one_on_path(tmp_path, monkeypatch):
    import checks

    monkeypatch.setenv('PATH', str(tmp_path))
    old = fake_python(tmp_path, 'old', version='3.8')
    broken = tmp_path / 'python3.11'  # a shim that names no real Python
    broken.write_text('#!/bin/sh\nexit 127\n')
    broken.chmod(0o755)
    good = fake_python(tmp_path, 'python3.12', version='3.12')
    assert checks.find_python(VERSIONS, old) == good


@pytest.mark.parametrize(
    ('found', 'message'),
    [
        ({'version': '3.8'}, 'Python 3.10, 3.11 or 3.12 is needed'),
        ({'version': '3.13'}, 'Python 3.10, 3.11 or 3.12 is needed'),
        ({'venv': False}, 'apt-get install python3.11-venv'),
        ({'header': False}, 'apt-get install python3.11-dev'),
    ],
)
def test_unfit_python_is_one_line(tmp_path, monkeypatch, found, message):
    import checks

    monkeypatch.setenv('PATH', str(tmp_path))
    python = fake_python(tmp_path, 'python', **found)
    with pytest.raises(checks.SetupError, match=message) as error:
        checks.find_python(VERSIONS, python)
    assert '\n' not in str(error.value)


def test_missing_compiler_is_one_line(tmp_path, monkeypatch):
    import checks

    monkeypatch.setenv('PATH', str(tmp_path))
    monkeypatch.delenv('CXX', raising=False)
    with pytest.raises(checks.SetupError, match=r'apt-get install g\+\+'):
        checks.find_compiler()


def test_full_disk_names_the_folder(tmp_path):
    import checks

    folder = tmp_path / 'not' / 'made' / 'yet'
    assert checks.check_disk(folder, needed_gb=0) >= 0
    with pytest.raises(checks.SetupError, match=f'needed and {folder} has'):
        checks.check_disk(folder, needed_gb=1e9)


def test_failed_command_shows_tail_and_log(tmp_path):
    from checks import SetupError
    from shell import run

    log = tmp_path / 'log'
    code = 'for i in range(99): print("line", i)\nraise SystemExit(3)'
    with pytest.raises(SetupError) as error:
        run([sys.executable, '-c', code], log=log)
    text = str(error.value)
    assert 'failed (3)' in text and 'line 98' in text and str(log) in text
    assert 'line 5\n' not in text
    assert 'line 5\n' in log.read_text()


def test_full_disk_is_recognised_in_the_log(tmp_path):
    from checks import SetupError
    from shell import run

    code = 'raise SystemExit("OSError: No space left on device")'
    with pytest.raises(SetupError, match='the disk is full'):
        run([sys.executable, '-c', code], log=tmp_path / 'log')


def test_child_keeps_the_lock(tmp_path):
    from shell import locked

    with locked(tmp_path / 'lock') as lock:
        child = subprocess.Popen(['sleep', '60'], pass_fds=(lock,))
    with (tmp_path / 'lock').open() as other:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        child.kill()
        child.wait()
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def names(file):
    """The packages that a requirements file names, and those that it takes."""
    for line in file.read_text().splitlines():
        if line.startswith('-r '):
            yield from names(file.with_name(line[3:]))
        elif line and not line.startswith('#'):
            yield Requirement(line).name.lower()


def test_every_package_of_a_stack_has_one_pin():
    from stacks import STACKS, requirements_file

    for stack in STACKS.values():
        lines = stack.pins.read_text().splitlines()
        pins = [line for line in lines if line and not line.startswith('#')]
        assert all(line.count('==') == 1 for line in pins)
        pinned = [line.split('==')[0].lower() for line in pins]
        assert len(pinned) == len(set(pinned))
        for name in (*stack.libraries, *filter(None, [stack.host])):
            assert set(names(requirements_file(name))) <= set(pinned), name


@pytest.mark.parametrize('name', _host.STACKS)
def test_hosts_are_those_that_the_package_is_made_for(name):
    from stacks import STACKS, host_packages

    made_for = _host.STACKS[name].items()
    pins = {f'{package}=={version}' for package, version in made_for}
    assert pins <= set(host_packages(STACKS[name]))


def test_stacks_are_kept_apart():
    from stacks import STACKS

    venvs = {stack.venv for stack in STACKS.values()}
    assert len(venvs) == len(STACKS)


@pytest.fixture
def planned(program, monkeypatch, tmp_path):
    """Name of a stack -> the commands of its set-up, of which none runs."""
    commands = []

    def run(command, **options):
        commands.append(command)

    def operator_wheel(*args, **options):
        return tmp_path / 'mmcv.whl'

    def plan(name):
        stack = program.STACKS[name]
        program.install(stack, tmp_path / stack.venv, tmp_path)
        return commands

    monkeypatch.setattr(program, 'run', run)
    monkeypatch.setattr(program, 'operator_wheel', operator_wheel)
    monkeypatch.setattr(program, 'torch_tag', lambda python: 'torch')
    monkeypatch.setattr(program.checks, 'check_disk', lambda *folders: 99.0)
    monkeypatch.setattr(program.checks, 'find_python', lambda _: 'python')
    return plan


@pytest.mark.parametrize('name', _host.STACKS)
def test_mmdetection_brings_no_dependencies(planned, name):
    from stacks import STACKS, host_packages

    host = set(host_packages(STACKS[name]))
    (command,) = (c for c in planned(name) if host & set(c))
    assert host <= set(command)
    assert '--no-deps' in command


def test_core_has_no_mmdetection_and_needs_no_compiler(planned, monkeypatch):
    monkeypatch.setenv('CXX', 'false')
    words = [word for command in planned('core') for word in command]
    assert not [word for word in words if '==' in word or 'mmcv' in word]


def test_ready_only_with_the_same_pins_and_place(tmp_path, monkeypatch):
    import stacks

    venv = tmp_path / '.venv'
    (venv / 'bin').mkdir(parents=True)
    (venv / 'bin' / 'python').touch()
    stamp = venv / 'ready'
    assert not stacks.is_ready(stamp)
    stamp.write_text(stacks.fingerprint(venv))
    assert stacks.is_ready(stamp)

    moved = tmp_path / 'moved'
    venv.rename(moved)
    assert not stacks.is_ready(moved / 'ready')

    moved.rename(venv)
    for file in stacks.REQUIREMENTS.glob('*.txt'):
        (tmp_path / file.name).write_text(file.read_text())
    (tmp_path / 'constraints.txt').write_text('numpy==0.0.0\n')
    monkeypatch.setattr(stacks, 'REQUIREMENTS', tmp_path)
    assert not stacks.is_ready(stamp)


def test_half_installed_packages_are_dropped(program, tmp_path):
    packages = tmp_path / 'lib' / 'python3.11' / 'site-packages'
    whole = packages / 'whole-1.0.dist-info'
    half = packages / 'half-1.0.dist-info'
    for folder in (whole, half):
        folder.mkdir(parents=True)
        (folder / 'METADATA').touch()
    (whole / 'RECORD').touch()
    program.drop_half_installed(tmp_path)
    assert whole.exists() and not half.exists()


def test_second_environment_takes_the_wheel_from_the_cache(
    tmp_path, monkeypatch, capsys
):
    import operators

    def no_commands(*args, **kwargs):
        raise AssertionError('nothing needs to run')

    monkeypatch.setattr(operators, 'run', no_commands)
    monkeypatch.delenv('FORCE_CUDA', raising=False)
    shelf = tmp_path / 'wheels' / 'mmcv-1.0-cp311-torch2-cpu'
    shelf.mkdir(parents=True)
    (shelf / 'unfinished').touch()
    wheel = shelf / 'mmcv-1.0-cp311-cp311-linux_x86_64.whl'
    wheel.touch()
    found = operators.operator_wheel(
        'python',
        'mmcv==1.0',
        torch='cp311-torch2',
        cache=tmp_path,
        log=tmp_path / 'log',
    )
    assert found == wheel
    assert 'from the cache' in capsys.readouterr().out


def test_command_line_says_what_is_missing(tmp_path):
    """The whole program, from a folder without an environment."""
    copy = tmp_path / 'copy'
    for name in ('tools/setup_env', 'requirements', 'mmdet_uot'):
        (copy / name).mkdir(parents=True)
        for file in (ROOT / name).glob('*.*'):
            if file.is_file():
                (copy / name / file.name).write_bytes(file.read_bytes())
    (copy / 'setup.py').touch()
    run = subprocess.run(
        [sys.executable, 'tools/setup_env'],
        cwd=copy,
        env={**os.environ, 'CXX': 'false', 'XDG_CACHE_HOME': str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert run.stderr.count('\n') == 1
    assert 'set-up failed: a C++17 compiler is needed' in run.stderr
