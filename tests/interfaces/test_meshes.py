"""Maps on the mesh of a derivative: as they are, labelled, gathered, parcelled, drawn."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from bids_acc.anat.meshes import labels_by_place, labels_from_files, read_dscalar, read_mesh
from bids_acc.anat.surface_interfaces import CorrespondingSurfaces
from bids_acc.anat.workflow import SurfaceOrigin, init_anat_wf
from bids_acc.bids.inputs import AnatInputs, BoldRun, FuncInputs, MtrInputs, PlanRow, Session
from bids_acc.bids.surfaces import SurfaceChoice
from bids_acc.derivatives.outputs import Sink, load_table, on_mesh, output_path
from bids_acc.dwi.workflow import init_dwi_wf
from bids_acc.exceptions import (
    GridMismatchError,
    InputDataError,
    MissingInputError,
    SettingsError,
)
from bids_acc.func.raw import RawRun
from bids_acc.group.cohort.vertexmaps import (
    METRIC_KEYS,
    available_metrics,
    gather_vertex_metrics,
)
from bids_acc.group.opnmf.rank import SelectionOptions
from bids_acc.group.page.parcels import parcel_surface_blocks
from bids_acc.group.parcels.figure_files import write_parcel_figures
from bids_acc.group.parcels.files import read_atlas, write_parcellation
from bids_acc.group.parcels.parcellation import ParcellationOptions, run_parcellation
from bids_acc.group.parcels.shown import places_of, shown_surfaces
from bids_acc.mtr.workflow import init_mtr_wf
from bids_acc.participant.meshes import with_mesh
from bids_acc.participant.plan import Job
from bids_acc.participant.workflow import init_session_wf
from bids_acc.report.html import Section, render_page
from bids_acc.report.subject.surface_maps import surface_blocks
from bids_acc.report.subject.view import SubjectView
from bids_acc.report.surface_view import MISSING
from bids_acc.settings import AnatSettings, DwiSettings, MtrSettings, Settings
from bids_acc.surfaces.cohort_surface import inflated, mean_surface
from bids_acc.surfaces.geometry import vertex_areas
from bids_acc.surfaces.gifti import (
    read_labels,
    read_map,
    read_surface,
    write_labels,
    write_map,
    write_surface,
)
from bids_acc.surfaces.template import load_template
from tests.synthetic.packed import corners, unpacked
from tests.synthetic.surfaces import (
    N_FSLR,
    Native,
    native_hemisphere,
    placed,
    spiral_sphere,
    write_civet_rsl,
    write_fslr,
)

SIDES = ('L', 'R')
CODES = {'L': (18, 25), 'R': (118, 125)}
"""Of the cingulate in CIVET's DKT models."""


@pytest.fixture(scope='module')
def civet(tmp_path_factory):
    """Return a derivative with the resampled files of one subject, and label files."""
    root = tmp_path_factory.mktemp('civet')
    for side, mesh in load_template('41k').items():
        native = native_hemisphere(mesh, None, (placed(mesh.white), placed(mesh.pial)))
        thickness = 2.5 + mesh.white[:, 1] / 100
        write_civet_rsl(root / 'sub-01', native, side, thickness)
        codes = np.full(len(thickness), 7)
        codes[:600], codes[600:1000], codes[-900:] = CODES[side][0], CODES[side][1], 0
        np.savetxt(root / f'dkt_{side}.txt', codes, fmt='%d')
    return root


@pytest.fixture(scope='module')
def fslr(tmp_path_factory):
    """Return a derivative with surfaces and thickness on fsLR."""
    root = tmp_path_factory.mktemp('smriprep')
    sphere, faces = spiral_sphere(N_FSLR)
    thickness = np.where(sphere[:, 0] > 90, 0, 2.5 + sphere[:, 1] / 200)
    none = np.zeros(N_FSLR, dtype=int)
    one = Native(0.6 * sphere, 0.63 * sphere, faces, sphere, thickness, thickness, none, {})
    sides = {'L': one, 'R': replace(one, thickness=thickness[::-1])}
    write_fslr(root / 'sub-01' / 'anat', '01', sides)
    return root, sides


