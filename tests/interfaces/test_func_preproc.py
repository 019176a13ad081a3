"""The built-in BOLD line as a graph, on a small phantom: what goes in comes out at its place."""

from __future__ import annotations

import json

import nibabel as nb
import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from scipy import ndimage

from bids_acc.exceptions import InputDataError
from bids_acc.func.interfaces.prepare import EstimateField, ReadSeries
from bids_acc.func.interfaces.reportlets import PlotBoldAlignment
from bids_acc.func.interfaces.resampling import ResampleBold
from bids_acc.func.raw import RawRun
from bids_acc.func.run import RUN_FIELDS, RunFacts
from bids_acc.func.workflow.preproc import init_func_preproc_wf
from bids_acc.images.phase import FieldMap
from tests.synthetic.bold import SHAPE, Phantom, affine_at, moving_series

N = 44
SIDECAR = {
    'RepetitionTime': 3.0, 'EchoTime': 0.03, 'PhaseEncodingDirection': 'j-',
    'TotalReadoutTime': 0.03, 'SliceTiming': [round(3.0 * k / 22, 4) for k in range(22)],
}  # fmt: skip


def save(path, values, affine):
    """Write an image and return its path."""
    nb.Nifti1Image(np.asarray(values), affine).to_filename(path)
    return path


@pytest.fixture(scope='module')
def head(tmp_path_factory):
    """Return files of a moving phantom and of its T1w image, which lies 4 mm beside."""
    folder = tmp_path_factory.mktemp('head')
    rng = np.random.default_rng(7)
    path = np.cumsum(0.05 * rng.standard_normal((N, 6)) * np.repeat([1, 0.02], 3), axis=0)
    path -= path[2]
    path[30:] += [1.0, -0.8, 0.6, 0.01, 0, 0.01]
    data, _ = moving_series(path, noise=6.0)
    data[..., 0] *= 1.4
    data[..., 1] *= 1.1
    bold = save(folder / 'bold.nii.gz', data.astype('f4'), affine_at())
    shift = np.array([4.0, -3.0, 2.0])
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    texture = Phantom.draw().texture
    affine[:3, 3] = shift - 1.5 * (np.array(texture.shape) - 1)
    inside = texture > 200
    fluid = ndimage.binary_erosion(texture > 1500)
    tissues = [inside & ~fluid, np.zeros_like(inside), fluid]
    files = {
        't1w_preproc': save(folder / 't1w.nii.gz', texture.astype('f4'), affine),
        't1w_mask': save(folder / 'mask.nii.gz', inside.astype('u1'), affine),
        'tpms': [save(folder / f'tpm{n}.nii.gz', t.astype('f4'), affine)
                 for n, t in enumerate(tissues)],
    }  # fmt: skip
    return bold, data, files, shift


@pytest.fixture(scope='module')
def prepared(head, tmp_path_factory):
    """Run the line on two runs."""
    bold, _, files, _ = head
    run = RawRun((bold,), (SIDECAR,), {'subject': '01', 'task': 'rest', 'run': '1'})
    late = {**SIDECAR, 'SliceTiming': [0, 1500]}
    other = RawRun((bold,), (late,), {'subject': '01', 'task': 'rest', 'run': '2'})
    workflow = init_func_preproc_wf(runs=[run, other], seed=1)
    workflow.base_dir = str(tmp_path_factory.mktemp('work'))
    for name, value in files.items():
        given = [str(v) for v in value] if isinstance(value, list) else str(value)
        setattr(workflow.get_node('inputnode').inputs, name, given)
    graph = workflow.run()
    found = {n.name.removeprefix('all_'): n.result.outputs.out for n in graph.nodes()
             if n.name.startswith('all_')}  # fmt: skip
    return found | {'pictures': [n.result.outputs for n in graph.nodes() if n.name == 'figure']}


def test_each_run_is_what_the_measures_ask_for(prepared):
    assert set(RUN_FIELDS) <= set(prepared)
    assert all(len(prepared[field]) == 2 for field in RUN_FIELDS)
    assert [len(paths) for paths in prepared['bold_files']] == [1, 1]
    facts = [RunFacts.from_dict(f) for f in prepared['run_facts']]
    assert [f.name for f in facts] == ['task-rest_run-1', 'task-rest_run-2']
    assert facts[0].n_dummy == 2
    assert facts[0].space == 'T1w'
    # of the brains that were aligned: the mask of the prepared series is the T1w image's own
    assert 0.8 < facts[0].overlap < 0.999
    assert facts[0].start_time == pytest.approx(3.0 * 21 / 44, abs=1e-3)
    assert facts[1].start_time == 1.5
    assert any('2 values for 22 slices' in note for note in facts[1].notes)
    image = nb.load(prepared['bold_files'][0][0])
    assert image.shape[3] == N
    assert image.header.get_zooms()[3] == 3.0


