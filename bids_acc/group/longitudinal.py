"""Change between sessions: paired, mixed and baseline-adjusted models, change against change.

The mixed model has one random intercept per subject and is fitted by restricted maximum
likelihood over the single ratio that it needs, so sessions may be missing for some subjects and
a between-subject variance of zero is an answer, not a failure. Its tests use Satterthwaite's
degrees of freedom: at twenty subjects a normal approximation rejects too often.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import linalg, optimize, stats

from bids_acc.exceptions import InputDataError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TestResult:
    """One test with its estimate, as tables need it."""

    __test__ = False  # not a test class, whatever its name says to pytest

    term: str
    """Effect that was tested."""
    statistic: str
    """Name of the statistic: t or F."""
    value: float
    """Statistic."""
    df1: float
    """Numerator degrees of freedom; 1 for t."""
    df2: float
    """Denominator degrees of freedom."""
    p: float
    """Two-sided p."""
    n: int
    """Subjects in the analysis."""
    effect_name: str = ''
    """What the effect size is."""
    effect: float = np.nan
    """Effect size."""
    ci_low: float = np.nan
    """Lower end of its 95 % confidence interval."""
    ci_high: float = np.nan
    """Upper end of its 95 % confidence interval."""
    method: str = ''
    """Model and estimator in words."""
    formula: str = ''
    """Model formula."""
    n_per_group: Mapping[str, int] = field(default_factory=dict)
    """Subjects in each group."""
    excluded: int = 0
    """Subjects left out because a value was missing."""
    note: str = ''
    """What the reader must know besides."""
    contrast: str = ''
    """Levels or columns that the effect belongs to; the sign follows ``A - B``."""


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


@cache
def _gauss_legendre() -> tuple[FloatArray, FloatArray]:
    """Return nodes and weights on (-1, 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    return nodes, weights


def noncentral_t_cdf(t: float, df: float, noncentrality: float) -> float:
    """Return the distribution function of the noncentral t.

    The chi variable is integrated out by Gauss-Legendre quadrature. SciPy 1.15's own function
    is NaN for noncentralities far from t, just where a root search must look.

    Examples
    --------
    >>> round(noncentral_t_cdf(2.0, 10, 1.0), 6) == round(float(stats.nct.cdf(2.0, 10, 1.0)), 6)
    True
    """
    nodes, weights = _gauss_legendre()
    ends = np.sqrt(stats.chi2.ppf([1e-14, 1 - 1e-14], df) / df)
    scale = ends[0] + (ends[1] - ends[0]) * (nodes + 1) / 2
    density = 2 * df * scale * stats.chi2.pdf(df * scale**2, df)
    inner = stats.norm.cdf(t * scale - noncentrality)
    return float((weights * density * inner).sum() * (ends[1] - ends[0]) / 2)


def noncentral_ci(t: float, df: float, factor: float, level: float = 0.95) -> tuple[float, float]:
    """Return the exact confidence interval of a standardised mean difference.

    Parameters
    ----------
    t : float
        Statistic.
    df : float
        Its degrees of freedom.
    factor : float
        Effect size per unit of t, e.g. 1/sqrt(n) for a paired design.
    level : float
        Coverage.

    Returns
    -------
    low, high : float
        Ends of the interval, by inverting the noncentral t distribution.

    References
    ----------
    Cumming G, Finch S (2001). Educ Psychol Meas 61:532-574. doi:10.1177/0013164401614002

    Examples
    --------
    >>> low, high = noncentral_ci(2.5, 19, 1 / 20**0.5)
    >>> round(low, 2), round(high, 2)
    (0.08, 1.03)
    """
    if not np.isfinite(t):
        return float('nan'), float('nan')
    reach = 12 + abs(t)  # far enough: the interval is about 4 + 4 |t| / sqrt(df) wide

    def shift(probability: float) -> float:
        return float(
            optimize.brentq(
                lambda nc: noncentral_t_cdf(t, df, nc) - probability, t - reach, t + reach
            )
        )

    tail = (1 - level) / 2
    return shift(1 - tail) * factor, shift(tail) * factor


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
    if sd == 0:
        raise InputDataError(f'{value}: all subjects changed by the same amount.')
    mean = float(change.mean())
    t = mean / (sd / np.sqrt(n))
    half = stats.t.ppf(0.975, n - 1) * sd / np.sqrt(n)
    low, high = noncentral_ci(t, n - 1, 1 / np.sqrt(n))
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
        percent_change=float(np.mean(percent)) if np.isfinite(percent).all() else float('nan'),
        wilcoxon_p=float(
            stats.wilcoxon(change, method='approx' if ties or n > 50 else 'exact').pvalue
        ),
    )


