"""The whole diffusion line on a small phantom whose truth is known."""

from __future__ import annotations

import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from bids_acc.derivatives.outputs import find_outputs
from bids_acc.dwi.shells import bvecs_from_scanner
from bids_acc.dwi.workflow import init_dwi_wf
from bids_acc.images.affines import apply_matrix
from bids_acc.images.files import write_image
from bids_acc.settings import DwiSettings
from bids_acc.surfaces.gifti import write_surface

CORTEX_MD, CORE_MD = 0.9e-3, 0.7e-3
RADII = (32.0, 38.0, 44.0)
"""White surface, pial surface and outer border of the CSF, mm."""
AXES = np.array([0.85, 1.2, 0.95])
VENTRICLES = (((9, 14, 6), 7.0), ((-9, 12, 6), 7.0), ((8, -18, -4), 5.0), ((-3, -6, -16), 6.0))
"""Centres and radii, mm; without them a rotation could hardly be seen."""
ENTITIES = {'subject': '01', 'session': 'a'}


def directions(count: int) -> np.ndarray:
    """Spread directions over the half sphere along a spiral."""
    index = np.arange(count) + 0.5
    polar, azimuth = np.arccos(1 - index / count), np.pi * (1 + 5**0.5) * index
    return np.stack(
        [np.cos(azimuth) * np.sin(polar), np.sin(azimuth) * np.sin(polar), np.cos(polar)], axis=1
    )


def shares(points: np.ndarray, edge: float) -> list[np.ndarray]:
    """Fractions of core, cortex and CSF, with borders as wide as a voxel."""
    radius = np.linalg.norm(points / AXES, axis=-1)
    inner, middle, outer = (np.clip((r - radius) / edge + 0.5, 0, 1) for r in RADII)
    core, cortex, csf = inner, middle - inner, outer - middle
    for centre, size in VENTRICLES:
        inside = np.clip((size - np.linalg.norm(points - centre, axis=-1)) / edge + 0.5, 0, 1)
        csf, core = csf + core * inside, core * (1 - inside)
    return [core, cortex, csf]


def phantom_signal(points: np.ndarray, b: float, g: np.ndarray) -> np.ndarray:
    """Core with a left-right bundle (FA 0.63) in its middle, isotropic cortex, csf."""
    core, cortex, csf = shares(points, 3.0)
    bundle = np.clip((12.0 - np.linalg.norm(points, axis=-1)) / 3.0 + 0.5, 0, 1)
    along = CORE_MD + bundle * 0.9e-3 * (g[0] ** 2 - 1 / 3)
    return (
        800 * core * np.exp(-b * along)
        + 1000 * cortex * np.exp(-b * CORTEX_MD)
        + 1600 * csf * np.exp(-b * 3e-3)
    )