def test_series_lies_where_the_t1w_image_does_and_stands_still(prepared, head):
    _, _, files, _ = head
    image = nb.load(prepared['bold_files'][0][0])
    mask = np.asarray(nb.load(prepared['mask_files'][0]).dataobj) > 0
    t1w = nb.load(files['t1w_preproc'])
    where = nb.affines.apply_affine(np.linalg.inv(t1w.affine) @ image.affine, np.argwhere(mask))
    smooth = ndimage.gaussian_filter(np.asarray(t1w.dataobj), 0.9)
    wanted = ndimage.map_coordinates(smooth, where.T, order=1)
    data = np.asarray(image.dataobj)[mask]
    assert np.corrcoef(data[:, 5:].mean(axis=1), wanted)[0, 1] > 0.95
    inner = ndimage.binary_erosion(mask, iterations=2)[mask]
    moved = np.abs(data[inner, 35:].mean(axis=1) - data[inner, 5:25].mean(axis=1))
    assert np.median(moved) < 8  # of 1000; 1.5 mm of movement make it 40 and more


def test_each_run_is_shown_beside_the_t1w_image(prepared):
    assert len(prepared['pictures']) == 2
    for pictures in prepared['pictures']:
        pixels = imread(pictures.anatomy)[..., :3]
        half = len(pixels) // 2
        bold, t1w = (part[60:].mean(axis=2) for part in (pixels[:half], pixels[half : 2 * half]))
        inside = (bold > 0.1) & (t1w > 0.1)
        assert inside.mean() > 0.2
        assert np.corrcoef(bold[inside], t1w[inside])[0, 1] > 0.5, 'the same head'
        assert len(imread(pictures.distortion)) < 100, 'a sentence: no field is known'


def test_a_corrected_distortion_is_shown_before_and_after(head, tmp_path):
    _, _, files, _ = head
    image, _ = distorted(1)
    points = nb.affines.apply_affine(affine_at(), np.indices(SHAPE).reshape(3, -1).T)
    undone = Phantom.draw().at(points).reshape(SHAPE).astype('f4')
    np.save(tmp_path / 'same.npy', np.eye(4))
    shell = PlotBoldAlignment(
        measured=str(save(tmp_path / 'a.nii.gz', image, affine_at())),
        reference=str(save(tmp_path / 'b.nii.gz', undone, affine_at())),
        field_report={'sdc_applied': True}, coregistration=str(tmp_path / 'same.npy'),
        coreg_report={'coreg_dice': 0.9}, t1w=str(files['t1w_preproc']),
        tpms=[str(path) for path in files['tpms']],
    )  # fmt: skip
    pixels = imread(shell.run(cwd=str(tmp_path)).outputs.distortion)[..., :3].mean(axis=2)
    half = len(pixels) // 2
    moved = np.abs(pixels[:half] - pixels[half : 2 * half])[60:]
    assert moved.max() > 0.3
    shell.inputs.field_report = {'sdc_applied': False}
    assert len(imread(shell.run(cwd=str(tmp_path)).outputs.distortion)) < 100


def test_confounds_are_read_by_nilearn(prepared, tmp_path):
    from nilearn.interfaces.fmriprep import load_confounds

    stem = tmp_path / 'sub-01_task-rest'
    (tmp_path / f'{stem.name}_desc-confounds_timeseries.tsv').write_text(
        open(prepared['confounds_files'][0]).read()  # noqa: SIM115, PTH123
    )
    sidecar = json.loads(open(prepared['confounds_sidecars'][0]).read())  # noqa: SIM115, PTH123
    (tmp_path / f'{stem.name}_desc-confounds_timeseries.json').write_text(json.dumps(sidecar))
    bold = tmp_path / f'{stem.name}_space-T1w_desc-preproc_bold.nii.gz'
    nb.load(prepared['bold_files'][0][0]).to_filename(bold)
    table, kept = load_confounds(
        str(bold), strategy=('motion', 'high_pass', 'compcor', 'global_signal'),
        motion='derivatives', compcor='anat_separated', n_compcor=5, global_signal='full',
    )  # fmt: skip
    assert len(kept) == N - 2  # without the volumes before the steady state
    assert {'trans_x', 'rot_z_derivative1', 'a_comp_cor_00', 'cosine00'} <= set(table)
    assert not table.isna().to_numpy().any()
    raw = pd.read_csv(prepared['confounds_files'][0], sep='\t', na_values='n/a')
    assert raw['framewise_displacement'].iloc[30] > 1.0
    assert raw['framewise_displacement'].iloc[35:].max() < 0.5
    assert sidecar['a_comp_cor_00']['Mask'] == 'CSF'


