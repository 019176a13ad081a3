"""Volumes that do not go with their b-value, drift, and grey values that are wrong or too few."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nb
import numpy as np
import pytest

from bids_acc.dwi.interfaces.series import JoinRuns
from bids_acc.dwi.levels import drift, judge_levels, mean_levels
from bids_acc.dwi.series import join_runs
from bids_acc.exceptions import InputDataError

BVALS = np.repeat([0.0, 1000.0], [4, 12])
META = {'PhaseEncodingDirection': 'j', 'TotalReadoutTime': 0.05}


def directions(count: int) -> np.ndarray:
    """Return directions spread over a half sphere (a spiral of equal areas)."""
    height = (np.arange(count) + 0.5) / count
    turn = np.pi * (1 + 5**0.5) * np.arange(count)
    around = np.sqrt(1 - height**2)
    return np.stack([np.cos(turn) * around, np.sin(turn) * around, height], axis=1)


@pytest.fixture
def series(rng: np.random.Generator) -> np.ndarray:
    """Return a ball of brain tissue with fluid in its middle, and noise."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 24)] * 3, indexing='ij'))
    radius = np.linalg.norm(grid, axis=0)
    b = BVALS / 1000
    tissue, fluid = 400 * np.exp(-0.8 * b), 900 * np.exp(-3 * b)
    signal = np.where(radius[..., None] < 0.3, fluid, tissue) * (radius[..., None] < 0.8)
    return (signal + rng.normal(0, 8, (*radius.shape, b.size))).clip(0).astype(np.float32)


def joined(tmp_path: Path, data: np.ndarray, bvals=BVALS, dtype='float32'):
    """Write a series with its table, and read it as the run does."""
    path = tmp_path / 'dwi.nii.gz'
    nb.Nifti1Image(data.astype(dtype), np.diag([-3.0, 3, 3, 1])).to_filename(path)
    vectors = np.where(np.asarray(bvals)[:, None] > 0, directions(len(bvals)), 0)
    np.savetxt(tmp_path / 'dwi.bval', np.asarray(bvals)[None])
    np.savetxt(tmp_path / 'dwi.bvec', vectors.T)
    return join_runs(
        [path], [tmp_path / 'dwi.bval'], [tmp_path / 'dwi.bvec'], [json.loads(json.dumps(META))]
    )


def test_a_good_series_keeps_all_volumes(tmp_path, series):
    found = joined(tmp_path, series)
    assert found.data.shape[3] == 16
    assert found.findings == ()
    assert abs(found.drift) < 0.02


@pytest.mark.parametrize(
    ('volume', 'factor'), [(0, 1.6), (9, 0.01), (9, 0.6), (3, 0.5), (12, 1.5)]
)
def test_a_volume_of_another_brightness_is_left_out_and_named(tmp_path, series, volume, factor):
    series[..., volume] *= factor
    found = joined(tmp_path, series)
    assert found.data.shape[3] == 15
    assert found.n_expected == 16
    (finding,) = found.findings
    assert finding.startswith(f'volume {volume} has {factor:.1g}'[:-1])
    assert finding.endswith('not used.')


@pytest.mark.parametrize('step', [1, 2, -1])
def test_a_table_in_another_order_is_refused(tmp_path, series, step):
    with pytest.raises(InputDataError, match='not in the order of the volumes'):
        joined(tmp_path, series, bvals=np.roll(BVALS, step))


def test_a_volume_that_repeats_another_is_left_out_and_named(tmp_path, series):
    series[..., 11] = series[..., 6]
    series[..., 2] = series[..., 1]  # of b = 0 a copy does no harm
    found = joined(tmp_path, series)
    assert found.findings == (
        'volumes that repeat another, of another weighting (11 of 6): not used.',
    )
    assert found.data.shape[3] == 15


@pytest.mark.parametrize(('volume', 'factor'), [(0, 0.0), (0, 0.3), (2, 0.1)])
def test_b0_that_lost_slices_is_no_reference(tmp_path, series, volume, factor):
    series[:, :, 10:12, volume] *= factor
    found = joined(tmp_path, series)
    assert found.findings == (
        f'volume {volume} (b = 0) lost the signal of slices 10, 11: not used.',
    )
    assert (found.gradients.bvals == 0).sum() == 3


