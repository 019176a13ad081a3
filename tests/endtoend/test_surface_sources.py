"""The installed command on surfaces of every source, and the same bytes whoever computes them.

One head, four participants: broken FreeSurfer surfaces (the built-in route takes over), a
FreeSurfer-like subject and GIFTI derivatives on meshes of their own, and CIVET outputs.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_acc.anat.freesurfer import read_freesurfer
from bids_acc.anat.native import on_template
from bids_acc.anat.sources import read_gifti
from bids_acc.derivatives.outputs import find_outputs, read_sidecar
from bids_acc.surfaces.gifti import read_labels, read_map, read_surface
from bids_acc.surfaces.template import load_template, mask_sha256
from tests.endtoend.test_command import bids_acc
from tests.synthetic.bids_folder import write_dataset
from tests.synthetic.surfaces import (
    native_hemisphere,
    placed,
    write_civet,
    write_civet_rsl,
    write_freesurfer,
    write_gifti_subject,
    write_t1w,
)

pytestmark = [pytest.mark.slow, pytest.mark.endtoend]

SOURCES = {'01': 'builtin', '02': 'freesurfer', '03': 'gifti', '04': 'civet'}
N_NATIVE = 31007


@pytest.fixture(scope='module')
def raw(tmp_path_factory) -> Path:
    """Return a data set with four images of one head, and other tools' results beside it."""
    base = tmp_path_factory.mktemp('sources')
    root = write_dataset(base / 'bids')
    for subject in SOURCES:
        write_t1w(root / f'sub-{subject}' / 'anat' / f'sub-{subject}_T1w.nii.gz')
    for hemi, mesh in load_template('41k').items():
        here = placed(mesh.white), placed(mesh.pial)
        native = native_hemisphere(mesh, N_NATIVE, here)
        write_freesurfer(base / 'freesurfer' / 'sub-01', native, hemi)
        write_freesurfer(base / 'freesurfer' / 'sub-02', native, hemi)
        write_gifti_subject(base / 'smriprep', '03', native, hemi)
        own = native_hemisphere(mesh, None, here)
        write_civet(base / 'civet' / 'sub-04', own, hemi, 2.5 + mesh.white[:, 1] / 100)
    (base / 'freesurfer' / 'sub-01' / 'surf' / 'lh.sphere.reg').unlink()
    return root


def derivatives(raw: Path) -> list[str]:
    """Return the flags that name the other tools' results."""
    names = ('civet', 'smriprep', 'freesurfer')
    return [text for name in names for text in ('-d', f'{name}={raw.parent / name}')]


@pytest.fixture(scope='module')
def out(raw, tmp_path_factory) -> Path:
    """Return the output of all four, with two workers."""
    folder = tmp_path_factory.mktemp('out') / 'out'
    done = bids_acc(
        raw, folder, 'participant', '--density', '10k', '--nprocs', '2', *derivatives(raw)
    )
    assert done.returncode == 0, done.stderr
    return folder


def maps(out: Path, key: str, subject: str) -> dict[str, Path]:
    """Return the files of one output, by hemisphere."""
    found = find_outputs(key, out, subject=subject)
    return {item.entities['hemisphere']: item.path for item in found}


def quality(out: Path, subject: str) -> pd.Series:
    """Read the table of quality."""
    path = find_outputs('anat_qc', out, subject=subject)[0].path
    return pd.read_csv(path, sep='\t', na_values='n/a').iloc[0]


def test_source_is_always_said(out):
    table = pd.read_csv(next((out / 'logs').glob('2*/status.tsv')), sep='\t')
    anat = table[table['modality'] == 'anat'].set_index('participant_id')
    assert list(anat['status']) == ['done'] * 4
    for subject, source in SOURCES.items():
        assert f'surfaces: {source}' in anat.loc[f'sub-{subject}', 'reason_text']
        assert quality(out, subject)['surface_source'] == source
        for key in ('anat_thickness', 'anat_area', 'anat_white', 'anat_parcellation'):
            for path in maps(out, key, subject).values():
                sidecar = read_sidecar(path)
                assert sidecar['SurfaceSource'] == source
                assert sidecar['Density'].startswith('10242 vertices')
    software = {s: read_sidecar(maps(out, 'anat_area', s)['L'])['Software'] for s in SOURCES}
    assert '7.4.1' in software['02']['FreeSurfer']
    assert software['03']['sMRIPrep'] == '0.19.2'
    assert software['04']['CIVET'] == '2.1.1'


