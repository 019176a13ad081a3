"""What the output folder knows of the cohort: people, visits, spectra and quality measures.

The group level reads nothing else: no raw data, no index, no earlier list of subjects. A person
without usable outputs is a row in the flow table, never a crash.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypedDict

import pandas as pd

from bids_acc.derivatives.outputs import ENTITIES, find_outputs, output_spec
from bids_acc.derivatives.records import Ledger
from bids_acc.exceptions import BidsAccError, MissingInputError, NothingSelectedError
from bids_acc.group.cohort.acquisition import PLACES, kind_of_protocol, scanners_of
from bids_acc.group.cohort.people import read_participants, read_people
from bids_acc.group.cohort.quality import KEYS, deviation_notes
from bids_acc.group.cohort.spectra_gate import excluded_because
from bids_acc.group.statistics.study.sessions import visit_order
from bids_acc.modalities import IF_ANY
from bids_acc.tables.cells import records
from bids_acc.tables.reading import IDS, read_tsv

LOGGER = logging.getLogger(__name__)

MODALITY_OUTPUTS: Mapping[str, tuple[str, ...]] = {
    'anat': ('anat_thickness', 'anat_area'),
    'dwi': ('dwi_vertex_fa', 'dwi_vertex_md', 'dwi_vertex_mo'),
    'func': ('func_qc',),
    'mtr': ('mtr_qc',),
    'mrs': ('mrs_quantities', 'mrs_quality'),
}
"""Outputs of the participant level that the group level needs, by modality."""

QC_TABLES: Mapping[str, str] = {
    'anat': 'anat_qc',
    'dwi': 'dwi_qc',
    'func': 'func_qc',
    'mtr': 'mtr_qc',
    'mrs': 'mrs_quality',
}
"""Tables of quality measures, one row for each session or spectrum."""


SIDE_BY_SIDE = (
    'snr_lcm', 'snr_noise', 'snr_lcmodel', 'snr_spectrum', 'snr_osprey', 'snr_recomputed',
    'fwhm_hz', 'fwhm_ppm', 'fwhm_lcmodel_ppm', 'fwhm_fsl_hz', 'fwhm_osprey_hz',
    'fwhm_recomputed_hz', 'fwhm_water_hz', 'residual_water_ratio', 'drift_hz',
    'n_transients_used', 'f_gm', 'f_wm', 'f_csf', 'voxel_in_image_fraction',
    'voxel_in_tissue_fraction', 'voxel_in_acc_fraction', 'artefacts', 'gate', 'gate_reasons',
)  # fmt: skip
"""What is kept of the quality of second voxels, beside that of the first."""


class GroupPlanRow(TypedDict):
    """What the group level can use of one modality of a session."""

    participant_id: str
    session_id: str | None
    """None in data without sessions."""
    modality: str
    status: str
    """run, exclude or skip."""
    reason: str
    inputs: list[str]
    """Files of the participant level."""


@dataclass(frozen=True)
class Cohort:
    """People and their tables."""

    participants: pd.DataFrame
    """One row for each participant and session, with all columns of participants.tsv."""
    mrs: pd.DataFrame | None
    """Metabolite levels in long form."""
    qc: pd.DataFrame | None
    """One row for each participant and session; columns named ``<modality>_<measure>``."""
    flow: pd.DataFrame
    """One row for each participant, session and modality: usable or why not."""
    notes: Sequence[str] = field(default_factory=tuple)
    not_joined: Mapping[str, str] = field(default_factory=dict)
    """Columns of tables that could not be joined, each with the reason."""
    scanners: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Where and how each modality of a session was measured; see `scanners_of`."""
    judged: Mapping[tuple[str, str | None, str], Mapping[str, object]] = field(
        default_factory=dict
    )
    """Columns of the table of quality with the verdict of a model's gate, by participant, session
    and voxel; empty where the participant level's verdicts count."""


