"""Susceptibility correction and eddy: built-in engines on a phantom, FSL by stand-ins.

FSL may not be installed beside this package, so that executables stand in for it. They refuse
arguments that FSL would refuse, and write the files that FSL writes.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from bids_acc.derivatives.outputs import find_outputs
from bids_acc.dwi.gradients import Gradients
from bids_acc.dwi.interfaces.distortion import (
    FieldFromPair,
    MeasuredField,
    RegisterDistortion,
    RunTopup,
    to_radiological,
)
from bids_acc.dwi.interfaces.eddy import RunEddy
from bids_acc.dwi.series import join_runs
from bids_acc.dwi.shells import bvecs_from_scanner
from bids_acc.dwi.workflow import choose_engines, init_dwi_wf
from bids_acc.exceptions import MetadataError, SettingsError
from bids_acc.images.affines import apply_matrix
from bids_acc.images.distortion import apply_warp, undistort
from bids_acc.images.files import read_image, write_image
from bids_acc.images.masks import brain_mask
from bids_acc.images.phase import FieldMap
from bids_acc.images.resampling import sample
from bids_acc.settings import DwiSettings
from tests.interfaces.test_dwi_workflow import directions, phantom_signal, shares

SHAPE = (36, 42, 34)
READOUT = 0.05
PEAK_MM, WIDTH_MM, CENTRE = 7.0, 16.0, np.array([0.0, 30.0, -10.0])

TOPUP = """
import os, sys
import nibabel as nb, numpy as np
given = dict(a.lstrip('-').split('=', 1) for a in sys.argv[1:])
image = nb.load(given['imain'])
rows = np.loadtxt(given['datain'], ndmin=2)
assert image.ndim == 4 and rows.shape == (image.shape[3], 4), (image.shape, rows.shape)
assert np.allclose(np.abs(rows[:, :3]).sum(axis=1), 1), 'unit vectors along one axis'
assert (rows[:, 3] > 0).all() and (rows[:, 3] < 0.3).all(), 'readout times in s'
assert np.linalg.det(image.affine[:3, :3]) < 0, 'radiological storage'
if any(n % 2 for n in image.shape[:3]):
    assert given['config'] == 'b02b0_1.cnf', 'b02b0.cnf subsamples by 2'
    print('odd')
else:
    assert given['config'] == 'b02b0.cnf'
field = np.load(os.environ['STANDIN_FIELD'])
assert (rows[0, :3] == -rows[-1, :3]).all(), 'reversed phase encoding'
write = lambda v, name: nb.Nifti1Image(v.astype('f4'), image.affine).to_filename(name)
write(field, given['fout'])
write(field, given['out'] + '_fieldcoef.nii.gz')
open(given['out'] + '_movpar.txt', 'w').write('0 0 0 0 0 0\\n' * image.shape[3])
write(image.get_fdata(), given['iout'])
for n in range(1, image.shape[3] + 1):
    write(field, f"{given['dfout']}_{n:02d}.nii.gz")
    write(field, f"{given['jacout']}_{n:02d}.nii.gz")
    np.savetxt(f"{given['rbmout']}_{n:02d}.mat", np.eye(4))
"""

EDDY = """
import os, sys
import nibabel as nb, numpy as np
from scipy.spatial.transform import Rotation
flags = {a.lstrip('-') for a in sys.argv[1:] if '=' not in a}
given = dict(a.lstrip('-').split('=', 1) for a in sys.argv[1:] if '=' in a)
image, mask = nb.load(given['imain']), nb.load(given['mask'])
count = image.shape[3]
rows, index = np.loadtxt(given['acqp'], ndmin=2), np.loadtxt(given['index'], ndmin=1)
bvals, bvecs = np.loadtxt(given['bvals'], ndmin=1), np.loadtxt(given['bvecs'])
assert mask.shape == image.shape[:3] and set(np.unique(mask.get_fdata())) <= {0, 1}
assert index.shape == bvals.shape == (count,) and bvecs.shape == (3, count)
assert index.min() >= 1 and index.max() <= len(rows)
assert np.linalg.det(image.affine[:3, :3]) < 0, 'radiological storage'
assert {'repol', 'data_is_shelled'} <= flags, flags
assert given['nthr'] == '1' and bvals[0] == 0, 'the reference is the first volume'
open(os.environ['STANDIN_SEEN'] + '_command', 'w').write(' '.join(sys.argv[1:]))
if 'topup' in given:
    assert os.path.exists(given['topup'] + '_fieldcoef.nii.gz'), given['topup']
    assert os.path.exists(given['topup'] + '_movpar.txt')
    open(os.environ['STANDIN_SEEN'], 'w').write('topup')