@pytest.fixture
def cerebra_image(tmp_path):
    """Return labels in the volume: one block of the caudal cingulate on the left."""
    data = np.zeros((40, 40, 40), dtype=np.uint8)
    path = tmp_path / 'dseg.nii.gz'
    nb.Nifti1Image(data, np.diag([4.0, 4, 4, 1])).to_filename(path)
    return path


def take(space, folder, labels, files):
    """Run the interface."""
    shell = CorrespondingSurfaces(
        space=space, mesh_dir=str(folder), label_files=files, region_labels=str(labels)
    )
    return shell.run(cwd=str(labels.parent)).outputs


def test_civet_maps_are_what_civet_wrote(civet, cerebra_image):
    files = tuple(f'{side}={civet / f"dkt_{side}.txt"}' for side in SIDES)
    found = take('civet', civet / 'sub-01', cerebra_image, files)
    for n, side in enumerate(SIDES):
        written = np.loadtxt(civet / 'sub-01' / 'thickness' /
                             f'x_native_rms_rsl_tlink_0mm_{["left", "right"][n]}.txt')  # fmt: skip
        thickness = read_map(found.thickness[n])
        np.testing.assert_allclose(thickness[:-900], written[:-900], atol=1e-5)
        assert np.isnan(thickness[-900:]).all(), 'code 0 of the label file is no cortex'
        points, faces = read_surface(found.white[n])
        np.testing.assert_allclose(points, placed(load_template('41k')[side].white), atol=2e-3)
        middle, _ = read_surface(found.midthickness[n])
        area = read_map(found.area[n])
        np.testing.assert_allclose(area[:-900], vertex_areas(middle, faces)[:-900], rtol=1e-3)
        codes, names = read_labels(found.parcellation[n])
        assert {names[c] for c in codes[:1000]} == set(map(str, CODES[side]))


def test_numbers_of_either_side_are_known_on_both(civet):
    labels = labels_from_files([f'{s}={civet / f"dkt_{s}.txt"}' for s in SIDES], 'civet')
    assert labels['L'].mask('18').sum() == 600
    assert labels['L'].mask('118').sum() == 0
    assert labels['R'].mask('118').sum() == 600
    assert labels['R'].mask('99') is None


def test_fslr_is_taken_without_resampling(fslr, cerebra_image):
    root, sides = fslr
    for side, native in sides.items():
        found = read_mesh('fsLR', root / 'sub-01' / 'anat', side)
        wall = native.thickness <= 0
        np.testing.assert_allclose(found.thickness[~wall], native.thickness[~wall], rtol=1e-6)
        assert np.isnan(found.thickness[wall]).all()
        assert 500 < wall.sum() < 5000
    outputs = take('fsLR', root / 'sub-01' / 'anat', cerebra_image, ())
    assert not read_labels(outputs.parcellation[0])[0].any(), 'no label near: no cortex'


def test_hcp_names_are_found(fslr, tmp_path):
    _, sides = fslr
    for side, native in sides.items():
        for folder, kind, values in (('T1w', 'white', native.white), ('T1w', 'pial', native.pial)):
            place = tmp_path / '01' / folder / 'fsaverage_LR32k'
            place.mkdir(parents=True, exist_ok=True)
            path = place / f'01.{side}.{kind}.32k_fs_LR.surf.gii'
            write_surface(path, values, native.faces, side, kind)
        place = tmp_path / '01' / 'MNINonLinear' / 'fsaverage_LR32k'
        place.mkdir(parents=True, exist_ok=True)
        path = place / f'01.{side}.thickness.32k_fs_LR.shape.gii'
        write_map(path, native.thickness, side, 'thickness')
    choice = with_mesh(SurfaceChoice(), 'fsLR', {'hcp': tmp_path}, '01', None)
    assert choice.mesh_folder == tmp_path / '01'
    assert len(choice.files) == 6
    found = read_mesh('fsLR', choice.mesh_folder, 'L')
    np.testing.assert_allclose(found.thickness, sides['L'].thickness, rtol=1e-6)


