"""Change between sessions: paired, baseline-adjusted, and change against change.

The mixed models over sessions are in `mixed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas.design import varies
from bids_acc.group.formulas.inference import partial_eta2, partial_eta2_confidence
from bids_acc.group.formulas.mixed import count_levels, level_order, make_design
from bids_acc.group.formulas.results import TestResult, noncentral_ci
from bids_acc.typing import FloatArray


@dataclass(frozen=True)
class PairedChange:
    """Difference between two sessions of the same subjects."""

    test: TestResult
    """Paired t test with the standardised mean change."""
    mean_change: float
    """Mean of second minus first, in the unit of the data."""
    ci_low: float
    """Lower end of the 95 % confidence interval of the mean change."""
    ci_high: float
    """Upper end of the 95 % confidence interval of the mean change."""
    percent_change: float
    """Mean of the subjects' changes in percent of their first value."""
    wilcoxon_p: float
    """Two-sided p of Wilcoxon's signed-rank test (exact without ties up to n = 50)."""


def wide_sessions(
    table: pd.DataFrame, value: str, sessions: Sequence[str]
) -> tuple[pd.DataFrame, int]:
    """Put the sessions of each subject side by side.

    Parameters
    ----------
    table : DataFrame
        Long table with ``participant_id``, ``session_id`` and ``value``.
    value : str
        Column to spread.
    sessions : sequence of str
        Sessions, in the order of the columns to return.

    Returns
    -------
    DataFrame
        One row for each subject with all of the sessions, indexed by ``participant_id``.
    int
        Subjects left out because a session or its value is missing.

    Raises
    ------
    InputDataError
        If a subject has two values for one session, or a session is nobody's.
    """
    chosen = table[table['session_id'].isin(list(sessions))]
    chosen = chosen.assign(session_id=chosen['session_id'].astype(str))
    # pivoting would average two runs of a session without a word
    if chosen.duplicated(['participant_id', 'session_id']).any():
        twice = chosen[chosen.duplicated(['participant_id', 'session_id'])].iloc[0]
        raise InputDataError(
            f'{twice["participant_id"]} has two values of {value} in {twice["session_id"]}; '
            'keep one run per session.'
        )
    if missing := [name for name in sessions if name not in set(chosen['session_id'])]:
        raise InputDataError(f'no subject has session {missing[0]!r}; check the session roles.')
    wide = chosen.pivot_table(
        index='participant_id', columns='session_id', values=value, dropna=False
    )[list(sessions)]
    complete = wide.dropna()
    return complete, len(wide) - len(complete)


def paired_change(
    table: pd.DataFrame, value: str, *, first: str, second: str, term: str = 'change'
) -> PairedChange:
    """Compare two sessions of the same subjects.

    Parameters
    ----------
    table : DataFrame
        Long table with ``participant_id``, ``session_id`` and ``value``.
    value : str
        Column to compare.
    first, second : str
        Sessions; a positive change means a larger second value.
    term : str
        Name of the effect in the result.

    Returns
    -------
    PairedChange
        Paired t test, standardised mean change (Cohen's d_z: mean change over the standard
        deviation of the changes, with its exact interval), and Wilcoxon's p.

    Raises
    ------
    InputDataError
        If fewer than three subjects have both sessions, or all changes are equal.
    """
    wide, dropped = wide_sessions(table, value, [first, second])
    change = (wide[second] - wide[first]).to_numpy()
    n = len(change)
    if n < 3:
        raise InputDataError(f'{value}: only {n} subjects have both {first} and {second}.')
    sd = change.std(ddof=1)
    if sd <= 1e-12 * float(np.abs(wide.to_numpy()).max()):  # equal but for rounding
        raise InputDataError(f'{value}: all subjects changed by the same amount.')
    mean = float(change.mean())
    t = mean / (sd / np.sqrt(n))
    half = stats.t.ppf(0.975, n - 1) * sd / np.sqrt(n)
    low, high = noncentral_ci(t, n - 1, 1 / np.sqrt(n))
    # the exact distribution holds for distinct ranks only; SciPy does not refuse others
    ties = len(np.unique(np.abs(change))) < n or bool((change == 0).any())
    test = TestResult(
        term=term, statistic='t', value=float(t), df1=1, df2=n - 1,
        p=float(2 * stats.t.sf(abs(t), n - 1)), n=n,
        effect_name='cohen_dz', effect=float(mean / sd), ci_low=low, ci_high=high,
        method='paired t test', formula=f'{value}[{second}] - {value}[{first}] ~ 1',
        excluded=dropped,
    )  # fmt: skip
    with np.errstate(divide='ignore', invalid='ignore'):
        percent = 100 * change / wide[first].abs().to_numpy()
    return PairedChange(
        test=test,
        mean_change=mean,
        ci_low=float(mean - half),
        ci_high=float(mean + half),
        # a person who starts at zero has no per cent: a mean over the others would be of other
        # people than the test beside it
        percent_change=float(np.mean(percent)) if np.isfinite(percent).all() else float('nan'),
        wilcoxon_p=float(
            stats.wilcoxon(change, method='approx' if ties or n > 50 else 'exact').pvalue
        ),
    )


