"""The tensor fit: identities, limits, planted truth, missing data."""

from __future__ import annotations

import shutil
import subprocess

import nibabel as nb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from bids_acc.dwi.series import join_runs
from bids_acc.dwi.tensor import (
    _solve_regular,
    check_decay,
    check_design,
    check_scheme,
    fit_tensor,
    fractional_anisotropy,
    mode,
    scalar_maps,
)
from bids_acc.exceptions import InputDataError

DIFFUSIVITIES = st.floats(0.05e-3, 3e-3)


@pytest.fixture
def scheme(rng):
    vectors = rng.normal(size=(30, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.r_[0, 0, 0, np.full(30, 1000.0)], np.vstack([np.zeros((3, 3)), vectors])


def signal_of(tensor, scheme, s0=900.0):
    bvals, vectors = scheme
    return s0 * np.exp(-bvals * np.einsum('ni,ij,nj->n', vectors, tensor, vectors))


@pytest.mark.parametrize('method', ['ols', 'wls', 'iwls'])
def test_noiseless_tensor_comes_back(scheme, rng, method):
    turn = Rotation.random(random_state=1).as_matrix()
    tensor = turn @ np.diag([1.7e-3, 0.5e-3, 0.2e-3]) @ turn.T
    fit = fit_tensor(signal_of(tensor, scheme)[None], *scheme, method=method)
    np.testing.assert_allclose(fit.evals[0], [1.7e-3, 0.5e-3, 0.2e-3], rtol=1e-6)
    assert abs(fit.evecs[0, :, 0] @ turn[:, 0]) == pytest.approx(1)
    expected = [tensor[0, 0], tensor[1, 1], tensor[2, 2], tensor[0, 1], tensor[0, 2], tensor[1, 2]]
    np.testing.assert_allclose(fit.tensor[0], expected, atol=1e-9)
    assert fit.s0[0] == pytest.approx(900)
    assert fit.residual[0] == pytest.approx(0, abs=1e-8)


def test_measured_bvalues_are_used_not_nominal_ones(scheme):
    bvals = scheme[0] + np.where(scheme[0] > 0, np.linspace(-11, 3, 33), 5)
    jittered = (bvals, np.where(scheme[0][:, None] > 0, scheme[1], 0))
    fit = fit_tensor(signal_of(np.diag([1e-3] * 3), (bvals, scheme[1]))[None], *jittered)
    assert fractional_anisotropy(fit.evals)[0] < 0.01


def test_outlier_with_weight_zero_changes_nothing(scheme):
    signal = signal_of(np.diag([1.5e-3, 0.4e-3, 0.3e-3]), scheme)
    clean = fit_tensor(signal[None], *scheme)
    signal[7] *= 0.3
    weights = np.ones((1, signal.size))
    weights[0, 7] = 0
    np.testing.assert_allclose(
        fit_tensor(signal[None], *scheme, weights=weights).evals, clean.evals, rtol=1e-8
    )
    assert abs(fit_tensor(signal[None], *scheme).evals[0, 0] / 1.5e-3 - 1) > 0.01


def test_missing_and_negative_samples_get_no_weight(scheme):
    signal = signal_of(np.diag([1.5e-3, 0.4e-3, 0.3e-3]), scheme)
    signal[5], signal[9], signal[11] = np.nan, 0, -3
    np.testing.assert_allclose(
        fit_tensor(signal[None], *scheme).evals[0], [1.5e-3, 0.4e-3, 0.3e-3], rtol=1e-6
    )


def test_too_few_samples_give_nan_not_zero(scheme):
    signal = np.full((1, 33), np.nan)
    signal[0, :6] = 100
    fit = fit_tensor(signal, *scheme)
    assert all(np.isnan(values).all() for values in scalar_maps(fit).values())
    assert not fit.non_positive[0]


def test_one_singular_voxel_does_not_stop_the_others(scheme):
    signal = np.tile(signal_of(np.diag([1.5e-3, 0.4e-3, 0.3e-3]), scheme), (3, 1))
    weights = np.ones(signal.shape)
    weights[1] = 0
    weights[1, [0, 1, 2, 5, 6, 7, 8]] = 1  # seven samples, five of them different
    weights[2, 4:] = 1e-9  # next to nothing besides three b = 0 volumes and one direction
    fit = fit_tensor(signal, *scheme, weights=weights)
    assert np.isnan(fit.evals[1]).all()
    np.testing.assert_allclose(fit.evals[0], [1.5e-3, 0.4e-3, 0.3e-3], rtol=1e-6)


def test_singular_systems_are_nan_whatever_their_rounding():
    matrices = np.stack([np.eye(7) / 7, np.diag([1.0, 0, 0, 0, 0, 0, 0])])
    solution = _solve_regular(matrices, np.ones((2, 7)))
    np.testing.assert_allclose(solution[0], 7)
    assert np.isnan(solution[1]).all()


def test_non_positive_tensor_is_marked_and_not_clipped(scheme):
    fit = fit_tensor(signal_of(np.diag([1.5e-3, 0.4e-3, -0.1e-3]), scheme)[None], *scheme)
    assert fit.non_positive[0]
    assert fit.evals[0, 2] == pytest.approx(-0.1e-3, rel=1e-4)


def test_chunks_do_not_matter(scheme, rng):
    signal = rng.uniform(100, 900, size=(50, 33))
    whole = fit_tensor(signal, *scheme)
    np.testing.assert_array_equal(whole.evals, fit_tensor(signal, *scheme, chunk=50).evals)
    np.testing.assert_allclose(whole.evals, fit_tensor(signal, *scheme, chunk=7).evals, rtol=1e-9)


@given(st.tuples(DIFFUSIVITIES, DIFFUSIVITIES, DIFFUSIVITIES), st.floats(0.1, 10))
def test_fa_and_mode_do_not_depend_on_scale_or_order(evals, factor):
    values = np.array(evals)
    assert fractional_anisotropy(values * factor) == pytest.approx(fractional_anisotropy(values))
    assert 0 <= fractional_anisotropy(values) <= 1
    shape = mode(values)
    assert np.isnan(shape) or -1 <= shape <= 1
    np.testing.assert_allclose(mode(values[::-1] * factor), shape, atol=1e-6)


def test_limits():
    assert fractional_anisotropy([1, 1, 1]) == 0
    assert fractional_anisotropy([1, 0, 0]) == pytest.approx(1)
    assert np.isnan(fractional_anisotropy([0, 0, 0]))
    assert mode([3, 1, 1]) == pytest.approx(1)
    assert mode([3, 3, 1]) == pytest.approx(-1)
    assert mode([3, 2, 1]) == pytest.approx(0, abs=1e-12)
    assert np.isnan(mode([1, 1, 1.0001]))


def test_scheme_without_enough_directions_is_refused():
    with pytest.raises(InputDataError, match='do not determine a diffusion tensor'):
        check_design([0, 1000, 1000, 1000], np.vstack([np.zeros(3), np.eye(3)]))
    with pytest.raises(InputDataError, match='do not determine'):
        check_design(
            np.r_[0, np.full(9, 1000)], np.vstack([np.zeros(3), np.tile(np.eye(3), (3, 1))])
        )


@pytest.mark.mrtrix
@pytest.mark.skipif(shutil.which('dwi2tensor') is None, reason='MRtrix3 is not on PATH')
def test_real_data_agree_with_mrtrix(shared_data, tmp_path):
    stem = shared_data / 'dwi-ds000114/sub-01/ses-test/dwi/sub-01_ses-test_dwi'
    files = [stem.with_name(stem.name + suffix) for suffix in ('.nii.gz', '.bval', '.bvec')]
    series = join_runs(*[[f] for f in files], [{}])
    # unit vectors: MRtrix3 scales b-values by the squared length that rounding has left
    table = np.c_[series.gradients.directions, series.gradients.bvals]
    np.savetxt(tmp_path / 'grad', table, fmt='%.12g')
    subprocess.run(
        ['dwi2tensor', '-quiet', '-grad', tmp_path / 'grad', files[0], tmp_path / 'dt.nii'],
        check=True,
    )
    maps = [flag for n in ('fa', 'adc') for flag in (f'-{n}', tmp_path / f'{n}.nii')]
    subprocess.run(['tensor2metric', '-quiet', tmp_path / 'dt.nii', *maps], check=True)
    base = series.data[..., :7].mean(axis=3)
    mask = base > np.percentile(base, 80)
    fit = fit_tensor(series.data[mask], series.gradients.bvals, series.gradients.directions)
    ours = scalar_maps(fit)
    for name, other in (('fa', 'fa'), ('md', 'adc')):
        theirs = nb.load(tmp_path / f'{other}.nii').get_fdata()[mask]
        assert np.nanmedian(np.abs(ours[name] - theirs) / theirs) < 1e-4


@pytest.mark.parametrize(
    ('factor', 'said'), [(1e-3, 'multiply them by 1000'), (1e6, 'divide them by 1e6'), (1, '')]
)
def test_a_wrong_unit_of_b_values_is_named(factor, said):
    bvals = factor * np.r_[0, np.full(6, 3000.0)]
    directions = np.vstack([np.zeros(3), np.eye(3), np.eye(3)])
    with pytest.raises(InputDataError) as caught:
        check_scheme('dwi.nii.gz', bvals, directions, 1500)
    assert said in str(caught.value)
    assert bool(said) == ('BIDS asks for s/mm2' in str(caught.value))


def test_a_table_of_other_volumes_is_refused(scheme):
    signal = signal_of(0.8e-3 * np.eye(3), scheme)
    check_decay(fit_tensor(signal[None], *scheme))
    turned = fit_tensor(signal[None, ::-1], *scheme)
    with pytest.raises(InputDataError, match='b-values are not those of these volumes'):
        check_decay(turned)
