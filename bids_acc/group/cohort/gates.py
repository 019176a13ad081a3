"""The quality gates of a model, applied before anything is factorized or compared."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, get_args

import numpy as np
import pandas as pd

from bids_acc.group.cohort.exclusions import COLUMNS, Verdicts
from bids_acc.group.cohort.quality import KEYS
from bids_acc.group.cohort.reading import Cohort, excluded_note, read_quality, read_tables
from bids_acc.group.cohort.spectra_gate import (
    excluded_because,
    judge_again,
    judge_levels_again,
    quality_verdict,
)
from bids_acc.group.statistics.model.declaration import Model
from bids_acc.quality.gate import Gate, Verdict
from bids_acc.quality.sessions import ImageModality, SessionGate, gate_for, judge_session
from bids_acc.tables.cells import records
from bids_acc.tables.people import visits_of

LOGGER = logging.getLogger(__name__)

IMAGES: tuple[ImageModality, ...] = get_args(ImageModality)
WORDS = {'anat': 'T1w', 'dwi': 'Diffusion', 'func': 'Function', 'mtr': 'Magnetization transfer'}
"""Modalities whose sessions have a gate."""


class FailedCriterion(TypedDict):
    """A criterion of a gate that the images of a session did not meet."""

    participant_id: str
    session_id: str | None
    modality: str
    criterion: str
    definition: str
    value: float
    threshold: str
    verdict: str
    reason: str


@dataclass(frozen=True)
class Gated:
    """A cohort after the quality gates of a model were applied."""

    cohort: Cohort
    images: pd.DataFrame | None = None
    """Criteria that images did not meet: keys, ``modality, criterion, definition, value,
    threshold, verdict, reason``."""


def images_note(gate: SessionGate, failed: Sequence[FailedCriterion], there: int) -> str:
    """Say how many of the sessions that could be used a gate of images leaves out.

    Parameters
    ----------
    gate : SessionGate
        The gate and the modality that it is for.
    failed : sequence of mapping
        One row for each criterion that a session did not meet; a session may have several.
    there : int
        Sessions that were judged.

    Returns
    -------
    str
        One sentence for the page and the log.

    Examples
    --------
    >>> from bids_acc.quality.sessions import session_preset
    >>> row = {'participant_id': 'sub-1', 'session_id': None}
    >>> images_note(session_preset('dwi', 'dwi-usual', ''), [row, row], 12)
    'Diffusion: 1 of 12 sessions fail the gate dwi-usual; qc/exclusions.tsv says why.'
    """
    lost = len({(row['participant_id'], str(row['session_id'])) for row in failed})
    what = WORDS[gate.modality]
    why = '; qc/exclusions.tsv says why' if lost else ''
    return f'{what}: {lost} of {there} sessions fail the gate {gate.name}{why}.'


def has_gates(model: Model) -> bool:
    """Tell whether a model asks for anything but the participant level's verdicts.

    Parameters
    ----------
    model : Model
        The declared model.

    Returns
    -------
    bool
        False when the verdicts stand as the participant level wrote them.
    """
    return model.spectra_gate is not None or any(
        model.session_gate(modality) is not None for modality in IMAGES
    )


def apply_gates(cohort: Cohort, model: Model | None, data_dir: Path) -> Gated:
    """Judge spectra and images by the gates that a model names.

    Parameters
    ----------
    cohort : Cohort
        As read, with the verdicts of the participant level.
    model : Model or None
        Names the gates; without one the verdicts of the participant level count.
    data_dir : Path
        Where the tables of quality lie.

    Returns
    -------
    Gated
        Where the model names no gate, the verdicts of the participant level count: those of
        spectra as they were read, those of BOLD series here.

    Raises
    ------
    SettingsError
        If a gate of spectra does not accept the definitions of the engine that was used.
    """
    rows: list[FailedCriterion] = []
    # the participant level's verdict counts until a model names another gate
    if model is None or model.content['Gate']['func'] is None:
        cohort, rows = _participant_level(cohort)
    if model is None or not has_gates(model):
        return _gated(cohort, rows)
    if model.spectra_gate is not None:
        cohort = _spectra(cohort, model.spectra_gate, data_dir, f'{model.source}: Gate/mrs')
    for modality in IMAGES:
        gate = model.session_gate(modality)
        if gate is not None:
            flow = cohort.flow
            there = int(((flow['modality'] == modality) & (flow['status'] == 'run')).sum())
            cohort, failed = _images(cohort, gate)
            note = images_note(gate, failed, there)
            LOGGER.warning('%s', note)
            cohort = replace(cohort, notes=(*cohort.notes, note))
            rows += failed
    return _gated(cohort, rows)


def _gated(cohort: Cohort, rows: Sequence[FailedCriterion]) -> Gated:
    """Join a cohort with the criteria that its images did not meet."""
    return Gated(cohort, pd.DataFrame(rows) if rows else None)


def _participant_level(cohort: Cohort) -> tuple[Cohort, list[FailedCriterion]]:
    """Leave out the BOLD series that failed the gate of the participant level."""
    flow = cohort.flow.copy()
    rows: list[FailedCriterion] = []
    figures = _figures(cohort.qc, 'func')
    there = flow[(flow['modality'] == 'func') & (flow['status'] == 'run')]
    for index, row in there.iterrows():
        own = figures.get(_key(row), {})
        if own.get('gate') != 'fail':
            continue
        reason = f'gate of the participant level: {own.get("gate_reason")}'
        flow.loc[index, ['status', 'reason']] = ['exclude', reason]
        rows.append(
            {
                'participant_id': row['participant_id'], 'session_id': row['session_id'],
                'modality': 'func', 'criterion': 'func_gate', 'definition': 'n/a',
                'value': np.nan, 'threshold': 'pass', 'verdict': 'fail', 'reason': reason,
            }
        )  # fmt: skip
    if not rows:
        return cohort, rows
    note = (
        f'Function: {len(rows)} of {len(there)} sessions failed the gate at the participant '
        'level; qc/exclusions.tsv says why.'
    )
    LOGGER.warning('%s', note)
    return replace(cohort, flow=flow, notes=(*cohort.notes, note)), rows


def _key(row: pd.Series) -> tuple[str, str]:
    """Return participant and session of a row of the flow."""
    visit = row['session_id']
    return row['participant_id'], '' if pd.isna(visit) else visit


def _spectra(cohort: Cohort, gate: Gate, data_dir: Path, source: str) -> Cohort:
    """Judge every spectrum and its levels again."""
    flow = cohort.flow
    sessions = _sessions(flow)
    verdicts: dict[tuple[str, str | None, str], Verdict] = {}
    earlier: dict[tuple[str, str | None], list[tuple[str, dict[str, object]]]] = defaultdict(list)
    for subject, session, voxel, table in read_tables('mrs_quality', data_dir, sessions):
        row = {} if table.empty else dict(table.iloc[0])
        label = ' '.join(part for part in (subject, session, voxel) if part)
        verdicts[subject, session, voxel] = judge_again(gate, row, f'{source}: {label}')
        earlier[subject, session].append((voxel, row))
    judged = {key: quality_verdict(gate, verdict) for key, verdict in verdicts.items()}
    # in both directions: a looser gate brings back whom the stricter one left out
    flow = _flow_of_spectra(flow, earlier, judged)
    old, new = excluded_note(cohort.flow), excluded_note(flow)
    notes = [note for note in cohort.notes if note not in old] + new
    if new != old:
        LOGGER.warning('%s', ' '.join(new) or 'Under the gate of the model every spectrum passes.')
    return replace(
        cohort, flow=flow, notes=tuple(notes), judged=judged,
        qc=read_quality(data_dir, sessions, None, judged, cohort.scanners),
        mrs=_levels(cohort.mrs, gate, verdicts, source),
    )  # fmt: skip


def _sessions(flow: pd.DataFrame) -> list[tuple[str, str | None]]:
    """List the participants and sessions of the flow."""
    keys = flow[KEYS].drop_duplicates().itertuples(index=False, name=None)
    return [(who, None if pd.isna(visit) else visit) for who, visit in keys]


def _flow_of_spectra(
    flow: pd.DataFrame,
    earlier: Mapping[tuple[str, str | None], Sequence[tuple[str, Mapping[str, object]]]],
    judged: Mapping[tuple[str, str | None, str], Mapping[str, object]],
) -> pd.DataFrame:
    """Write the new verdict of each session; one whose tables are broken stays left out."""
    flow = flow.copy()
    for index, row in flow[flow['modality'] == 'mrs'].iterrows():
        key = (row['participant_id'], None if pd.isna(row['session_id']) else row['session_id'])
        told = earlier.get(key, [])
        # whom a person or a broken file left out is not brought back by a gate
        by_gate = row['status'] == 'exclude' and row['reason'] == excluded_because(told)
        if not told or not (row['status'] == 'run' or by_gate):
            continue
        why = excluded_because([(voxel, judged[*key, voxel]) for voxel, _ in told])
        if why or by_gate:
            flow.loc[index, ['status', 'reason']] = ['exclude' if why else 'run', why]
    return flow


def _levels(
    mrs: pd.DataFrame | None,
    gate: Gate,
    verdicts: Mapping[tuple[str, str | None, str], Verdict],
    source: str,
) -> pd.DataFrame | None:
    """Give every level its new verdict; one without a table of quality fails."""
    if mrs is None:
        return None
    # levels whose quality is not known cannot have passed
    nobody = Verdict(False, (), ('no table of quality',))
    parts = []
    key: Any
    for key, levels in mrs.groupby([*KEYS, 'voxel'], sort=False, dropna=False):
        who, visit, voxel = (None if pd.isna(part) else str(part) for part in key)
        spectrum = verdicts.get((str(who), visit, str(voxel)), nobody)
        label = ' '.join(part for part in (who, visit, voxel) if part)
        parts.append(judge_levels_again(gate, levels, spectrum, f'{source}: {label}'))
    new = pd.concat(parts).reindex(mrs.index)
    return mrs.assign(**{str(name): new[name] for name in new})


def _images(cohort: Cohort, gate: SessionGate) -> tuple[Cohort, list[FailedCriterion]]:
    """Leave out the sessions whose images do not meet a gate."""
    flow = cohort.flow.copy()
    rows: list[FailedCriterion] = []
    figures = _figures(cohort.qc, gate.modality)
    own = (flow['modality'] == gate.modality) & (flow['status'] == 'run')
    for index, row in flow[own].iterrows():
        own_figures = figures.get(_key(row), {})
        own_gate = gate_for(gate, own_figures)
        verdict = judge_session(own_gate, own_figures)
        if verdict.passed:
            continue
        flow.loc[index, ['status', 'reason']] = ['exclude', verdict.reasons]
        # what is sampled on bad surfaces is bad as well, whatever its own figures say
        if gate.modality == 'anat':
            flow = _without_surface(flow, row, verdict.reasons)
        rows += _failed(row, own_gate, verdict)
    return replace(cohort, flow=flow), rows


def _without_surface(flow: pd.DataFrame, row: pd.Series, reasons: str) -> pd.DataFrame:
    """Leave out the other maps of a session whose surfaces are left out."""
    visit, same = row['session_id'], flow['participant_id'] == row['participant_id']
    same &= flow['session_id'].isna() if pd.isna(visit) else flow['session_id'] == visit
    same &= flow['modality'].isin(['dwi', 'mtr']) & (flow['status'] == 'run')
    flow.loc[same, ['status', 'reason']] = ['exclude', f'T1w image: {reasons}']
    return flow


def _figures(qc: pd.DataFrame | None, modality: str) -> dict[tuple[str, str], dict[str, object]]:
    """Return the figures of one modality by participant and session."""
    if qc is None:
        return {}
    prefix = f'{modality}_'
    names = [name for name in qc.columns if name.startswith(prefix)]
    visits = visits_of(qc)
    own = qc[names].rename(columns=lambda name: name.removeprefix(prefix))
    keys = zip(qc['participant_id'], visits, strict=True)
    return dict(zip(keys, records(own), strict=True))


def _failed(row: pd.Series, gate: SessionGate, verdict: Verdict) -> list[FailedCriterion]:
    """Write a row for each criterion that was not met."""
    return [
        {
            'participant_id': row['participant_id'], 'session_id': row['session_id'],
            'modality': gate.modality, 'criterion': criterion.threshold.metric,
            'definition': criterion.threshold.definitions[0], 'value': criterion.value,
            'threshold': str(criterion.threshold).removeprefix(f'{criterion.threshold.metric} '),
            'verdict': 'fail', 'reason': f'gate {gate.name}: {criterion}',
        }
        for criterion in verdict.criteria if criterion.outcome != 'pass'
    ]  # fmt: skip


def of_gates(images: pd.DataFrame | None) -> Verdicts:
    """Return the images that fail a gate as verdicts, so that their maps are left out alike.

    Parameters
    ----------
    images : DataFrame, optional
        `Gated.images`: a row for each criterion that was not met.

    Returns
    -------
    Verdicts
        One row for each session and modality, with the reason of its first criterion and no
        rater; none without ``images``.
    """
    if images is None:
        return Verdicts()
    table = images.assign(rater=np.nan)[COLUMNS]
    return Verdicts(table.drop_duplicates([*KEYS, 'modality'], ignore_index=True))


def sessions_left_out(images: pd.DataFrame | None) -> list[tuple[str, str, str]]:
    """List participant, session and modality of the images that fail, in order.

    Parameters
    ----------
    images : DataFrame, optional
        `Gated.images`: a row for each criterion that was not met.

    Returns
    -------
    list of (str, str, str)
        Each once; the session is empty in data without sessions.
    """
    if images is None:
        return []
    names = images[[*KEYS, 'modality']].astype(object)
    return sorted(set(names.where(names.notna(), '').itertuples(index=False, name=None)))