def sessions_on_disk(output_dir: Path) -> list[tuple[str, str | None]]:
    """List subjects and sessions that have a folder of results, with prefixes.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.

    Returns
    -------
    list of (str, str or None)
        ``sub-`` and ``ses-`` names in alphabetical order; None in data without sessions.
    """
    found: list[tuple[str, str | None]] = []
    for subject in sorted(p for p in output_dir.glob('sub-*') if p.is_dir()):
        visits = sorted(p.name for p in subject.glob('ses-*') if p.is_dir())
        found += [(subject.name, visit) for visit in visits] or [(subject.name, None)]
    return found


def plan_group(
    output_dir: Path, participant_labels: Sequence[str] = (), session_labels: Sequence[str] = ()
) -> list[GroupPlanRow]:
    """Tell for each participant, session and modality whether the group level can use it.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.
    participant_labels, session_labels : sequence of str
        Labels without prefix; none means all.

    Returns
    -------
    list of dict
        With ``participant_id, session_id, modality, status, reason, inputs``.

    Raises
    ------
    MissingInputError
        If the folder is absent or holds no results.
    NothingSelectedError
        If the labels match nothing.
    """
    if not output_dir.is_dir() or not sessions_on_disk(output_dir):
        raise MissingInputError(
            f'{output_dir} holds no results of the participant level; run '
            f'`bids_acc BIDS_DIR {output_dir} participant` first.'
        )
    there = sessions_on_disk(output_dir)
    _check_labels(participant_labels, {s.removeprefix('sub-') for s, _ in there}, 'participant')
    _check_labels(
        session_labels, {v.removeprefix('ses-') for _, v in there if v is not None}, 'session'
    )
    wanted = [
        (s, v) for s, v in there
        if (not participant_labels or s.removeprefix('sub-') in participant_labels)
        and (not session_labels or v is None or v.removeprefix('ses-') in session_labels)
    ]  # fmt: skip
    modalities = [
        n for n in MODALITY_OUTPUTS if n not in IF_ANY or find_outputs(f'{n}_qc', output_dir)
    ]
    rows = [
        _plan_row(output_dir, subject, session, modality)
        for subject, session in wanted
        for modality in modalities
    ]
    # who is listed without results stays in the plan: losses before the first image are losses,
    # too
    known = {subject for subject, _ in there}
    for subject in _listed_participants(output_dir, known):
        label = subject.removeprefix('sub-')
        if subject not in known and (not participant_labels or label in participant_labels):
            rows += [
                _row(subject, None, modality, 'skip', 'listed in participants.tsv, but no results')
                for modality in modalities
            ]
    return rows


def has_function(output_dir: Path) -> bool:
    """Tell whether anybody has results of a BOLD series; without, no output speaks of function.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.

    Returns
    -------
    bool
        True if there is one table of quality of a BOLD series.
    """
    return bool(find_outputs('func_qc', output_dir))


def rest_first(label: str) -> tuple[bool, str]:
    """Order tasks: rest comes first, then the others by name.

    Parameters
    ----------
    label : str
        Name of a task, with or without prefix.

    Returns
    -------
    (bool, str)
        Key for sorting.

    Examples
    --------
    >>> sorted(['task-hariri', 'task-rest'], key=rest_first)
    ['task-rest', 'task-hariri']
    """
    return 'rest' not in label.lower(), label


def _check_labels(asked: Iterable[str], there: set[str], what: str) -> None:
    """Refuse labels that match nothing."""
    if missing := sorted(set(asked) - there):
        listed = ', '.join(sorted(there)[:20]) or 'none'
        raise NothingSelectedError(
            f'--{what}-label {" ".join(missing)} matches nothing; there is: {listed}.'
        )


def _row(
    subject: str,
    session: str | None,
    modality: str,
    status: str,
    reason: str = '',
    inputs: Sequence[str] = (),
) -> GroupPlanRow:
    """Write one row of the plan."""
    return {
        'participant_id': subject,
        'session_id': session,
        'modality': modality,
        'status': status,
        'reason': reason,
        'inputs': list(inputs),
    }


