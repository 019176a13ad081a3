"""Task response: a general linear model of each place, by nilearn.

The z of one run is not an inference about it (fluctuations are more than AR(1)): contrasts go to
the group level as per cent signal change.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TypedDict

import numpy as np
import numpy.typing as npt
import pandas as pd
from nilearn.glm.contrasts import compute_contrast
from nilearn.glm.first_level import make_first_level_design_matrix, run_glm
from scipy import stats

from bids_acc.exceptions import InputDataError, SettingsError
from bids_acc.files.reading import reading
from bids_acc.func.connectivity import LEAST_DOF
from bids_acc.tables.reading import THEIRS, read_tsv
from bids_acc.typing import FloatArray, Row

_NOT_A_LABEL = re.compile('[^0-9A-Za-z]+')
EARLIEST = -24.0
"""Onset in s before which an event is over when the first volume is acquired: nilearn's
``min_onset``. BIDS allows onsets before the first volume."""
SHORTEST_S = 0.01
"""Overlap of two events, s, that is rounding."""
STEPS = 50
"""Steps of a repetition time in which nilearn builds the response."""
TINY = 1e-6
"""Of the largest regressor or singular value, what is none."""
ESTIMABLE = 1e-3
"""Share of a contrast that rounding may move (own convention)."""
LARGEST_ERROR = 3.0
"""Standard error of a contrast, in standard deviations of the noise of one volume, above which
the run does not tell it (own convention)."""


@dataclass(frozen=True)
class ConditionContrast:
    """A weighted sum of conditions."""

    name: str
    """As a BIDS label."""
    words: str
    """As it was asked for."""
    weights: Mapping[str, float]
    """Condition to weight."""


class ContrastFields(TypedDict):
    """A `ConditionContrast` as a graph carries it."""

    name: str
    words: str
    weights: dict[str, float]


class TaskAbout(TypedDict):
    """What is stored of a run with a task besides its arrays."""

    report: Row
    """Its row of quality."""
    findings: list[str]
    names: list[str]
    """Of the regions; ``kinds``, ``networks`` and ``reasons`` are in the same order."""
    kinds: list[str]
    networks: list[str]
    reasons: list[str]
    n_vertices: int
    """Vertices of both hemispheres, which stand before the regions."""
    dof: dict[str, float]
    """Of each contrast."""
    not_told: dict[str, str]
    """Why a contrast is not estimable."""


@dataclass(frozen=True)
class Response:
    """A contrast at each place."""

    effect: FloatArray
    """(n_places,) per cent of the place's mean signal."""
    variance: FloatArray
    """(n_places,) of the effect."""
    z: FloatArray
    """(n_places,)."""
    dof: float


def has_events(path: Path) -> bool:
    """Tell whether a table of events has any row.

    Converters write one with a header alone for every series, at rest too (bidskit#49, heudiconv).

    Parameters
    ----------
    path : Path

    Raises
    ------
    InputDataError
        If it is no table.
    """
    with reading(path, 'table of events'):
        return not read_tsv(path, THEIRS, {'trial_type'}).empty


def read_events(path: Path, run_seconds: float) -> pd.DataFrame:
    """Read a table of events; as `events_and_notes`, without the notes.

    Parameters
    ----------
    path : Path
        ``events.tsv``.
    run_seconds : float
        Length of the run, in s.

    Raises
    ------
    InputDataError
        If it cannot be used.
    """
    return events_and_notes(path, run_seconds)[0]


