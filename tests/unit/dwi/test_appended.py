"""Maps of the scanner that pass for b = 0 images."""

from __future__ import annotations

import numpy as np
import pytest

from bids_acc.dwi.appended import appended_maps
from bids_acc.dwi.series import join_runs
from bids_acc.exceptions import InputDataError
from bids_acc.images.files import write_image

SHAPE = (16, 16, 12)
BVALS = np.r_[0, np.full(12, 1000), 0]
"""One b = 0 image, the directions, and what is appended."""


def written(folder, data, rng, bvals):
    """Write a series; return what `join_runs` takes."""
    write_image(data, np.diag([2.0, 2, 2, 1]), folder / 'dwi.nii.gz')
    vectors = rng.normal(size=(len(bvals), 3))
    vectors[bvals == 0] = 0
    np.savetxt(folder / 'dwi.bval', bvals[None], fmt='%g')
    np.savetxt(folder / 'dwi.bvec', vectors.T)
    return *([folder / f'dwi.{end}'] for end in ('nii.gz', 'bval', 'bvec')), []


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
    joined = join_runs(*written(tmp_path, data, rng, BVALS))
    assert joined.data.shape[3] == 13
    assert (joined.gradients.bvals == 0).sum() == 1
    assert any('volumes 13 count as b = 0 and show the diffusivity' in f for f in joined.findings)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda d: np.where(np.arange(12)[:, None] % 3 == 1, 0, d), r'slices 1, 4, 7, 10 \(4 of'),
        (lambda d: -d, '100% of the signal is negative: look at scl_slope'),
        (lambda d: 1e-25 * d, 'are no intensities of a scanner'),
    ],
)
def test_a_series_that_gives_no_signal_is_refused(parts, rng, tmp_path, change, words):
    data = change(parts[0]).astype(np.float32)
    with pytest.raises(InputDataError, match=words):
        join_runs(*written(tmp_path, data, rng, BVALS[:-1]))


def test_empty_slices_above_and_below_the_head_are_air(parts, rng, tmp_path):
    data = parts[0].copy()
    data[:, :, [0, -1]] = 0
    assert join_runs(*written(tmp_path, data, rng, BVALS[:-1])).data.shape[3] == 13