def test_broken_source_is_passed_over_aloud(out):
    told = 'freesurfer passed over: '
    table = pd.read_csv(next((out / 'logs').glob('2*/status.tsv')), sep='\t')
    reason = table.loc[table['participant_id'] == 'sub-01', 'reason_text'].iloc[0]
    sidecar = read_sidecar(maps(out, 'anat_thickness', '01')['L'])
    row = quality(out, '01')
    for text in (reason, sidecar['SurfaceSourceNote'], row['flags']):
        assert told in text
        assert 'lh.sphere.reg is missing' in text
    assert row['verdict'] == 'unusual'
    assert told in (out / 'sub-01.html').read_text()


@pytest.mark.parametrize('subject', ['02', '03'])
def test_other_meshes_arrive_as_they_are(raw, out, subject):
    for hemi, mesh in load_template('10k').items():
        if subject == '02':
            native = read_freesurfer(raw.parent / 'freesurfer' / 'sub-02', hemi)
        else:
            native = read_gifti(raw.parent / 'smriprep' / 'sub-03' / 'anat', hemi)
        assert len(native.white) == N_NATIVE
        expected = on_template(native, mesh)
        thickness = read_map(maps(out, 'anat_thickness', subject)[hemi])
        area = read_map(maps(out, 'anat_area', subject)[hemi])
        assert np.array_equal(thickness, expected.thickness.astype(np.float32), equal_nan=True)
        defined = np.isfinite(thickness)
        assert np.array_equal(area[defined], expected.area[defined].astype(np.float32))
        assert np.isnan(area[~defined]).all()
        assert expected.area.sum() == pytest.approx(native.area.sum(), rel=1e-3)
        assert thickness[defined].min() >= native.thickness[native.thickness > 0].min() - 1e-5


def test_civet_arrives_by_place(out):
    for hemi, mesh in load_template('10k').items():
        found = read_map(maps(out, 'anat_thickness', '04')[hemi])[mesh.cortex]
        expected = (2.5 + mesh.white[:, 1] / 100)[mesh.cortex]
        assert np.isfinite(found).mean() > 0.99
        assert np.corrcoef(found, expected)[0, 1] > 0.995
        assert np.median(np.abs(found - expected)) < 0.02  # 2 mm along the ramp
    sidecar = read_sidecar(maps(out, 'anat_thickness', '04')['L'])
    assert 'nearest place' in sidecar['Correspondence']


def test_region_has_count_and_checksum(out):
    counts = {}
    for subject in SOURCES:
        for hemi, path in maps(out, 'anat_roi_labels', subject).items():
            codes, _ = read_labels(path)
            sidecar = read_sidecar(path)
            assert sidecar['VertexCount'] == (codes > 0).sum()
            assert sidecar['VertexMaskSHA256'] == mask_sha256(codes > 0)
            own = sidecar['Atlas'].startswith("the subject's own DKT")
            assert own == (subject == '02')
            assert 'seg-DKT' in path.name  # the default atlas as well as the subject's own
            counts[subject, hemi] = sidecar['VertexCount']
    for subject in ('01', '03', '04'):
        assert (counts[subject, 'L'], counts[subject, 'R']) == (154, 150)


def test_surfaces_lie_on_the_image(out):
    for subject in SOURCES:
        row = quality(out, subject)
        for hemi, mesh in load_template('10k').items():
            assert row[f'in_brain_share_{hemi}'] > 0.95
            assert row[f'boundary_contrast_{hemi}'] > 0.1
            white, _ = read_surface(maps(out, 'anat_white', subject)[hemi])
            distance = np.linalg.norm(white - placed(mesh.white), axis=1)[mesh.cortex]
            assert np.median(distance) < 1.5  # half a voxel


def test_quality_has_every_figure_described(out):
    described = json.loads(
        find_outputs('anat_qc', out, subject='01')[0].path.with_suffix('.json').read_text()
    )
    row = quality(out, '01')
    assert set(row.index) <= set(described)
    for name in ('brain_ml', 'thickness_median_L', 'roi_area_mm2_R', 'cnr', 'snr_wm'):
        assert described[name]['Units']