def events_and_notes(path: Path, run_seconds: float) -> tuple[pd.DataFrame, list[str]]:
    """Read a table of events, and say what is not used as it stands there.

    Parameters
    ----------
    path : Path
        ``events.tsv`` with ``onset``, ``duration`` and, for several conditions, ``trial_type``.
    run_seconds : float
        Length of the run, in s.

    Returns
    -------
    events : DataFrame
        ``onset``, ``duration`` and ``trial_type``; without events whose onset or condition is
        missing or lies after the last volume, and each once: nilearn gives an event that stands
        twice twice the height (nilearn#2680).
    notes : list of str

    Raises
    ------
    InputDataError
        If a column is missing, a time is no number, more than half of the events lie outside the
        run, or those of a condition last longer than it.
    """
    with reading(path, 'table of events'):
        table, notes = _named_as_bids(read_tsv(path, THEIRS, {'trial_type', 'Trial_Type'}))
    if missing := [name for name in ('onset', 'duration') if name not in table]:
        raise InputDataError(f'{path}: the column {missing[0]} is missing; BIDS asks for it.')
    times = _times(table, path)
    unknown = times['duration'].isna() & times['onset'].notna()
    if unknown.any():
        notes.append(f'{unknown.sum()} of {len(table)} events have no duration: impulses')
    if 'trial_type' not in table:
        others = [str(name) for name in table if name not in ('onset', 'duration')]
        if others:
            notes.append(f'no column trial_type ({", ".join(others[:3])}): all one condition')
        table['trial_type'] = 'event'
    table = table.assign(onset=times['onset'], duration=times['duration'].fillna(0.0))
    known = table.dropna(subset=['onset', 'trial_type'])
    if known.empty:
        lacking = 'an onset' if times['onset'].isna().all() else 'an onset and a trial_type'
        raise InputDataError(f'{path} holds no event with {lacking}; correct it.')
    if len(known) < len(table):
        lost = len(table) - len(known)
        notes.append(f'{lost} of {len(table)} events without onset or trial_type are left out')
    # An event told twice would count with twice its height in the model.
    table = known.drop_duplicates(['onset', 'duration', 'trial_type'])
    if len(table) < len(known):
        notes.append(f'{len(known) - len(table)} events stand there twice and count once')
    table, outside = _within_run(table, path, run_seconds)
    _check_durations(table, path, run_seconds)
    found = table[['onset', 'duration', 'trial_type']].astype({'trial_type': str})
    return found, [*notes, *outside, *_overlaps(found)]


