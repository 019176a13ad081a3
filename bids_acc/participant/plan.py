"""What is to be done for each session, and what earlier runs have left that is still valid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bids_acc.anat.meshes import label_files
from bids_acc.anat.sources import inspect_surfaces
from bids_acc.bids import selection as chosen
from bids_acc.bids.brain_masks import MaskChoice, choose_brain_mask
from bids_acc.bids.discovery import FILTERED, discover
from bids_acc.bids.index import ImageIndex
from bids_acc.bids.inputs import PlanRow, Session
from bids_acc.bids.remembered import Memory
from bids_acc.bids.surfaces import SurfaceChoice, choose_surfaces
from bids_acc.derivatives.records import (
    Record,
    hash_files,
    read_record,
    sha256,
    still_valid,
)
from bids_acc.derivatives.status import StatusRow
from bids_acc.exceptions import BidsAccError, NothingSelectedError, SettingsError
from bids_acc.execution.configure import code_state
from bids_acc.files.meshes import TEMPLATE_MESH
from bids_acc.mrs.workflow.settings import check_mrs_settings
from bids_acc.participant.folders import check_folders
from bids_acc.participant.function import judged_row, needs_anat
from bids_acc.participant.meshes import with_mesh
from bids_acc.settings import Request, Settings, fingerprint
from bids_acc.surfaces.atlases import atlas_files


@dataclass(frozen=True)
class Job:
    """What is to be done for one session, and what can be taken over."""

    session: Session
    plan: Mapping[str, PlanRow]
    """Modality to its row, with ``reuse`` where nothing has to be computed."""
    records: Mapping[str, Record]
    """Valid records of the modalities that are reused."""
    expected: Mapping[str, Record]
    """What the records of the modalities will hold once they are done, without outputs."""
    surfaces: SurfaceChoice = field(default_factory=SurfaceChoice)
    """Where the surfaces come from."""
    brain_mask: MaskChoice = field(default_factory=MaskChoice)
    """Brain mask that is there already."""

    def wants(self, modality: str) -> bool:
        """Tell whether a modality is to be computed.

        Parameters
        ----------
        modality : str
            ``anat``, ``dwi``, ``mtr``, ``func`` or ``mrs``.

        Returns
        -------
        bool
            False also for one that was not asked for.
        """
        return modality in self.plan and self.plan[modality].status == 'run'

    def has(self, modality: str) -> bool:
        """Tell whether a modality's outputs are or will be there.

        Parameters
        ----------
        modality : str
            ``anat``, ``dwi``, ``mtr``, ``func`` or ``mrs``.

        Returns
        -------
        bool
            True if its status is ``run`` or ``reuse``.
        """
        return modality in self.plan and self.plan[modality].status in ('run', 'reuse')


def record_label(session: Session, modality: str) -> str:
    """Name the record of one modality.

    Parameters
    ----------
    session : Session
        Of a participant.
    modality : str
        ``anat``, ``dwi``, ``mtr``, ``func`` or ``mrs``.

    Returns
    -------
    str
        Such as ``sub-01_ses-1_anat``.
    """
    return f'{session.label}_{modality}'


def plan_jobs(
    sessions: Iterable[Session],
    *,
    bids_dir: Path,
    output_dir: Path,
    settings: Settings,
    derivatives: Mapping[str, Path] | None = None,
    force: bool = False,
    digest: Callable[[Path], str] = sha256,
) -> list[Job]:
    """Tell for each session what has to be computed and what can be reused.

    Parameters
    ----------
    sessions : iterable of Session
        From discovery.
    bids_dir, output_dir : Path
        Roots of the raw and the derivative data set.
    settings : Settings
        Of this run.
    derivatives : mapping, optional
        Name to folder of other tools' results.
    force : bool
        Reuse nothing.
    digest : callable
        Returns the SHA-256 of an input.

    Raises
    ------
    SettingsError
        If one brain mask is named for several images.
    """
    sessions = list(sessions)
    _check_brain_mask(sessions, settings.anat.brain_mask)
    return [
        _plan_job(
            session,
            bids_dir=bids_dir,
            output_dir=output_dir,
            settings=settings,
            derivatives=derivatives or {},
            force=force,
            digest=digest,
        )
        for session in sessions
    ]


def _check_brain_mask(sessions: Sequence[Session], asked: str) -> None:
    """Refuse one mask for several images."""
    several = len({session.anat.t1w for session in sessions if session.anat}) > 1
    if asked and several and '{' not in asked:
        raise SettingsError(
            f'--anat-brain-mask {asked} names one mask for several T1w images: put {{subject}} '
            'and {session} where the labels stand, or choose with --participant-label.'
        )


def _plan_job(
    session: Session,
    *,
    bids_dir: Path,
    output_dir: Path,
    settings: Settings,
    derivatives: Mapping[str, Path],
    force: bool,
    digest: Callable[[Path], str],
) -> Job:
    """Compare one session with the records that earlier runs left."""
    plan: dict[str, PlanRow] = {}
    records: dict[str, Record] = {}
    expected: dict[str, Record] = {}
    upstream: dict[str, str] = {}
    surfaces, mask = SurfaceChoice(), MaskChoice()
    for modality in [planned.modality for planned in session.plan]:
        row = session.row(modality)
        if modality == 'anat' and row.status == 'run':
            row, surfaces = _with_surfaces(row, session, settings, derivatives)
        if modality == 'anat' and row.status == 'run':
            row, mask = _with_brain_mask(row, session, settings, derivatives)
        if modality == 'func' and row.status == 'run' and session.func is not None:
            has_anat = 'anat' in plan and plan['anat'].status in ('run', 'reuse')
            row, func = judged_row(
                row, session.func, settings.func, has_anat=has_anat, mesh=surfaces.mesh
            )
            session = replace(session, func=func)
        plan[modality] = row
        if row.status != 'run':
            continue
        files = [Path(path) for path in row.inputs]
        if modality == 'anat':
            files += [*surfaces.files, *([mask.path] if mask.path else [])]
        label = record_label(session, modality)
        now = Record(
            label=label,
            version=code_state(),
            settings=settings_fingerprint(settings, modality),
            inputs=hash_files(files, bids_dir, digest),
            upstream=dict(upstream) if modality != 'anat' else {},
        )
        expected[modality] = now
        found = None if force else read_record(output_dir, label)
        if found is not None and still_valid(
            output_dir, found, version=now.version, settings=now.settings, inputs=now.inputs,
            upstream=now.upstream,
        ):  # fmt: skip
            reason = '; '.join(filter(None, ['already done', row.reason]))
            plan[modality] = replace(row, status='reuse', reason=reason)
            records[modality] = found
        if modality == 'anat':
            # What anat will give is known before it is computed: the same inputs, settings and
            # version. So dwi can be compared although anat may run again.
            upstream['anat'] = fingerprint(now.inputs, now.settings, now.version)
    return Job(session, plan, records, expected, surfaces, mask)


def _with_surfaces(
    row: PlanRow, session: Session, settings: Settings, derivatives: Mapping[str, Path]
) -> tuple[PlanRow, SurfaceChoice]:
    """Choose the source of surfaces, and say in the plan which it is or why there is none."""
    asked = settings.anat.surface_source
    try:
        choice = choose_surfaces(
            asked, derivatives, session.subject, session.session, inspect_surfaces
        )
        if settings.anat.mesh != TEMPLATE_MESH:
            choice = with_mesh(
                choice, settings.anat.mesh, derivatives, session.subject, session.session
            )
    except BidsAccError as error:
        return replace(
            row, status='fail', reason=str(error), reason_code=error.exit_code.name.lower(),
            exit_code=error.exit_code,
        ), SurfaceChoice()  # fmt: skip
    if derivatives and (asked != 'builtin' or choice.mesh):
        row = replace(row, reason='; '.join(filter(None, [row.reason, choice.describe()])))
    return row, choice


def _with_brain_mask(
    row: PlanRow, session: Session, settings: Settings, derivatives: Mapping[str, Path]
) -> tuple[PlanRow, MaskChoice]:
    """Choose the brain mask, and say in the plan which it is or why the named one is none."""
    if session.anat is None or settings.anat.skull_strip != 'auto':
        derivatives = {}
    try:
        choice = choose_brain_mask(
            settings.anat.brain_mask, derivatives, session.subject, session.session,
            session.anat.t1w if session.anat else Path(),
        )  # fmt: skip
    except BidsAccError as error:
        return replace(
            row, status='fail', reason=f'--anat-brain-mask: {error}',
            reason_code=error.exit_code.name.lower(), exit_code=error.exit_code,
        ), MaskChoice()  # fmt: skip
    reason = '; '.join(filter(None, [row.reason, choice.note]))
    return replace(row, reason=reason), choice


def settings_fingerprint(settings: Settings, modality: str) -> str:
    """Hash the settings of a modality, with the content of every file that they name.

    A basis set or gate that was edited under the same name is another setting.

    Parameters
    ----------
    settings : Settings
        All of them; those of other modalities do not count, but for what is shared.
    modality : str
        ``anat``, ``dwi``, ``mtr``, ``func`` or ``mrs``.

    Returns
    -------
    str
        Another one means that the modality is computed again.
    """
    own = getattr(settings, modality)
    named = [Path(v) for v in vars(own).values() if isinstance(v, str) and '/' in v]
    files = [f for p in named for f in ([p] if p.is_file() else p.rglob('*')) if f.is_file()]
    tracts = settings.dwi.tract_atlas if modality in ('dwi', 'mtr') else None
    atlases = (*getattr(own, 'atlas', ()), *filter(None, [tracts]))
    files += [file for text in atlases for file in atlas_files(text)]
    files += label_files(getattr(own, 'mesh_labels', ())).values()
    content = hash_files(files)
    more: dict[str, list[str]] = {
        'func': [settings.anat.density],  # may do without the T1w image
        'mtr': [settings.dwi.tract_atlas or ''],
    }
    return fingerprint(own, settings.random_seed, content, *more.get(modality, []))


def without_failed_anat(job: Job, rows: Iterable[StatusRow]) -> Job | None:
    """Return what can still be had of a session whose T1w image failed.

    Parameters
    ----------
    job : Job
        What was tried.
    rows : iterable of StatusRow
        What became of it.

    Returns
    -------
    Job or None
        The modalities that waited for the T1w image; None without any. Their records name no
        T1w, so that a later run with a usable one computes them again.
    """
    became = {row.modality: row.status for row in rows}
    waited = [m for m in ('dwi', 'func', 'mrs') if job.wants(m) and became[m] == 'failed']
    func = job.session.func if 'func' in waited else None
    if func is not None and needs_anat(func):
        waited = [m for m in waited if m != 'func']
    if not job.wants('anat') or became['anat'] != 'failed' or not waited:
        return None
    plan = {m: row if m in waited else replace(row, status='skip') for m, row in job.plan.items()}
    for m in waited:
        reason = '; '.join(filter(None, [plan[m].reason, 'without T1w, which failed']))
        plan[m] = replace(plan[m], reason=reason)
    # What is computed without the T1w image does not depend on it: with one that works later,
    # records differ and it is computed anew.
    expected = {m: replace(r, upstream={}) for m, r in job.expected.items()}
    return replace(job, plan=plan, records={}, expected=expected)


def _what_is_asked(request: Request) -> tuple[ImageIndex, chosen.Selection]:
    """Index the data set and say which part of it is wanted."""
    there = chosen.subject_labels(request.bids_dir)
    subjects = chosen.choose_labels(request.participant_labels, there, 'participant')
    chosen.choose_labels(
        request.session_labels, chosen.session_labels(request.bids_dir, subjects), 'session'
    )
    filters = chosen.read_filters(request.bids_filter_file)
    selection = chosen.Selection(
        request.participant_labels, request.session_labels, filters, request.modalities,
        request.derivatives, request.settings.dwi.source, request.settings.dwi.noddi,
        request.settings.dwi.b_max, request.settings.dwi.b0_threshold,
        request.settings.dwi.bvalue_scaling, request.settings.anat.average,
        density=request.settings.anat.density, func_source=request.settings.func.source,
        func_space=request.settings.func.space,
        func_finished_atlas=request.settings.func.finished_atlas,
        mtr_source=request.settings.mtr.source,
    )  # fmt: skip
    # A pattern of all labels would be tried on each path: only a choice is handed on.
    chosen_ones = subjects if request.participant_labels else None
    return ImageIndex(request.bids_dir, chosen_ones, request.bids_database_dir), selection


@contextmanager
def _memory(
    folder: Path | None, selection: chosen.Selection, index: ImageIndex
) -> Iterator[Memory | None]:
    """Keep what is found beside PyBIDS' index, where a folder is given for that."""
    memory = Memory(folder, selection, code_state(), index) if folder is not None else None
    try:
        yield memory
    finally:
        if memory is not None:
            memory.close()


