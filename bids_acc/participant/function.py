"""The BOLD runs of a session as tasks: what is measured together, and what the events allow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bids_acc.bids.bold import start_time
from bids_acc.bids.inputs import BoldRun, FuncInputs, PlanRow
from bids_acc.exceptions import (
    BidsAccError,
    InputDataError,
    MissingInputError,
    SettingsError,
)
from bids_acc.func.denoising import check_strategy, count_dummies
from bids_acc.func.finished import FinishedRun
from bids_acc.func.joining import SAME_TR_S
from bids_acc.func.raw import RawRun
from bids_acc.func.regions import ACC_LABELS, seed_regions
from bids_acc.func.run import BUILTIN, RunFacts
from bids_acc.func.sampling import count_volumes
from bids_acc.func.task import (
    ContrastFields,
    choose_contrasts,
    events_and_notes,
    has_events,
    made_of,
    read_events,
)
from bids_acc.settings import FuncSettings
from bids_acc.surfaces.template import HEMISPHERES

Run = BoldRun | RawRun | FinishedRun
"""A run that is measured, or has been."""
TOGETHER = ('task', 'acquisition', 'ceagent', 'reconstruction')
"""Entities that the runs of one task share; the others tell its runs apart."""


@dataclass(frozen=True)
class RunSet:
    """Runs that are measured together."""

    name: str
    """As a part of a graph's name."""
    runs: tuple[Run, ...]
    """All prepared, all raw, or all with finished measures."""
    contrasts: tuple[ContrastFields, ...] = ()
    """None at rest."""

    @property
    def entities(self) -> dict[str, str]:
        """Entities that all runs share."""
        if len(self.runs) == 1:
            # a second run that comes later must not change the name of the result
            return {k: v for k, v in self.runs[0].entities.items() if k != 'run'}
        same = set.intersection(*(set(run.entities.items()) for run in self.runs))
        return {k: v for k, v in sorted(same) if k != 'run'}

    @property
    def raw(self) -> list[RawRun]:
        """Runs that the built-in line prepares."""
        return [run for run in self.runs if isinstance(run, RawRun)]

    @property
    def prepared(self) -> list[BoldRun]:
        """Runs that another tool has prepared."""
        return [run for run in self.runs if isinstance(run, BoldRun)]

    @property
    def finished(self) -> list[FinishedRun]:
        """Runs that another tool has measured."""
        return [run for run in self.runs if isinstance(run, FinishedRun)]

    @property
    def space(self) -> str:
        """Of the runs, as they are measured."""
        others: list[BoldRun | FinishedRun] = [*self.prepared, *self.finished]
        return others[0].space if others else 'T1w'

    @property
    def in_volume(self) -> bool:
        """Whether the series are images, which any surface can be laid into."""
        return not self.finished and all(len(run.bold) == 1 for run in self.prepared)

    @property
    def source(self) -> str:
        """What prepares them."""
        others: list[BoldRun | FinishedRun] = [*self.prepared, *self.finished]
        return others[0].source if others else BUILTIN


def tasks_of(inputs: FuncInputs, settings: FuncSettings) -> list[RunSet]:
    """Group the runs of a session by task; a task with events is fitted, one without is rest.

    Parameters
    ----------
    inputs : FuncInputs
    settings : FuncSettings

    Raises
    ------
    InputDataError, SettingsError
        If events cannot be used, or do not hold the conditions of a contrast.
    """
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in _all_runs(inputs):
        groups.setdefault(_together(run), []).append(run)
    fitted = {key: _conditions(runs) for key, runs in groups.items()
              if all(run.events is not None for run in runs)}  # fmt: skip
    _check_asked(settings.contrasts, [sorted(set().union(*one)) for one in fitted.values()])
    tasks = []
    for key, runs in groups.items():
        name = re.sub(r'\W', '_', '_'.join(['func', *filter(None, key), 'wf']))
        task = RunSet(name, tuple(runs))
        if key in fitted:
            task = replace(task, contrasts=_contrasts(runs, fitted[key], settings))
        tasks.append(task)
    return tasks


def _conditions(runs: Sequence[Run]) -> list[set[str]]:
    """Return the conditions of each run."""
    return [set(read_events(run.events or Path(), _seconds(run))['trial_type']) for run in runs]


def _check_asked(asked: Sequence[str], tasks: Sequence[Sequence[str]]) -> None:
    """Refuse a contrast that is made of the conditions of no task.

    Raises
    ------
    SettingsError
        With the conditions of all tasks.
    """
    fitting = {words for conditions in tasks for words in made_of(conditions, asked)}
    for words in asked:
        # called for its refusal, which names a misspelt condition better
        if tasks and words not in fitting:
            choose_contrasts([name for conditions in tasks for name in conditions], [words])
            raise SettingsError(
                f'--func-contrasts {words}: its conditions are of several tasks; a contrast is '
                'made within one.'
            )