def baseline_ancova(
    table: pd.DataFrame,
    value: str,
    *,
    first: str,
    second: str,
    group: str,
    covariates: Sequence[str] = (),
) -> TestResult:
    """Compare groups after treatment, adjusted for the value before it.

    Parameters
    ----------
    table : DataFrame
        Long table with ``participant_id``, ``session_id``, ``value``, ``group`` and covariates
        (the covariates are read from the first session).
    value : str
        Column to compare.
    first, second : str
        Session before and after.
    group : str
        Column with the groups.
    covariates : sequence of str
        Further columns to adjust for.

    Returns
    -------
    TestResult
        F test of the group with partial eta squared; for two groups the effect is the adjusted
        difference (last level minus first, in the order of a categorical column or else of the
        alphabet). Both have their interval.

    Raises
    ------
    InputDataError
        If a group is empty or the covariates are collinear.

    References
    ----------
    Vickers AJ, Altman DG (2001). BMJ 323:1123-1124. doi:10.1136/bmj.323.7321.1123
    """
    wide, dropped = wide_sessions(table, value, [first, second])
    subjects = table[table['session_id'] == first].set_index('participant_id')
    data = wide.set_axis(['baseline', 'outcome'], axis=1).join(subjects[[group, *covariates]])
    complete = data.dropna()
    dropped += len(data) - len(complete)
    if len(complete) and not varies(complete['baseline']):
        raise InputDataError(f'{value} is the same in everybody in {first}.')
    # the value before as a covariate, not the change as a response: who starts high falls whatever
    # is done (regression to the mean), and groups differ in where they start
    design = make_design(complete, ['baseline', group, *covariates])
    columns = list(design.terms[group])
    y = complete['outcome'].to_numpy(dtype=float)
    if not varies(complete['outcome']):
        raise InputDataError(f'{value} is the same in everybody in {second}.')
    beta, cov, dof = _ols(design.X, y)
    contrast = beta[columns]
    value_f = float(contrast @ np.linalg.solve(cov[np.ix_(columns, columns)], contrast))
    value_f /= len(columns)
    counts = count_levels(complete[group])
    effect = ('partial_eta2', partial_eta2(value_f, len(columns), dof))
    interval = partial_eta2_confidence(value_f, len(columns), dof)
    contrast_name = ''
    if len(columns) == 1:
        low, high = level_order(complete[group])
        # Sum-to-zero coding: the first level is +1, the last -1.
        difference, se = -2 * float(contrast[0]), 2 * float(np.sqrt(cov[columns[0], columns[0]]))
        half = float(stats.t.ppf(0.975, dof)) * se
        effect, contrast_name = ('adjusted_difference', difference), f'{high} - {low}'
        interval = (difference - half, difference + half)
    return TestResult(
        term=group, statistic='F', value=value_f, df1=len(columns), df2=dof,
        p=float(stats.f.sf(value_f, len(columns), dof)), n=len(complete),
        effect_name=effect[0], effect=effect[1], ci_low=interval[0], ci_high=interval[1],
        method='analysis of covariance, adjusted for baseline', n_per_group=counts,
        formula=f'{value}[{second}] ~ '
        + ' + '.join([group, f'{value}[{first}]', *covariates]),
        excluded=dropped, contrast=contrast_name,
    )  # fmt: skip


def _ols(X: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray, int]:
    """Return coefficients, their covariance and the residual degrees of freedom."""
    dof = len(y) - X.shape[1]
    if dof < 1:
        raise InputDataError(f'{len(y)} subjects are too few for {X.shape[1]} coefficients.')
    inverse = np.linalg.inv(X.T @ X)
    beta = inverse @ (X.T @ y)
    residual = y - X @ beta
    return beta, inverse * float(residual @ residual) / dof, dof


