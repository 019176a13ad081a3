"""What became of a session: rows of ``status.tsv`` from the result of its graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from bids_acc.bids.inputs import PlanRow
from bids_acc.derivatives.status import StatusRow
from bids_acc.exceptions import ExitCode
from bids_acc.execution.crashes import Crash
from bids_acc.execution.graphs import GraphResult
from bids_acc.execution.progress import Step
from bids_acc.participant.plan import Job

_WORDS = MappingProxyType({'run': 'done', 'reuse': 'reused', 'skip': 'skipped', 'fail': 'failed'})
"""What a planned modality is called when all went well."""


@dataclass(frozen=True)
class FailedGraph:
    """Why the graph of a spectrum did not end well, and how far it came."""

    reason: str
    ended: frozenset[str]
    """Its steps that ended well."""


def planned_row(plan: PlanRow) -> StatusRow:
    """Turn a plan row into a status row, as if all went well.

    Parameters
    ----------
    plan : PlanRow
        Of one modality; ``run`` becomes ``done``.
    """
    return StatusRow(
        plan.participant_id, plan.session_id, plan.modality, _WORDS[plan.status],  # type: ignore[arg-type]
        plan.reason_code, plan.reason, exit_code=plan.exit_code,
    )  # fmt: skip


def session_rows(job: Job, steps: Mapping[str, Step], result: GraphResult) -> list[StatusRow]:
    """Tell what became of each modality of a session.

    Parameters
    ----------
    job : Job
        What was asked for.
    steps : mapping of str to Step
        Nodes of its graph; without any, the run stopped before it.
    result : GraphResult
        What became of them.

    Returns
    -------
    list of StatusRow
        In the order of the plan.
    """
    rows = []
    for modality, plan in job.plan.items():
        row = planned_row(plan)
        if plan.status == 'run':
            own = [c for c in result.crashes if steps[c.node].modality == modality]
            begun = any(step.modality == modality for step in steps.values())
            if own or not begun or any(steps[n].modality == modality for n in result.unfinished):
                # without a crash of its own it waited for what failed elsewhere in the session
                row = _failed(row, steps, own or result.crashes)
        rows.append(row)
    return rows


def _failed(row: StatusRow, steps: Mapping[str, Step], crashes: Sequence[Crash]) -> StatusRow:
    """Say in a status row why the modality failed."""
    if not crashes:
        return replace(
            row, status='failed', reason_code='not_run', exit_code=ExitCode.TRY_AGAIN,
            reason_text='not run: the run stopped before it',
        )  # fmt: skip
    # what was missing follows from a full disk or a wrong input, where there is such a crash too
    crash = next((c for c in crashes if c.exit_code is not ExitCode.INTERNAL), crashes[0])
    step = steps[crash.node]
    return replace(
        row,
        status='failed',
        reason_code=crash.exit_code.name.lower(),
        reason_text=f'{step.part}.{step.name}: {crash.reason}',
        log=crash.file.name if crash.file else '',
        exit_code=crash.exit_code,
    )


def failed_graphs(
    modality: str, rows: Iterable[StatusRow], steps: Mapping[str, Step], result: GraphResult
) -> dict[str, FailedGraph]:
    """Map each graph of a modality that did not end well to the reason and the steps that did.

    Parameters
    ----------
    modality : str
        ``anat``, ``dwi``, ``mtr``, ``func`` or ``mrs``.
    rows : iterable of StatusRow
        Of one session, with one of this modality.
    steps : mapping of str to Step
        Of the session's graph, by full name.
    result : GraphResult
        How the graph ended.

    Returns
    -------
    dict of str to FailedGraph
        By name of the graph within the session; empty unless the modality failed.
    """
    row = next(row for row in rows if row.modality == modality)
    if row.status != 'failed':
        return {}
    own = {name: step for name, step in steps.items() if step.modality == modality}
    reasons = {own[name].part: row.reason_text for name in result.unfinished if name in own}
    for crash in reversed(result.crashes):
        if crash.node in own:
            reasons[own[crash.node].part] = crash.reason
    return {
        part: FailedGraph(
            reason,
            frozenset(s.name for n, s in own.items() if s.part == part and n in result.ended),
        )
        for part, reason in reasons.items()
    }