def test_labels_by_place():
    image = np.zeros((10, 10, 10), dtype=int)
    image[2, 2, 2], image[8, 8, 8] = 5, 6
    regions = {5: ('a', 'L'), 6: ('b', 'R')}
    points = np.array([[2, 2, 2.0], [2, 2, 5.9], [2, 2, 6.1], [8, 8, 8]])
    found = labels_by_place(points, image, np.eye(4), regions, 'L')
    assert found.codes.tolist() == [5, 5, 0, 0], 'four mm at most, and of its own side'


@pytest.mark.parametrize(
    ('space', 'break_', 'says'),
    [('civet', 'x_native_rms_rsl_tlink_0mm_left.txt', 'resampled .rsl. files of CIVET'),
     ('civet', None, 'has no such files')],
)  # fmt: skip
def test_what_is_missing_is_said(civet, tmp_path, space, break_, says):
    derivatives = {'c': tmp_path}
    if break_:
        place = tmp_path / 'sub-01'
        for source in (civet / 'sub-01').rglob('*'):
            if source.is_file() and source.name != break_:
                target = place / source.relative_to(civet / 'sub-01')
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(source)
    with pytest.raises(MissingInputError, match=says):
        with_mesh(SurfaceChoice(), space, derivatives, '01', None)


def test_surfaces_of_xcpd_are_not_taken(fslr, tmp_path):
    root, _ = fslr
    shutil.copytree(root / 'sub-01', tmp_path / 'sub-01')
    (tmp_path / 'dataset_description.json').write_text(
        '{"Name": "x", "BIDSVersion": "1.9.0", "GeneratedBy": [{"Name": "xcp_d"}]}'
    )
    with pytest.raises(MissingInputError):
        with_mesh(SurfaceChoice(), 'fsLR', {'x': tmp_path}, '01', None)
    assert with_mesh(SurfaceChoice(), 'fsLR', {'s': root}, '01', None).mesh == 'fsLR'


def test_damaged_and_wrong_files_are_named(tmp_path, civet):
    short = tmp_path / 'a.txt'
    short.write_text('1\n2\n')
    with pytest.raises(SettingsError, match=r'a.txt has 2 labels, not the 40962'):
        labels_from_files([f'L={short}', f'R={short}'], 'civet')
    short.write_text('1.5\n')
    with pytest.raises(SettingsError, match='whole number'):
        labels_from_files([f'L={short}', f'R={short}'], 'civet')
    with pytest.raises(SettingsError, match='L=FILE and R=FILE'):
        labels_from_files([f'L={short}'], 'civet')
    with pytest.raises(InputDataError, match='CIFTI dscalar'):
        read_dscalar(short, 'L', 2)


def write_cohort(root, n=10, size=600, space='civet'):
    """Write what the participant level leaves: maps with two halves that vary apart."""
    rng = np.random.default_rng(3)
    sphere, faces = spiral_sphere(size)
    region = np.abs(sphere[:, 0]) < 60
    half = sphere[:, 1] > 0
    for i in range(n):
        entities = {'subject': f'{i:02d}'}
        both = rng.normal(0, 0.3, 2)
        for side in SIDES:
            where = {'hemisphere': side}
            points = sphere * (1 + 0.02 * i)
            for key, kind in (('anat_midthickness', 'midthickness'),):
                path = output_path(f'{key}_{space}', root, entities, **where)
                path.parent.mkdir(parents=True, exist_ok=True)
                write_surface(path, points, faces, side, kind)
            labels = np.where(region, 18 if side == 'L' else 118, 7)
            path = output_path(f'anat_parcellation_{space}', root, entities,
                               segmentation='given', **where)  # fmt: skip
            write_labels(path, labels, {0: 'unknown', 7: '7', 18: '18', 118: '118'}, side, 'x')
            for key, level in (('thickness', 2.5), ('area', 1.0)):
                values = level + np.where(half, *both) + rng.normal(0, 0.05, size)
                path = output_path(f'anat_{key}_{space}', root, entities, **where)
                write_map(path, values.astype('f4'), side, key)
    return sphere, faces, region, half


@pytest.fixture(scope='module')
def cohort(tmp_path_factory):
    """Return the outputs of ten people on CIVET's mesh (here a small one), and their truth."""
    root = tmp_path_factory.mktemp('out')
    return root, *write_cohort(root)