def partial_correlation(
    x: npt.ArrayLike, y: npt.ArrayLike, covariates: npt.ArrayLike | None = None
) -> TestResult:
    """Correlate two measures after taking the same covariates out of both.

    Parameters
    ----------
    x, y : (n,) array_like
        Measures; no NaN.
    covariates : (n, q) array_like, optional
        Columns to take out besides the mean.

    Returns
    -------
    TestResult
        t with n - 2 - q degrees of freedom, partial r and Fisher's interval.

    Raises
    ------
    InputDataError
        If fewer than two degrees of freedom are left, or nothing is left to correlate.

    Examples
    --------
    >>> result = partial_correlation([1, 2, 3, 4, 6], [2, 1, 4, 3, 6])
    >>> round(result.effect, 3), result.df2
    (0.865, 3)
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    n = len(x)
    extra = (
        np.empty((n, 0)) if covariates is None else np.asarray(covariates, float).reshape(n, -1)
    )
    q = extra.shape[1]
    df = n - 2 - q
    if df < 2:
        raise InputDataError(f'{n} subjects are too few for a correlation with {q} covariates.')
    nuisance = np.column_stack([np.ones(n), extra])
    rest = [v - nuisance @ np.linalg.lstsq(nuisance, v, rcond=None)[0] for v in (x, y)]
    norms = [float(np.linalg.norm(v)) for v in rest]
    # what covariates explain entirely leaves rounding, whose correlation may be anything
    if min(norms[0] / (x.std() or 1), norms[1] / (y.std() or 1)) < 1e-8:
        raise InputDataError('a measure is constant or explained by the covariates entirely.')
    r = float(np.clip(rest[0] @ rest[1] / (norms[0] * norms[1]), -1, 1))
    t = float(r * np.sqrt(df / max(1 - r**2, 1e-300)))
    half = 1.959963984540054 / np.sqrt(max(n - q - 3, 1))
    return TestResult(
        term='correlation', statistic='t', value=t, df1=1, df2=df,
        p=float(2 * stats.t.sf(abs(t), df)), n=n, effect_name='partial_r' if q else 'r',
        effect=r, ci_low=float(np.tanh(np.arctanh(r) - half)) if abs(r) < 1 else r,
        ci_high=float(np.tanh(np.arctanh(r) + half)) if abs(r) < 1 else r,
        method='partial correlation' if q else 'Pearson correlation',
    )  # fmt: skip


def change_correlation(
    table: pd.DataFrame,
    x: str,
    y: str,
    *,
    first: str,
    second: str,
    covariates: Sequence[str] = (),
    adjust_baseline: bool = True,
) -> TestResult:
    """Correlate the change of one measure with the change of another.

    Changes depend on where they start (regression to the mean), so both first values are taken
    out by default.

    Parameters
    ----------
    table : DataFrame
        Long table with ``participant_id``, ``session_id``, ``x``, ``y`` and covariates (numbers,
        or factors, read from the first session).
    x, y : str
        Measures.
    first, second : str
        Session before and after.
    covariates : sequence of str
        Further columns to take out.
    adjust_baseline : bool
        Take out the first values of both measures.

    Returns
    -------
    TestResult
        Partial correlation with n - 2 - q degrees of freedom.

    Raises
    ------
    InputDataError
        If too few subjects have both sessions of both measures.
    """
    wide_x, _ = wide_sessions(table, x, [first, second])
    wide_y, _ = wide_sessions(table, y, [first, second])
    subjects = table[table['session_id'] == first].set_index('participant_id')
    data = pd.DataFrame(
        {
            'dx': wide_x[second] - wide_x[first], 'dy': wide_y[second] - wide_y[first],
            'x0': wide_x[first], 'y0': wide_y[first],
        }
    ).join(subjects[list(covariates)]).dropna()  # fmt: skip
    terms = [*(['x0', 'y0'] if adjust_baseline else []), *covariates]
    nuisance = make_design(data, terms).X[:, 1:] if terms else None
    result = partial_correlation(data['dx'], data['dy'], nuisance)
    everyone = table['participant_id'].nunique()
    given = ', '.join([*([f'{x}[{first}]', f'{y}[{first}]'] if adjust_baseline else []),
                       *covariates])  # fmt: skip
    return TestResult(
        **{
            **{name: getattr(result, name) for name in result.__dataclass_fields__},
            'term': f'change of {x} with change of {y}',
            'excluded': everyone - len(data),
            'formula': f'cor(d {x}, d {y}' + (f' | {given})' if given else ')'),
        }
    )


def percent_change(before: npt.ArrayLike, after: npt.ArrayLike) -> FloatArray:
    """Return the improvement of a symptom score in percent; NaN where it starts at zero.

    Parameters
    ----------
    before, after : (n,) array_like
        Scores of which less is better (subtract the scale's minimum first: PANSS starts at 30).

    Examples
    --------
    >>> percent_change([40, 0], [10, 5])
    array([75., nan])
    """
    start, end = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    safe = np.where(start > 0, start, np.nan)
    fall: FloatArray = 100 * (start - end) / safe
    return fall


def responders(improvement: npt.ArrayLike, threshold: float = 50.0) -> FloatArray:
    """Return 1 for an improvement of at least ``threshold`` percent, 0 for less, NaN if unknown.

    Parameters
    ----------
    improvement : array_like
        Fall of a symptom score from baseline, in per cent of baseline; positive is better.
    threshold : float
        Least improvement of a responder, in per cent.

    Returns
    -------
    ndarray of float64
        Of the shape of ``improvement``.

    Examples
    --------
    >>> responders([75, 20, float('nan')])
    array([ 1.,  0., nan])
    """
    values = np.asarray(improvement, dtype=float)
    return np.where(np.isnan(values), np.nan, (values >= threshold).astype(float))
