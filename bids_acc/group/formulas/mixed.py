"""Linear models with one random intercept per subject, by restricted maximum likelihood.

The model is fitted over the single ratio that it needs, so sessions may be missing for some
subjects and a between-subject variance of zero is an answer, not a failure. Its tests use
Satterthwaite's degrees of freedom: at twenty subjects a normal approximation rejects too often.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import linalg, optimize, stats

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas.design import OUTSIDE, code_terms
from bids_acc.group.formulas.inference import partial_eta2, partial_eta2_confidence
from bids_acc.group.formulas.results import TestResult
from bids_acc.typing import FloatArray


@dataclass(frozen=True)
class MixedDesign:
    """Columns of a linear model and the terms that they belong to."""

    X: FloatArray
    """(n_rows, n_columns) Intercept first."""
    terms: Mapping[str, tuple[int, ...]]
    """Columns of each term."""
    names: tuple[str, ...]
    """Name of each column."""


def level_order(column: pd.Series) -> list[str]:
    """Return the levels that occur: a categorical column's own order, else the alphabet's.

    Parameters
    ----------
    column : Series
        Groups or visits; missing cells are no level.

    Returns
    -------
    list of str
        Levels that occur, each once, as `make_design` codes them: the last is -1 throughout.

    Examples
    --------
    >>> visits = pd.Series(['pre', 'post', 'pre'])
    >>> level_order(visits)
    ['post', 'pre']
    >>> level_order(pd.Series(pd.Categorical(visits, ['pre', 'post', 'later'])))
    ['pre', 'post']
    """
    present = set(column.dropna().astype(str))
    if isinstance(column.dtype, pd.CategoricalDtype):
        known = column.dtype.categories
        return [str(level) for level in known if str(level) in present]
    return sorted(present)


def count_levels(column: pd.Series) -> dict[str, int]:
    """Count the rows of each group, in the order of `level_order`.

    Parameters
    ----------
    column : Series
        Group of each row, one row a subject; missing cells are not counted.

    Returns
    -------
    dict of str to int
        Only groups that occur.
    """
    counts = column.dropna().astype(str).value_counts()
    return {name: int(counts[name]) for name in level_order(column)}


def _levels(column: pd.Series) -> list[str] | None:
    """Return the levels of a factor, None for numbers.

    Raises
    ------
    InputDataError
        If the factor has one level only.
    """
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return None
    levels = [level for level in level_order(column) if level != OUTSIDE]
    if not levels:
        raise InputDataError(f'{column.name}: nobody has all values that the model needs.')
    if len(levels) < 2:
        raise InputDataError(f'{column.name} has one level only ({levels[0]}); take it out.')
    return levels


def make_design(table: pd.DataFrame, terms: Sequence[str]) -> MixedDesign:
    """Build a model matrix from main effects and ``a:b`` interactions.

    Factors are coded to sum to zero and numbers are centred, so that the test of a main effect
    beside an interaction is the type III test. The first level of a factor is +1, the last -1;
    a categorical column keeps its order, another one gets the alphabet's.

    Parameters
    ----------
    table : DataFrame
        Complete rows; text columns are factors.
    terms : sequence of str
        Column names and interactions such as ``'group:session_id'``.

    Returns
    -------
    MixedDesign
        Matrix with an intercept.

    Raises
    ------
    InputDataError
        If nobody has all values, a factor has one level, or columns are linearly dependent.
    """
    if table.empty:
        raise InputDataError('nobody has all values that the model needs.')
    parts = dict.fromkeys(':'.join(terms).split(':')) if terms else {}
    levels = {part: found for part in parts if (found := _levels(table[part])) is not None}
    X, columns = code_terms(table, terms, levels)
    names = ['Intercept']
    for term in terms:
        labels = ['']
        for part in term.split(':'):
            own = [f'{part}[{lv}]' for lv in levels[part][:-1]] if part in levels else [part]
            labels = [f'{a}:{b}'.lstrip(':') for b in own for a in labels]
        names += labels
    # in one scale, see `bids_acc.group.formulas.design`
    rank = int(np.linalg.matrix_rank(X / np.maximum(np.abs(X).max(axis=0), 1e-300)))
    if rank < X.shape[1]:
        raise InputDataError(
            f'the terms {", ".join(terms)} are collinear or a cell is empty '
            f'({X.shape[1]} columns of rank {rank}); take a term out.'
        )
    return MixedDesign(X, {'Intercept': (0,), **columns}, tuple(names))


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
        # without variance between people rows are independent, and these are their degrees of
        # freedom
        if self._var_cov is None:
            return float(self.n_rows - len(self.beta))
        variance = L @ self.cov @ L
        gradient = np.array([L @ g @ L for g in self._gradients])
        return float(2 * variance**2 / (gradient @ self._var_cov @ gradient))

    def contrast(self, weights: npt.ArrayLike) -> tuple[float, float, float, float]:
        """Test one linear combination of the fixed effects.

        Parameters
        ----------
        weights : (p,) array_like
            Weight of each fixed effect, in the order of the columns of the design.

        Returns
        -------
        estimate, se : float
            The combination and its standard error, in units of the response.
        t, df : float
            Their ratio and its Satterthwaite degrees of freedom.
        """
        L = np.asarray(weights, dtype=float)
        se = float(np.sqrt(L @ self.cov @ L))
        estimate = float(L @ self.beta)
        return estimate, se, estimate / se, self.satterthwaite_df(L)

    def f_test(self, columns: Sequence[int]) -> tuple[float, int, float, float]:
        """Test a set of fixed effects together.

        The denominator combines the degrees of freedom of the uncorrelated contrasts (Fai and
        Cornelius 1996, doi:10.1080/00949659608811740).

        Parameters
        ----------
        columns : sequence of int
            Columns of the design; their effects are zero under the null hypothesis.

        Returns
        -------
        f : float
            Mean of the squared t of the uncorrelated contrasts.
        df1 : int
            Number of columns.
        df2, p : float
            Denominator degrees of freedom and upper-tail probability.
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
    # the mean of F, by which they are combined, does not exist then; lmerTest takes 2 as well
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


