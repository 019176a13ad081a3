"""Several runs in one tensor: each with its own distortion, place and brightness."""

from __future__ import annotations

import json

import nibabel as nb
import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation

from bids_acc.derivatives.outputs import find_outputs
from bids_acc.dwi.series import join_runs
from bids_acc.dwi.shells import bvecs_from_scanner
from bids_acc.dwi.tensor import fit_tensor, scalar_maps
from bids_acc.dwi.workflow import init_dwi_wf
from bids_acc.images.affines import apply_matrix, voxel_centres
from bids_acc.images.files import write_image
from bids_acc.settings import DwiSettings
from tests.interfaces.test_dwi_distortion import (
    CENTRE,
    READOUT,
    SHAPE,
    WIDTH_MM,
    affine_of,
    true_shift,
)
from tests.interfaces.test_dwi_workflow import directions, phantom_signal, shares

AFFINE = affine_of(-1)
GAIN = 0.8


def placed(shift, degrees) -> np.ndarray:
    """Return where the head's points went, as a pull matrix."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler('xyz', degrees, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


SECOND = placed([3.0, -2.0, 2.0], [0.0, 0.0, 5.0])


def acquired(pull, axis, ratio, b, g, rng, gain=1.0) -> np.ndarray:
    """Image of a head that moved by ``pull``, with the field in it, distorted along ``axis``."""
    seen = voxel_centres(np.ones(SHAPE, dtype=bool), AFFINE)
    along = ratio * np.asarray(axis, dtype=float)
    own = np.linalg.inv(pull)
    head = apply_matrix(own, seen)
    for _ in range(30):
        head = apply_matrix(own, seen - true_shift(head)[:, None] * along)
    slope = -(head - CENTRE) / WIDTH_MM**2 * true_shift(head)[:, None]
    factor = 1 + slope @ (pull[:3, :3].T @ along)
    values = gain * phantom_signal(head, b, pull[:3, :3].T @ np.asarray(g)) / factor
    noise = rng.normal(0, 12 * gain, (2, len(values)))
    return np.hypot(values + noise[0], noise[1]).reshape(SHAPE)


def write_run(folder, name, pull, axis, vectors, rng, *, ratio=1.0, gain=1.0, n_b0=2):
    """Write a run with its gradient table."""
    bvals = np.r_[np.zeros(n_b0), np.full(len(vectors), 1000.0)]
    bvecs = np.vstack([np.zeros((n_b0, 3)), vectors])
    volumes = [acquired(pull, axis, ratio, b, g, rng, gain)
               for b, g in zip(bvals, bvecs, strict=True)]  # fmt: skip
    write_image(np.stack(volumes, axis=-1), AFFINE, folder / f'{name}.nii.gz')
    np.savetxt(folder / f'{name}.bval', bvals[None], fmt='%g')
    np.savetxt(folder / f'{name}.bvec', bvecs_from_scanner(bvecs, AFFINE).T)


@pytest.fixture(scope='module')
def session(tmp_path_factory):
    """Write a small AP run and, with the head elsewhere, a PA run and one along x."""
    folder = tmp_path_factory.mktemp('runs')
    rng = np.random.default_rng(7)
    vectors = directions(24)
    write_run(folder, 'ap', np.eye(4), [0, 1, 0], vectors[::2], rng)
    write_run(folder, 'pa', SECOND, [0, -1, 0], vectors[1::2], rng, gain=GAIN)
    write_run(folder, 'lr', SECOND, [-1, 0, 0], vectors[:4], rng, ratio=0.5)
    return folder


SIDECARS = {
    'ap': {'PhaseEncodingDirection': 'j', 'TotalReadoutTime': READOUT},
    'pa': {'PhaseEncodingDirection': 'j-', 'TotalReadoutTime': READOUT},
    'lr': {'PhaseEncodingDirection': 'i', 'TotalReadoutTime': READOUT / 2},
}


def analysed(folder, out, names, **settings):
    """Run the line on some runs; MD and FA in the brain, errors in it, QC and sidecar."""
    given = {n: SIDECARS[n]['PhaseEncodingDirection'] for n in names}
    workflow = init_dwi_wf(
        output_dir=out, entities={'subject': '01'}, has_anat=False,
        has_reversed_pe={'j', 'j-'} <= set(given.values()),
        settings=DwiSettings(denoise='none', unringing='none', bias='none', **settings),
    )  # fmt: skip
    workflow.base_dir = str(out.parent / 'work')
    inputs = workflow.get_node('inputnode').inputs
    inputs.dwi_files = [str(folder / f'{n}.nii.gz') for n in names]
    inputs.bval_files = [str(folder / f'{n}.bval') for n in names]
    inputs.bvec_files = [str(folder / f'{n}.bvec') for n in names]
    inputs.sidecars = [SIDECARS[n] for n in names]
    workflow.run()
    errors = {}
    for name in ('fa', 'md'):
        image = nb.load(find_outputs('dwi_map', out, param=name)[0].path)
        points = voxel_centres(np.ones(image.shape, dtype=bool), image.affine)
        tissue = shares(points, 3.0)
        inside = (sum(tissue[:2]) > 0.99) & np.isfinite(image.get_fdata().ravel())
        bvals, vectors = np.r_[0, [1000.0] * 24], np.vstack([np.zeros((1, 3)), directions(24)])
        clean = np.stack([phantom_signal(points[inside], b, g)
                          for b, g in zip(bvals, vectors, strict=True)], axis=1)  # fmt: skip
        truth = scalar_maps(fit_tensor(clean, bvals, vectors))[name]
        errors[name] = float(np.abs(image.get_fdata().ravel()[inside] - truth).mean())
    qc = find_outputs('dwi_qc', out)[0].path
    table = pd.read_csv(qc, sep='\t', na_values='n/a').loc[0]
    motion = pd.read_csv(find_outputs('dwi_motion', out)[0].path, sep='\t', na_values='n/a')
    return errors, table, json.loads(qc.with_suffix('.json').read_text()), motion


def test_runs_of_opposite_phase_encoding_share_one_tensor(session, tmp_path, monkeypatch):
    monkeypatch.setattr('shutil.which', lambda name: None)
    alone, *_ = analysed(session, tmp_path / 'alone' / 'out', ['ap'])
    both, table, sidecar, motion = analysed(
        session, tmp_path / 'both' / 'out', ['ap', 'pa'], susceptibility='auto'
    )
    assert table['n_volumes'] == 28
    assert table['n_runs'] == 2
    # twice the data and no distortion: both errors are smaller
    assert both['fa'] < 0.7 * alone['fa']
    assert both['md'] < 0.85 * alone['md']
    scales = [run['Scale'] for run in sidecar['Runs']]
    assert scales == pytest.approx([1.0, 1 / GAIN], rel=0.02)
    assert [run['PhaseEncodingDirection'] for run in sidecar['Runs']] == ['j', 'j-']
    second = motion[motion['run'] == 2]
    assert second['rot_z'].mean() == pytest.approx(5.0, abs=0.5)
    assert second['trans_x'].mean() == pytest.approx(3.0, abs=0.4)
    assert np.isnan(second['framewise_displacement'].iloc[0])
    assert table['fd_max'] < 1.5


@pytest.mark.slow
def test_a_run_along_another_axis_is_displaced_by_its_own_readout(session, tmp_path, monkeypatch):
    monkeypatch.setattr('shutil.which', lambda name: None)
    found, table, _, motion = analysed(session, tmp_path / 'three' / 'out', ['lr', 'ap', 'pa'])
    assert table['n_runs'] == 3
    # the largest group is the reference, wherever its name stands
    assert motion['run'].tolist() == [2] * 14 + [1] * 6 + [3] * 14
    # the b = 0 volumes (four directions are too few to align their mean with those); this head
    # shows little but its outline, from which 6.4 degrees would be read without the field
    assert motion.loc[motion['run'] == 1, 'rot_z'][:2].mean() == pytest.approx(5.0, abs=1.0)
    assert motion.loc[motion['run'] == 1, 'trans_x'][:2].mean() == pytest.approx(3.0, abs=0.4)
    assert found['md'] < 0.022e-3
    assert found['fa'] < 0.032


def test_without_a_field_only_what_is_distorted_alike_is_joined(session, tmp_path):
    _, table, sidecar, _ = analysed(
        session, tmp_path / 'out', ['pa', 'ap'], susceptibility='none', motion='none'
    )
    assert table['n_volumes'] == 14
    assert [run['Used'] for run in sidecar['Runs']] == [True, False]
    assert any(
        'run 2: it is distorted in another way (phase encoding j with a readout of 0.05 s' in f
        for f in sidecar['Findings']
    )


def arguments(folder, *names):
    """Return the first four arguments of `join_runs`."""
    paths = ([folder / f'{n}.{end}' for n in names] for end in ('nii.gz', 'bval', 'bvec'))
    return [*paths, [SIDECARS[n] for n in names]]


def test_groups_ratios_and_the_run_that_leads(session):
    series = join_runs(*arguments(session, 'lr', 'pa', 'ap'))
    assert series.used == (0, 1, 2)
    table = series.gradients
    np.testing.assert_allclose(
        [table.ratios[table.runs == n].mean() for n in (0, 1, 2)], [0.5, 1.0, 1.0]
    )
    assert list(dict.fromkeys(table.runs.tolist())) == [1, 0, 2]
    assert series.reversed_pe.shape[3] == 2
    assert series.reversed_pe_acquisition.direction == 'j'
    same = join_runs(*arguments(session, 'lr', 'pa', 'ap'), combine='same')
    assert same.used == (1,)
    done = join_runs(*arguments(session, 'lr', 'pa', 'ap'), combine='corrected')
    assert done.used == (0, 1, 2)
    assert set(done.gradients.groups) == {0}


def test_a_run_that_cannot_be_placed_is_left_out_with_the_reason(session, tmp_path):
    files = arguments(session, 'ap', 'pa')
    image = nb.load(files[0][1])
    write_image(image.get_fdata()[..., 2:], image.affine, tmp_path / 'pa.nii.gz')
    np.savetxt(tmp_path / 'pa.bval', np.loadtxt(files[1][1])[None, 2:])
    np.savetxt(tmp_path / 'pa.bvec', np.loadtxt(files[2][1])[:, 2:])
    for column, end in enumerate(('nii.gz', 'bval', 'bvec')):
        files[column][1] = tmp_path / f'pa.{end}'
    series = join_runs(*files)
    assert series.used == (0,)
    assert any('no b = 0 volume to align it with' in f for f in series.findings)
    assert series.reversed_pe is None


def test_a_copy_of_a_run_counts_once(session):
    """Each scan is one piece of evidence, however often it was converted."""
    series = join_runs(*arguments(session, 'ap', 'ap', 'pa'))
    assert series.used == (0, 2)
    assert 'run 2: it is a copy of run 1: not used.' in series.findings
    assert len(series.acquisition) == 3
    alone = join_runs(*arguments(session, 'ap', 'pa'))
    np.testing.assert_array_equal(series.data, alone.data)
    assert series.n_expected == alone.n_expected
