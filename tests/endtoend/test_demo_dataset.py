"""The demo dataset as the command writes it: valid, complete, the same twice."""

import hashlib
import json
import shutil
import subprocess
from functools import cache
from pathlib import Path

import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from bids_acc.demo.cli import main
from bids_acc.demo.problems import PROBLEMS
from bids_acc.demo.templates import load_head
from bids_acc.mrs.scan.io import read_nifti_mrs

pytestmark = [pytest.mark.slow, pytest.mark.endtoend]


@pytest.fixture(scope='module', autouse=True)
def one_head():
    """Build the template head once for all datasets of this module."""
    head = cache(load_head)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('bids_acc.demo.dataset.load_head', head)
        yield


def run_demo(folder: Path, *flags: str) -> Path:
    assert main([str(folder), '--n-per-group', '1', '--resolution', '3', *flags]) == 0
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob('*'))
        if path.is_file()
    }


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    return run_demo(tmp_path_factory.mktemp('demo') / 'bids')


@pytest.fixture(scope='module')
def with_sessions(tmp_path_factory):
    return run_demo(tmp_path_factory.mktemp('demo') / 'bids', '--sessions')


@pytest.mark.validator
@pytest.mark.parametrize('kind', ['dataset', 'with_sessions'])
def test_validator_finds_no_error(kind, request, tmp_path):
    folder = request.getfixturevalue(kind)
    validator = shutil.which('bids-validator-deno')
    if validator is None:
        pytest.skip('bids-validator-deno is not on PATH')
    report = tmp_path / 'report.json'
    subprocess.run([validator, str(folder), '--format', 'json', '-o', str(report)], check=False)
    issues = json.loads(report.read_text())['issues']['issues']
    assert [i for i in issues if i['severity'] == 'error'] == []


def test_same_seed_same_bytes(dataset, tmp_path):
    assert digests(dataset) == digests(run_demo(tmp_path / 'again'))


def test_another_seed_is_another_dataset(dataset, tmp_path):
    other = digests(run_demo(tmp_path / 'other', '--seed', '2'))
    first = digests(dataset)
    assert set(other) == set(first)
    images = [name for name in first if name.endswith('.nii.gz')]
    assert all(other[name] != first[name] for name in images)


def test_every_participant_has_all_modalities(dataset):
    people = pd.read_csv(dataset / 'participants.tsv', sep='\t', keep_default_na=False)
    assert people['group'].tolist() == ['HC', 'responder', 'resistant']
    assert people.loc[0, 'panss_total'] == 'n/a'
    for label in people['participant_id']:
        names = {p.name for p in (dataset / label).rglob('*.nii.gz')}
        assert names == {
            f'{label}_T1w.nii.gz',
            f'{label}_dwi.nii.gz',
            f'{label}_task-rest_bold.nii.gz',
            f'{label}_acq-press_voi-ACC_svs.nii.gz',
            f'{label}_acq-press_voi-ACC_mrsref.nii.gz',
        }


def test_gradients_match_the_volumes(dataset):
    image = nb.Nifti1Image.from_filename(dataset / 'sub-01' / 'dwi' / 'sub-01_dwi.nii.gz')
    bvals = np.loadtxt(dataset / 'sub-01' / 'dwi' / 'sub-01_dwi.bval')
    bvecs = np.loadtxt(dataset / 'sub-01' / 'dwi' / 'sub-01_dwi.bvec')
    assert image.shape[3] == len(bvals) == bvecs.shape[1]
    data = image.get_fdata()
    brain = data[..., bvals == 0].mean(axis=-1) > 200
    assert data[brain][:, bvals == 1000].mean() < 0.6 * data[brain][:, bvals == 0].mean()


