"""From a BIDS folder to sessions, with the reason for whatever is missing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bids_acc.bids.anatomy import find_anat
from bids_acc.bids.bold import LEAVES_NONE, find_bold, nothing_prepared
from bids_acc.bids.bold_runs import find_raw_runs
from bids_acc.bids.diffusion import find_noddi, find_preprocessed, noddi_refusal
from bids_acc.bids.diffusion_runs import find_raw
from bids_acc.bids.finished import find_finished
from bids_acc.bids.index import ImageIndex
from bids_acc.bids.inputs import (
    AnatInputs,
    DwiInputs,
    FuncInputs,
    MrsInputs,
    MtrInputs,
    PlanRow,
    PlanStatus,
    Session,
)
from bids_acc.bids.layout import (
    ClosedFolderError,
    FilteredError,
    NothingThereError,
    check_open,
    query_images,
)
from bids_acc.bids.near_misses import near_misses
from bids_acc.bids.remembered import Memory
from bids_acc.bids.selection import (
    FILTER_QUERIES,
    Selection,
    choose_labels,
    folders_without_label,
    session_labels,
    subject_labels,
)
from bids_acc.bids.spectra import PartlyBrokenError, find_spectra
from bids_acc.bids.tract_tables import find_tracts
from bids_acc.bids.transfer import find_mtr
from bids_acc.exceptions import BidsAccError, ExitCode, MissingInputError, NothingSelectedError
from bids_acc.modalities import IF_ANY, MODALITIES

LOGGER = logging.getLogger(__name__)
Found = AnatInputs | DwiInputs | FuncInputs | MtrInputs | tuple[MrsInputs, ...] | None
"""Inputs of a modality of a session; None where there are none."""
QUERY_OF = {'anat': 't1w', 'dwi': 'dwi', 'func': 'bold', 'mtr': 'mtr', 'mrs': 'svs'}
"""The query of a filter file by which a modality is found."""
CLOSED = 'closed'
"""Reason code of a modality whose folder cannot be looked into."""
MISNAMED = 'misnamed'
"""Reason code of a modality of which there are files with other names, folders or endings."""
FILTERED = 'filtered'
"""Reason code of a modality of which a filter left nothing."""


def discover(
    index: ImageIndex, selection: Selection, memory: Memory | None = None
) -> list[Session]:
    """Find what each selected session offers.

    Parameters
    ----------
    index : ImageIndex
        Of the data set.
    selection : Selection
        Wanted subjects, sessions, filters and modalities.
    memory : Memory, optional
        What an earlier call has found.

    Returns
    -------
    list of Session
        Sorted; each with one plan row for each modality, whose status is ``run``, ``skip``
        or ``fail``.

    Raises
    ------
    NothingSelectedError
        If the labels match nothing, or no selected session has a usable modality.
    """
    root = index.root
    subjects = choose_labels(selection.participant_labels, subject_labels(root), 'participant')
    wanted_sessions = choose_labels(
        selection.session_labels, session_labels(root, subjects), 'session'
    )
    sessions = []
    for subject in subjects:
        found = memory.recall(subject) if memory is not None else None
        if found is None:
            found = _discover_person(index, subject, wanted_sessions, selection)
            if memory is not None:
                memory.keep(subject, found)
        sessions += found
    sessions += _refused_sessions(root, subjects, selection)
    if not sessions:
        raise NothingSelectedError(
            f'No session is left after --session-label {" ".join(selection.session_labels)}.'
        )
    absent = [name for name in IF_ANY if _has_none(sessions, selection, name)]
    return _without(sessions, absent) if absent else sessions


def _has_none(sessions: Sequence[Session], selection: Selection, modality: str) -> bool:
    """Tell whether nobody has this modality and it was not asked for by name either."""
    asked = modality in selection.modalities and len(selection.modalities) < len(MODALITIES)
    codes = ('no_data', 'not_selected', 'bad_label', CLOSED)
    return not asked and all(session.row(modality).reason_code in codes for session in sessions)


def _without(sessions: Sequence[Session], modalities: Sequence[str]) -> list[Session]:
    """Take the rows of some modalities out of the plan."""
    return [
        replace(session, plan=tuple(r for r in session.plan if r.modality not in modalities))
        for session in sessions
    ]


def _refused_sessions(root: Path, subjects: Sequence[str], selection: Selection) -> list[Session]:
    """Name the folders that belong to nobody who could be asked for."""
    refused = []
    for subject, session, reason in folders_without_label(root, subjects):
        if session is None and selection.participant_labels:
            continue  # others were asked for
        row = PlanRow(
            participant_id=f'sub-{subject}',
            session_id=None if session is None else f'ses-{session}',
            modality='',
            status='fail',
            reason=reason,
            reason_code='bad_label',
            exit_code=ExitCode.BAD_DATA,
        )
        rows = (
            replace(row, modality=name)
            if name in selection.modalities
            else replace(_not_asked(row), modality=name)
            for name in MODALITIES
        )
        refused.append(Session(subject, session, None, None, (), tuple(rows)))
    return refused


def _not_asked(row: PlanRow) -> PlanRow:
    """Turn a row into one of a modality that was not asked for."""
    return replace(
        row, status='skip', reason='not asked for', reason_code='not_selected',
        exit_code=ExitCode.OK,
    )  # fmt: skip


def _discover_person(
    index: ImageIndex, subject: str, wanted_sessions: Sequence[str], selection: Selection
) -> list[Session]:
    """Find the modalities of the wanted sessions of one person."""
    visits = session_labels(index.root, [subject])
    chosen: list[str | None] = [v for v in visits if v in wanted_sessions]
    if not visits:
        chosen = [None]
    return [_discover_session(index, subject, visit, selection) for visit in chosen]


def _discover_session(
    index: ImageIndex, subject: str, session: str | None, selection: Selection
) -> Session:
    """Find the modalities of one session; a broken one never hides the others."""
    found: dict[str, Any] = {'anat': None, 'dwi': None, 'func': None, 'mtr': None, 'mrs': ()}
    rows = []
    for modality in MODALITIES:
        row = PlanRow(
            participant_id=f'sub-{subject}',
            session_id=None if session is None else f'ses-{session}',
            modality=modality,
            status='skip',
            reason='not asked for',
            reason_code='not_selected',
        )
        if modality in selection.modalities:
            # MODALITIES begins with anat, so that this is known when the others ask for it.
            has_anat = found['anat'] is not None
            row, found[modality] = _plan_modality(
                row, index, subject, session, selection, has_anat=has_anat
            )
        rows.append(row)
    usable = tuple(s for s in found['mrs'] if not s.problem)
    broken = tuple(s for s in found['mrs'] if s.problem)
    return Session(
        subject, session, found['anat'], found['dwi'], usable, tuple(rows), broken, found['func'],
        found['mtr'],
    )  # fmt: skip


def _filtered_out(
    index: ImageIndex, subject: str, session: str | None, selection: Selection, modality: str
) -> str:
    """Say that a filter took all files of a modality away; empty where it did not."""
    name = QUERY_OF[modality]
    if not selection.filters.get(name) or query_images(
        index, subject, session, selection.filters, name
    ):
        return ''
    n_files = len(query_images(index, subject, session, {}, name))
    if not n_files:
        return ''
    return f'--bids-filter-file: {name} leaves none of {n_files} file{"s"[: n_files > 1]}'


def _nearly_there(root: Path, subject: str, session: str | None, modality: str) -> str:
    """Name files that were probably meant for a modality; empty where there are none."""
    if modality in ('mrs', 'mtr'):  # the first names what lies there itself
        return ''
    query = FILTER_QUERIES[QUERY_OF[modality]]
    return near_misses(root, subject, session, query['datatype'], query['suffix'])


def _plan_modality(
    row: PlanRow, index: ImageIndex, subject: str, session: str | None, selection: Selection,
    *, has_anat: bool,
) -> tuple[PlanRow, Found]:  # fmt: skip
    """Find one modality; say what will be done with it, and why."""
    nothing: Found = () if row.modality == 'mrs' else None
    inputs: Found
    try:
        inputs, notes = _choose(
            row.modality, index, subject, session, selection, has_anat=has_anat
        )
    except NothingThereError as absent:
        said = str(absent) if isinstance(absent, FilteredError) else ''
        said = said or _filtered_out(index, subject, session, selection, row.modality)
        if said:
            return replace(row, reason=said, reason_code=FILTERED), nothing
        nearly = _nearly_there(index.root, subject, session, row.modality)
        if nearly:
            return replace(row, reason=f'{absent}; {nearly}', reason_code=MISNAMED), nothing
        return replace(row, reason=str(absent), reason_code='no_data'), nothing
    except PartlyBrokenError as partly:
        usable = tuple(spectrum for spectrum in partly.inputs if not spectrum.problem)
        status: PlanStatus = 'run' if usable else 'fail'
        return replace(
            row, status=status, reason=partly.reason, reason_code='bad_input',
            inputs=_paths(usable), exit_code=partly.exit_code,
        ), partly.inputs  # fmt: skip
    except BidsAccError as error:
        code = CLOSED if isinstance(error, ClosedFolderError) else error.exit_code.name.lower()
        return replace(
            row, status='fail', reason=str(error), reason_code=code, exit_code=error.exit_code
        ), nothing  # fmt: skip
    except Exception as error:
        # nothing that one session holds may stop the others, not even what we did not think of
        LOGGER.exception('%s %s: not planned', row.participant_id, row.modality)
        return replace(
            row, status='fail', reason=f'cannot be planned ({type(error).__name__}: {error})',
            reason_code=ExitCode.INTERNAL.name.lower(), exit_code=ExitCode.INTERNAL,
        ), nothing  # fmt: skip
    reason = '; '.join(notes)
    return replace(row, status='run', reason=reason, reason_code='', inputs=_paths(inputs)), inputs


def _choose(
    modality: str, index: ImageIndex, subject: str, session: str | None, selection: Selection,
    *, has_anat: bool,
) -> tuple[Found, list[str]]:  # fmt: skip
    """Find the files of one modality, and say what there is to say about them."""
    try:
        if modality == 'dwi':
            return _choose_dwi(index, subject, session, selection)
        if modality == 'func':
            return _choose_func(index, subject, session, selection, has_anat=has_anat)
        if modality == 'mtr':
            return _choose_mtr(index, subject, session, selection, has_anat=has_anat)
        if modality == 'anat':
            return find_anat(
                index, subject, session, selection.filters, average=selection.anat_average
            )
        return find_spectra(index, subject, session, selection.filters)
    except (NothingThereError, PartlyBrokenError, BidsAccError, OSError):
        # what cannot be seen is not absent, and an index may know what cannot be read any more
        check_open(index.root, subject, session, FILTER_QUERIES[QUERY_OF[modality]]['datatype'])
        raise


def _paths(inputs: Found) -> tuple[str, ...]:
    """List all files of a modality."""
    units = inputs if isinstance(inputs, tuple) else (inputs,)
    return tuple(str(path) for unit in units if unit is not None for path in unit.files)


def _choose_dwi(
    index: ImageIndex, subject: str, session: str | None, selection: Selection
) -> tuple[DwiInputs, list[str]]:
    """Take a preprocessed series where there is one, else the raw ones; then NODDI maps."""
    inputs: DwiInputs | None = None
    if selection.dwi_source != 'raw':
        inputs = find_preprocessed(selection.derivatives, subject, session)
    if inputs is not None:
        names = ', '.join(run.image.name for run in inputs.runs)
        notes = [f'taken as preprocessed by {inputs.source}: {names}', *inputs.notes]
    elif selection.dwi_source == 'derivative':
        folders = ', '.join(map(str, selection.derivatives.values())) or 'none was given'
        raise MissingInputError(
            f'--dwi-source derivative: no desc-preproc_dwi of sub-{subject} in --derivatives '
            f'({folders}).'
        )
    else:
        inputs, notes = find_raw(index, subject, session, selection)
        check_open(index.root, subject, session, 'fmap')
    tracts = find_tracts(selection.derivatives, subject, session)
    notes += tracts.notes
    inputs = replace(inputs, tract_tables=tracts.files, tract_sources=tracts.sources)
    if selection.dwi_noddi == 'none':
        return inputs, notes
    maps = find_noddi(selection.derivatives, subject, session)
    if maps.files:
        notes.append(f'NODDI maps of {maps.source}')
    elif selection.dwi_noddi == 'require':
        raise MissingInputError(noddi_refusal(inputs))
    return replace(inputs, noddi=maps.files, noddi_source=maps.source), notes


def _choose_func(
    index: ImageIndex, subject: str, session: str | None, selection: Selection, *, has_anat: bool
) -> tuple[FuncInputs, list[str]]:
    """Take series that another tool has prepared, else measures that one made, else raw ones."""
    said: list[str] = []
    wanted = selection.filters.get('bold', {})
    if selection.func_source in ('auto', 'derivative'):
        inputs, said = find_bold(
            selection.derivatives, subject, session, raw_root=index.root, has_anat=has_anat,
            density=selection.density, space=selection.func_space, wanted=wanted,
        )  # fmt: skip
        if inputs is not None:
            return inputs, said
    if selection.func_source in ('auto', 'finished'):
        inputs, notes = find_finished(
            selection.derivatives, subject, session, raw_root=index.root,
            space=selection.func_space, atlas=selection.func_finished_atlas, wanted=wanted,
        )  # fmt: skip
        if inputs is not None:  # its own series, which are denoised, need no words
            return inputs, [*(t for t in said if f' of {inputs.source} ' not in t), *notes]
        said += notes
    gone = '; '.join(text for text in said if text.startswith(LEAVES_NONE))
    if selection.func_source in ('derivative', 'finished'):
        raise FilteredError(gone) if gone else _not_offered(subject, selection, said)
    try:
        runs, left_out, notes = find_raw_runs(index, subject, session, selection)
    except NothingThereError as error:
        if gone:
            raise FilteredError(gone) from error
        if said:  # series that cannot be read are no reason to say that there is nothing
            raise MissingInputError(f'{"; ".join(said)}.') from error
        raise
    if not said and selection.func_source == 'auto':
        said = nothing_prepared(selection.derivatives, subject, session)
    check_open(index.root, subject, session, 'fmap')
    return FuncInputs(raw=runs, left_out=tuple(left_out)), [*said, *notes]


def _not_offered(subject: str, selection: Selection, said: Sequence[str]) -> MissingInputError:
    """Make the error of a derivative of BOLD that was asked for and is not there."""
    kind = 'desc-preproc_bold' if selection.func_source == 'derivative' else (
        'maps or tables of XCP-D'
    )  # fmt: skip
    folders = ', '.join(map(str, selection.derivatives.values())) or 'none was given'
    return MissingInputError(
        f'--func-source {selection.func_source}: no {kind} of sub-{subject} in '
        f'--derivatives ({folders}).{"".join(f" {text}." for text in said)}'
    )


def _choose_mtr(
    index: ImageIndex, subject: str, session: str | None, selection: Selection, *, has_anat: bool
) -> tuple[MtrInputs, list[str]]:
    """Take magnetization transfer images; tissues and surfaces of the T1w image are needed."""
    inputs, notes = find_mtr(index, subject, session, selection)
    if not has_anat:
        anat = 'anat' in selection.modalities
        why = 'it cannot be used' if anat else 'add anat to --modalities'
        raise MissingInputError(
            f'{inputs.images[0]}: the T1w image of the session is needed as well ({why}).'
        )
    return inputs, notes