REGION = ['18', '118']


def test_maps_of_a_mesh_are_gathered_with_its_neighbours(cohort):
    root, _, faces, region, _ = cohort
    data = gather_vertex_metrics(root, ['thickness', 'area'], REGION, space='civet')
    assert (data.template, data.density, data.on_template) == ('civet', '41k', False)
    assert data.mesh_sizes == (600, 600)
    assert data.columns.query("hemisphere == 'L'")['vertex'].tolist() == (
        np.flatnonzero(region).tolist()
    )
    first = data.columns['vertex'][0]
    near = {v for face in faces if first in face for v in face} - {first}
    assert set(data.columns['vertex'][data.neighbours[0]]) == near & set(np.flatnonzero(region))
    with pytest.raises(MissingInputError):
        gather_vertex_metrics(root, ['thickness'], REGION)
    with pytest.raises(SettingsError, match='insula'):
        gather_vertex_metrics(root, ['thickness'], ['insula'], space='civet')


def test_maps_are_smoothed_along_the_mean_surface(cohort):
    root, *_ = cohort
    plain = gather_vertex_metrics(root, ['thickness'], REGION, space='civet')
    smooth = gather_vertex_metrics(root, ['thickness'], REGION, space='civet', smooth_mm=40.0)
    assert 'Maps were smoothed' in smooth.notes[0]
    left = (plain.columns['hemisphere'] == 'L').to_numpy()
    # differences from neighbours, which are noise but at the border of the halves, shrink
    rough = [
        np.median([np.abs(d.values[0][:, v] - d.values[0][:, near].mean(axis=1))
                   for v, near in enumerate(plain.neighbours) if left[v]])
        for d in (plain, smooth)
    ]  # fmt: skip
    assert rough[1] < 0.5 * rough[0]


def test_parcels_on_the_mesh_and_their_picture(cohort, tmp_path):
    root, _, _, _, half = cohort
    data = gather_vertex_metrics(root, ['thickness', 'area'], REGION, space='civet')
    people = pd.DataFrame({'participant_id': data.sessions['participant_id'].unique()})
    selection = SelectionOptions(ks=(2, 3), n_splits=2)
    options = ParcellationOptions(selection=selection, n_components=2, n_bootstrap=3, n_null=10)
    result = run_parcellation(data, people, options)
    (one,) = result.parcellations.values()
    truth = half[one.columns['vertex'].to_numpy()]
    share = np.mean((one.labels == 0) == truth)
    assert max(share, 1 - share) > 0.95
    write_parcellation(result, options, tmp_path)
    names = [path.name for path in tmp_path.rglob('*label.gii')]
    assert len(names) == 2
    assert all('tpl-civet' in name and 'den-41k' in name for name in names)
    figures = write_parcel_figures(result, tmp_path)
    assert [p for p in tmp_path.rglob('*desc-parcels*') if p.stat().st_size > 5000], figures
    assert places_of(one, data) == {}
    again = read_atlas(tmp_path, data)
    assert (again.labels == one.labels).all()
    foreign = next(tmp_path.rglob('*hemi-L*label.gii'))
    for path in tmp_path.rglob('*label.gii'):
        path.rename(foreign.parent / path.name.replace('tpl-civet', 'tpl-fsaverage'))
    with pytest.raises(GridMismatchError, match='on the mesh of fsaverage, the maps on that of c'):
        read_atlas(tmp_path, data)


def test_the_mean_surface_has_the_size_of_the_subjects(cohort):
    _, sphere, faces, *_ = cohort
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    mean = mean_surface([sphere, 1.2 * sphere @ turn + 40], faces)
    size = np.linalg.norm(mean.vertices, axis=1)
    np.testing.assert_allclose(size, 110, rtol=0.01)
    points, sulcus = inflated(mean)
    assert np.ptp(points[:, 1]) == pytest.approx(170)
    assert sulcus.shape == (len(sphere),)


def test_maps_of_the_template_are_not_drawn_on_another_mesh(cohort):
    root, *_ = cohort
    data = gather_vertex_metrics(root, ['thickness'], REGION, space='civet')
    shown = shown_surfaces(data)
    assert len(shown['L'].vertices) == 600