def plan_participant(request: Request) -> list[Job]:
    """Check what was asked for and tell what will be done, without writing anything.

    Parameters
    ----------
    request : Request
        With folders, labels, filters and settings.

    Returns
    -------
    list of Job
        One for each session, with the status of every modality that was asked for.

    Raises
    ------
    BidsAccError
        If folders, data set, options or labels are refused.
    """
    check_folders(
        request.bids_dir, request.output_dir, request.work_dir,
        validate=not request.skip_bids_validation,
    )  # fmt: skip
    if not request.skip_bids_validation:
        chosen.check_dataset(request.bids_dir)
    if 'mrs' in request.modalities:
        check_mrs_settings(request.settings.mrs)
    index, selection = _what_is_asked(request)
    with _memory(request.bids_database_dir, selection, index) as memory:
        return plan_jobs(
            discover(index, selection, memory),
            bids_dir=request.bids_dir,
            output_dir=request.output_dir,
            settings=request.settings,
            derivatives=request.derivatives,
            force=request.force,
            digest=sha256 if memory is None else memory.sha256,
        )


def refuse_nothing(rows: Sequence[PlanRow], *, everybody: bool = False) -> None:
    """Refuse a selection that offers nothing at all, and a filter that matches nothing anywhere.

    Parameters
    ----------
    rows : sequence of PlanRow
        Of all selected sessions.
    everybody : bool
        Whether all sessions of the data set are selected: only then is it known that a filter
        matches nothing anywhere, and not only in the one session of a job.

    Raises
    ------
    NothingSelectedError
        If every modality of every session is skipped, or a filter leaves nothing of a modality.
    """
    if everybody:
        _refuse_empty_filter(rows)
    if all(row.status == 'skip' for row in rows):
        reasons = Counter(row.reason for row in rows)
        common = '; '.join(reason for reason, _ in reasons.most_common(3))
        raise NothingSelectedError(f'No selected session has anything to process: {common}.')


def _refuse_empty_filter(rows: Sequence[PlanRow]) -> None:
    """Refuse a filter that leaves nothing of a modality in any session."""
    for modality in dict.fromkeys(row.modality for row in rows):
        own = [row for row in rows if row.modality == modality]
        gone = [row for row in own if row.reason_code == FILTERED]
        if gone and all(row.status == 'skip' for row in own):
            others = len(gone) - 1
            more = f', and nothing in {others} other session{"s"[: others > 1]}' if others else ''
            raise NothingSelectedError(
                f'{gone[0].reason} of {gone[0].participant_id}{more}: correct the filter, or '
                'leave the modality out with --modalities.'
            )