def _contrasts(
    runs: Sequence[Run], each: Sequence[set[str]], settings: FuncSettings
) -> tuple[ContrastFields, ...]:
    """Return the contrasts of a task's events: those asked for of it, or each condition."""
    # A dictionary keeps their order, and contrasts come out the same whichever run has which
    # condition.
    conditions = list(dict.fromkeys(name for one in each for name in sorted(one)))
    found = choose_contrasts(conditions, made_of(conditions, settings.contrasts))
    for contrast in found:
        if not any(set(contrast.weights) <= there for there in each):
            raise InputDataError(
                f'--func-contrasts {contrast.words}: no run of task '
                f'{runs[0].entities.get("task", "?")} has events of all its conditions; a '
                'contrast is made within a run.'
            )
    return tuple({'name': c.name, 'words': c.words, 'weights': dict(c.weights)} for c in found)


def usable_runs(inputs: FuncInputs, strategy: str = '') -> tuple[FuncInputs, list[str]]:
    """Leave out the runs that cannot be measured with their task, each with the reason.

    Those are runs with events that cannot be used, or with another repetition time than the
    first of the task, or without events where other runs of the task have some, or prepared ones
    whose table of confounds lacks what the strategy needs. The reasons, and what is not used of
    those that are kept, are for the plan.

    Parameters
    ----------
    inputs : FuncInputs
        All series of a session.
    strategy : str
        Of denoising; nothing looks into no table.

    Returns
    -------
    inputs : FuncInputs
        With the runs that are left.
    notes : list of str
        Why each of the others is not used.

    Raises
    ------
    InputDataError
        If none is left.
    """
    kept: list[Run] = []
    left_out: list[str] = []
    notes: list[str] = []
    spacing: dict[tuple[str, ...], float] = {}
    for run in _all_runs(inputs):
        try:
            check_joined(run, spacing.setdefault(_together(run), _repetition_time(run)))
            used, said = _with_events(run)
            if strategy and isinstance(run, BoldRun) and run.confounds is not None:
                said += check_strategy(run.confounds, run.confounds_sidecar, strategy)
        except BidsAccError as error:
            left_out.append(f'not used: {_image(run).name}: {error}')
        else:
            kept.append(used)
            notes += [f'{_image(run).name}: {text}' for text in said]
    # A task is fitted or at rest as a whole: its runs are joined, and a run without events has no
    # effect to give.
    fitted = {_together(run) for run in kept if run.events is not None}
    without = [run for run in kept if run.events is None and _together(run) in fitted]
    kept = [run for run in kept if run not in without]
    left_out += [
        f'not used: {_image(run).name}: it has no events, as other runs of its task have; add its '
        'events.tsv' for run in without
    ]  # fmt: skip
    if not kept:
        raise InputDataError('; '.join(left_out))
    prepared = tuple(run for run in kept if isinstance(run, BoldRun))
    raw = tuple(run for run in kept if isinstance(run, RawRun))
    finished = tuple(run for run in kept if isinstance(run, FinishedRun))
    return replace(inputs, runs=prepared, raw=raw, finished=finished), [*left_out, *notes]


def _with_events(run: Run) -> tuple[Run, list[str]]:
    """Read the events of a run; an empty table is none. Say what is not used of them.

    Raises
    ------
    InputDataError
        If they cannot be used.
    """
    if run.events is None:
        return run, []
    if not has_events(run.events):
        return replace(run, events=None), [f'{run.events.name} has no row: taken as no events']
    return run, events_and_notes(run.events, _seconds(run))[1]


def check_joined(run: Run, seconds: float) -> None:
    """Refuse a run whose repetition time is not that of its task's first run.

    Parameters
    ----------
    run : BoldRun or RawRun
    seconds : float
        Repetition time of the first run.

    Raises
    ------
    InputDataError
        With both.
    """
    if abs(_repetition_time(run) - seconds) > SAME_TR_S:
        raise InputDataError(
            f"its repetition time is {_repetition_time(run):g} s and that of the task's first run "
            f'{seconds:g} s; runs of unlike repetition times are not joined: choose by '
            '--bids-filter-file.'
        )


def _repetition_time(run: Run) -> float:
    """Return the repetition time of a run, s."""
    return (
        run.repetition_time if isinstance(run, RawRun) else float(run.metadata['RepetitionTime'])
    )


def _together(run: Run) -> tuple[str, ...]:
    """Return what the runs of one task share."""
    return tuple(run.entities.get(n, '') for n in TOGETHER)


def _all_runs(inputs: FuncInputs) -> list[Run]:
    """List the runs of a session."""
    return [*inputs.runs, *inputs.raw, *inputs.finished]