def _named_as_bids(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Read ``Onset`` as ``onset``: BIDS' names are in lower case, spreadsheets' often are not."""
    own = {name: str(name).lower() for name in table}
    meant = {name: lower for name, lower in own.items()
             if lower in ('onset', 'duration', 'trial_type') and lower not in table}  # fmt: skip
    meant = {k: v for k, v in meant.items() if list(own.values()).count(v) == 1}
    said = [f'{name} is read as {lower}' for name, lower in meant.items()]
    return table.rename(columns=meant), said


def _times(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return onsets and durations; text that is no number is no missing value, and is refused."""
    times = table[['onset', 'duration']].apply(pd.to_numeric, errors='coerce')
    times = pd.DataFrame(times).replace([np.inf, -np.inf], np.nan)
    for name in ('onset', 'duration'):
        wrong = table[name][times[name].isna() & table[name].notna()]
        if len(wrong):
            comma = ' with a decimal point' if ',' in str(wrong.iloc[0]) else ' without a unit'
            raise InputDataError(
                f'{path}: {name} holds {str(wrong.iloc[0])!r}, which is no number; write times '
                f'in s{comma}, and n/a where there is none.'
            )
    return times


def _within_run(
    table: pd.DataFrame, path: Path, run_seconds: float
) -> tuple[pd.DataFrame, list[str]]:
    """Leave out the events after the last volume, or long before the first; the scan was stopped.

    Where more than half of them lie there, the table is not that of the run.
    """
    inside = (table['onset'] < run_seconds) & (table['onset'] >= EARLIEST)
    outside = table[~inside]
    if len(outside) > len(table) / 2:
        raise InputDataError(
            f'{path}: {len(outside)} of {len(table)} events lie outside the run of '
            f'{run_seconds:.0f} s (onset {outside["onset"].iloc[0]:g} s); onsets are in s from '
            'the first volume: correct the table, or fetch the right one.'
        )
    said = (
        f'{len(outside)} of {len(table)} events lie outside the run of {run_seconds:.0f} s (onset '
        f'{outside["onset"].iloc[0]:g} s) and are left out' if len(outside) else ''
    )  # fmt: skip
    return table[inside], [said] if said else []


def _check_durations(table: pd.DataFrame, path: Path, run_seconds: float) -> None:
    """Refuse durations that cannot be those of the run."""
    if (table['duration'] < 0).any():
        raise InputDataError(f'{path}: an event has a duration below 0; correct it.')
    # one of them may go on after the last volume
    by_condition = table.groupby('trial_type')['duration']
    together = by_condition.sum() - by_condition.max()
    if (together > run_seconds).any():
        name = str(together.idxmax())
        one = table.loc[table['trial_type'].astype(str) == name, 'duration']
        raise InputDataError(
            f'{path}: the {len(one)} events of {name} last {one.sum():g} s together, and the run '
            f'{run_seconds:.0f} s; durations are in s: correct the table.'
        )


def _overlaps(events: pd.DataFrame) -> list[str]:
    """Say which conditions have events that begin while another lasts: the model adds them."""
    found = []
    for name, own in events.sort_values(['onset', 'duration']).groupby('trial_type'):
        ends = (own['onset'] + own['duration']).cummax().shift()
        n = int((own['onset'] < ends - SHORTEST_S).sum())
        if n:
            found.append(f'{n} events of {name} begin while another lasts, and add up')
    return found


def choose_contrasts(conditions: Sequence[str], asked: Sequence[str]) -> list[ConditionContrast]:
    """Turn words into contrasts.

    Parameters
    ----------
    conditions : sequence of str
        Of the events.
    asked : sequence of str
        ``A``, ``A-B`` or ``A+B-C``; each side is averaged. None: each condition against rest.

    Raises
    ------
    SettingsError
        If a condition is not there.

    Examples
    --------
    >>> choose_contrasts(['faces', 'shapes'], ['faces-shapes'])[0].weights
    {'faces': 1.0, 'shapes': -1.0}
    """
    found: list[ConditionContrast] = []
    for words in dict.fromkeys(asked or conditions):
        weights = {words: 1.0} if words in conditions else _weights(words, conditions)
        found.append(ConditionContrast(_label(words, [c.name for c in found]), words, weights))
    return found


def made_of(conditions: Sequence[str], asked: Sequence[str]) -> list[str]:
    """Return the contrasts that are made of the conditions of one task.

    Parameters
    ----------
    conditions : sequence of str
        Of the events.
    asked : sequence of str
        As in `choose_contrasts`; they may be those of other tasks as well.

    Examples
    --------
    >>> made_of(['faces', 'shapes'], ['faces-shapes', 'two-zero'])
    ['faces-shapes']
    """
    found = []
    for words in asked:
        with suppress(SettingsError):
            choose_contrasts(conditions, [words])
            found.append(words)
    return found


def _label(words: str, taken: Sequence[str]) -> str:
    """Return words as a BIDS label that no other contrast has, whatever letters they are of."""
    plain = _NOT_A_LABEL.sub('', words.replace('-', 'Vs')) or 'contrast'
    others = {name.lower() for name in taken}  # file systems may not tell a from A
    numbers = ('', *range(2, len(taken) + 3))
    return next(f'{plain}{n}' for n in numbers if f'{plain}{n}'.lower() not in others)


def _weights(words: str, conditions: Sequence[str]) -> dict[str, float]:
    """Read the conditions of a contrast, longest name first: names may hold the signs."""
    known = '|'.join(re.escape(name) for name in sorted(conditions, key=len, reverse=True))
    parts = re.findall(rf'([+-]?)\s*({known})\s*', words)
    if not parts or ''.join(f'{sign}{name}' for sign, name in parts) != re.sub(r'\s', '', words):
        raise SettingsError(
            f'--func-contrasts {words}: not made of the conditions {", ".join(conditions)}; write '
            'for example A-B.'
        )
    plus = [name for sign, name in parts if sign != '-']
    minus = [name for sign, name in parts if sign == '-']
    # The weights of either side sum to one, so that A+B-C compares means whatever the number of
    # conditions.
    return {**{n: 1 / len(plus) for n in plus}, **{n: -1 / len(minus) for n in minus}}


def design_matrix(
    events: pd.DataFrame,
    n_volumes: int,
    n_dummy: int,
    repetition_time: float,
    start_time: float,
    regressors: pd.DataFrame,
) -> pd.DataFrame:
    """Make the design of a run.

    Parameters
    ----------
    events : DataFrame
        From `read_events`.
    n_volumes, n_dummy : int
        Volumes that are used, and those before them that are not.
    repetition_time, start_time : float
        In s; volumes stand for ``start_time`` after they begin (fmriprep#2477).
    regressors : DataFrame
        (n_volumes, n) confounds, cosines among them.

    Returns
    -------
    DataFrame
        (n_volumes, conditions + regressors + 1), conditions convolved with SPM's canonical
        response. An event without duration counts as much as one of a second, as in SPM, where
        the area of an event is one; a lasting one has height one.
    """
    # Onsets count from the first volume of the file, dummy volumes among them, and a sample stands
    # for the time within the TR to which its slices were brought.
    times = (np.arange(n_volumes) + n_dummy) * repetition_time + start_time
    has_cosines = any(str(name).startswith('cosine') for name in regressors)
    conditions = sorted(set(events['trial_type']))
    told = events.assign(trial_type=[f'condition: {name}' for name in events['trial_type']])
    if (lasting := events['duration'] > 0).all():
        talk: AbstractContextManager[object] = nullcontext()
    else:  # nilearn gives an impulse the area of one of its steps, hence another one at each TR
        told['modulation'] = np.where(lasting, 1.0, STEPS / repetition_time)
        talk = redirect_stdout(StringIO())  # it prints that it uses this column
    with warnings.catch_warnings(action='ignore'), talk:
        found: pd.DataFrame = make_first_level_design_matrix(
            times, told, hrf_model='spm', drift_model=None if has_cosines else 'cosine',
            high_pass=1 / 128, add_regs=regressors.to_numpy(float), oversampling=STEPS,
            add_reg_names=[f'confound{n}' for n in range(regressors.shape[1])],
        )  # fmt: skip
    names = {str(name): f'{name} ' for name in found if name in conditions}  # as 'constant'
    names |= {f'condition: {name}': name for name in conditions}
    return found.rename(columns=names)


def check_left(design: pd.DataFrame, events: pd.DataFrame, name: str) -> None:
    """Refuse a design that leaves too few degrees of freedom.

    Parameters
    ----------
    design : DataFrame
        From `design_matrix`.
    events : DataFrame
        From `read_events`.
    name : str
        Of the run.

    Raises
    ------
    InputDataError
        If fewer than `LEAST_DOF` are left.
    """
    n, conditions = len(design), events['trial_type'].nunique()
    left = n - int(np.linalg.matrix_rank(design.to_numpy(float)))
    if left < LEAST_DOF:
        raise InputDataError(
            f'{name}: {conditions} conditions and {design.shape[1] - conditions} other regressors '
            f'leave {left} degrees of freedom of {n} volumes, fewer than {LEAST_DOF}: give events '
            'that belong together one trial_type, or choose fewer regressors (--func-strategy).'
        )


def present_contrasts(
    contrasts: Sequence[ConditionContrast], events: pd.DataFrame, name: str
) -> tuple[list[ConditionContrast], list[str]]:
    """Take the contrasts of which a run has all conditions, and say which it has not.

    Parameters
    ----------
    contrasts : sequence of ConditionContrast
    events : DataFrame
        From `read_events`.
    name : str
        Of the run.

    Raises
    ------
    InputDataError
        If there is none.
    """
    there = set(events['trial_type'])
    found = [one for one in contrasts if set(one.weights) <= there]
    if not found:
        raise InputDataError(
            f'{name}: the run has events of {", ".join(sorted(there))} only, and no contrast is '
            'made of them alone; choose others (--func-contrasts), or leave the run out.'
        )
    absent = [one.words for one in contrasts if one not in found]
    said = [f'no event of {", ".join(absent)} in this run'] if absent else []
    return found, said


def not_told(
    design: pd.DataFrame, contrasts: Sequence[ConditionContrast], name: str
) -> tuple[dict[str, str], list[str]]:
    r"""Say which contrasts the design of a run cannot tell, and which it tells badly.

    A contrast is estimable if it is a combination of the rows of the design (Scheffe 1959, The
    analysis of variance, chapter 1): not where conditions go together in time, or where the
    response to them lies after the last volume. How well one is told is its standard error in
    standard deviations of the noise, :math:`\sqrt{c (X'X)^{-1} c'}` (Dale 1999,
    doi:10.1002/(SICI)1097-0193(1999)8:2/3<109::AID-HBM7>3.0.CO;2-W).

    Parameters
    ----------
    design : DataFrame
        From `design_matrix`.
    contrasts : sequence of ConditionContrast
    name : str
        Of the run, for messages.

    Returns
    -------
    reasons : dict of str to str
        By name of each contrast that is not estimable.
    said : list of str
        On these, and on those whose standard error is above `LARGEST_ERROR`.

    Raises
    ------
    InputDataError
        If none is estimable.
    """
    values = design.to_numpy(float)
    size = np.abs(values).max(axis=0)
    scaled = values / np.where(size > TINY, size, np.inf)
    inverse = np.linalg.pinv(scaled, rcond=TINY)
    reasons, said = {}, []
    for one in contrasts:
        weights = np.array([one.weights.get(column, 0.0) for column in design.columns])
        vector = weights / np.where(size > TINY, size, 1.0)
        seen = vector @ inverse @ scaled
        if np.abs(seen - vector).max() > ESTIMABLE * np.abs(vector).max():
            reasons[one.name] = 'its conditions cannot be told from others or from drift'
            said.append(f'{one.words} is not estimable: {reasons[one.name]}')
        elif (error := float(np.linalg.norm(vector @ inverse))) > LARGEST_ERROR:
            said.append(
                f'{one.words} is told badly: its standard error is {error:.1f} times the noise of '
                'a volume'
            )
    if contrasts and len(reasons) == len(contrasts):
        raise InputDataError(
            f'{name}: no contrast is estimable, because conditions go together in time or lie at '
            'the end of the run; choose others (--func-contrasts), or correct the events.'
        )
    return reasons, said


def fit_run(
    series: npt.NDArray[np.floating], design: pd.DataFrame, contrasts: Sequence[ConditionContrast]
) -> dict[str, Response]:
    """Fit a run by generalised least squares with AR(1) noise.

    Parameters
    ----------
    series : (n_volumes, n_places) ndarray
        Not cleaned: confounds are in the design. NaN gives NaN.
    design : DataFrame
        From `design_matrix`.
    contrasts : sequence of ConditionContrast

    Returns
    -------
    dict of str to Response
        By name of the contrast.

    Raises
    ------
    InputDataError
        If a condition has no event in this run.
    """
    missing = sorted({c for one in contrasts for c in one.weights} - set(design.columns))
    if missing:
        raise InputDataError(f'the condition {missing[0]} has no event in this run.')
    unknown = not_told(design, contrasts, 'this run')[0]
    values = np.asarray(series, dtype=float)
    mean = values.mean(axis=0)
    good = np.isfinite(mean) & (mean > 0) & (values.std(axis=0) > 0)
    scaled = 100 * values[:, good] / mean[good]
    with warnings.catch_warnings(action='ignore'):
        labels, fits = run_glm(scaled, design.to_numpy(float), noise_model='ar1')
    found: dict[str, Response] = {}
    for contrast in contrasts:
        if contrast.name in unknown:
            nothing = np.full(len(mean), np.nan)
            found[contrast.name] = Response(nothing, nothing, nothing, 0.0)
            continue
        vector = np.array([contrast.weights.get(name, 0.0) for name in design.columns])
        made = compute_contrast(labels, fits, vector, stat_type='t')
        parts = [np.full(len(mean), np.nan) for _ in range(3)]
        for whole, part in zip(
            parts, (made.effect_size(), made.effect_variance(), made.z_score()), strict=True
        ):
            whole[good] = np.ravel(part)
        effect, variance, z = parts
        found[contrast.name] = Response(effect, variance, z, float(made.dof))
    return found


def fixed_effects(runs: Sequence[Response]) -> Response:
    """Combine runs, weighted by the inverse of their variance.

    Parameters
    ----------
    runs : sequence of Response
        Of the same contrast and places; those that do not tell it are left out.
    """
    runs = [run for run in runs if np.isfinite(run.variance).any()] or runs[:1]
    if len(runs) == 1:
        return runs[0]

    with np.errstate(divide='ignore', invalid='ignore'):
        precision = np.array([np.where(r.variance > 0, 1 / r.variance, 0.0) for r in runs])
        effect = np.array([np.nan_to_num(r.effect) for r in runs])
        total = precision.sum(axis=0)
        mean = np.where(total > 0, (precision * effect).sum(axis=0) / total, np.nan)
        variance = np.where(total > 0, 1 / total, np.nan)
        dof = float(sum(r.dof for r in runs))
        t = mean / np.sqrt(variance)
        z = stats.norm.isf(stats.t.sf(np.abs(t), dof)) * np.sign(t)
    return Response(mean, variance, z, dof)