@pytest.mark.parametrize('space', ['civet', 'fsLR'])
def test_every_metric_can_be_factorized_on_the_mesh(space, tmp_path):
    assert {on_mesh(key, space) for key, _ in METRIC_KEYS.values()} <= set(load_table())
    metrics = ('reho', 'mtr', 'icvf')
    _, _, region, half = write_cohort(tmp_path, n=4, space=space)
    rng = np.random.default_rng(8)
    for i, metric in ((i, m) for i in range(4) for m in metrics):
        key, entities = on_mesh(METRIC_KEYS[metric][0], space), {'subject': f'{i:02d}'}
        for side in SIDES:
            path = output_path(key, tmp_path, entities, hemisphere=side)
            path.parent.mkdir(parents=True, exist_ok=True)
            values = 0.4 + 0.1 * half + 0.01 * i + rng.normal(0, 0.01, 600)
            write_map(path, values.astype('f4'), side, metric)
    assert set(metrics) < set(available_metrics(tmp_path, space))
    data = gather_vertex_metrics(tmp_path, metrics, REGION, space=space)
    assert data.values.shape == (3, 4, 2 * region.sum())
    np.testing.assert_allclose(
        data.values.mean(axis=(0, 2)), 0.45 + 0.01 * np.arange(4), atol=0.01
    )
    with pytest.raises(MissingInputError, match=rf'falff on the mesh of {space}'):
        gather_vertex_metrics(tmp_path, ['falff'], REGION, space=space)


def test_the_page_of_the_cohort_turns_its_own_mesh(cohort, tmp_path):
    root, _, faces, _, _ = cohort
    data = gather_vertex_metrics(root, ['thickness', 'area'], REGION, space='civet')
    people = pd.DataFrame({'participant_id': data.sessions['participant_id'].unique()})
    options = ParcellationOptions(
        selection=SelectionOptions(ks=(2, 3), n_splits=2), n_components=2, n_bootstrap=0, n_null=0
    )
    result = run_parcellation(data, people, options)
    block = next(b for b in parcel_surface_blocks(result, None) if b.viewer)
    told, mesh = json.loads(block.viewer), json.loads(block.surfaces)
    for side in SIDES:
        stored = mesh[side].get('faces', mesh['L']['faces'])  # once where both are the same
        assert np.array_equal(corners(stored), faces)
        shown = unpacked(told['maps'][0]['values'][side], '<u2')
        (one,) = result.parcellations.values()
        own = (one.columns['hemisphere'] == side).to_numpy()
        assert np.array_equal(shown[one.columns.loc[own, 'vertex']], one.labels[own])


def test_the_page_of_a_person_turns_the_derivatives_mesh(cohort):
    root, sphere, _, region, _ = cohort
    view = SubjectView(root, '00', ())
    block = next(b for b in surface_blocks(view, None) if b.viewer)
    assert block.title == 'Maps on the mesh of civet'
    told, mesh = json.loads(block.viewer), json.loads(block.surfaces)
    assert [one['title'] for one in told['maps']] == ['cortical thickness', 'surface area']
    values = read_map(output_path('anat_thickness_civet', root, {'subject': '00'}, hemisphere='R'))
    one = told['maps'][0]
    steps = unpacked(one['values']['R'], '<u2')
    back = one['from'] + steps / (MISSING - 1) * (one['to'] - one['from'])
    np.testing.assert_allclose(back, values, atol=1e-4)
    names = unpacked(told['regions']['R'], '<u2')
    assert (np.array(told['names'])[names] == np.where(region, '118', '7')).all()
    places = unpacked(mesh['R']['places'], '<i2').reshape(-1, 3)
    assert np.corrcoef(places[:, 1], sphere[:, 1])[0, 1] > 0.99
    page = render_page('a', 'b', [Section('Maps', [block])])
    (of_mesh,) = re.findall(r'data-mesh="([^"]+)"', page)
    assert f'id="{of_mesh}"' in page
    assert 'id="mesh"' not in page, 'the surfaces of the template are not needed'


