"""The Maudsley staging method of treatment resistance in depression.

Points for the length and the severity of the present episode and for what failed in it: 3 to 15,
in three stages. Scores and stages: Fekadu A, et al. (2009), J Clin Psychiatry 70:177-184, as
printed in Fekadu A, et al. (2018), BMC Psychiatry 18:100, table 3,
https://doi.org/10.1186/s12888-018-1679-x.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bids_acc.clinical.depression import antidepressant_failed, antidepressants
from bids_acc.clinical.equivalents import normal_name
from bids_acc.clinical.evidence import MSM_SOURCE, Context, DefinitionVerdict, flag_rule
from bids_acc.clinical.history import History
from bids_acc.clinical.logic import Rule, Truth, all_of, any_of, negate

SEVERITIES: Mapping[str, int] = {
    'subsyndromal': 1, 'mild': 2, 'moderate': 3, 'severe': 4, 'psychotic': 5
}  # fmt: skip
"""Points of the severity at baseline (Fekadu et al. 2018, table 3); ``psychotic`` is severe with
psychosis."""
STAGES: Mapping[str, tuple[int, int]] = {'mild': (3, 6), 'moderate': (7, 10), 'severe': (11, 15)}
"""Score of each stage, both ends included."""
MOST_DRUGS = 5
"""Points for more than ten failed antidepressants."""


@dataclass(frozen=True)
class Points:
    """The points that a part may have: one number where all evidence is there."""

    low: int
    high: int

    def __str__(self) -> str:
        """Write the number, or the range."""
        return str(self.low) if self.low == self.high else f'{self.low} to {self.high}'


def duration_points(months: float) -> Points:
    """Return the points for the length of the present episode.

    Parameters
    ----------
    months : float
        Length of the present episode; NaN if unknown.

    Returns
    -------
    Points
        1 up to a year, 2 up to two years, 3 beyond (Fekadu et al. 2018, table 3).

    Examples
    --------
    >>> [str(duration_points(m)) for m in (12, 12.5, 24, 25, float('nan'))]
    ['1', '2', '2', '3', '1 to 3']
    """
    if math.isnan(months):
        # nobody has less than one point: an unknown length widens the score, and the stage may
        # still be sure
        return Points(1, 3)
    points = 1 if months <= 12 else 2 if months <= 24 else 3
    return Points(points, points)


def drug_points(number: int) -> int:
    """Return the points for the number of failed antidepressants.

    Parameters
    ----------
    number : int
        Different antidepressants that failed in adequate trials.

    Returns
    -------
    int
        1 for 1 or 2, 2 for 3 or 4, 3 for 5 or 6, 4 for 7 to 10, 5 beyond (Fekadu et al. 2018,
        table 3).

    Examples
    --------
    >>> [drug_points(n) for n in (0, 1, 2, 3, 4, 5, 6, 7, 10, 11)]
    [0, 1, 1, 2, 2, 3, 3, 4, 4, 5]
    """
    return sum(number >= limit for limit in (1, 3, 5, 7, 11))


def yes_points(known: Truth) -> Points:
    """Return one point for yes, none for no.

    Parameters
    ----------
    known : bool or None
        Whether augmentation or ECT was tried and failed.

    Returns
    -------
    Points
        0 to 1 where it is not known.
    """
    return Points(int(known is True), int(known is not False))


def failed_drugs(history: History, context: Context) -> tuple[int, float]:
    """Return how many different antidepressants certainly failed, and how many at most.

    Parameters
    ----------
    history : History
        Trials of one drug count once; ECT is scored by itself.
    context : Context
        ``min_weeks`` under ``trd`` of its thresholds counts.

    Returns
    -------
    n_certain : int
        Drugs that certainly failed.
    n_possible : float
        With those that may have; infinite unless the history is complete.
    """
    numbers = context.thresholds['trd']
    by_drug: dict[str, list[Truth]] = {}
    for trial in antidepressants(history):
        if trial['drug_class'] != 'ect':
            truth = antidepressant_failed(trial, numbers)
            by_drug.setdefault(normal_name(trial['drug']), []).append(truth)
    each = [any_of(truths) for truths in by_drug.values()]
    sure = sum(truth is True for truth in each)
    complete = history.rating.get('history_complete') is True
    # further failures may be missing from a record that is not said to be complete
    return sure, sure + sum(truth is None for truth in each) if complete else math.inf


def ect_failed(history: History, context: Context) -> Truth:
    """Return whether electroconvulsive therapy failed in this episode.

    Parameters
    ----------
    history : History
        Unless it is complete, no trial on record leaves the question open.
    context : Context
        ``min_weeks`` under ``trd`` of its thresholds counts.

    Returns
    -------
    bool or None
        None where it is not known.
    """
    numbers = context.thresholds['trd']
    failed = any_of(
        antidepressant_failed(trial, numbers)
        for trial in antidepressants(history)
        if trial['drug_class'] == 'ect'
    )
    complete = history.rating.get('history_complete') is True
    return failed if failed or complete else None


def msm(history: History, context: Context) -> DefinitionVerdict:
    """Stage treatment-resistant depression by the Maudsley staging method.

    Who has no failed antidepressant has no stage. Where evidence is missing, the stage stands if
    all that is possible lies in it.

    Parameters
    ----------
    history : History
        With ``episode_months``, ``depression_severity`` and ``augmentation_failed`` among its
        ratings.
    context : Context
        ``min_weeks`` under ``trd`` of its thresholds counts.

    Returns
    -------
    DefinitionVerdict
        Labels: HC, no failed trial, and the stages of `STAGES`.
    """
    sure, most = failed_drugs(history, context)
    high = MOST_DRUGS if math.isinf(most) else drug_points(int(most))
    severity = SEVERITIES.get(str(history.rating.get('depression_severity')))
    parts = {
        'episode': duration_points(float(history.rating.get('episode_months', math.nan))),
        'severity': Points(1, 5) if severity is None else Points(severity, severity),
        'antidepressants': Points(drug_points(sure), high),
        'augmentation': yes_points(history.rating.get('augmentation_failed')),
        'ECT': yes_points(ect_failed(history, context)),
    }
    some: Truth = True if sure else (None if most else False)
    patient = flag_rule(history, 'patient', name='patient', source=MSM_SOURCE, wanted=True)
    total = Points(sum(p.low for p in parts.values()), sum(p.high for p in parts.values()))
    text = f'score {total}: ' + ', '.join(f'{name} {points}' for name, points in parts.items())
    failed = Rule('failed antidepressants', some, f'{sure} failed', '>= 1', MSM_SOURCE)
    stages = {name: _within(total, *limits) for name, limits in STAGES.items()}
    rules = [
        Rule(f'stage {name}', truth, text, f'{STAGES[name][0]} to {STAGES[name][1]}', MSM_SOURCE)
        for name, truth in stages.items()
    ]
    labels = {
        'HC': negate(patient.truth),
        'no failed trial': all_of([patient.truth, negate(some)]),
        **{name: all_of([patient.truth, some, truth]) for name, truth in stages.items()},
    }
    return DefinitionVerdict((patient, failed, *rules), labels)


def _within(score: Points, low: int, high: int) -> Truth:
    """Return whether a score lies in a range, whatever is missing."""
    # a stage is told where the whole range of possible scores lies in it
    if score.low >= low and score.high <= high:
        return True
    return False if score.high < low or score.low > high else None
