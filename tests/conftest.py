"""Fixtures that several test folders share."""

from __future__ import annotations

import os
from pathlib import Path

# before NumPy is imported, which reads them once: threads that wait for work cost five times the
# CPU time of the small matrices here
for _name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS'):
    os.environ.setdefault(_name, '1')

import hypothesis  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

os.environ.setdefault('MPLBACKEND', 'Agg')
os.environ.setdefault('NO_ET', '1')  # nipype's version check goes to the network

hypothesis.settings.register_profile('ci', derandomize=True, deadline=None, max_examples=50)
hypothesis.settings.load_profile('ci')

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a generator of its own for each test."""
    return np.random.default_rng(1234)


@pytest.fixture(scope='session')
def repository() -> Path:
    """Return the root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """Return the folder of real data that lies beside the checkout; skip where it is absent."""
    folder = Path(os.environ.get('BIDS_ACC_SHARED', REPOSITORY.parent / 'shared')) / 'data'
    if not folder.is_dir():
        pytest.skip(f'real data not found at {folder} (set BIDS_ACC_SHARED to its parent)')
    return folder
