"""Registrations repeat: ANTs takes the seed that it is given."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from bids_acc.images.ants_bridge import itk_session

ants = pytest.importorskip('ants')
THREADS = 'ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS'


def register(folder: Path, seed: int) -> bytes:
    """Return the affine between two blobs as ANTs writes it."""
    rng = np.random.default_rng(0)
    fixed = ndimage.gaussian_filter(rng.standard_normal((32, 32, 32)), 3).astype(np.float32)
    moving = ndimage.shift(fixed, (1.3, -0.7, 0.4)).astype(np.float32)
    folder.mkdir()
    with itk_session(seed=seed):
        result = ants.registration(
            ants.from_numpy(fixed), ants.from_numpy(moving), 'Rigid', outprefix=f'{folder}/a',
            aff_random_sampling_rate=0.2, aff_iterations=(20, 0, 0, 0),
        )  # fmt: skip
    return Path(result['fwdtransforms'][0]).read_bytes()


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    first, again, other = (
        register(tmp_path / name, seed) for name, seed in (('a', 5), ('b', 5), ('c', 6))
    )
    assert first == again
    assert first != other


def test_what_was_set_before_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREADS, '3')
    with itk_session(2, seed=0):
        assert os.environ[THREADS] == '2'
        assert ants.config._random_seed == 1
    assert os.environ[THREADS] == '3'
    assert ants.config._random_seed is None
    monkeypatch.delenv(THREADS)
    with itk_session():
        assert os.environ[THREADS] == '1'
    assert THREADS not in os.environ