out = given['out']
nb.Nifti1Image(image.get_fdata().astype('f4'), image.affine).to_filename(out + '.nii.gz')
parameters = np.zeros((count, 16)); parameters[1, 0] = 2.0; parameters[1, 5] = 0.03
np.savetxt(out + '.eddy_parameters', parameters)
turn = Rotation.from_euler('z', 90, degrees=True).as_matrix()
np.savetxt(out + '.eddy_rotated_bvecs', turn @ bvecs)
outliers = np.zeros((count, image.shape[2]), int); outliers[2, 5] = 1
open(out + '.eddy_outlier_map', 'w').write('heading\\n' + '\\n'.join(
    ' '.join(map(str, r)) for r in outliers))
for name in ('movement_rms', 'restricted_movement_rms', 'outlier_n_stdev_map',
             'outlier_n_sqr_stdev_map', 'outlier_report',
             'post_eddy_shell_alignment_parameters',
             'post_eddy_shell_PE_translation_parameters'):
    open(f'{out}.eddy_{name}', 'w').write('0 0\\n')
"""


def affine_of(sign: float, shape=SHAPE) -> np.ndarray:
    """Return a 3 mm grid around the origin whose determinant has a sign."""
    affine = np.diag([sign * 3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def true_shift(points: np.ndarray) -> np.ndarray:
    """Displacement along y, mm."""
    return PEAK_MM * np.exp(-((points - CENTRE) ** 2).sum(axis=-1) / (2 * WIDTH_MM**2))


def distorted(affine: np.ndarray, direction: float, b: float = 0.0, g=(1.0, 0, 0), shape=SHAPE):
    """Image of the phantom that is displaced by ``direction`` times the field along y."""
    y = apply_matrix(affine, np.indices(shape).reshape(3, -1).T)
    x = y.copy()
    for _ in range(30):
        x[:, 1] = y[:, 1] - direction * true_shift(x)
    slope = -(x[:, 1] - CENTRE[1]) / WIDTH_MM**2 * true_shift(x) * direction
    values = phantom_signal(x, b, np.asarray(g)) / (1 + slope)
    noise = np.random.default_rng(int(10 + direction)).normal(0, 10, (2, len(x)))
    return np.hypot(values + noise[0], noise[1]).reshape(shape)


def write_series(folder: Path, affine: np.ndarray, volumes: int = 3) -> dict[str, str]:
    """Write a distorted b = 0 series, its reversed image and what belongs to them."""
    shape = SHAPE
    image = np.stack([distorted(affine, 1.0)] * volumes, axis=-1)
    table = Gradients(
        np.zeros(volumes),
        np.zeros((volumes, 3)),
        np.tile([0.0, 1, 0], (volumes, 1)),
        np.zeros(volumes, dtype=int),
        np.zeros(volumes, dtype=int),
        np.ones(volumes),
    )
    reversed_pe = distorted(affine, -1.0)[..., None]
    return {
        'in_file': str(write_image(image, affine, folder / 'series.nii')),
        'gradients': str(table.write(folder / 'gradients.tsv')),
        'reversed_pe': str(write_image(reversed_pe, affine, folder / 'reversed_pe.nii')),
        'mask': str(write_image(brain_mask(image[..., 0], [3.0] * 3), affine,
                                folder / 'mask.nii')),
        'reference': str(write_image(image[..., 0].reshape(shape), affine, folder / 'ref.nii')),
    }  # fmt: skip


def left(warp: str, affine: np.ndarray, mask: str) -> np.ndarray:
    """Return the error of a field in the brain, mm."""
    points = apply_matrix(affine, np.argwhere(read_image(mask)[0] > 0))
    found = sample(read_image(warp)[0], affine, points)
    return np.abs(found - true_shift(points))


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """Put executables on PATH that check what they are given."""
    folder = tmp_path / 'fsl'
    folder.mkdir()
    for name, text in (('topup', TOPUP), ('eddy_cpu', EDDY)):
        path = folder / name
        path.write_text(f'#!{sys.executable}\n{text}')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv('PATH', f'{folder}{os.pathsep}{os.environ["PATH"]}')
    monkeypatch.setenv('STANDIN_FIELD', str(tmp_path / 'field.npy'))
    monkeypatch.setenv('STANDIN_SEEN', str(tmp_path / 'seen'))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def acquisition() -> dict:
    """Return both directions with their readout times."""
    return {'acquisition': [{'direction': 'j', 'readout': READOUT}],
            'reversed_pe_acquisition': {'direction': 'j-', 'readout': READOUT}}  # fmt: skip


@pytest.mark.parametrize('sign', [1.0, -1.0])
@pytest.mark.parametrize('reported', [1.0, -1.0])
def test_topup_gets_what_it_needs_and_its_field_points_the_right_way(stand_ins, sign, reported):
    affine = affine_of(sign)
    files = write_series(stand_ins, affine)
    points = apply_matrix(affine, np.indices(SHAPE).reshape(3, -1).T)
    hertz = (true_shift(points) / (READOUT * 3.0)).reshape(SHAPE)
    np.save(stand_ins / 'field.npy', reported * (hertz[::-1] if sign > 0 else hertz))
    mask = files.pop('mask')
    files.pop('reference')
    done = RunTopup(**files, **acquisition()).run(cwd=stand_ins).outputs
    assert left(done.warp, affine, mask).mean() < 0.01
    assert bool(done.report['sdc_finding']) == (reported < 0)
    assert done.report['sdc_similarity'] > done.report['sdc_similarity_before']
    rows = np.loadtxt(stand_ins / 'acqparams.txt')
    np.testing.assert_allclose(rows, [[0, 1, 0, READOUT]] * 3 + [[0, -1, 0, READOUT]])


def test_topup_without_a_readout_time_is_refused(stand_ins):
    files = write_series(stand_ins, affine_of(-1))
    entries = acquisition()
    entries['acquisition'][0]['readout'] = float('nan')
    with pytest.raises(MetadataError, match='TotalReadoutTime is missing'):
        RunTopup(
            in_file=files['in_file'], gradients=files['gradients'],
            reversed_pe=files['reversed_pe'],
            **entries,
        ).run(cwd=stand_ins)  # fmt: skip


def test_a_pair_gives_the_field_without_fsl(tmp_path):
    affine = affine_of(-1)
    files = write_series(tmp_path, affine)
    files.pop('reference')
    done = FieldFromPair(**files, **acquisition()).run(cwd=tmp_path).outputs
    error = left(done.warp, affine, files['mask'])
    assert error.mean() < 0.2
    assert (
        true_shift(apply_matrix(affine, np.argwhere(read_image(files['mask'])[0] > 0))).max() > 6
    )
    assert done.report['sdc_moved'] < 0.5


def measured(tmp_path, affine, hz):
    """Run the shell on a field map with an undistorted magnitude."""
    files = write_series(tmp_path, affine)
    points = apply_matrix(affine, np.indices(SHAPE).reshape(3, -1).T)
    magnitude = phantom_signal(points, 0.0, np.array([1.0, 0, 0])).reshape(SHAPE)
    values = {'map': hz(points).reshape(SHAPE), 'magnitude': magnitude}
    images = [write_image(v.astype('f4'), affine, tmp_path / f'{n}.nii.gz')
              for n, v in values.items()]  # fmt: skip
    field_map = FieldMap((Path(images[0]),), Path(images[1])).as_dict()
    kept = {name: files[name] for name in ('in_file', 'gradients', 'mask')}
    shell = MeasuredField(**kept, acquisition=acquisition()['acquisition'], field_map=field_map)
    return shell.run(cwd=tmp_path).outputs, files['mask']


@pytest.mark.parametrize('sign', [1.0, -1.0])
def test_a_measured_field_is_used_whatever_its_sign(tmp_path, sign):
    affine = affine_of(-1)
    done, mask = measured(tmp_path, affine, lambda p: sign * true_shift(p) / (READOUT * 3.0))
    assert done.report['sdc_applied']
    inside = read_image(mask)[0] > 0
    gap = (
        read_image(done.warp)[0]
        - true_shift(apply_matrix(affine, np.indices(SHAPE).reshape(3, -1).T)).reshape(SHAPE)
    )[inside]
    assert np.abs(gap - np.median(gap)).mean() < 0.3  # the mean of a field is not known
    assert ('reversed' in done.report['sdc_finding']) == (sign < 0)


def test_a_measured_field_of_noise_is_not_used(tmp_path, rng):
    done, _ = measured(tmp_path, affine_of(-1), lambda p: 200 * rng.standard_normal(len(p)))
    assert not done.report['sdc_applied']
    assert 'was not corrected' in done.report['sdc_finding']
    assert not np.any(read_image(done.warp)[0])


def test_a_measured_field_comes_before_the_t1w_image(tmp_path):
    there = {'has_anat': True, 'has_field_map': True}
    assert choose_engines(DwiSettings(), **there)['susceptibility'] == 'fieldmap'
    asked = DwiSettings(susceptibility='fieldmap')
    assert choose_engines(asked, has_anat=True)['susceptibility'] == 'none'
    workflow = init_dwi_wf(output_dir=tmp_path, entities={'subject': '01'},
                           settings=DwiSettings(), **there)  # fmt: skip
    assert 'prepare_wf.field' in workflow.list_node_names()
    assert isinstance(workflow.get_node('prepare_wf.field').interface, MeasuredField)


def test_the_signal_is_stretched_back():
    affine = affine_of(-1)
    points = apply_matrix(affine, np.indices(SHAPE).reshape(3, -1).T)
    shift = true_shift(points).reshape(SHAPE)
    straight = undistort(distorted(affine, 1.0), shift, affine, [0, 1, 0])
    plain = undistort(distorted(affine, 1.0), shift, affine, [0, 1, 0], modulate=False)
    truth = phantom_signal(points, 0.0, np.array([1.0, 0, 0])).reshape(SHAPE)
    where = (shift > 2) & (np.stack(shares(points, 3.0)).sum(axis=0).reshape(SHAPE) > 0.99)
    assert np.abs(straight - truth)[where].mean() < 0.6 * np.abs(plain - truth)[where].mean()
    moved, factor = apply_warp(shift, affine, [[0.0, 30.0, -10.0]], [0, -1, 0])
    assert moved[0, 1] == pytest.approx(30 - shift.max(), abs=0.5)
    assert factor[0] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize('really', [True, False])
def test_the_t1w_image_gives_a_field_only_where_there_is_one(tmp_path, really):
    affine = affine_of(-1)
    files = write_series(tmp_path, affine)
    points = apply_matrix(affine, np.indices(SHAPE).reshape(3, -1).T)
    if not really:
        write_image(distorted(affine, 0.0), affine, Path(files['reference']))
    core, cortex, csf = (v.reshape(SHAPE) for v in shares(points, 3.0))
    np.save(tmp_path / 'coreg.npy', np.eye(4))
    tissues = [
        str(write_image(v, affine, tmp_path / f'{n}.nii'))
        for n, v in (('gm', cortex), ('wm', core), ('csf', csf))
    ]
    t1w = write_image(110 * core + 75 * cortex + 25 * csf, affine, tmp_path / 't1w.nii')
    brain = write_image(core + cortex + csf > 0.5, affine, tmp_path / 'brain.nii')
    done = RegisterDistortion(
        reference=files['reference'], mask=files['mask'], gradients=files['gradients'],
        t1w=str(t1w), t1w_mask=str(brain), tpms=tissues,
        coregistration=str(tmp_path / 'coreg.npy'),
    ).run(cwd=tmp_path).outputs  # fmt: skip
    assert done.report['sdc_applied'] == really
    error = left(done.warp, affine, files['mask'])
    truth = true_shift(apply_matrix(affine, np.argwhere(read_image(files['mask'])[0] > 0)))
    if really:
        # the phantom is nearly uniform inside, so that not all of it can be seen
        assert error[truth > 3].mean() < 0.4 * truth[truth > 3].mean()
    else:
        assert not np.any(read_image(done.warp)[0])
        assert 'hardly better than without' in done.report['sdc_finding']


@pytest.mark.parametrize('sign', [1.0, -1.0])
def test_eddy_gets_what_it_needs_and_its_rotations_reach_the_table(stand_ins, sign):
    affine = affine_of(sign)
    rng = np.random.default_rng(0)
    data = rng.uniform(1, 100, (*SHAPE, 6)).astype(np.float32)
    vectors = np.zeros((6, 3))
    vectors[[0, 3, 4, 5]] = directions(4)
    runs = np.r_[0, 0, 0, 1, 1, 1]
    bvals = np.r_[1000.0, 0, 0, [1000.0] * 3]
    table = Gradients(bvals, vectors, np.tile([0.0, 1, 0], (6, 1)), runs, runs, np.ones(6))
    for name in ('coef_fieldcoef.nii.gz', 'm.nii'):
        write_image(np.ones(SHAPE, dtype=bool), affine, stand_ins / name)
    (stand_ins / 'coef_movpar.txt').write_text('0\n')
    node = RunEddy(
        in_file=str(write_image(data, affine, stand_ins / 's.nii')),
        gradients=str(table.write(stand_ins / 'g.tsv')), mask=str(stand_ins / 'm.nii'),
        acquisition=[{'direction': d, 'readout': READOUT} for d in ('j', 'i')],
        fieldcoef=str(stand_ins / 'coef_fieldcoef.nii.gz'),
        movpar=str(stand_ins / 'coef_movpar.txt'),
    )  # fmt: skip
    done = node.run(cwd=stand_ins).outputs
    np.testing.assert_allclose(read_image(done.out_file)[0], data, rtol=1e-5)
    assert (stand_ins / 'seen').read_text() == 'topup'
    assert done.report['outlier_list'] == [[5, 2]]
    assert np.loadtxt(stand_ins / 'index.txt').tolist() == [1, 1, 1, 2, 2, 2]
    rows = np.loadtxt(stand_ins / 'acqparams.txt')
    np.testing.assert_allclose(rows, [[0, 1, 0, READOUT], [-sign, 0, 0, READOUT]])
    _, stored, _ = to_radiological(data, affine)
    turned = bvecs_from_scanner(Gradients.read(done.gradients).directions, stored)
    before = bvecs_from_scanner(vectors, stored)
    np.testing.assert_allclose(turned[:, 1], before[:, 0], atol=1e-6)
    # eddy saw the first b = 0 volume first, so that its second one is our first
    moved = np.load(done.motion)
    assert np.linalg.norm(moved[0][:3, :3] - np.eye(3)) > 0.03
    np.testing.assert_allclose(moved[1:], np.tile(np.eye(4), (5, 1, 1)), atol=1e-9)
    assert np.loadtxt(stand_ins / 'bvals').tolist() == [0, 1000, 0, 1000, 1000, 1000]
    np.testing.assert_allclose(np.load(done.transforms), np.tile(np.eye(4), (6, 1, 1)))
    written = Gradients.read(done.gradients)
    assert set(written.groups) == {0}
    assert written.runs.tolist() == runs.tolist()
    here = str(stand_ins)
    command = (stand_ins / 'seen_command').read_text().replace(f'{here}/', '')
    assert sorted(command.split()) == sorted(EDDY_COMMAND)


EDDY_COMMAND = [
    '--imain=dwi.nii.gz', '--mask=mask.nii.gz', '--acqp=acqparams.txt', '--index=index.txt',
    '--bvecs=bvecs', '--bvals=bvals', '--topup=coef', '--out=eddy', '--repol',
    '--data_is_shelled', '--nthr=1', '--flm=quadratic', '--slm=none', '--interp=spline',
    '--resamp=jac', '--niter=5', '--nvoxhp=1000', '--ff=10.0',
]  # fmt: skip
"""What FSL's users guide of eddy names; the rest are its own defaults, which Nipype spells out."""