def test_echoes_of_unequal_length_are_refused(head, tmp_path):
    bold, data, _, _ = head
    short = save(tmp_path / 'echo-2.nii.gz', data[..., :-1], affine_at())
    sidecars = [SIDECAR, {**SIDECAR, 'EchoTime': 0.05}]
    shell = ReadSeries(in_files=[str(bold), str(short)], sidecars=sidecars)
    with pytest.raises(InputDataError, match='different shapes'):
        shell.run(cwd=str(tmp_path))


# --- distortion ------------------------------------------------------------------------------


def distorted(sign, peak=9.0):
    """Return the phantom with a bump of displacement along the phase encoding, and the bump."""
    affine = affine_at()
    points = nb.affines.apply_affine(affine, np.stack(np.indices(SHAPE), axis=-1).reshape(-1, 3))

    def field(where):
        return peak * np.exp(-0.5 * ((where - [0, 35, -10]) ** 2).sum(axis=1) / 22**2)

    axis = sign * np.array([0, -1.0, 0])  # j- on a grid whose second axis runs forwards
    source = points.copy()
    for _ in range(8):
        source = points - field(source)[:, None] * axis
    slope = field(source + 0.5 * axis) - field(source - 0.5 * axis)
    values = Phantom.draw().at(source) / (1 + slope)
    return values.reshape(SHAPE).astype('f4'), field(points).reshape(SHAPE)


def field_shell(tmp_path, reversed_pe, **given):
    """Return the shell for the phantom and an reversed_pe image."""
    image, _ = distorted(1)
    mask = ndimage.binary_fill_holes(image > 300)
    return EstimateField(
        reference=str(save(tmp_path / 'ref.nii.gz', image, affine_at())),
        mask=str(save(tmp_path / 'mask.nii.gz', mask.astype('u1'), affine_at())),
        sidecar=SIDECAR, reversed_pe=str(save(tmp_path / 'rev.nii.gz', reversed_pe, affine_at())),
        reversed_pe_sidecar={'PhaseEncodingDirection': 'j', 'TotalReadoutTime': 0.03}, **given,
    )  # fmt: skip


@pytest.mark.parametrize('spin_echo', [False, True])
def test_planted_field_is_found(tmp_path, spin_echo):
    """Also from a pair of another contrast, for which the series has an image distorted alike."""
    image, truth = distorted(1)
    reversed_pe, _ = distorted(-1)
    given = {}
    if spin_echo:  # contrast of its own, the same in both images of the field map
        reversed_pe = 25 * np.sqrt(reversed_pe)
        alike = 25 * np.sqrt(image)
        given['alike'] = str(save(tmp_path / 'alike.nii.gz', alike.astype('f4'), affine_at()))
    results = (
        field_shell(tmp_path, reversed_pe.astype('f4'), **given).run(cwd=str(tmp_path)).outputs
    )
    found = np.asarray(nb.load(results.warp).dataobj)
    inside = np.asarray(nb.load(tmp_path / 'mask.nii.gz').dataobj) > 0
    assert results.report['sdc_applied']
    before = np.abs(truth[inside]).mean()
    gap = (found - truth)[inside]  # an offset is a shift of the head, which T1w takes away
    assert np.abs(gap - np.median(gap)).mean() < 0.5 * before


def test_a_field_map_of_noise_is_not_used(tmp_path, rng):
    noise = rng.uniform(0, 1000, SHAPE).astype('f4')
    results = field_shell(tmp_path, noise).run(cwd=str(tmp_path)).outputs
    assert not results.report['sdc_applied']
    assert np.asarray(nb.load(results.warp).dataobj).max() == 0
    assert 'do not show the same head' in results.notes[0]
    assert 'was not corrected' in results.notes[0]


def test_field_and_motion_are_undone_in_one_step(tmp_path):
    """Where the field is known, the resampled volume is the undistorted phantom."""
    image, truth = distorted(1)
    true = Phantom.draw().volume(np.eye(4))
    mask = ndimage.binary_erosion(true > 300)
    np.save(tmp_path / 'pulls.npy', np.eye(4)[None])
    shell = ResampleBold(
        in_files=[str(save(tmp_path / 'x.nii.gz', image[..., None], affine_at()))],
        transforms=str(tmp_path / 'pulls.npy'), sidecar=SIDECAR,
        mask=str(save(tmp_path / 'm.nii.gz', mask.astype('u1'), affine_at())),
        warp=str(save(tmp_path / 'w.nii.gz', truth.astype('f4'), affine_at())),
    )  # fmt: skip
    found = np.asarray(nb.load(shell.run(cwd=str(tmp_path)).outputs.out_file).dataobj)[..., 0]
    assert np.abs(found - true)[mask].mean() < 0.35 * np.abs(image - true)[mask].mean()


