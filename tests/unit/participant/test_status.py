"""What a session's result says about each of its modalities."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from bids_acc.bids.inputs import PlanRow
from bids_acc.exceptions import FEW_FILES, ExitCode
from bids_acc.execution.crashes import Crash, read_crash
from bids_acc.execution.graphs import GraphResult
from bids_acc.execution.progress import Step
from bids_acc.participant.plan import Job, without_failed_anat
from bids_acc.participant.status import failed_graphs, session_rows

STEPS = {
    f'sub_01_wf.{part}.{name}': Step('sub-01', part[:3].replace('ana', 'anat'), part, name)
    for part, names in {
        'anat_wf': ('brain', 'fit'), 'dwi_wf': ('tensor',), 'mrs_a_wf': ('prepare', 'fit'),
        'mrs_b_wf': ('prepare', 'fit'),
    }.items()
    for name in names
}  # fmt: skip


def job(**status: str) -> Job:
    """Return a session with a plan for each modality."""
    plan = {m: PlanRow('sub-01', None, m, s) for m, s in status.items()}
    return Job(SimpleNamespace(label='sub-01'), plan, {}, {})


def result(*unfinished: str, crashes: dict[str, str] | None = None) -> GraphResult:
    """Return a result in which some nodes did not end, the crashed ones among them."""
    crashed = tuple(
        Crash(f'sub_01_wf.{node}', reason, ExitCode.BAD_DATA)
        for node, reason in (crashes or {}).items()
    )
    names = {f'sub_01_wf.{n}' for n in unfinished} | {c.node for c in crashed}
    return GraphResult(frozenset(STEPS.keys() - names), frozenset(names), crashed)


WANTED = job(anat='run', dwi='run', mrs='run')


def test_all_done_and_what_was_not_asked_for():
    asked = job(anat='reuse', dwi='skip', mrs='run')
    rows = session_rows(asked, STEPS, result())
    assert [row.status for row in rows] == ['reused', 'skipped', 'done']


def test_a_modality_that_waited_tells_what_it_waited_for():
    found = result('anat_wf.fit', 'dwi_wf.tensor', crashes={'anat_wf.brain': 'no brain'})
    anat, dwi, mrs = session_rows(WANTED, STEPS, found)
    assert anat.reason_text == dwi.reason_text == 'anat_wf.brain: no brain'
    assert anat.exit_code is dwi.exit_code is ExitCode.BAD_DATA
    assert mrs.status == 'done'
    again = without_failed_anat(WANTED, [anat, dwi, mrs])
    assert {m: row.status for m, row in again.plan.items()} == {
        'anat': 'skip', 'dwi': 'run', 'mrs': 'skip',
    }  # fmt: skip
    assert without_failed_anat(again, session_rows(again, STEPS, result())) is None


def test_without_a_crash_the_run_stopped_before():
    nothing = GraphResult(frozenset(), frozenset(), ())
    for found, steps in ((result('dwi_wf.tensor'), STEPS), (nothing, {})):
        row = session_rows(WANTED, steps, found)[1]
        assert (row.reason_code, row.exit_code) == ('not_run', ExitCode.TRY_AGAIN)


def test_each_spectrum_that_failed_has_its_own_reason():
    found = result('mrs_b_wf.fit', crashes={'mrs_a_wf.fit': 'no peak', 'mrs_b_wf.prepare': 'cut'})
    rows = session_rows(WANTED, STEPS, found)
    failed = failed_graphs('mrs', rows, STEPS, found)
    assert {name: (one.reason, set(one.ended)) for name, one in failed.items()} == {
        'mrs_a_wf': ('no peak', {'prepare'}), 'mrs_b_wf': ('cut', set()),
    }  # fmt: skip
    assert rows[2].reason_text == 'mrs_a_wf.fit: no peak'
    assert failed_graphs('dwi', rows, STEPS, found) == {}


def test_what_is_missing_after_a_full_disk_is_not_called_our_fault():
    crashed = (
        Crash('sub_01_wf.mrs_a_wf.fit', 'FileNotFoundError: fit', ExitCode.INTERNAL),
        Crash('sub_01_wf.mrs_b_wf.fit', 'no space', ExitCode.CANNOT_WRITE),
    )
    nodes = frozenset(crash.node for crash in crashed)
    found = GraphResult(frozenset(STEPS.keys() - nodes), nodes, crashed)
    (row,) = session_rows(job(mrs='run'), STEPS, found)
    assert row.exit_code is ExitCode.CANNOT_WRITE


@pytest.mark.parametrize('said', ["[Errno 2] No such file or directory: '{}'", '{}'])
def test_a_file_that_is_missing_on_a_full_disk(said, tmp_path, monkeypatch):
    crash = tmp_path / 'crash-1.txt'
    gone = tmp_path / 'work' / 'fit.json'
    crash.write_text(
        'Node: wf.fit\nTraceback (most recent call last):\n'
        f'FileNotFoundError: {said.format(gone)}\n'
    )
    assert read_crash(crash).exit_code is ExitCode.INTERNAL
    monkeypatch.setattr('bids_acc.execution.crashes.full_folder', lambda folders: folders[0])
    assert read_crash(crash).exit_code is ExitCode.CANNOT_WRITE


def test_a_worker_that_may_open_no_further_file_is_worth_trying_again(tmp_path: Path) -> None:
    crash = tmp_path / 'crash-1.txt'
    crash.write_text("Node: wf.step\n\nOSError: [Errno 24] Too many open files: '/out/a'\n")
    found = read_crash(crash)
    assert (found.exit_code, found.reason) == (ExitCode.TRY_AGAIN, FEW_FILES)