def test_eddy_without_a_field_needs_no_readout_time(stand_ins):
    affine = affine_of(-1)
    files = write_series(stand_ins, affine)
    node = RunEddy(
        in_file=files['in_file'], gradients=files['gradients'], mask=files['mask'],
        acquisition=[{'direction': 'j-', 'readout': float('nan')}],
    )  # fmt: skip
    node.run(cwd=stand_ins)
    np.testing.assert_allclose(np.loadtxt(stand_ins / 'acqparams.txt'), [0, -1, 0, 0.05])


def test_the_whole_line_with_topup_and_eddy(stand_ins):
    """Graph, sinks and sidecars with FSL's engines: a phantom that topup's field straightens."""
    affine = affine_of(-1)
    vectors = np.vstack([np.zeros((2, 3)), directions(8)])
    bvals = np.r_[0, 0, np.full(8, 1000.0)]
    volumes = [distorted(affine, 1.0, b, g) for b, g in zip(bvals, vectors, strict=True)]
    write_image(np.stack(volumes, axis=-1), affine, stand_ins / 'dwi.nii.gz')
    write_image(distorted(affine, -1.0)[..., None], affine, stand_ins / 'epi.nii.gz')
    np.savetxt(stand_ins / 'a.bval', bvals[None], fmt='%g')
    np.savetxt(stand_ins / 'a.bvec', bvecs_from_scanner(vectors, affine).T)
    points = apply_matrix(affine, np.indices(SHAPE).reshape(3, -1).T)
    np.save(stand_ins / 'field.npy', (true_shift(points) / (READOUT * 3.0)).reshape(SHAPE))
    settings = DwiSettings(denoise='none', unringing='none')
    found = {}
    for motion in ('none', 'eddy'):
        out = stand_ins / f'out_{motion}'
        workflow = init_dwi_wf(
            output_dir=out, entities={'subject': '01'}, has_anat=False, has_reversed_pe=True,
            settings=DwiSettings(**{**vars(settings), 'motion': motion}), name=f'{motion}_wf',
        )  # fmt: skip
        workflow.base_dir = str(stand_ins / 'work')
        inputs = workflow.get_node('inputnode').inputs
        inputs.dwi_files = [str(stand_ins / 'dwi.nii.gz')]
        inputs.bval_files, inputs.bvec_files = (
            [str(stand_ins / 'a.bval')], [str(stand_ins / 'a.bvec')],
        )  # fmt: skip
        inputs.sidecars = [{'PhaseEncodingDirection': 'j', 'TotalReadoutTime': READOUT}]
        inputs.reversed_pe_files = [str(stand_ins / 'epi.nii.gz')]
        inputs.reversed_pe_sidecars = [
            {'PhaseEncodingDirection': 'j-', 'TotalReadoutTime': READOUT}
        ]
        workflow.run()
        qc = find_outputs('dwi_qc', out)[0].path
        found[motion] = pd.read_csv(qc, sep='\t').loc[0]
        assert '"susceptibility": "topup"' in qc.with_suffix('.json').read_text()
        assert f'"motion": "{motion}"' in qc.with_suffix('.json').read_text()
    assert found['none']['sdc_shift_p95'] > 2
    assert found['eddy']['outlier_slices'] == 1
    assert 'interpolated twice' in qc.with_suffix('.json').read_text()
    maps = [nb.load(find_outputs('dwi_map', stand_ins / f'out_{m}', param='md')[0].path)
            for m in ('none', 'eddy')]  # fmt: skip
    # the stand-in of eddy straightens nothing, so only the field of the first line did
    differ = np.nanmax(np.abs(maps[0].get_fdata() - maps[1].get_fdata()))
    assert differ > 1e-4