def test_without_a_usable_source_of_that_name_one_sentence(raw, tmp_path):
    """Sound ones would be run, the others are refused with what is wrong, before any hour."""
    asked = ('--surface-source', 'freesurfer', *derivatives(raw))
    done = bids_acc(raw, tmp_path / 'out', 'participant', '--dry-run', 'json', *asked)
    plan = {r['participant_id']: r for r in json.loads(done.stdout) if r['modality'] == 'anat'}
    assert [plan[f'sub-{s}']['status'] for s in SOURCES] == ['fail', 'run', 'fail', 'fail']
    assert plan['sub-01']['reason'].endswith('lh.sphere.reg is missing: the surface source is '
                                             'incomplete.')  # fmt: skip
    assert 'no such surfaces of sub-03' in plan['sub-03']['reason']
    done = bids_acc(
        raw, tmp_path / 'out', 'participant', '--participant-label', '01', '03', *asked
    )
    assert done.returncode == 66, done.stderr


def test_one_worker_gives_the_same_bytes_as_two(raw, out, tmp_path):
    """The same input again, alone and with one worker, beside a run of four with two."""
    again = tmp_path / 'out'
    done = bids_acc(
        raw, again, 'participant', '--density', '10k', '--nprocs', '1',
        '--participant-label', '01', *derivatives(raw),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    here = {p.name: p for p in sorted((out / 'sub-01' / 'anat').iterdir())}
    there = {p.name: p for p in sorted((again / 'sub-01' / 'anat').iterdir())}
    assert list(here) == list(there)
    digests = [
        [hashlib.sha256(p.read_bytes()).hexdigest() for p in found.values()]
        for found in (here, there)
    ]
    different = [n for n, a, b in zip(here, *digests, strict=True) if a != b]
    assert different == []
    assert len(here) > 50


CODES = {'L': (18, 25), 'R': (118, 125)}
"""Of the cingulate in CIVET's DKT models."""


def test_the_mesh_of_civet_through_both_levels(raw, tmp_path):
    """Maps on CIVET's mesh are CIVET's; who has no such files fails, with the reason."""
    files, truth = [], {}
    for hemi, mesh in load_template('41k').items():
        own = native_hemisphere(mesh, None, (placed(mesh.white), placed(mesh.pial)))
        truth[hemi] = 2.5 + mesh.white[:, 1] / 100
        write_civet_rsl(tmp_path / 'civet' / 'sub-04', own, hemi, truth[hemi])
        codes = np.full(len(truth[hemi]), 7)
        codes[:600], codes[600:1000], codes[-900:] = *CODES[hemi], 0
        np.savetxt(tmp_path / f'dkt_{hemi}.txt', codes, fmt='%d')
        files.append(f'{hemi}={tmp_path / f"dkt_{hemi}.txt"}')
    call = ['--mesh', 'civet', '--mesh-labels', *files, '--mesh-roi', '18', '25', '118', '125']
    out = tmp_path / 'out'
    done = bids_acc(
        raw, out, 'participant', '--participant-label', '03', '04', '--density', '10k',
        '--modalities', 'anat', '-d', f'civet={tmp_path / "civet"}', *call,
    )  # fmt: skip
    assert 'sub-03 has no such files' in done.stdout + done.stderr
    for hemi in 'LR':
        (found,) = find_outputs('anat_thickness_civet', out, hemisphere=hemi)
        assert found.path.name == f'sub-04_hemi-{hemi}_space-civet_den-41k_thickness.shape.gii'
        values = read_map(found.path)
        np.testing.assert_allclose(values[:-900], truth[hemi][:-900], atol=1e-5)
        assert np.isnan(values[-900:]).all()
        assert find_outputs('anat_thickness', out, hemisphere=hemi, density='10k')
    assert read_sidecar(found.path)['Correspondence'].endswith('nothing was resampled')
    refused = bids_acc(raw, out, 'group', *call[:-5], '--mesh-roi', '19')
    assert refused.returncode == 64
    assert '--mesh-roi 19: no cortical label of civet' in refused.stderr
