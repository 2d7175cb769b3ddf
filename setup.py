"""Packages `mmdet_uot` with its configs and tools under `mmdet_uot/.mim`.

The dependencies are ranges; the exact versions that were tested are in
`requirements/constraints.txt`. MMDetection is an extra and never a
requirement: two stacks of different names share the import names mmdet, mmcv
and mmengine, and an installed one must not be overwritten by the other.
"""

import runpy
import shutil
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
MIM_FILES = ('configs', 'tools', 'model-index.yml')
C_FILES = ('match_costs', 'parallel', 'scaling', 'sparse_scaling')
HEADERS = (
    'elementary',
    'elementary_double',
    'masses',
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


NATIVE = Path('mmdet_uot', 'native')
SOURCES = runpy.run_path(str(ROOT / NATIVE / 'sources.py'))
# Loops for the CPU. Without a compiler there are none, and torch does it.
LOOPS = Extension(
    'mmdet_uot.native._loops',
    sources=[str(NATIVE / f'{name}.c') for name in C_FILES],
    depends=[str(NATIVE / f'{name}.h') for name in HEADERS],
    define_macros=[('SOURCE_HASH', f'"{SOURCES["source_hash"]()}"')],
    extra_compile_args=[
        '-std=gnu11',
        '-O3',
        '-fno-math-errno',
        '-fno-trapping-math',
        '-fopenmp',
    ],
    extra_link_args=['-fopenmp', '-lm'],
    optional=True,
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
    ext_modules=[LOOPS],
    python_requires='>=3.10',
    install_requires=[
        'torch>=2.4',
        'numpy>=1.23',
        'scipy>=1.11',
        'matplotlib>=3.7',
        'pycocotools>=2.0.7',
        'filelock>=3.9',
        'pillow>=9.3',
        'tqdm>=4.60',
    ],
    extras_require={
        'onedl': [
            'onedl-mmdetection>=3.5.1,<4',
            'onedl-mmcv>=2.3.6,<3',
            'onedl-mmengine>=0.10.12,<1',
        ],
        'openmmlab': [
            'mmdet>=3.3.0,<4',
            'mmcv>=2.1.0,<2.2',
            'mmengine>=0.10.7,<1',
        ],
        'exact': ['lapx>=0.11'],
        'tests': [
            'hypothesis>=6.100',
            'POT>=0.9.6',
            'pytest>=8',
            'quickjs-ng>=0.17',
        ],
    },
    cmdclass={'build_py': BuildWithMimFiles},
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    zip_safe=False,
)