def _plan_row(output_dir: Path, subject: str, session: str | None, modality: str) -> GroupPlanRow:
    """Look for the outputs of one modality."""
    entities = {
        'subject': subject.removeprefix('sub-'),
        'session': None if session is None else session.removeprefix('ses-'),
    }
    files, missing = [], []
    for key in MODALITY_OUTPUTS[modality]:
        found = find_outputs(key, output_dir, **entities)
        files += [str(item.path) for item in found]
        if not found:
            missing.append(key)
    if not files:
        reason = f'no {", ".join(missing)}: not processed, or failed (see logs/*/status.tsv)'
        return _row(subject, session, modality, 'skip', reason)
    reason = f'no {", ".join(missing)}' if missing else ''
    if modality == 'mrs':
        try:
            why = _excluded_spectra(output_dir, entities)
        except BidsAccError as error:
            why = str(error)
        if why:
            return _row(subject, session, modality, 'exclude', why, files)
    return _row(subject, session, modality, 'run', reason, files)


def _excluded_spectra(output_dir: Path, entities: Mapping[str, str | None]) -> str:
    """Say why none of the spectra of a session passes its gate; empty when one does.

    Raises
    ------
    InputDataError, MissingInputError
        If one of its tables cannot be read, or is not what was written.
    """
    ledger, verdicts = Ledger(output_dir), []
    for found in find_outputs('mrs_quantities', output_dir, **entities):
        read_tsv(ledger.intact(found.path))
    for found in find_outputs('mrs_quality', output_dir, **entities):
        table = read_tsv(ledger.intact(found.path))
        row = {} if table.empty else dict(table.iloc[0])
        verdicts.append((voxel_name(found.entities), row))
    return excluded_because(verdicts)


def _listed_participants(output_dir: Path, known: set[str]) -> list[str]:
    """List the participants that the cohort's table names."""
    table = read_participants(output_dir, known)
    return [] if table is None else sorted(set(table.frame['participant_id']))


def load_cohort(output_dir: Path, plan: Sequence[GroupPlanRow]) -> Cohort:
    """Read everything about the cohort but its images.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.
    plan : sequence of mapping
        From `plan_group`.

    Returns
    -------
    Cohort
    """
    notes: list[str] = []
    sessions = list(dict.fromkeys((r['participant_id'], r['session_id']) for r in plan))
    known = {subject for subject, _ in sessions_on_disk(output_dir)}
    people = read_people(output_dir, sessions, known, visit_order)
    participants = people.frame
    for note in people.notes:
        LOGGER.warning('%s', note)
    notes += people.notes
    flow = pd.DataFrame(plan).drop(columns='inputs')
    scanners = read_scanners(output_dir, sessions)
    qc = read_quality(output_dir, sessions, scanners=scanners)
    for note in deviation_notes(qc, participants):
        LOGGER.warning('%s', note)
        notes.append(note)
    notes += excluded_note(flow)
    return Cohort(
        participants=participants,
        mrs=read_mrs(output_dir, sessions),
        qc=qc,
        flow=flow,
        notes=tuple(notes),
        not_joined=people.not_joined,
        scanners=scanners,
    )


def excluded_note(flow: pd.DataFrame) -> list[str]:
    """Count the sessions without a spectrum that passed; nothing where there are none.

    Parameters
    ----------
    flow : DataFrame
        `Cohort.flow`: a row for each participant, session and modality.

    Returns
    -------
    list of str
        One sentence or none.
    """
    spectra = flow[(flow['modality'] == 'mrs') & flow['status'].isin(['run', 'exclude'])]
    excluded = int((spectra['status'] == 'exclude').sum())
    if not excluded:
        return []
    return [f'Spectra: {excluded} of {len(spectra)} sessions are excluded; qc/flow.tsv says why.']