def test_engines_follow_what_is_there(stand_ins, monkeypatch):
    chosen = choose_engines(DwiSettings(), has_anat=True, has_reversed_pe=True)
    assert chosen['susceptibility'] == 'topup'
    monkeypatch.setenv('PATH', str(stand_ins))
    assert choose_engines(DwiSettings(), has_reversed_pe=True)['susceptibility'] == 'pair'
    assert choose_engines(DwiSettings(), has_anat=True)['susceptibility'] == 'registration'
    assert choose_engines(DwiSettings())['susceptibility'] == 'none'
    taken = choose_engines(DwiSettings(), source='QSIPrep')
    assert set(taken.values()) == {'none', 'iwls', 'QSIPrep'}
    with pytest.raises(SettingsError, match='eddy_cpu'):
        choose_engines(DwiSettings(motion='eddy'))
    with pytest.raises(SettingsError, match='topup is not on PATH'):
        choose_engines(DwiSettings(susceptibility='topup'))


def test_runs_of_opposite_phase_encoding_are_kept_for_the_field(tmp_path):
    affine = affine_of(-1)
    for name, count in (('ap', 4), ('pa', 3)):
        data = np.random.default_rng(count).uniform(1, 9, (*SHAPE, count))
        if name == 'ap':
            data[..., 2] = 0
        write_image(data, affine, tmp_path / f'{name}.nii')
        np.savetxt(tmp_path / f'{name}.bval', np.r_[0, 0, [1000] * (count - 2)][None], fmt='%d')
        vectors = np.vstack([np.zeros((2, 3)), directions(count - 2)])
        np.savetxt(tmp_path / f'{name}.bvec', vectors.T)
    series = join_runs(
        [tmp_path / 'ap.nii', tmp_path / 'pa.nii'],
        [tmp_path / 'ap.bval', tmp_path / 'pa.bval'],
        [tmp_path / 'ap.bvec', tmp_path / 'pa.bvec'],
        [{'PhaseEncodingDirection': 'j-', 'TotalReadoutTime': 0.06},
         {'PhaseEncodingDirection': 'j', 'EffectiveEchoSpacing': 0.001}],
    )  # fmt: skip
    assert series.data.shape[3] == 6
    assert series.n_expected == 7
    assert any('volumes 2 hold no signal' in f for f in series.findings)
    assert series.reversed_pe.shape == (*SHAPE, 2)
    assert [a.direction for a in series.acquisition] == ['j-', 'j']
    assert series.reversed_pe_acquisition.readout == pytest.approx(0.041)
