"""Packages `mmdet_uot` with its configs and tools under `mmdet_uot/.mim`.

The dependencies are ranges; the exact versions that were tested are in
`requirements/constraints.txt`. MMDetection is an extra and never a
requirement: two stacks of different names share the import names mmdet, mmcv
and mmengine, and an installed one must not be overwritten by the other.
"""

import os
import runpy
import shutil
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # setuptools before 70.1
    from wheel.bdist_wheel import bdist_wheel

ROOT = Path(__file__).resolve().parent
MIM_FILES = ('configs', 'tools', 'model-index.yml')
C_FILES = (
    'box_blocks',
    'candidates',
    'found_pairs',
    'match_costs',
    'overlaps',
    'parallel',
    'scaling',
    'sparse_scaling',
)
HEADERS = (
    'blocks',
    'box_blocks',
    'box_overlaps',
    'elementary',
    'elementary_double',
    'exact_products',
    'found_pairs',
    'lanes',
    'masses',
    'old_glibc',
    'overlap',
    'parallel',
    'relaxation',
    'scaling_loops',
    'sparse_boxes',
    'sparse_loops',
)
# What sets up or measures a source tree.
NOT_COPIED = (
    '__pycache__',
    '*.pyc',
    'setup_env',
    'build_wheels.py',
    'benchmark_matching.py',
    'benchmarking',
    'reproduce.py',
    'reproduction',
)


class BuildWithMimFiles(build_py):
    """Adds the top-level files that mim and MMEngine look for in `.mim`.

    An editable install links them, every other build copies them.
    """

    def run(self) -> None:
        """Builds the modules, then puts the files beside them."""
        super().run()
        parent = ROOT if self.editable_mode else Path(self.build_lib)
        mim = parent / 'mmdet_uot' / '.mim'
        shutil.rmtree(mim, ignore_errors=True)
        mim.mkdir(parents=True)
        for name in MIM_FILES:
            source = ROOT / name
            if self.editable_mode:
                (mim / name).symlink_to(Path('..', '..', name))
            elif source.is_dir():
                ignored = shutil.ignore_patterns(*NOT_COPIED)
                shutil.copytree(source, mim / name, ignore=ignored)
            else:
                shutil.copy2(source, mim / name)


class BuildLibraries(build_ext):
    """Builds plain shared libraries, which know no Python and no torch."""

    def get_ext_filename(self, fullname: str) -> str:
        """One name for all versions of Python."""
        return str(Path(*fullname.split('.')).with_suffix('.so'))


class WheelForAnyPython(bdist_wheel):
    """Tags the wheel by the platform alone."""

    def get_tag(self) -> 'tuple[str, str, str]':
        """The tag of a wheel with or without libraries."""
        *_, platform = super().get_tag()
        return 'py3', 'none', platform


NATIVE = Path('mmdet_uot', 'native')
SOURCES = runpy.run_path(str(ROOT / NATIVE / 'sources.py'))


def library(name: str, most: int) -> Extension:
    """Loops for the CPU. Without a compiler there are none; torch does it.

    They are linked to no OpenMP: the one that torch has loaded is found when
    they are loaded.
    """
    return Extension(
        f'mmdet_uot.native.{name}',
        sources=[str(NATIVE / f'{file}.c') for file in C_FILES],
        depends=[str(NATIVE / f'{file}.h') for file in HEADERS],
        define_macros=[
            ('SOURCE_HASH', f'"{SOURCES["source_hash"]()}"'),
            ('INSTRUCTIONS', str(most)),
        ],
        extra_compile_args=[
            '-std=gnu11',
            '-O3',
            '-fno-math-errno',
            '-fno-trapping-math',
            '-fopenmp',
            '-include',
            str(NATIVE / 'old_glibc.h'),
        ],
        extra_link_args=['-lm', '-s'],
        optional=True,
    )


# MMDET_UOT_PURE=1 leaves them out: a wheel for any machine.
LIBRARIES = (
    []
    if os.environ.get('MMDET_UOT_PURE') == '1'
    else [
        library(name, most)
        for most, name in enumerate(SOURCES['LIBRARIES'].values())
    ]
)

setup(
    name='mmdet_uot',
    version=runpy.run_path(str(ROOT / 'mmdet_uot/version.py'))['__version__'],
    description='Unbalanced Optimal Transport label assignment for '
    'MMDetection 3.x',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    keywords='object detection, optimal transport, label assignment',
    packages=find_packages(include=['mmdet_uot', 'mmdet_uot.*']),
    package_data={
        'mmdet_uot': ['py.typed'],
        'mmdet_uot.explain': ['page/*'],
        'mmdet_uot.native': ['*.[ch]'],
    },
    ext_modules=LIBRARIES,
    python_requires='>=3.8',
    install_requires=[
        'torch>=2.0',
        'numpy>=1.20',
        'scipy>=1.6',
        'matplotlib>=3.5',
        'pycocotools>=2.0.5',
        'filelock>=3.9',
        'pillow>=8',
        'tqdm>=4.60',
    ],
    extras_require={
        'onedl': [
            'onedl-mmdetection>=3.5.1,<4',
            'onedl-mmcv>=2.3.6,<3',
            'onedl-mmengine>=0.10.12,<1',
        ],
        'openmmlab': [
            'mmdet>=3.1.0,<4',
            'mmcv>=2.0.1,<2.3',
            'mmengine>=0.7.1,<1',
        ],
        'exact': ['lapx>=0.11'],
        'tests': [
            'hypothesis>=6.100',
            'POT>=0.9.3',
            'pytest>=8',
            'quickjs-ng>=0.17',
        ],
    },
    cmdclass={
        'bdist_wheel': WheelForAnyPython,
        'build_ext': BuildLibraries,
        'build_py': BuildWithMimFiles,
    },
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',
        *(
            f'Programming Language :: Python :: 3.{minor}'
            for minor in range(8, 14)
        ),
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    zip_safe=False,
)