def _image(run: Run) -> Path:
    """Return the first file of a run."""
    if isinstance(run, FinishedRun):
        return run.files[0]
    return run.bold[0] if isinstance(run, BoldRun) else run.image


def _seconds(run: Run) -> float:
    """Return how long a run lasts."""
    files = run.bold if isinstance(run, BoldRun) else [_image(run)]
    return count_volumes(files) * _repetition_time(run)


def needs_anat(inputs: FuncInputs) -> bool:
    """Tell whether the series can only be measured with the surfaces of the T1w image.

    Parameters
    ----------
    inputs : FuncInputs
        All series of a session.

    Returns
    -------
    bool
        True for raw series and for prepared ones in T1w space.
    """
    return bool(inputs.raw) or any(run.space == 'T1w' for run in inputs.runs)


def judged_row(
    row: PlanRow, inputs: FuncInputs, settings: FuncSettings, *, has_anat: bool, mesh: str = ''
) -> tuple[PlanRow, FuncInputs | None]:
    """Hold the series of a session against the settings; say in the plan what they come to.

    Parameters
    ----------
    row : PlanRow
        Plan of the functional modality.
    inputs : FuncInputs
        All series of a session.
    settings : FuncSettings
        Contrasts and what is measured.
    has_anat : bool
        Whether surfaces of the session's T1w image are or will be there.
    mesh : str
        Name of a derivative's mesh: what is not measured on it is said too; empty for none.

    Returns
    -------
    row : PlanRow
        With the tasks and contrasts in words, or with the failure.
    inputs : FuncInputs or None
        The runs that can be used; None if it fails.
    """
    try:
        if not has_anat and needs_anat(inputs):
            raise MissingInputError(
                'the series are measured with the surfaces of the T1w image, and there are none '
                'of this session: add anat to --modalities, or correct what keeps its T1w image '
                'from being used, or give series prepared in MNI152 or fsaverage by --derivatives.'
            )
        kept, notes = usable_runs(inputs, settings.strategy)
        tasks = tasks_of(kept, settings)
    except BidsAccError as error:
        return replace(
            row, status='fail', reason=str(error), reason_code=error.exit_code.name.lower(),
            exit_code=error.exit_code,
        ), None  # fmt: skip
    words = [
        f'{t.runs[0].entities.get("task", "?")}: '
        + (
            ', '.join(str(c['words']) for c in t.contrasts)
            or ('measures as they are' if t.finished else 'at rest')
        )
        + ('' if not mesh or (t.in_volume and has_anat) else f' (not on {mesh}: no image series)')
        for t in tasks
    ]
    reason = '; '.join(filter(None, [row.reason, *notes, *words]))
    return replace(row, reason=reason), kept


def seed_names(settings: FuncSettings) -> list[str]:
    """Name the seeds that get a map.

    Parameters
    ----------
    settings : FuncSettings
        ``seeds`` names a file of own seed regions; nothing for the shipped ones.

    Returns
    -------
    list of str
        Those regions, then the cingulate labels of both hemispheres.
    """
    own = [r.name for r in seed_regions(Path(settings.seeds) if settings.seeds else None)]
    return [*own, *(f'{name}{side}' for name in ACC_LABELS.values() for side in HEMISPHERES)]


def facts_of(run: BoldRun) -> RunFacts:
    """Return what is known of a prepared run.

    Parameters
    ----------
    run : BoldRun
        Prepared by fMRIPrep or alike.

    Returns
    -------
    RunFacts
        What the steps of the graph need, as plain values; times in s.
    """
    seconds = float(run.metadata['RepetitionTime'])
    entities = dict(run.entities)
    told = {k: v for k, v in entities.items() if k not in ('subject', 'session')}
    return RunFacts(
        name='_'.join(f'{k}-{v}' for k, v in told.items()),
        task=entities.get('task', ''),
        repetition_time=seconds,
        start_time=start_time(run.metadata, seconds),
        space=run.space,
        source=run.source,
        n_dummy=count_dummies(run.confounds) if run.confounds else 0,
        entities=entities,
        events=str(run.events or ''),
        notes=run.notes,
    )


def run_lists(runs: Sequence[BoldRun]) -> dict[str, list[object]]:
    """Return runs as they travel through a graph (`bids_acc.func.run.RUN_FIELDS`).

    Parameters
    ----------
    runs : sequence of BoldRun
        Prepared by fMRIPrep or alike.

    Returns
    -------
    dict
        Field of the input node to one entry for each run.
    """
    return {
        'bold_files': [[str(path) for path in run.bold] for run in runs],
        'mask_files': [str(run.mask or '') for run in runs],
        'confounds_files': [str(run.confounds) for run in runs],
        'confounds_sidecars': [str(run.confounds_sidecar or '') for run in runs],
        'run_facts': [facts_of(run).as_dict() for run in runs],
    }
