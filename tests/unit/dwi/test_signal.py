"""Series without signal, with holes, or from which something was subtracted."""

from __future__ import annotations

import numpy as np
import pytest

from bids_acc.dwi.series import (
    MAX_CLIPPED,
    MAX_NEGATIVE,
    check_signal,
    clipped_share,
    negative_share,
    without_gaps,
)
from bids_acc.exceptions import InputDataError
from bids_acc.images.volumes import MAX_GAPS, close_gaps


@pytest.fixture
def head(rng: np.random.Generator) -> np.ndarray:
    """Return a ball of signal in noise, (24, 24, 24, 3)."""
    axis = np.arange(24) - 11.5
    ball = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2 < 9**2
    signal = np.where(ball[..., None], [1000.0, 400.0, 350.0], 0.0)
    return np.abs(signal + rng.normal(0, 20, signal.shape)).astype(np.float32)


@pytest.mark.parametrize('value', [0.0, 7.0, np.nan])
def test_a_series_without_signal_is_refused(head: np.ndarray, value: float) -> None:
    with pytest.raises(InputDataError, match=r'dwi\.nii: the series is constant'):
        check_signal(np.full_like(head, value), 'dwi.nii')


@pytest.mark.parametrize('holes', ['half of the voxels', 'every other slice'])
def test_holes_are_refused(head: np.ndarray, holes: str, rng: np.random.Generator) -> None:
    if holes == 'half of the voxels':
        head[rng.uniform(size=head.shape[:3]) < 0.5] = np.nan
    else:
        head[4:20, 4:20, 5:19][:, :, 1::2] = np.nan
        head[:2] = head[-2:] = np.nan
        head[:, :2] = head[:, -2:] = np.nan
        head[:, :, :5] = head[:, :, -5:] = np.nan
    with pytest.raises(InputDataError, match='of the voxels inside the object are NaN'):
        check_signal(head, 'dwi.nii')


def test_a_background_of_nan_and_a_volume_of_nan_are_no_holes(head: np.ndarray) -> None:
    head[head[..., 0] < 500] = np.nan
    head[..., 1] = np.nan
    check_signal(head, 'dwi.nii')
    assert close_gaps(head[..., 0])[1] < MAX_GAPS / 2


def test_a_subtracted_mean_is_seen_and_noise_around_zero_is_not(
    head: np.ndarray, rng: np.random.Generator
) -> None:
    base = head[..., 0]
    assert negative_share(base) == 0
    assert negative_share(base + rng.normal(0, 30, base.shape)) < MAX_NEGATIVE
    assert negative_share(base - base.mean()) > 5 * MAX_NEGATIVE


@pytest.mark.parametrize('whole_numbers', [False, True])
def test_a_clipped_image_is_seen_and_a_bright_voxel_is_none(
    head: np.ndarray, whole_numbers: bool
) -> None:
    base = np.round(head[..., 0]) if whole_numbers else head[..., 0]
    assert clipped_share(base) < MAX_CLIPPED / 2
    assert clipped_share(np.minimum(base, np.quantile(base[base > 500], 0.98))) > 2 * MAX_CLIPPED


def test_gaps_are_closed_before_a_program_spreads_them(head: np.ndarray) -> None:
    whole = head.copy()
    background = head[..., 0] < 500
    head[background] = np.nan
    head[12, 12, 12, 2] = np.inf
    head[..., 1] = np.nan
    found, count = without_gaps(head)
    assert np.isfinite(found[..., [0, 2]]).all()
    assert np.isnan(found[..., 1]).all()
    assert (found[background][:, [0, 2]] == 0).mean() > 0.95
    assert 1 <= count < 0.1 * (~background).sum()
    np.testing.assert_array_equal(found[~background][:, 0], whole[~background][:, 0])
    assert found[12, 12, 12, 2] == pytest.approx(350, abs=100)
    assert without_gaps(whole)[0] is whole
