"""Maps of the scanner that pass for b = 0 images."""

from __future__ import annotations

import numpy as np
import pytest

from bids_acc.dwi.appended import appended_maps
from bids_acc.dwi.series import join_runs
from bids_acc.images.files import write_image

SHAPE = (16, 16, 12)
BVALS = np.r_[0, np.full(12, 1000), 0]
"""One b = 0 image, the directions, and what is appended."""


@pytest.fixture
def parts(rng):
    """Series without its last volume, and what may be appended to it."""
    base = rng.uniform(300, 900, SHAPE)
    base[:3] = 0  # air
    diffusivity = rng.uniform(0.6e-3, 3e-3, SHAPE)
    weighted = base[..., None] * np.exp(
        -1000 * diffusivity[..., None] * rng.uniform(0.8, 1.2, (*SHAPE, 12))
    )
    noise = rng.normal(0, 5, (*SHAPE, 13))
    series = np.abs(np.concatenate([base[..., None], weighted], axis=3) + noise)
    again = np.abs(base + rng.normal(0, 5, SHAPE))
    adc = np.where(base > 0, np.minimum(1e6 * diffusivity, 2500), 0).round()
    trace = weighted.mean(axis=3)
    return series.astype(np.float32), {
        'again': again, 'moved': np.roll(again, 1, axis=1), 'adc': adc, 'trace': trace,
        'adc in another unit': 1e-3 * adc, 'brighter': 3 * again,
    }  # fmt: skip


@pytest.mark.parametrize(
    ('last', 'found'),
    [('again', False), ('moved', False), ('brighter', False), ('adc', True), ('trace', True),
     ('adc in another unit', True)],
)  # fmt: skip
def test_a_map_is_told_from_a_b0_image(parts, last, found):
    series, others = parts
    data = np.concatenate([series, others[last][..., None].astype(np.float32)], axis=3)
    assert appended_maps(data, BVALS == 0).tolist() == [False] * 13 + [found]


def test_a_single_b0_image_is_never_left_out(parts):
    series, _ = parts
    assert not appended_maps(series, BVALS[:-1] == 0).any()


def test_the_run_leaves_the_map_out_and_says_so(parts, rng, tmp_path):
    series, others = parts
    data = np.concatenate([series, others['adc'][..., None].astype(np.float32)], axis=3)
    write_image(data, np.diag([2.0, 2, 2, 1]), tmp_path / 'dwi.nii.gz')
    vectors = rng.normal(size=(14, 3))
    vectors[[0, -1]] = 0
    np.savetxt(tmp_path / 'dwi.bval', BVALS[None], fmt='%g')
    np.savetxt(tmp_path / 'dwi.bvec', vectors.T)
    joined = join_runs(*([tmp_path / f'dwi.{end}'] for end in ('nii.gz', 'bval', 'bvec')), [])
    assert joined.data.shape[3] == 13
    assert (joined.gradients.bvals == 0).sum() == 1
    assert any('volumes 13 count as b = 0 and show the diffusivity' in f for f in joined.findings)