def test_white_matter_is_anisotropic_and_grey_matter_is_not(dataset):
    """A least-squares tensor gives back what was put in, in pure white and grey matter."""
    folder = dataset / 'sub-01' / 'dwi'
    data = nb.Nifti1Image.from_filename(folder / 'sub-01_dwi.nii.gz').get_fdata()
    bvals = np.loadtxt(folder / 'sub-01_dwi.bval')
    x, y, z = np.loadtxt(folder / 'sub-01_dwi.bvec')
    design = -bvals[:, None] * np.stack([x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z], 1)
    design = np.column_stack([design, np.ones(len(bvals))])
    brain = data[..., bvals == 0].mean(axis=-1) > 350
    signal = np.log(np.maximum(data[brain], 1))
    d = np.linalg.lstsq(design, signal.T, rcond=None)[0]
    tensor = np.moveaxis(d[[0, 3, 4, 3, 1, 5, 4, 5, 2]].reshape(3, 3, -1), -1, 0)
    values = np.linalg.eigvalsh(tensor)
    md = values.mean(axis=1)
    fa = np.sqrt(1.5 * ((values - md[:, None]) ** 2).sum(1) / (values**2).sum(1))
    assert np.percentile(fa, 97) == pytest.approx(0.70, abs=0.06)
    assert np.percentile(fa, 10) < 0.2
    assert np.median(md) == pytest.approx(0.85e-3, abs=0.12e-3)


def test_voxel_lies_in_the_head_and_spectrum_reads(dataset):
    mrs = dataset / 'sub-02' / 'mrs'
    spectrum = read_nifti_mrs(mrs / 'sub-02_acq-press_voi-ACC_svs.nii.gz')
    assert spectrum.voxel_volume_ml == pytest.approx(8.0)
    t1w = nb.Nifti1Image.from_filename(dataset / 'sub-02' / 'anat' / 'sub-02_T1w.nii.gz')
    centre = np.linalg.inv(t1w.affine) @ [*spectrum.affine[:3, 3], 1]
    assert np.asarray(t1w.dataobj)[tuple(centre[:3].round().astype(int))] > 200


def test_truth_tells_about_each_visit(dataset, with_sessions):
    one = json.loads((dataset / 'code' / 'truth.json').read_text())
    two = json.loads((with_sessions / 'code' / 'truth.json').read_text())
    assert [v['session_id'] for v in one['visits']] == [None] * 3
    assert [v['session_id'] for v in two['visits']] == ['ses-1', 'ses-2'] * 3
    resistant = one['visits'][2]
    assert resistant['thickness_change']['by_pattern_mm'][1] < 0
    table = pd.read_csv(dataset / 'code' / resistant['thickness_file'], sep='\t')
    assert set(table['hemisphere']) == {'L', 'R'}
    assert 2 < table['thickness'].mean() < 5
    assert sum(resistant['voxel_fractions'].values()) == pytest.approx(1, abs=1e-3)
    assert resistant['metabolites_tcr']['Glx'] == pytest.approx(resistant['glx_tcr'], abs=1e-3)


def test_problems_are_really_there(tmp_path):
    folder = run_demo(tmp_path / 'bids', '--with-problems')
    listed = json.loads((folder / 'code' / 'problems.json').read_text())
    assert set(listed) == {f'sub-{label}' for label in PROBLEMS}
    link = folder / 'sub-unfetchedDwi' / 'dwi' / 'sub-unfetchedDwi_dwi.nii.gz'
    assert link.is_symlink()
    assert not link.exists()
    assert not (folder / 'sub-missingT1w' / 'anat').exists()
    assert (folder / 'sub-emptyT1w' / 'anat' / 'sub-emptyT1w_T1w.nii.gz').stat().st_size == 0
    assert not list(folder.glob('sub-missingBval/dwi/*.bval'))
    assert list(folder.glob('sub-legacyReference/mrs/*_ref.nii.gz'))
    assert not (folder / 'sub-nothing').exists()
    sound, short = (
        np.loadtxt(folder / f'sub-{s}' / 'dwi' / f'sub-{s}_dwi.bvec')
        for s in ('sound', 'shortBvec')
    )
    assert sound.shape[1] == short.shape[1] + 1