# --------------------------------------------------------------------------- design matrices


@dataclass(frozen=True)
class Design:
    """Columns of a linear model and the terms that they belong to."""

    X: FloatArray
    """(n_rows, n_columns) Intercept first."""
    terms: Mapping[str, tuple[int, ...]]
    """Columns of each term."""
    names: tuple[str, ...]
    """Name of each column."""


def count_levels(column: pd.Series) -> dict[str, int]:
    """Count the subjects of each group, groups in alphabetical order."""
    return {
        str(name): int(n) for name, n in column.astype(str).value_counts().sort_index().items()
    }


def _main_columns(column: pd.Series) -> tuple[FloatArray, list[str]]:
    """Code one variable: sum-to-zero for factors, centred for numbers."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        values = column.to_numpy(dtype=float)
        return (values - values.mean())[:, None], [str(column.name)]
    levels = sorted(column.astype(str).unique())
    if len(levels) < 2:
        raise InputDataError(f'{column.name} has one level only ({levels[0]}); take it out.')
    text = column.astype(str).to_numpy()
    coded = np.column_stack([(text == lv).astype(float) for lv in levels[:-1]])
    coded[text == levels[-1]] = -1.0
    return coded, [f'{column.name}[{lv}]' for lv in levels[:-1]]


def make_design(table: pd.DataFrame, terms: Sequence[str]) -> Design:
    """Build a model matrix from main effects and ``a:b`` interactions.

    Factors are coded to sum to zero and numbers are centred, so that the test of a main effect
    beside an interaction is the type III test.

    Parameters
    ----------
    table : DataFrame
        Complete rows; text columns are factors.
    terms : sequence of str
        Column names and interactions such as ``'group:session_id'``.

    Returns
    -------
    Design
        Matrix with an intercept.

    Raises
    ------
    InputDataError
        If a factor has one level, or columns are linearly dependent.
    """
    blocks, names = [np.ones((len(table), 1))], ['Intercept']
    spans: dict[str, tuple[int, ...]] = {'Intercept': (0,)}
    for term in terms:
        block, labels = np.ones((len(table), 1)), ['']
        for part in term.split(':'):
            columns, own = _main_columns(table[part])
            block = np.einsum('ni,nj->nij', block, columns).reshape(len(table), -1)
            labels = [f'{a}:{b}'.lstrip(':') for a in labels for b in own]
        first = sum(b.shape[1] for b in blocks)
        spans[term] = tuple(range(first, first + block.shape[1]))
        blocks.append(block)
        names.extend(labels)
    X = np.hstack(blocks)
    rank = int(np.linalg.matrix_rank(X / np.maximum(np.abs(X).max(axis=0), 1e-300)))
    if rank < X.shape[1]:
        raise InputDataError(
            f'the terms {", ".join(terms)} are collinear or a cell is empty '
            f'({X.shape[1]} columns of rank {rank}); take a term out.'
        )
    return Design(X, spans, tuple(names))


# ------------------------------------------------------------------------------ mixed models


@dataclass(frozen=True)
class MixedModel:
    """A linear model with a random intercept per subject, fitted by REML."""

    beta: FloatArray
    """(n_columns,) Fixed effects."""
    cov: FloatArray
    """(n_columns, n_columns) Their covariance."""
    var_subject: float
    """Variance between subjects."""
    var_residual: float
    """Variance within subjects."""
    reml_criterion: float
    """Minus twice the restricted log likelihood."""
    names: tuple[str, ...]
    """Name of each fixed effect."""
    n_rows: int
    """Observations."""
    n_subjects: int
    """Subjects."""
    singular: bool
    """Whether the variance between subjects is zero."""
    _gradients: tuple[FloatArray, FloatArray] = field(repr=False)
    _var_cov: FloatArray | None = field(repr=False)

    def satterthwaite_df(self, contrast: npt.ArrayLike) -> float:
        """Return the degrees of freedom of one contrast of the fixed effects.

        Parameters
        ----------
        contrast : (n_columns,) array_like
            Weights of the fixed effects.

        References
        ----------
        Kuznetsova A, et al. (2017). J Stat Softw 82(13). doi:10.18637/jss.v082.i13
        """
        L = np.asarray(contrast, dtype=float)
        if self._var_cov is None:
            return float(self.n_rows - len(self.beta))
        variance = L @ self.cov @ L
        gradient = np.array([L @ g @ L for g in self._gradients])
        return float(2 * variance**2 / (gradient @ self._var_cov @ gradient))

    def contrast(self, weights: npt.ArrayLike) -> tuple[float, float, float, float]:
        """Return estimate, standard error, t and its degrees of freedom."""
        L = np.asarray(weights, dtype=float)
        se = float(np.sqrt(L @ self.cov @ L))
        estimate = float(L @ self.beta)
        return estimate, se, estimate / se, self.satterthwaite_df(L)

    def f_test(self, columns: Sequence[int]) -> tuple[float, int, float, float]:
        """Return F, its two degrees of freedom and p for a set of fixed effects.

        The denominator combines the degrees of freedom of the uncorrelated contrasts (Fai and
        Cornelius 1996, doi:10.1080/00949659608811740).
        """
        index = list(columns)
        q = len(index)
        eigenvalues, vectors = np.linalg.eigh(self.cov[np.ix_(index, index)])
        t2 = (vectors.T @ self.beta[index]) ** 2 / eigenvalues
        rows = np.zeros((q, len(self.beta)))
        rows[:, index] = vectors.T
        dfs = np.array([self.satterthwaite_df(row) for row in rows])
        df2 = _combined_df(dfs)
        value = float(t2.sum() / q)
        return value, q, df2, float(stats.f.sf(value, q, df2))


def _combined_df(dfs: FloatArray) -> float:
    """Combine the degrees of freedom of independent contrasts into those of their F."""
    if len(dfs) == 1:
        return float(dfs[0])
    if np.allclose(dfs, dfs[0], rtol=0, atol=1e-8):
        return float(dfs.mean())
    if (dfs <= 2).any():
        return 2.0
    expected = float((dfs / (dfs - 2)).sum())
    return 2 * expected / (expected - len(dfs))


def _profile(
    ratio: float, X: FloatArray, y: FloatArray, sums: tuple[FloatArray, FloatArray, FloatArray]
) -> tuple[float, FloatArray, float]:
    """Return the REML criterion, beta and residual variance at one variance ratio."""
    counts, sum_x, sum_y = sums
    shrink = ratio / (1 + counts * ratio)
    A = X.T @ X - (sum_x * shrink[:, None]).T @ sum_x
    b = X.T @ y - (sum_x * shrink[:, None]).T @ sum_y
    beta = np.linalg.solve(A, b)
    rss = float(y @ y - (shrink * sum_y) @ sum_y - b @ beta)
    dof = len(y) - X.shape[1]
    variance = rss / dof
    logdet = float(np.log1p(counts * ratio).sum() + np.linalg.slogdet(A)[1])
    criterion = float(dof * (np.log(2 * np.pi * variance) + 1) + logdet)
    return criterion, np.asarray(beta, dtype=float), variance


def _variance_information(
    X: FloatArray, y: FloatArray, Z: FloatArray, ratio: float, variance: float, cov: FloatArray
) -> tuple[tuple[FloatArray, FloatArray], FloatArray]:
    """Return d cov / d variances and the covariance of the two variance estimates.

    The latter is the inverse of the observed information of the restricted likelihood.
    """
    kernels = (Z @ Z.T, np.eye(len(y)))
    V_inv = linalg.inv(variance * (ratio * kernels[0] + kernels[1]))
    VX = V_inv @ X
    P = V_inv - VX @ cov @ VX.T
    gradients = tuple(cov @ (VX.T @ K @ VX) @ cov for K in kernels)
    Py = P @ y
    PK = [P @ K for K in kernels]
    info = np.array(
        [
            [
                -0.5 * np.einsum('ij,ji->', PK[i], PK[j]) + (kernels[i] @ Py) @ P @ kernels[j] @ Py
                for j in range(2)
            ]
            for i in range(2)
        ]
    )
    return (gradients[0], gradients[1]), np.linalg.inv(info)


def fit_random_intercept(y: npt.ArrayLike, design: Design, subjects: npt.ArrayLike) -> MixedModel:
    r"""Fit a linear model with a random intercept per subject by REML.

    .. math:: y_{ij} = x_{ij}^T\beta + u_i + e_{ij},\quad u_i \sim N(0, \sigma_u^2),\;
              e_{ij} \sim N(0, \sigma_e^2)

    Beta and one variance are profiled out; the ratio :math:`\sigma_u^2/\sigma_e^2` is found
    by one-dimensional search. Checked against R lme4 1.1-31 and lmerTest 3.1-3.

    Parameters
    ----------
    y : (n_rows,) array_like
        Response.
    design : Design
        Fixed effects.
    subjects : (n_rows,) array_like
        Subject of each row; each may have any number of rows.

    Returns
    -------
    MixedModel
        Estimates and what is needed for Satterthwaite's degrees of freedom.

    Raises
    ------
    InputDataError
        If no subject has two rows, or there are too few rows.

    References
    ----------
    Patterson HD, Thompson R (1971). Biometrika 58:545-554. doi:10.1093/biomet/58.3.545
    """
    y = np.asarray(y, dtype=float)
    X = design.X
    _, codes = np.unique(np.asarray(subjects).astype(str), return_inverse=True)
    Z = np.zeros((len(y), codes.max() + 1))
    Z[np.arange(len(y)), codes] = 1
    counts = Z.sum(axis=0)
    if counts.max() < 2:
        raise InputDataError('no subject has two sessions: use a cross-sectional model.')
    if len(y) <= X.shape[1] + 1:
        raise InputDataError(f'{len(y)} rows are too few for {X.shape[1]} fixed effects.')
    # The scale and offset of the response must not decide how precisely the search ends.
    offset, scale = float(y.mean()), float(y.std()) or 1.0
    z = (y - offset) / scale
    sums = (counts, Z.T @ X, Z.T @ z)
    grid = np.concatenate([[0.0], np.logspace(-4, 4, 33)])
    at = int(np.argmin([_profile(r, X, z, sums)[0] for r in grid]))
    low, high = grid[max(at - 1, 0)], grid[min(at + 1, len(grid) - 1)]
    found = optimize.minimize_scalar(
        lambda r: _profile(r, X, z, sums)[0], bounds=(low, high), method='bounded',
        options={'xatol': 1e-10 * max(high, 1e-3)},
    )  # fmt: skip
    ratio = float(found.x)
    if _profile(0.0, X, z, sums)[0] <= found.fun + 1e-9:
        ratio = 0.0
    criterion, beta, variance = _profile(ratio, X, z, sums)
    shrink = ratio / (1 + counts * ratio)
    A = X.T @ X - (sums[1] * shrink[:, None]).T @ sums[1]
    cov = variance * np.linalg.inv(A)
    gradients, var_cov = _variance_information(X, z, Z, ratio, variance, cov)
    beta = beta * scale
    beta[0] += offset
    return MixedModel(
        beta=beta, cov=cov * scale**2,
        var_subject=ratio * variance * scale**2, var_residual=variance * scale**2,
        reml_criterion=criterion + (len(y) - X.shape[1]) * 2 * float(np.log(scale)),
        names=design.names, n_rows=len(y), n_subjects=len(counts), singular=ratio == 0.0,
        _gradients=gradients, _var_cov=None if ratio == 0.0 else var_cov * scale**4,
    )  # fmt: skip


def mixed_model(
    table: pd.DataFrame,
    response: str,
    terms: Sequence[str],
    *,
    group: str | None = None,
) -> tuple[MixedModel, list[TestResult]]:
    """Test fixed effects over sessions that may be missing for some subjects.

    Parameters
    ----------
    table : DataFrame
        Long table with ``participant_id``, ``response`` and the columns that ``terms`` name.
    response : str
        Column to explain.
    terms : sequence of str
        Fixed effects, e.g. ``['session_id', 'group', 'session_id:group', 'age']``. A numeric
        time column gives slopes, a text column gives sessions.
    group : str, optional
        Column whose levels are counted in ``n_per_group``.

    Returns
    -------
    MixedModel
        Fitted model.
    list of TestResult
        One type III F test for each term, in the order of ``terms``; a term of one column also
        has its estimate and confidence interval.

    Raises
    ------
    InputDataError
        If the design is collinear, or no subject has two sessions.
    """
    needed = list(dict.fromkeys(p for term in terms for p in term.split(':')))
    columns = ['participant_id', response, *needed]
    data = table[columns].dropna()
    dropped = table['participant_id'].nunique() - data['participant_id'].nunique()
    design = make_design(data, terms)
    fit = fit_random_intercept(data[response], design, data['participant_id'])
    people = data.drop_duplicates('participant_id')
    counts = {} if group is None else count_levels(people[group])
    note = 'variance between subjects is zero: residual degrees of freedom' * fit.singular
    results = []
    for term in terms:
        index = design.terms[term]
        value, df1, df2, p = fit.f_test(index)
        effect: tuple[str, float, float, float] = ('', np.nan, np.nan, np.nan)
        if len(index) == 1:
            L = np.eye(len(fit.beta))[index[0]]
            estimate, se, _, df = fit.contrast(L)
            half = stats.t.ppf(0.975, df) * se
            effect = ('coefficient', estimate, estimate - half, estimate + half)
        results.append(
            TestResult(
                term=term, statistic='F', value=value, df1=df1, df2=df2, p=p,
                n=fit.n_subjects, effect_name=effect[0], effect=effect[1],
                ci_low=effect[2], ci_high=effect[3], n_per_group=counts, excluded=dropped,
                formula=f'{response} ~ {" + ".join(terms)} + (1 | participant_id)',
                method='linear mixed model, REML, Satterthwaite, type III',
                note='; '.join(filter(None, [f'{fit.n_rows} observations', note])),
                contrast=design.names[index[0]] if len(index) == 1 else '',
            )
        )  # fmt: skip
    return fit, results


# ------------------------------------------------------------- baseline and change on change


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
        difference (last level, in alphabetical order, minus first) with its interval.

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
    design = make_design(complete, ['baseline', group, *covariates])
    columns = list(design.terms[group])
    y = complete['outcome'].to_numpy(dtype=float)
    beta, cov, dof = _ols(design.X, y)
    contrast = beta[columns]
    value_f = float(contrast @ np.linalg.solve(cov[np.ix_(columns, columns)], contrast))
    value_f /= len(columns)
    counts = count_levels(complete[group])
    effect = ('partial_eta2', value_f * len(columns) / (value_f * len(columns) + dof))
    interval, contrast_name = (np.nan, np.nan), ''
    if len(columns) == 1:
        low, high = sorted(counts)
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
    return 100 * (start - end) / safe


def responders(improvement: npt.ArrayLike, threshold: float = 50.0) -> FloatArray:
    """Return 1 for an improvement of at least ``threshold`` percent, 0 for less, NaN if unknown.

    Examples
    --------
    >>> responders([75, 20, float('nan')])
    array([ 1.,  0., nan])
    """
    values = np.asarray(improvement, dtype=float)
    return np.where(np.isnan(values), np.nan, (values >= threshold).astype(float))