def test_the_only_b0_stays(tmp_path, series):
    """A weighted volume that lost slices is left to the fit, and so is the last b = 0."""
    series[:, :, 10, 0] *= 0.3
    series[:, :, 10, 12] *= 0.3
    bvals = np.r_[0, np.full(15, 1000.0)]
    series[..., 1:4] = series[..., 4:7]
    series[..., 1:4] += 1
    assert joined(tmp_path, series, bvals).data.shape[3] == 16


def test_shells_beyond_the_largest_b_value_are_named(tmp_path, series):
    bvals = np.r_[BVALS[:-3], 3000, 3000, 3000]
    series[..., -3:] *= 0.3
    joined(tmp_path, series, bvals)
    ends = {'dwi_files': 'nii.gz', 'bval_files': 'bval', 'bvec_files': 'bvec'}
    files = {key: str(tmp_path / f'dwi.{end}') for key, end in ends.items()}
    done = JoinRuns(**files, sidecars=[META]).run(cwd=tmp_path).outputs
    assert done.report['shells_finding'] == (
        'The tensor uses b up to 1500 (--dwi-b-max): 3 volumes at b 3000 are not in it.'
    )


def test_several_strays_are_one_finding(tmp_path, series):
    series[..., 13:] *= 0.5
    (finding,) = joined(tmp_path, series).findings
    assert finding.startswith('volumes 13, 14, 15 have 0.5 times the signal')


def test_b0_darker_than_weighted_volumes_is_refused(tmp_path, series):
    """A table of more shells in reversed order: no volume is alone in its shell."""
    bvals = np.repeat([0.0, 1000, 2000], [4, 6, 6])
    series[..., 10:] *= 0.4
    joined(tmp_path, series, bvals=bvals)
    with pytest.raises(InputDataError, match=r'volumes 12, 13, 14, 15 count as b = 0'):
        joined(tmp_path, series, bvals=bvals[::-1])


def test_a_drift_is_named_and_loses_no_volume(tmp_path, series):
    found = joined(tmp_path, series * np.linspace(1, 0.8, 16, dtype=np.float32))
    assert found.data.shape[3] == 16
    assert found.drift == pytest.approx(-0.2, abs=0.02)
    assert 'signal changes by -20% from the first to the last volume' in found.findings[0]


def test_drift_is_told_by_spread_b0_volumes():
    bvals = np.tile([0.0, 1000, 1000, 1000], 5)
    level = np.where(bvals == 0, 100, 40) * np.linspace(1, 1.3, 20)
    level[1::4] *= 1.2  # direction: says nothing of drift
    assert drift(judge_levels(level, bvals), bvals) == pytest.approx(0.3, abs=0.02)


def test_one_fibre_loses_no_volume():
    """The signal of an object of one fibre depends on direction by more than a factor of two."""
    bvals = np.repeat([0.0, 1000.0], [5, 30])
    along = directions(35)[:, 0] ** 2
    level = np.where(bvals == 0, 100, 100 * np.exp(-(0.3 + 1.4 * along)))
    assert not judge_levels(level, bvals).stray.any()


def test_many_b_values_are_no_shell():
    bvals = np.r_[0, 0, 0, 0, np.linspace(100, 1400, 20)]
    level = 100 * np.exp(-0.7e-3 * bvals)
    found = judge_levels(level, bvals)
    assert not found.stray.any()
    assert np.isnan(found.ratio[4:]).all()


def test_levels_are_those_of_the_object(series):
    assert mean_levels(series)[:4] == pytest.approx(430, rel=0.05)


def test_values_that_began_again_at_zero_are_refused_or_named(tmp_path):
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 40)] * 3, indexing='ij'))
    cone = 500 * (1 - np.linalg.norm(grid, axis=0)).clip(0)
    image = cone[..., None] * np.where(BVALS > 0, 0.4, 1)
    with pytest.raises(InputDataError, match='begin again at the other end'):
        joined(tmp_path, image.round() % 256, dtype='uint8')
    image[..., :4] = image[..., :4].clip(0, 255)
    assert not any('darkest' in f for f in joined(tmp_path, image.round(), dtype='uint8').findings)


def test_few_grey_values_are_named(tmp_path, series):
    found = joined(tmp_path, (series / series.max() * 20).round(), dtype='uint8')
    assert any('too coarse' in text for text in found.findings)