def fit_random_intercept(
    y: npt.ArrayLike, design: MixedDesign, subjects: npt.ArrayLike
) -> MixedModel:
    r"""Fit a linear model with a random intercept per subject by REML.

    .. math:: y_{ij} = x_{ij}^T\beta + u_i + e_{ij},\quad u_i \sim N(0, \sigma_u^2),\;
              e_{ij} \sim N(0, \sigma_e^2)

    Beta and one variance are profiled out; the ratio :math:`\sigma_u^2/\sigma_e^2` is found
    by one-dimensional search. Checked against R lme4 1.1-31 and lmerTest 3.1-3.

    Parameters
    ----------
    y : (n_rows,) array_like
        Response.
    design : MixedDesign
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
    if float(np.ptp(y)) <= 1e-12 * float(np.abs(y).max()):
        raise InputDataError('the response is the same in all observations.')
    if len(y) <= X.shape[1] + 1:
        raise InputDataError(f'{len(y)} rows are too few for {X.shape[1]} fixed effects.')
    within = np.hstack([X, Z])
    left = y - within @ np.linalg.lstsq(within, y, rcond=None)[0]
    if float(left @ left) <= 1e-20 * float(np.sum((y - y.mean()) ** 2)):
        raise InputDataError('the response is explained without any residual within subjects.')
    # The scale and offset of the response must not decide how precisely the search ends.
    offset, scale = float(y.mean()), float(y.std()) or 1.0
    z = (y - offset) / scale
    sums = (counts, Z.T @ X, Z.T @ z)
    # few visits make the criterion flat, sometimes with two minima: a grid finds the valley, the
    # bounded search its floor
    grid = np.concatenate([[0.0], np.logspace(-4, 4, 33)])
    at = int(np.argmin([_profile(r, X, z, sums)[0] for r in grid]))
    low, high = grid[max(at - 1, 0)], grid[min(at + 1, len(grid) - 1)]
    found = optimize.minimize_scalar(
        lambda r: _profile(r, X, z, sums)[0], bounds=(low, high), method='bounded',
        options={'xatol': 1e-10 * max(high, 1e-3)},
    )  # fmt: skip
    ratio = float(found.x)
    # the bounded search never returns its border, and no variance between people is a common
    # answer of few visits: told as 1e-9, it would ruin Satterthwaite's derivatives
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
        One type III F test for each term, in the order of ``terms``. A term of one column has its
        estimate: the last level minus the first, the difference of such differences, a slope, or
        the difference of slopes. Others have partial eta squared, from F and its degrees of
        freedom. Both have confidence intervals.

    Raises
    ------
    InputDataError
        If the design is collinear, or no subject has two sessions.
    """
    needed = list(dict.fromkeys(p for term in terms for p in term.split(':')))
    counted = [] if group is None or group in needed else [group]
    data = table[['participant_id', response, *needed, *counted]].dropna()
    dropped = table['participant_id'].nunique() - data['participant_id'].nunique()
    design = make_design(data, terms)
    fit = fit_random_intercept(data[response], design, data['participant_id'])
    # n of a row is people: visits of one person are no further evidence
    people = data.drop_duplicates('participant_id')
    counts = {} if group is None else count_levels(people[group])
    singular = 'variance between subjects is zero: residual degrees of freedom' * fit.singular
    lost = len(table) - len(data)
    visits = f'{fit.n_rows} observations' + f', {lost} without all values left out' * (lost > 0)
    results = []
    for term in terms:
        index = design.terms[term]
        value, df1, df2, p = fit.f_test(index)
        contrast = ''
        if len(index) == 1:
            scale, name, contrast = _meaning(data, term)
            estimate, se, _, df = fit.contrast(scale * np.eye(len(fit.beta))[index[0]])
            half = stats.t.ppf(0.975, df) * se
            effect = (name, estimate, estimate - half, estimate + half)
        else:
            limits = partial_eta2_confidence(value, df1, df2)
            effect = ('partial_eta2', partial_eta2(value, df1, df2), *limits)
        results.append(
            TestResult(
                term=term, statistic='F', value=value, df1=df1, df2=df2, p=p,
                n=fit.n_subjects, effect_name=effect[0], effect=effect[1],
                ci_low=effect[2], ci_high=effect[3], n_per_group=counts, excluded=dropped,
                formula=f'{response} ~ {" + ".join(terms)} + (1 | participant_id)',
                method='linear mixed model, REML, Satterthwaite, type III',
                note='; '.join(filter(None, [visits, singular])), contrast=contrast,
            )
        )  # fmt: skip
    return fit, results


def _meaning(data: pd.DataFrame, term: str) -> tuple[float, str, str]:
    """Return what turns a term's only coefficient into an estimate, its name and its contrast.

    In sum-to-zero coding of two levels the last minus the first is -2 times the coefficient, and
    the difference of such differences 4 times.
    """
    scale, parts = 1.0, []
    factors = 0
    for name in term.split(':'):
        levels = _levels(data[name])
        if levels is None:
            parts.append(name)
            continue
        factors += 1
        scale *= -2
        parts.append(f'{levels[-1]} - {levels[0]}')
    if len(parts) == 1:
        return scale, 'adjusted_difference' if factors else 'coefficient', parts[0]
    names = {0: 'coefficient', 1: 'slope_difference'}
    text = ' x '.join(f'({part})' if ' - ' in part else part for part in parts)
    return scale, names.get(factors, 'difference_of_differences'), text
