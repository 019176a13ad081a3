"""Volumes out of files: complex numbers as magnitudes, b = 0 volumes of a field map."""

from __future__ import annotations

import nibabel as nb
import numpy as np
import pytest

from bids_acc.dwi.series import join_runs
from bids_acc.dwi.tensor import fit_tensor, scalar_maps
from bids_acc.dwi.volumes import read_base, read_table, read_volumes
from bids_acc.exceptions import GridMismatchError


@pytest.fixture
def parts(tmp_path, rng):
    """Write a complex image whole and in parts, with another phase in each volume."""
    truth = rng.uniform(10, 100, (5, 5, 4, 9)).astype(np.float32)
    phase = rng.uniform(-np.pi, np.pi, 9)
    whole = truth * np.exp(1j * phase)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    for name, values in (('real', whole.real), ('imag', whole.imag), ('complex', whole)):
        dtype = np.complex64 if name == 'complex' else np.float32
        nb.Nifti1Image(values.astype(dtype), affine).to_filename(tmp_path / f'{name}.nii.gz')
    return tmp_path, truth


def test_three_volumes_have_their_directions_in_columns(tmp_path):
    """As many rows as columns: BIDS tells which is which."""
    (tmp_path / 'a.bval').write_text('0 1000 1000')
    np.savetxt(tmp_path / 'a.bvec', np.array([[0, 0, 0], [1, 0, 0], [0, 0.6, 0.8]]).T)
    bvecs = read_table(tmp_path / 'a.bval', tmp_path / 'a.bvec', np.eye(4))[1]
    np.testing.assert_allclose(bvecs[2], [0, 0.6, 0.8])


@pytest.mark.parametrize('names', [('complex.nii.gz',), ('real.nii.gz', 'imag.nii.gz')])
def test_magnitude_comes_back(parts, names):
    folder, truth = parts
    data, _ = read_volumes(*(folder / name for name in names))
    assert data.dtype == np.float32
    np.testing.assert_allclose(data, truth, rtol=1e-5)


def test_parts_on_different_grids_are_refused(parts):
    folder, truth = parts
    nb.Nifti1Image(truth[:4], np.eye(4)).to_filename(folder / 'imag.nii.gz')
    with pytest.raises(GridMismatchError, match='than the real part'):
        read_volumes(folder / 'real.nii.gz', folder / 'imag.nii.gz')


def test_runs_are_joined_from_their_parts(parts, rng):
    folder, truth = parts
    vectors = rng.normal(size=(3, 9))
    vectors[:, 0] = 0
    np.savetxt(folder / 'a.bvec', vectors / np.maximum(np.linalg.norm(vectors, axis=0), 1e-9))
    (folder / 'a.bval').write_text('65 ' + '1000 ' * 8)
    series = join_runs(
        [folder / 'real.nii.gz'], [folder / 'a.bval'], [folder / 'a.bvec'], [],
        imaginary_files=[folder / 'imag.nii.gz'],
    )  # fmt: skip
    np.testing.assert_allclose(series.data, truth, rtol=1e-5)
    assert series.gradients.bvals.tolist() == [0.0] + [1000.0] * 8
    assert any('b = 0' in finding for finding in series.findings)


@pytest.mark.parametrize(
    ('bvals', 'kept'), [(None, 9), ('0 1000 0 ' + '1000 ' * 6, 2), ('65 ' + '995 ' * 8, 1),
                        ('0 0', 9)],
)  # fmt: skip
def test_only_b0_volumes_of_a_field_map_are_used(parts, bvals, kept):
    folder, _ = parts
    if bvals:
        (folder / 'real.bval').write_text(bvals)
    assert read_base(folder / 'real.nii.gz', 50.0)[0].shape[3] == kept


@pytest.mark.parametrize(('scaling', 'right'), [('auto', True), ('no', False)])
def test_shells_told_by_lengths_give_the_planted_diffusivity(tmp_path, rng, scaling, right):
    lengths = np.r_[0.0, np.full(8, np.sqrt(0.5)), np.full(8, 1.0)]
    vectors = rng.normal(size=(17, 3))
    vectors *= (lengths / np.linalg.norm(vectors, axis=1))[:, None]
    signal = 100 * np.exp(-1000 * lengths**2 * 1e-3)  # isotropic, b 500 and 1000
    data = np.broadcast_to(signal, (3, 3, 3, 17)).astype(np.float32)
    nb.Nifti1Image(data, np.eye(4)).to_filename(tmp_path / 'a.nii')
    np.savetxt(tmp_path / 'a.bvec', vectors.T)
    (tmp_path / 'a.bval').write_text('0 ' + '1000 ' * 16)
    series = join_runs(
        [tmp_path / 'a.nii'], [tmp_path / 'a.bval'], [tmp_path / 'a.bvec'], [], scaling=scaling
    )
    table = series.gradients
    maps = scalar_maps(fit_tensor(series.data.reshape(-1, 17), table.bvals, table.directions))
    assert (abs(maps['md'][0] - 1e-3) < 1e-6) == right
    assert (maps['fa'][0] < 1e-3) == right