def names_in(content: object) -> set[str]:
    """Collect every text in a nested structure: the columns that a model file may mean.

    Parameters
    ----------
    content : object
        Content of a JSON or YAML file: mappings, lists, texts and numbers. Keys of mappings
        are not names.

    Returns
    -------
    set of str
        Each text once; not all of them are columns.

    Examples
    --------
    >>> sorted(names_in({'Clinical': {'Scores': ['panss', 'gaf']}, 'Alpha': 0.05}))
    ['gaf', 'panss']
    """
    if isinstance(content, str):
        return {content}
    if isinstance(content, Mapping):
        return set().union(*(names_in(value) for value in content.values()))
    if isinstance(content, list | tuple):
        return set().union(*(names_in(value) for value in content))
    return set()


def voxel_name(entities: Mapping[str, str]) -> str:
    """Name a spectrum by the BIDS entities that tell it from others of its session.

    Parameters
    ----------
    entities : mapping of str to str
        Long names of entities and their values, from the file's name.

    Returns
    -------
    str
        Entities in the order of BIDS; ``svs`` when none is left.

    Examples
    --------
    >>> voxel_name({'subject': '01', 'acquisition': 'press', 'voi': 'ACC', 'suffix': 'svs'})
    'acq-press_voi-ACC'
    """
    fixed = {'subject', 'session', 'suffix', 'extension', 'description'}
    parts = [f'{s}-{entities[n]}' for n, s in ENTITIES.items() if n in entities and n not in fixed]
    return '_'.join(parts) or 'svs'


def read_tables(
    key: str,
    output_dir: Path,
    sessions: Sequence[tuple[str, str | None]],
    text: Collection[str] = IDS,
) -> list[tuple[str, str | None, str, pd.DataFrame]]:
    """Read all tables of one output key, with participant, session and voxel.

    A table that cannot be read, or is not what was written, is left out and named; columns in
    ``text`` are text whatever they hold.

    Parameters
    ----------
    key : str
        Key in ``data/outputs``, for example ``mrs_quantities``.
    output_dir : Path
        Root of the derivative data set.
    sessions : sequence of (str, str or None)
        Participants and sessions that are wanted, with prefixes.
    text : collection of str
        Columns that are not to become numbers.

    Returns
    -------
    list of (str, str or None, str, DataFrame)
        Participant, session, `voxel_name` and the table as it was written.
    """
    wanted, ledger = set(sessions), Ledger(output_dir)
    tables = []
    for found in find_outputs(key, output_dir):
        subject = f'sub-{found.entities["subject"]}'
        visit = found.entities.get('session')
        session = None if visit is None else f'ses-{visit}'
        # tables of people who were not asked for are not even opened
        if (subject, session) in wanted:
            try:
                # a file that was changed or cut off since it was written is not read as if it
                # were whole
                table = read_tsv(ledger.intact(found.path), text=text)
            except BidsAccError as error:
                LOGGER.warning('%s It is left out.', error)
                continue
            tables.append((subject, session, voxel_name(found.entities), table))
    return tables


def read_mrs(output_dir: Path, sessions: Sequence[tuple[str, str | None]]) -> pd.DataFrame | None:
    """Read the metabolite levels of all spectra into one long table.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.
    sessions : sequence of (str, str or None)
        Participants and sessions that are wanted, with prefixes.

    Returns
    -------
    DataFrame, optional
        One row for each spectrum and metabolite; ``participant_id, session_id, voxel`` first,
        then the columns of ``mrs_quantities``. None when nobody has a level.
    """
    tables = [
        table.assign(participant_id=subject, session_id=session, voxel=voxel)
        for subject, session, voxel, table in read_tables('mrs_quantities', output_dir, sessions)
        if len(table)
    ]
    if not tables:
        return None
    joined = pd.concat(tables, ignore_index=True)
    first = [*KEYS, 'voxel']
    return joined[[*first, *(c for c in joined.columns if c not in first)]]