PER_HZ = 0.03 * 6.0
"""Displacement in mm of a Hz: total readout time and voxel of the phantom."""


def measured_map(tmp_path, kind, sign=1.0):
    """Write the planted field as gradient echoes measure it, from a head a little elsewhere."""
    _, truth = distorted(1)
    grid, hz = affine_at((2.0, -1.0, 1.5)), sign * truth / PER_HZ
    magnitude = np.sqrt(Phantom.draw().volume(np.eye(4)))
    paths = {'magnitude': save(tmp_path / 'magnitude.nii.gz', magnitude.astype('f4'), grid)}

    air, rng = magnitude < 1, np.random.default_rng(0)

    def phase(seconds):
        turns = np.where(air, rng.uniform(-0.5, 0.5, SHAPE), hz * seconds)
        return np.angle(np.exp(2j * np.pi * turns)) * 4096 / np.pi

    values = {'fieldmap': [hz], 'rad/s': [hz * 2 * np.pi], 'phasediff': [phase(0.0123)],
              'phases': [phase(0.0041), phase(0.0164)]}[kind]  # fmt: skip
    images = tuple(save(tmp_path / f'map{n}.nii.gz', np.asarray(v, dtype='f4'), grid)
                   for n, v in enumerate(values))  # fmt: skip
    spacing = 0.0123 if kind.startswith('phase') else 0.0
    factor = 1 / (2 * np.pi) if kind == 'rad/s' else 1.0
    return FieldMap(images, paths['magnitude'], spacing, factor)


def measured_shell(tmp_path, field_map, **changes):
    """Return the shell for the phantom and a measured field map."""
    image, truth = distorted(1)
    mask = ndimage.binary_fill_holes(image > 300)
    shell = EstimateField(
        reference=str(save(tmp_path / 'ref.nii.gz', image, affine_at())),
        mask=str(save(tmp_path / 'mask.nii.gz', mask.astype('u1'), affine_at())),
        sidecar={**SIDECAR, **changes}, field_map=field_map.as_dict(),
    )  # fmt: skip
    return shell.run(cwd=str(tmp_path)).outputs, truth, mask


@pytest.mark.parametrize('kind', ['fieldmap', 'rad/s', 'phasediff', 'phases'])
def test_a_measured_field_is_found(tmp_path, kind):
    results, truth, mask = measured_shell(tmp_path, measured_map(tmp_path, kind))
    found = np.asarray(nb.load(results.warp).dataobj)
    assert results.report['sdc_applied']
    gap = (found - truth)[mask]
    assert np.abs(gap - np.median(gap)).mean() < 0.25 * np.abs(truth[mask]).mean()
    assert results.notes == []


def test_a_measured_field_of_the_other_sign_is_told_by_the_images(tmp_path):
    field_map = measured_map(tmp_path, 'fieldmap', sign=-1.0)
    results, truth, mask = measured_shell(tmp_path, field_map)
    found = np.asarray(nb.load(results.warp).dataobj)
    assert np.corrcoef(found[mask], truth[mask])[0, 1] > 0.9
    assert results.notes == ['The field map was used with its sign reversed.']


def test_a_measured_field_of_noise_is_not_used(tmp_path, rng):
    field_map = measured_map(tmp_path, 'fieldmap')
    save(field_map.images[0], (200 * rng.standard_normal(SHAPE)).astype('f4'),
         affine_at((2.0, -1.0, 1.5)))  # fmt: skip
    results, _, _ = measured_shell(tmp_path, field_map)
    assert not results.report['sdc_applied']
    assert 'not more like its magnitude' in results.notes[0]
    assert 'was not corrected' in results.notes[0]


def test_a_phase_image_of_one_value_does_not_stop_the_run(tmp_path):
    field_map = measured_map(tmp_path, 'phasediff')
    save(field_map.images[0], np.zeros(SHAPE, 'f4'), affine_at((2.0, -1.0, 1.5)))
    results, _, _ = measured_shell(tmp_path, field_map)
    assert 'no image of phases' in results.notes[0]
    assert FieldMap.from_dict(field_map.as_dict()) == field_map