@pytest.mark.parametrize(('mesh', 'has_anat'), [('fsLR', True), ('fsLR', False), ('', True)])
def test_a_session_gives_its_mesh_to_all_modalities(tmp_path, mesh, has_anat):
    image = tmp_path / 'sub-01_T1w.nii.gz'
    image.write_bytes(b'')
    prepared = {'metadata': {'RepetitionTime': 2.0}, 'space': 'MNI152NLin6Asym', 'source': 'x',
                'confounds': tmp_path / 'confounds.tsv'}  # fmt: skip
    prepared['confounds'].write_text('a\n1\n')
    runs = {
        'image': BoldRun((image,), {'subject': '01', 'task': 'image'}, **prepared),
        'surface': BoldRun((image, image), {'subject': '01', 'task': 'surface'},
                           **{**prepared, 'space': 'fsaverage6'}),
    }  # fmt: skip
    raw = RawRun((image,), ({'RepetitionTime': 2.0},), {'subject': '01', 'task': 'raw'})
    session = Session(
        '01', None, AnatInputs(image, {'subject': '01'}, {}), None, (), (),
        func=FuncInputs(tuple(runs.values()), raw=(raw,) if has_anat else ()),
        mtr=MtrInputs((image, image), {'subject': '01'}),
    )  # fmt: skip
    wanted = ('anat', 'func', 'mtr') if has_anat else ('func', 'mtr')
    job = Job(session, {m: PlanRow('sub-01', None, m, 'run') for m in wanted}, {}, {},
              SurfaceChoice(mesh=mesh, mesh_folder=tmp_path if mesh else None))  # fmt: skip
    workflow, _ = init_session_wf(job, output_dir=tmp_path, settings=Settings())
    graph = workflow._graph
    taken = {
        other.name: {to for _, to in data['connect'] if 'mesh_' in to}
        for _, other, data in graph.edges(data=True)
    }
    own = {'inputnode.mesh_white', 'inputnode.mesh_pial'}
    with_labels = own | {'inputnode.mesh_parcellation'}
    expected = {'func_image_wf': with_labels, 'func_raw_wf': with_labels, 'mtr_wf': own}
    if mesh and has_anat:
        assert {name: found for name, found in taken.items() if found} == expected
    else:
        assert not any(taken.values())
    nodes = map(workflow.get_node, workflow.list_node_names())
    paths = [node.interface.inputs.out_path for node in nodes
             if isinstance(node.interface, Sink)]  # fmt: skip
    for task, there in (('image', has_anat), ('raw', has_anat), ('surface', False)):
        found = [p for p in paths if f'task-{task}_' in p and 'fsLR' in p and 'stat-reho' in p]
        assert bool(found) == bool(mesh and there)


@pytest.mark.parametrize('space', ['civet', 'fsLR'])
def test_graphs_keep_structure_and_diffusion_on_the_mesh(space, tmp_path):
    where = {'output_dir': tmp_path, 'entities': {'subject': '01'}}
    anat = init_anat_wf(**where, settings=AnatSettings(mesh=space),
                        origin=SurfaceOrigin(mesh=space))  # fmt: skip
    dwi = init_dwi_wf(**where, settings=DwiSettings(), has_anat=True, mesh=space,
                      noddi_source='x')  # fmt: skip
    mtr = init_mtr_wf(**where, settings=MtrSettings(), density='10k', is_map=False, mesh=space)
    paths = [
        node.interface.inputs.out_path for workflow in (anat, dwi, mtr)
        for node in map(workflow.get_node, workflow.list_node_names())
        if isinstance(node.interface, Sink)
    ]  # fmt: skip
    density = {'civet': '41k', 'fsLR': '32k'}[space]
    for name in (
        'thickness.shape',
        'area.shape',
        'white.surf',
        'model-tensor_param-fa_dwimap.shape',
        'model-noddi_param-icvf_dwimap.shape',
        'MTRmap.shape',
        'desc-coverage_MTRmap.shape',
    ):
        assert [p for p in paths if Path(p).name ==
                  f'sub-01_hemi-L_space-{space}_den-{density}_{name}.gii']  # fmt: skip
    plain = init_anat_wf(**where, settings=AnatSettings())
    assert not [n for n in plain.list_node_names() if 'mesh' in n]
