"""What the rules of all definitions look at: doses, trials, items and statements."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources

import yaml

from bids_acc.clinical.equivalents import (
    DEFAULT_METHOD,
    Table,
    chlorpromazine_equivalent,
    normal_name,
)
from bids_acc.clinical.history import History, Record
from bids_acc.clinical.logic import Rule, Truth, all_of, any_of, at_least, compare
from bids_acc.exceptions import SettingsError

RSWG_ITEMS = ('p1', 'p2', 'p3', 'n1', 'n4', 'n6', 'g5', 'g9')
"""Items of Andreasen et al. 2005, doi:10.1176/appi.ajp.162.3.441."""
POSITIVE_ITEMS = tuple(f'p{i}' for i in range(1, 8))
NEGATIVE_ITEMS = tuple(f'n{i}' for i in range(1, 8))
GENERAL_ITEMS = tuple(f'g{i}' for i in range(1, 17))
TRRIP_SOURCE = 'Howes 2017, doi:10.1176/appi.ajp.2016.16050503, modified as the sidecar says'
KANE_SOURCE = 'Mouchlianitis 2016, doi:10.1093/schbul/sbv151'
RSWG_SOURCE = 'Andreasen 2005, doi:10.1176/appi.ajp.162.3.441'
CLOZAPINE_SOURCE = 'clozapine response criteria of the iPSC study (paper 4)'
THASE_SOURCE = 'Thase and Rush 1997, J Clin Psychiatry 58 Suppl 13:23-29'
MSM_SOURCE = 'Fekadu 2009 and 2018, doi:10.1186/s12888-018-1679-x'
TRD_SOURCE = 'review of markers, doi:10.1016/bs.pbr.2023.04.001'

COUNTS: Mapping[Truth, str] = {True: 'counts', False: 'does not count', None: 'unknown'}
"""What a trial contributes, for the trace."""

GIVEN: Mapping[Truth, str] = {
    True: 'given, no trial on record', False: 'never given', None: 'not known whether given',
}  # fmt: skip
"""What is known of clozapine without a trial on record."""

Thresholds = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Context:
    """Numbers of the definitions and the table of equivalents."""

    thresholds: Thresholds
    """By definition and name."""
    equivalents: Table
    """From `load_equivalents`."""
    method: str = DEFAULT_METHOD
    """Which equivalents to use."""

    def cpz(self, trial: Record) -> float:
        """Return the chlorpromazine equivalent of a trial in mg per day, NaN if unknown.

        Parameters
        ----------
        trial : Record
            Its ``dose_mg`` is mg per day for oral drugs and mg per injection, each
            ``interval_days``, for depots.
        """
        return chlorpromazine_equivalent(
            trial['drug'],
            trial.get('dose_mg', math.nan),
            route=trial.get('route', 'oral'),
            interval_days=trial.get('interval_days', math.nan),
            method=self.method,
            table=self.equivalents,
        )


@dataclass(frozen=True)
class DefinitionVerdict:
    """Rules of one definition and the truth of each of its labels."""

    rules: tuple[Rule, ...]
    """In the order in which they are read."""
    labels: Mapping[str, Truth]
    """At most one label can be true."""


def load_thresholds(changes: Thresholds | None = None) -> dict[str, dict[str, float]]:
    """Return the numbers of all definitions, some of them replaced.

    Parameters
    ----------
    changes : mapping, optional
        New values by definition and name.

    Raises
    ------
    SettingsError
        If a definition or a name is unknown.

    Examples
    --------
    >>> load_thresholds({'trrip': {'min_cpz_mg': 400}})['trrip']['min_cpz_mg']
    400
    """
    file = resources.files('bids_acc') / 'data' / 'clinical' / 'thresholds.yaml'
    table: dict[str, dict[str, float]] = yaml.safe_load(file.read_text(encoding='utf-8'))
    for definition, values in (changes or {}).items():
        for name, value in values.items():
            if name not in table.get(definition, {}):
                known = sorted(table.get(definition, table))
                raise SettingsError(
                    f'no threshold {definition}.{name}; known: {", ".join(known)}.'
                )
            table[definition][name] = value
    return table


# ------------------------------------------------------------------------- shared pieces


def is_clozapine(trial: Record) -> bool:
    """Return whether a trial was of clozapine.

    Parameters
    ----------
    trial : Record
        The name of its drug begins so, salts included.
    """
    # salts too, or clozapine hydrochloride would count as a first-line trial
    return normal_name(trial['drug']).startswith('clozapine')


def antipsychotics(history: History, *, clozapine: bool) -> list[Record]:
    """Return the trials of clozapine, or those of the other antipsychotics.

    Parameters
    ----------
    history : History
        A trial without ``drug_class`` counts as one of an antipsychotic.
    clozapine : bool
        Which of the two.

    Returns
    -------
    list of Record
        In time order.
    """
    return [
        t
        for t in history.trials
        if t.get('drug_class', 'antipsychotic') == 'antipsychotic' and is_clozapine(t) == clozapine
    ]


def trial_failed(trial: Record, max_reduction: float | None) -> Truth:
    """Return whether a trial brought no adequate response; unknown when two ratings disagree.

    Parameters
    ----------
    trial : Record
        ``response`` as rated (``adequate`` or ``inadequate``) and ``reduction_pct``, the fall of
        symptoms in per cent, are looked at.
    max_reduction : float or None
        Fall of symptoms in per cent below which a trial has failed; None looks at the rating only.

    Returns
    -------
    bool or None
        None where neither is known.
    """
    rated = {'inadequate': True, 'adequate': False}.get(str(trial.get('response')))
    measured = (
        None
        if max_reduction is None
        else compare(trial.get('reduction_pct'), lambda r: r < max_reduction)
    )
    # a rating against the measured reduction is a contradiction that no rule may decide
    if rated is None or measured is None or rated == measured:
        return measured if rated is None else rated
    return None


def adequate_trial(
    trial: Record, context: Context, numbers: Mapping[str, float], *, adherence: bool
) -> Truth:
    """Return whether dose, duration (and adherence) of a trial were sufficient.

    Parameters
    ----------
    trial : Record
        Of an antipsychotic.
    context : Context
        Gives chlorpromazine equivalents.
    numbers : mapping of str to float
        ``min_cpz_mg`` (mg chlorpromazine per day), ``min_weeks`` and, for adherence,
        ``min_adherence_pct``.
    adherence : bool
        Whether the share of doses taken counts too.

    Returns
    -------
    bool or None
        None where a part is not known and none is insufficient.
    """
    parts = [
        compare(context.cpz(trial), lambda v: v >= numbers['min_cpz_mg']),
        compare(trial.get('weeks'), lambda v: v >= numbers['min_weeks']),
    ]
    if adherence:
        enough = compare(trial.get('adherence_pct'), lambda v: v >= numbers['min_adherence_pct'])
        parts.append(enough)
    return all_of(parts)


def failed_trials_rule(
    history: History,
    context: Context,
    numbers: Mapping[str, float],
    *,
    name: str,
    adherence: bool,
    source: str,
) -> Rule:
    """Count failed adequate trials of different antipsychotics other than clozapine.

    Parameters
    ----------
    history : History
        All trials; several of one drug count once.
    context : Context
        Gives chlorpromazine equivalents.
    numbers : mapping of str to float
        As in `adequate_trial`, with ``min_trials`` (drugs) and ``max_reduction_pct``, if a
        definition has one.
    name : str
        Of the rule.
    adherence : bool
        Whether the share of doses taken counts.
    source : str
        Publication, for the trace.

    Returns
    -------
    Rule
        Unknown trials leave it undecided only where they could change the outcome.
    """
    by_drug: dict[str, list[Truth]] = {}
    texts = []
    limit = numbers.get('max_reduction_pct')
    for trial in antipsychotics(history, clozapine=False):
        adequate = adequate_trial(trial, context, numbers, adherence=adherence)
        truth = all_of([adequate, trial_failed(trial, limit)])
        # by drug: two failures of one are one, as all definitions ask for different drugs
        by_drug.setdefault(normal_name(trial['drug']), []).append(truth)
        texts.append(trial_text(trial, context, truth))
    truth = at_least(
        int(numbers['min_trials']),
        [any_of(v) for v in by_drug.values()],
        complete=history.rating.get('history_complete'),
    )
    asked = (
        f'>= {numbers["min_trials"]} different drugs, each >= {numbers["min_cpz_mg"]} mg CPZ, '
        f'>= {numbers["min_weeks"]} weeks'
        + (f', >= {numbers["min_adherence_pct"]} % adherence' if adherence else '')
        + ', inadequate response'
    )
    return Rule(name, truth, '; '.join(texts) or 'no trial on record', asked, source)


def trial_text(trial: Record, context: Context, truth: Truth) -> str:
    """Describe a trial for the trace.

    Parameters
    ----------
    trial : Record
        Of an antipsychotic.
    context : Context
        Gives chlorpromazine equivalents.
    truth : bool or None
        Whether it counts as a failed adequate trial.

    Returns
    -------
    str
        What is not on record is written ``?``.
    """
    dose = context.cpz(trial)
    shown = 'dose unknown' if math.isnan(dose) else f'{dose:.0f} mg CPZ'
    return (
        f'{trial["drug"]} {shown}, {trial.get("weeks", "?")} weeks, adherence '
        f'{trial.get("adherence_pct", "?")} %, response {trial.get("response", "?")}, reduction '
        f'{trial.get("reduction_pct", "?")} %: {COUNTS[truth]}'
    )


def items_rule(
    history: History,
    items: tuple[str, ...],
    limit: float,
    *,
    name: str,
    source: str,
    any_high: bool,
) -> Rule:
    """Compare PANSS items with a limit: any at or above it, or all at or below it.

    Parameters
    ----------
    history : History
        With PANSS items among its ratings.
    items : tuple of str
        Names without prefix, such as ``p1``.
    limit : float
        Score of an item, 1 (absent) to 7 (extreme).
    name : str
        Of the rule.
    source : str
        Publication, for the trace.
    any_high : bool
        True: met if any item reaches the limit. False: met if none exceeds it.

    Returns
    -------
    Rule
        Undecided where a missing item could change the outcome.
    """
    scores = history.panss(*items)
    if any_high:
        truth = any_of(compare(v, lambda s: s >= limit) for v in scores.values())
        asked = f'any of {items[0]}..{items[-1]} >= {limit:g}'
    else:
        truth = all_of(compare(v, lambda s: s <= limit) for v in scores.values())
        named = ', '.join(items) if len(items) < 10 else f'{len(items)} items'
        asked = f'all of {named} <= {limit:g}'
    known = {k: v for k, v in scores.items() if not math.isnan(v)}
    top = max(known.values(), default=math.nan)
    highest = f', highest {top:g}' if known else ''
    text = f'{len(known)} of {len(items)} items rated{highest}'
    return Rule(name, truth, text, asked, source)


def number_rule(
    history: History,
    column: str,
    test: Callable[[float], bool],
    *,
    name: str,
    asked: str,
    source: str,
) -> Rule:
    """Test one number of the ratings.

    Parameters
    ----------
    history : History
        Of one participant.
    column : str
        Of the table of ratings.
    test : callable
        Whether a number meets the rule.
    name : str
        Of the rule.
    asked : str
        ``test`` in words, for the trace.
    source : str
        Publication, for the trace.

    Returns
    -------
    Rule
        Undecided where the column has no value.
    """
    value = history.rating.get(column)
    return Rule(
        name,
        compare(value, test),
        f'{column} = {value if value is not None else "n/a"}',
        asked,
        source,
    )


def flag_rule(history: History, column: str, *, name: str, source: str, wanted: bool) -> Rule:
    """Compare a yes/no statement of the ratings with what is wanted.

    Parameters
    ----------
    history : History
        Of one participant.
    column : str
        Of the table of ratings, true or false.
    name : str
        Of the rule.
    source : str
        Publication, for the trace.
    wanted : bool
        Which of the two meets the rule.

    Returns
    -------
    Rule
        Undecided where the column has no value.
    """
    value = history.rating.get(column)
    truth = None if value is None else value is wanted
    return Rule(
        name,
        truth,
        f'{column} = {"n/a" if value is None else str(value).lower()}',
        str(wanted).lower(),
        source,
    )


def clozapine_given(history: History) -> Truth:
    """Return whether clozapine was ever given.

    Parameters
    ----------
    history : History
        A trial of clozapine decides; then ``clozapine_ever``; then whether the history is
        complete.

    Returns
    -------
    bool or None
        None where it cannot be told.
    """
    if antipsychotics(history, clozapine=True):
        return True
    stated: Truth = history.rating.get('clozapine_ever')
    if stated is not None:
        return stated
    # a record that nobody called complete cannot prove that a drug was never given
    return False if history.rating.get('history_complete') else None
