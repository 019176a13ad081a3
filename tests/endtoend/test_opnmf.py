"""Parcels by the command: another number than the rule's, live progress, an existing atlas."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time

import nibabel as nb
import pandas as pd
import pytest

from bids_acc.exceptions import ExitCode
from tests.endtoend.test_command import bids_acc
from tests.endtoend.test_group import parcels_of
from tests.synthetic.derivatives import write_cohort

FAST = ('--opnmf-k-range', '2', '4', '--opnmf-splits', '2', '--opnmf-bootstraps', '2')


@pytest.fixture(scope='module')
def first(tmp_path_factory):
    """Return a derivative folder of 12 people with three parcels, and what was said."""
    root = tmp_path_factory.mktemp('opnmf') / 'out'
    write_cohort(root, n_per_group=4)
    plain = shutil.copytree(root, root.parent / 'plain')
    shutil.copytree(root, root.parent / 'killed')
    work = root.parent / 'work'
    done = bids_acc(
        'none', root, 'group', '--model', 'auto', '-w', work, '--opnmf-components', '3', *FAST
    )
    assert done.returncode == 0, done.stderr
    return root, plain, done.stderr


def test_an_override_is_recorded_beside_what_the_rule_says(first):
    root, _, said = first
    choice = json.loads((parcels_of(root) / 'opnmf/rankchoice.json').read_text())
    assert choice['NumberOfComponents'] == 3
    assert choice['Source'] == 'override'
    assert 'k = 3 was asked for.' in choice['Trace'][-1]
    needed = re.search(r'group: the parcellation needs at most (\d+\.\d) GB', said)
    assert needed
    assert 0 < float(needed[1]) < 4
    assert (
        'whose scores its deviations from the mean maps follow'
        in (root / 'group.html').read_text()
    )
    assert re.search(r'group: \d+/8 selection', said)  # whole cohort, 2 splits, 5 null


def test_a_selection_that_is_killed_goes_on_where_it_was(first):
    root = first[0]
    killed, work = root.parent / 'killed', root.parent / 'killed_work'
    arguments = map(
        str, ('none', killed, 'group', '--model', 'auto', '-w', work, '--opnmf-components', 3)
    )
    command = [sys.executable, '-m', 'bids_acc', *arguments, *FAST]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as running:
        for _ in range(6000):
            if (done := list(work.rglob('selection-*/*.json'))) or running.poll() is not None:
                break
            time.sleep(0.01)
        running.kill()
    assert running.returncode == -9, 'it ended before it could be killed'
    done = list(work.rglob('selection-*/*.json'))
    assert 1 <= len(done) < 8
    before = {path: path.stat().st_mtime_ns for path in done}
    assert not list(killed.glob('group/parcels-*'))
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in done} == before
    assert len(list(work.rglob('selection-*/*.json'))) == 8
    for name in ('rankselection.tsv', 'rankcurves.tsv', 'vertexindex.tsv', 'model_W.npz'):
        one, other = (parcels_of(folder) / 'opnmf' / name for folder in (root, killed))
        assert one.read_bytes() == other.read_bytes(), name


def test_strata_are_columns_of_participants(first):
    done = bids_acc(
        'none', first[0].parent / 'killed', 'group', '--model', 'auto', '--opnmf-strata', 'town'
    )
    assert done.returncode == ExitCode.USAGE
    assert '--opnmf-strata town: participants.tsv has no such column; there are' in done.stderr


def test_an_existing_atlas_is_measured_and_nothing_is_factorized(first):
    root, plain, _ = first
    done = bids_acc(
        'none',
        plain,
        'group',
        '--model',
        'auto',
        '--opnmf-atlas',
        parcels_of(root) / 'tpl-fsaverage',
    )
    assert done.returncode == 0, done.stderr
    assert 'selection' not in done.stderr
    tables = [pd.read_csv(parcels_of(f) / 'opnmf/parcels.tsv', sep='\t') for f in (root, plain)]
    pd.testing.assert_frame_equal(*tables)
    assert not list((parcels_of(plain) / 'opnmf').glob('*rankselection*'))
    seen: set[int] = set()
    for side in 'LR':
        one, other = (
            nb.load(next(parcels_of(f).glob(f'tpl-*/**/*hemi-{side}*_dseg.label.gii')))
            .darrays[0]
            .data
            for f in (root, plain)
        )
        assert (one == other).all()
        seen |= set(one.tolist())
    assert seen == {0, 1, 2, 3}
    page = (plain / 'group.html').read_text()
    assert 'The parcels of tpl-fsaverage were applied to' in page
    assert 'factorized' not in page
    assert len(list((plain / 'group').glob('model-*/stats/*.tsv'))) > 3