def read_scanners(output_dir: Path, sessions: Sequence[tuple[str, str | None]]) -> pd.DataFrame:
    """Read where and how each modality of each session was measured.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.
    sessions : sequence of (str, str or None)
        Participants and sessions that are wanted, with prefixes.

    Returns
    -------
    DataFrame
        See `scanners_of`.
    """
    text = {*IDS, *output_spec('session_scanner').columns}
    return scanners_of(read_tables('session_scanner', output_dir, sessions, text))


def _with_scanners(frame: pd.DataFrame, scanners: pd.DataFrame) -> pd.DataFrame:
    """Add where and how each modality was measured, in columns ``<modality>_<what>``."""
    if scanners.empty:
        return frame
    rows: dict[tuple[object, object], dict[str, object]] = {}
    for one in records(scanners):
        key = (one['participant_id'], one['session_id'])
        row = rows.setdefault(key, dict(zip(KEYS, key, strict=True)))
        about = {name: one.get(name) for name in PLACES}
        about['protocol'] = kind_of_protocol(one) or None
        row |= {f'{one["modality"]}_{name}': value for name, value in about.items()}
    found = pd.DataFrame(rows.values())
    told = [c for c in found if c not in (*KEYS, *frame) and found[c].notna().any()]
    return frame.merge(found[[*KEYS, *told]], on=KEYS, how='left', sort=False)


def read_quality(
    output_dir: Path,
    sessions: Sequence[tuple[str, str | None]],
    names: Mapping[str, str] | None = None,
    judged: Mapping[tuple[str, str | None, str], Mapping[str, object]] = MappingProxyType({}),
    scanners: pd.DataFrame | None = None,
) -> pd.DataFrame | None:
    """Read the quality measures of all modalities, side by side.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.
    sessions : sequence of (str, str or None)
        Participants and sessions, with prefixes.
    names : mapping of str to str, optional
        Label of each spectrum (`voxel_name`) to the voxel that it is one of. Those of the first
        voxel stand for the session; columns of the others (`SIDE_BY_SIDE`) end in their name.
        Without it, of several spectra of a session the first by name stands for it.
    judged : mapping, optional
        Verdicts of a model's gate (`Cohort.judged`), which take the place of those in the tables.
    scanners : DataFrame, optional
        Result of `read_scanners`, where it is known already.

    Returns
    -------
    DataFrame or None
        One row for each session; columns ``<modality>_<measure>``.
    """
    frame = pd.DataFrame(sessions, columns=KEYS)
    first = next(iter(names.values()), '') if names else ''
    for modality, key in QC_TABLES.items():
        rows: dict[tuple[str, str | None], dict[str, object]] = {}
        tables = read_tables(key, output_dir, sessions)
        # figures are those of the run whose values are compared
        if modality in IF_ANY:  # of several tasks rest stands for the session
            tables = sorted(tables, key=lambda one: (one[0], one[1] or '', rest_first(one[2])))
        for subject, session, label, table in tables:
            if not len(table):
                continue
            row, ending = dict(table.iloc[0]), ''
            if modality == 'mrs':
                row |= judged.get((subject, session, label), {})
                if names is not None:
                    if label not in names:
                        continue
                    ending = '' if names[label] == first else f'__{names[label]}'
            values = {
                f'{modality}_{k}{ending}': v for k, v in row.items()
                if k not in KEYS and (not ending or k in SIDE_BY_SIDE)
            }  # fmt: skip
            known = rows.setdefault(
                (subject, session), dict(zip(KEYS, (subject, session), strict=True))
            )
            # the first spectrum or run of a session is its figure; a second one would overwrite
            # half a row
            if not known.keys() & values.keys():
                known |= values
        if rows:
            frame = frame.merge(pd.DataFrame(rows.values()), on=KEYS, how='left', sort=False)
    known_places = read_scanners(output_dir, sessions) if scanners is None else scanners
    frame = _with_scanners(frame, known_places)
    return frame if len(frame.columns) > len(KEYS) else None
