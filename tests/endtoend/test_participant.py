"""The whole participant level on one known head; minutes, so not in the default run."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from bids_acc.demo.dataset import DemoOptions, write_dataset
from bids_acc.demo.problems import add_problems
from bids_acc.derivatives.outputs import find_outputs
from tests.endtoend.test_command import bids_acc
from tests.synthetic.seen import undescribed

pytestmark = [pytest.mark.slow, pytest.mark.endtoend]

EXPECTED = (
    'anat_t1w', 'anat_brain_mask', 'anat_dseg', 'anat_tpm', 'anat_thickness', 'anat_area',
    'anat_white', 'anat_pial', 'anat_midthickness', 'anat_parcellation', 'anat_roi_mask',
    'anat_qc', 'dwi_map_t1w', 'dwi_vertex_fa', 'dwi_vertex_md', 'dwi_vertex_mo', 'dwi_qc',
    'mrs_quantities', 'mrs_quality', 'mrs_fit', 'mrs_voxel', 'mrs_figure_fit',
)  # fmt: skip


@pytest.fixture(scope='module')
def raw(tmp_path_factory) -> Path:
    """Return a demo data set with broken participants."""
    root = tmp_path_factory.mktemp('demo') / 'bids'
    options = DemoOptions(n_per_group=1, resolution=3.0, with_problems=True)
    write_dataset(root, options)
    add_problems(root, options)
    return root


MODALITIES = ('anat', 'dwi', 'func', 'mrs')


def status(out: Path) -> pd.DataFrame:
    """Read the newest status table."""
    newest = max((out / 'logs').glob('2*'))
    return pd.read_csv(newest / 'status.tsv', sep='\t')


@pytest.fixture(scope='module')
def done(raw, tmp_path_factory) -> Path:
    """Return the output of one complete participant."""
    out = tmp_path_factory.mktemp('out') / 'out'
    arguments = ('--participant-label', '01', '--density', '10k', '--nprocs', '2')
    run = bids_acc(raw, out, 'participant', *arguments)
    assert run.returncode == 0, run.stderr
    return out


def test_everything_is_there(done):
    assert status(done).set_index('modality')['status'].to_dict() == dict.fromkeys(
        MODALITIES, 'done'
    )
    for key in EXPECTED:
        found = find_outputs(key, done, subject='01')
        assert found, key
    page = (done / 'sub-01.html').read_text()
    assert page.count('<img src="data:image') >= 5


def test_every_column_of_every_table_is_described(done):
    # BIDS itself says what descriptions.tsv holds
    left = [line for line in undescribed(done) if not line.startswith('descriptions.tsv: ')]
    assert [line for line in left if not line.startswith('participants.tsv: participant_id')] == []


def test_outputs_validate(done):
    if shutil.which('bids-validator-deno') is None:
        pytest.skip('bids-validator-deno is not installed')
    command = ['bids-validator-deno', str(done), '--format', 'json']
    report = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    issues = json.loads(report)['issues']['issues']
    assert [i['code'] for i in issues if i['severity'] == 'error'] == []


def test_a_second_run_computes_nothing_and_notices_a_deleted_output(raw, done):
    arguments = ('--participant-label', '01', '--density', '10k')
    again = bids_acc(raw, done, 'participant', *arguments)
    assert again.returncode == 0, again.stderr
    assert set(status(done)['status']) == {'reused'}
    find_outputs('mrs_fit', done)[0].path.unlink()
    plan = json.loads(bids_acc(raw, done, 'participant', *arguments, '--dry-run', 'json').stdout)
    assert {row['modality']: row['status'] for row in plan} == {
        name: 'run' if name == 'mrs' else 'reuse' for name in MODALITIES
    }


def test_broken_participants_do_not_stop_the_others(raw, tmp_path):
    run = bids_acc(
        raw, tmp_path / 'out', 'participant', '--modalities', 'mrs', '--nprocs', '2',
        '-w', tmp_path / 'work',
    )  # fmt: skip
    rows = status(tmp_path / 'out')
    mrs = rows[rows['modality'] == 'mrs']
    assert run.returncode in (65, 66), run.stderr
    assert (mrs['status'] == 'done').sum() >= 3
    failed = mrs[mrs['status'] == 'failed']
    assert len(failed) >= 1
    assert failed['reason_text'].notna().all()
    assert all(who in run.stderr for who in failed['participant_id'])
    for who, why in failed[['participant_id', 'reason_text']].to_numpy():
        (found,) = find_outputs('mrs_quantities', tmp_path / 'out', subject=who[4:])
        levels = pd.read_csv(found.path, sep='\t', na_values='n/a')
        assert levels['value'].isna().all()
        assert levels['gate_reason'].str.contains(why.split(': ', 1)[-1], regex=False).all()
