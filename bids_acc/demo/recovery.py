"""Measured against planted: figures of agreement, group differences, and their table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from bids_acc.typing import FloatArray

REFERENCE, AFFECTED = 'HC', 'resistant'


@dataclass(frozen=True)
class Recovery:
    """Agreement of measured with planted values."""

    name: str
    unit: str
    n: int
    bias: float
    """Mean of measured minus planted; NaN where only differences can be compared."""
    mae: float
    """Mean absolute difference."""
    slope: float
    """Measured units for each planted unit; 1 is perfect."""
    r: float
    """Pearson correlation."""


@dataclass(frozen=True)
class GroupEffect:
    """A group difference, measured and planted."""

    name: str
    unit: str
    planted: float
    """Difference of the means of what was really planted in these participants."""
    measured: float
    low: float
    """Lower limit of the 95 % confidence interval (Welch); NaN for fewer than two in a group."""
    high: float
    """Upper limit."""

    @property
    def verdict(self) -> str:
        """Say in words whether the effect was found and whether its size is right."""
        if math.isnan(self.low):
            return 'not to be told from fewer than two people with a value in a group'
        found = 'found' if self.low * self.high > 0 else 'not significant'
        right = 'planted value inside the interval'
        wrong = 'planted value outside the interval'
        return f'{found}; {right if self.low <= self.planted <= self.high else wrong}'


def compare(
    name: str, unit: str, planted: npt.ArrayLike, measured: npt.ArrayLike, *, absolute: bool
) -> Recovery:
    """Compare two series.

    Parameters
    ----------
    name, unit : str
        For the table.
    planted, measured : (n,) array_like
        Pairs; those with a missing value are left out.
    absolute : bool
        Whether the level counts; otherwise both series are centred first and there is no bias.

    Returns
    -------
    Recovery

    Examples
    --------
    >>> compare('x', 'mm', [1, 2, 3], [1.5, 2.5, 3.5], absolute=True).bias
    0.5
    >>> compare('x', 'mm', [1, 2, 3], [1.5, 2.5, 3.5], absolute=False).mae
    0.0
    """
    x, y = np.asarray(planted, dtype=float), np.asarray(measured, dtype=float)
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < 3:
        return Recovery(name, unit, len(x), math.nan, math.nan, math.nan, math.nan)
    bias = float(np.mean(y - x)) if absolute else math.nan
    if not absolute:
        x, y = x - x.mean(), y - y.mean()
    varies = np.std(x) > 0 and np.std(y) > 0
    return Recovery(
        name=name,
        unit=unit,
        n=len(x),
        bias=bias,
        mae=float(np.mean(np.abs(y - x))),
        slope=float(np.polyfit(x, y, 1)[0]) if varies else math.nan,
        r=float(np.corrcoef(x, y)[0, 1]) if varies else math.nan,
    )


def group_difference(groups: npt.NDArray[np.str_], values: FloatArray) -> float:
    """Subtract the reference's mean from that of the affected group.

    Parameters
    ----------
    groups : (n,) ndarray of str
        `AFFECTED` and `REFERENCE` are compared, others left out.
    values : (n,) ndarray
        Without NaN.

    Returns
    -------
    float
        In the unit of the values.
    """
    return float(values[groups == AFFECTED].mean() - values[groups == REFERENCE].mean())


def adjusted_difference(
    formula: str,
    people: pd.DataFrame,
    values: FloatArray,
    pair: tuple[str, str] = (AFFECTED, REFERENCE),
) -> float:
    """Subtract the mean of one group from that of another, at equal covariates.

    Parameters
    ----------
    formula : str
        Model of an analysis, ``response ~ group + covariates``.
    people : (n, ...) DataFrame
        ``group`` and the covariates.
    values : (n,) ndarray of float64
        Response.
    pair : (str, str)
        Groups: the first less the second.

    Returns
    -------
    float
        In the unit of the response.

    Examples
    --------
    The affected are younger, and values rise with age.

    >>> people = pd.DataFrame(
    ...     {'group': ['HC'] * 3 + ['resistant'] * 3, 'age': [50, 40, 33, 30, 31, 20]}
    ... )
    >>> values = 0.5 * people['age'] + 10 * (people['group'] == 'resistant')
    >>> round(adjusted_difference('md ~ group + age', people, values.to_numpy()), 6)
    10.0
    """
    from statsmodels.formula.api import ols

    fit = ols(f'planted ~ {formula.split("~")[1]}', people.assign(planted=values)).fit()
    anyone = people.iloc[:1]
    affected, reference = (
        float(fit.predict(anyone.assign(group=group)).iloc[0]) for group in pair
    )
    return affected - reference


def group_effect(
    name: str, unit: str, groups: Sequence[str], planted: FloatArray, measured: FloatArray
) -> GroupEffect:
    """Compare the affected group with the reference, and with what was planted in them.

    Parameters
    ----------
    name : str
        Of the measure, for the table.
    unit : str
        For the table.
    groups : sequence of str
        Of each visit.
    planted : (n,) ndarray
        In the unit.
    measured : (n,) ndarray
        In the unit; NaN where nothing was measured.

    Returns
    -------
    GroupEffect
        With Welch's 95 % interval; NaN where a group has fewer than two values.
    """
    of = np.asarray(groups)
    known = np.isfinite(measured)
    a, b = measured[known & (of == AFFECTED)], measured[known & (of == REFERENCE)]
    truth = group_difference(of[known], planted[known])
    if min(len(a), len(b)) < 2:
        return GroupEffect(name, unit, truth, math.nan, math.nan, math.nan)
    interval = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    low, high = float(interval.low), float(interval.high)
    return GroupEffect(name, unit, truth, float(a.mean() - b.mean()), low, high)


def _number(value: float, digits: int = 3) -> str:
    """Format a number; a missing one is a dash."""
    return '-' if math.isnan(value) else f'{value:.{digits}f}'


def format_score(
    recoveries: Sequence[Recovery], effects: Sequence[GroupEffect], notes: Sequence[str] = ()
) -> str:
    """Write the comparison as a table for the terminal.

    Parameters
    ----------
    recoveries : sequence of Recovery
        Pairs of planted and measured values.
    effects : sequence of GroupEffect
        Differences between groups.
    notes : sequence of str
        Lines that follow the tables.

    Returns
    -------
    str
        Lines of at most some hundred characters.

    Examples
    --------
    >>> text = format_score([], [GroupEffect('MD', '%', 9.0, 8.0, 4.0, 12.0)])
    >>> text.splitlines()[0]
    'Planted group difference, resistant - HC'
    >>> text.splitlines()[-1].split('  ')[-1]
    '4.000 to 12.000: found; planted value inside the interval'
    """
    lines = []
    if recoveries:
        table = pd.DataFrame(
            {
                'what': [f'{r.name} ({r.unit})' if r.unit else r.name for r in recoveries],
                'n': [str(r.n) for r in recoveries],
                'bias': [_number(r.bias) for r in recoveries],
                'MAE': [_number(r.mae) for r in recoveries],
                'slope': [_number(r.slope, 2) for r in recoveries],
                'r': [_number(r.r, 2) for r in recoveries],
            }
        )
        lines += ['Measured against planted', *_columns(table)]
    if effects:
        lines += [f'Planted group difference, {AFFECTED} - {REFERENCE}']
        lines += [f'  {"what":<28}{"planted":>9}{"measured":>10}  95 % interval']
        for e in effects:
            what = f'{e.name} ({e.unit})' if e.unit else e.name
            planted, measured = _number(e.planted), _number(e.measured)
            limits = '' if math.isnan(e.low) else f'{_number(e.low)} to {_number(e.high)}: '
            lines.append(f'  {what:<28}{planted:>9}{measured:>10}  {limits}{e.verdict}')
    lines += notes
    return '\n'.join(lines)


def _columns(table: pd.DataFrame) -> list[str]:
    """Lay a table of strings out in columns, the first one to the left."""
    rows = [list(table.columns), *table.to_numpy().tolist()]
    return [f'  {row[0]:<28}' + ''.join(f'{cell:>8}' for cell in row[1:]) for row in rows]