@pytest.fixture(scope='module')
def phantom(tmp_path_factory):
    """Write series, gradient tables, T1w image, tissues and surfaces."""
    folder = tmp_path_factory.mktemp('phantom')
    rng = np.random.default_rng(5)
    shape = (35, 39, 33)
    affine = np.diag([-3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    shift = np.array([1.5, -1.0, 0.5])
    centres = apply_matrix(affine, np.indices(shape).reshape(3, -1).T)
    bvals = np.r_[0, 0, 0, np.full(12, 1000.0)]
    vectors = np.vstack([np.zeros((3, 3)), directions(12)])
    volumes = []
    for index, (b, g) in enumerate(zip(bvals, vectors, strict=True)):
        moved = centres - shift * (index % 3 == 2)
        noise = rng.normal(0, 15, (2, len(centres)))
        volumes.append(np.hypot(phantom_signal(moved, b, g) + noise[0], noise[1]).reshape(shape))
    files = {'dwi': folder / 'dwi.nii.gz', 'bval': folder / 'a.bval', 'bvec': folder / 'a.bvec'}
    write_image(np.stack(volumes, axis=-1), affine, files['dwi'])
    np.savetxt(files['bval'], bvals[None], fmt='%g')
    np.savetxt(files['bvec'], bvecs_from_scanner(vectors, affine).T)

    fine = np.diag([1.5, 1.5, 1.5, 1.0])
    fine[:3, 3] = -75.0
    points = apply_matrix(fine, np.indices((101, 101, 101)).reshape(3, -1).T)
    core, cortex, csf = (v.reshape(101, 101, 101) for v in shares(points, 1.5))
    write_image(110 * core + 75 * cortex + 25 * csf, fine, folder / 't1w.nii.gz')
    write_image(core + cortex + csf > 0.5, fine, folder / 't1w_mask.nii.gz')
    for name, values in (('gm', cortex), ('wm', core), ('csf', csf)):
        write_image(values, fine, folder / f'{name}.nii.gz')
    sphere = np.vstack([directions(400), -directions(400)])
    for name, radius in (('white', RADII[0]), ('pial', RADII[1])):
        path = folder / f'{name}.surf.gii'
        write_surface(path, radius * sphere * AXES, [[0, 1, 2]], 'L', name)
    return folder, files


def run(folder, files, output_dir, has_anat, build=None, more=None, **settings):
    """Build and run the line."""
    chosen = DwiSettings(**{'denoise': 'none', 'unringing': 'none', **settings})
    workflow = init_dwi_wf(
        output_dir=output_dir, entities=ENTITIES, settings=chosen, has_anat=has_anat,
        **(build or {}),
    )  # fmt: skip
    workflow.base_dir = str(output_dir.parent / 'work')
    workflow.config['execution'] = {'crashdump_dir': str(output_dir.parent)}
    inputs = workflow.get_node('inputnode').inputs
    inputs.dwi_files, inputs.sidecars = [str(files['dwi'])], [{'PhaseEncodingDirection': 'j'}]
    inputs.bval_files, inputs.bvec_files = [str(files['bval'])], [str(files['bvec'])]
    if has_anat:
        inputs.t1w_preproc, inputs.t1w_mask = (
            str(folder / f'{n}.nii.gz') for n in ('t1w', 't1w_mask')
        )
        inputs.tpms = [str(folder / f'{n}.nii.gz') for n in ('gm', 'wm', 'csf')]
        inputs.white = [str(folder / 'white.surf.gii')] * 2
        inputs.pial = [str(folder / 'pial.surf.gii')] * 2
        inputs.midthickness = [str(folder / 'white.surf.gii')] * 2
    for name, value in (more or {}).items():
        setattr(inputs, name, value)
    workflow.run()


def test_without_anatomy_maps_stay_in_diffusion_space(phantom, tmp_path):
    folder, files = phantom
    out = tmp_path / 'out'
    run(folder, files, out, has_anat=False)
    fa = nb.load(find_outputs('dwi_map', out, param='fa')[0].path)
    md = nb.load(find_outputs('dwi_map', out, param='md')[0].path)
    np.testing.assert_allclose(fa.affine, nb.load(files['dwi']).affine, atol=1e-4)
    middle = tuple(n // 2 for n in fa.shape)
    truth = np.array([1.3, 0.4, 0.4])
    expected = np.sqrt(1.5) * np.linalg.norm(truth - truth.mean()) / np.linalg.norm(truth)
    assert fa.get_fdata()[middle] == pytest.approx(expected, abs=0.03)
    assert md.get_fdata()[middle] == pytest.approx(CORE_MD, rel=0.04)
    assert np.isnan(fa.get_fdata()[0, 0, 0])
    qc = pd.read_csv(find_outputs('dwi_qc', out)[0].path, sep='\t', na_values='n/a')
    assert qc.loc[0, 'n_b1000'] == 12
    assert not qc.loc[0, 'axes_suspicious']
    assert qc.loc[0, 'verdict'] == 'usual', qc.loc[0, 'flags']
    motion = pd.read_csv(find_outputs('dwi_motion', out)[0].path, sep='\t', na_values='n/a')
    moved = motion.index % 3 == 2
    assert motion.loc[moved, 'trans_x'].mean() == pytest.approx(1.5, abs=0.3)
    assert motion.loc[~moved, 'displacement'].mean() < 0.4


def test_with_anatomy_the_cortex_is_measured_at_vertices(phantom, tmp_path):
    folder, files = phantom
    out = tmp_path / 'out'
    run(folder, files, out, has_anat=True)
    for side in ('L', 'R'):
        found = find_outputs('dwi_vertex_md', out, hemisphere=side, density='41k')
        values = nb.load(found[0].path).darrays[0].data
        assert values.shape == (800,)
        assert np.nanmedian(values) == pytest.approx(CORTEX_MD, rel=0.04)
    fa = nb.load(find_outputs('dwi_vertex_fa', out, hemisphere='L')[0].path).darrays[0].data
    assert np.nanmedian(fa) < 0.12
    coverage = find_outputs('dwi_vertex_coverage', out, hemisphere='L')[0].path
    assert nb.load(coverage).darrays[0].data.mean() > 0.95
    qc = pd.read_csv(find_outputs('dwi_qc', out)[0].path, sep='\t', na_values='n/a')
    assert qc.loc[0, 'coreg_dice'] > 0.95
    assert find_outputs('dwi_map_t1w', out, param='mo')
    assert {p.name.split('_desc-')[1] for p in (out / 'sub-01' / 'figures').iterdir()} == {
        'anatomy_dwi.png', 'coreg_dwi.png', 'denoised_dwi.png', 'distortion_dwi.png', 'fa_dwi.png',
        'fields_dwi.png', 'motion_dwi.svg', 'scheme_dwi.svg', 'steps_dwi.png',
    }  # fmt: skip


@pytest.fixture(scope='module')
def derivative(phantom):
    """Write labels, a mask and NODDI maps on the grid of the series."""
    folder, files = phantom
    image = nb.load(files['dwi'])
    points = apply_matrix(image.affine, np.indices(image.shape[:3]).reshape(3, -1).T)
    core, cortex, csf = (v.reshape(image.shape[:3]) for v in shares(points, 3.0))
    tissue = np.maximum(core + cortex, 1e-6)
    # a fit gives the tissue's own values wherever there is tissue, and the CSF's share
    values = {'icvf': (0.7 * core + 0.4 * cortex) / tissue, 'isovf': csf,
              'od': (0.2 * core + 0.5 * cortex) / tissue}  # fmt: skip
    values['icvf'][core + cortex < 0.01] = 0
    for name, volume in values.items():
        write_image(volume, image.affine, folder / f'{name}.nii.gz')
    mask = core + cortex + csf > 0.5
    mask[: mask.shape[0] // 3] = False
    write_image(mask, image.affine, folder / 'mask.nii.gz')
    keys = np.r_[np.full(400, 1), np.full(400, 2)].astype(np.int32)
    array = nb.gifti.GiftiDataArray(keys, 'NIFTI_INTENT_LABEL')
    table = nb.gifti.GiftiLabelTable()
    for key, name in ((1, 'upper'), (2, 'lower'), (3, 'nowhere')):
        label = nb.gifti.GiftiLabel(key)
        label.label = name
        table.labels.append(label)
    nb.GiftiImage(darrays=[array], labeltable=table).to_filename(folder / 'x.label.gii')
    return folder, files


def test_preprocessed_series_noddi_maps_and_regions(derivative, tmp_path):
    folder, files = derivative
    out = tmp_path / 'out'
    run(
        folder, files, out, has_anat=True,
        build={'source': 'QSIPrep 1.0', 'noddi_source': 'QSIRecon 1.0'},
        more={
            'brain_mask': str(folder / 'mask.nii.gz'),
            'parcellation': [str(folder / 'x.label.gii')] * 2,
            'noddi_maps': [str(folder / f'{n}.nii.gz') for n in ('icvf', 'isovf', 'od')],
        },
    )  # fmt: skip
    sidecar = find_outputs('dwi_qc', out)[0].path.with_suffix('.json').read_text()
    assert 'The series was taken as QSIPrep 1.0 corrected it' in sidecar
    assert '"preprocessing": "QSIPrep 1.0"' in sidecar
    assert '"motion": "none"' in sidecar
    motion = pd.read_csv(find_outputs('dwi_motion', out)[0].path, sep='\t', na_values='n/a')
    assert motion['displacement'].max() == 0
    for name, expected in (('icvf', 0.4), ('od', 0.5)):
        found = find_outputs(f'dwi_vertex_{name}', out, hemisphere='L', density='41k')[0].path
        values = nb.load(found).darrays[0].data
        # weighted towards tissue, but for the core's part of the voxels at the inner border
        assert np.nanmedian(values) == pytest.approx(expected, abs=0.05)
        assert (
            'QSIRecon 1.0'
            in found.with_name(found.name.removesuffix('.shape.gii') + '.json').read_text()
        )
    regions = pd.read_csv(find_outputs('dwi_regions', out)[0].path, sep='\t')
    assert regions['region'].tolist() == ['upper', 'lower'] * 2
    assert regions['n_vertices'].tolist() == [400] * 4
    assert regions['coverage'].between(0.9, 1).all()
    assert regions['md'].median() == pytest.approx(CORTEX_MD, rel=0.06)


def test_a_lost_slice_is_found_where_it_was_acquired(phantom, tmp_path):
    """The head is turned in some volumes, and one slice of one volume has no signal."""
    folder, files = phantom
    image = nb.load(files['dwi'])
    data = image.get_fdata(dtype=np.float32).copy()
    data[:, :, 15, 8] *= 0.3
    broken = {**files, 'dwi': tmp_path / 'broken.nii.gz'}
    write_image(data, image.affine, broken['dwi'])
    found = {}
    for name, series in (('broken', broken), ('whole', files)):
        out = tmp_path / name / 'out'
        run(folder, series, out, has_anat=True, susceptibility='none')
        qc = find_outputs('dwi_qc', out)[0].path
        assert ('[\n      15,\n      8\n    ]' in qc.with_suffix('.json').read_text()) == (
            name == 'broken'
        )
        path = find_outputs('dwi_vertex_md', out, hemisphere='L')[0].path
        found[name] = nb.load(path).darrays[0].data
    points = nb.load(folder / 'pial.surf.gii').darrays[0].data
    where = np.abs(points[:, 2] - image.affine[2] @ [0, 0, 15, 1]) < 1.5
    error = np.nanmean(np.abs(found['broken'] - found['whole'])[where])
    assert error < 0.03 * CORTEX_MD
