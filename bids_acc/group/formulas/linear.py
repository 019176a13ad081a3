"""Ordinary least squares on arrays: fits (statsmodels), tests of terms, contrasts, influence.

Sums of squares of both types come from comparing residual sums of squares of nested models,
which needs no reference to how a factor was coded, except that type III asks for columns that
sum to zero over the levels (`bids_acc.group.formulas.design` codes factors so).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
from scipy import special
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.outliers_influence import OLSInfluence

from bids_acc.typing import BoolArray, FloatArray

WHOLE = 1e-10
"""Distance of a leverage from one at which the observation has a coefficient to itself: far above
rounding (1e-15), far below what anybody with a companion reaches."""


class RegressionResults(Protocol):
    """What is used of statsmodels' class of that name, which has no types."""

    params: FloatArray
    normalized_cov_params: FloatArray
    resid: FloatArray
    df_resid: float
    ssr: float
    mse_resid: float
    cov_HC3: FloatArray  # noqa: N815 - their name
    model: OLS  # for its design, ``exog``

    def cov_params(self) -> FloatArray:
        """Return the covariance of the coefficients."""
        ...


@dataclass(frozen=True)
class LinearFit:
    """A linear model fitted by statsmodels."""

    result: RegressionResults

    @property
    def coefficients(self) -> FloatArray:
        """(p,) Least-squares estimates."""
        return self.result.params

    @property
    def inverse(self) -> FloatArray:
        """(p, p) Inverse of X'X."""
        return self.result.normalized_cov_params

    @property
    def residuals(self) -> FloatArray:
        """(n,) Observed minus fitted."""
        return self.result.resid

    @property
    def df(self) -> int:
        """Residual degrees of freedom, n - p."""
        return int(self.result.df_resid)

    @property
    def rss(self) -> float:
        """Residual sum of squares."""
        return float(self.result.ssr)

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return float(np.sqrt(self.result.mse_resid))

    @property
    def covariance(self) -> FloatArray:
        """(p, p) Covariance of the coefficients under equal variances."""
        return self.result.cov_params()

    @cached_property
    def influence(self) -> OLSInfluence:
        """Leverage, Cook's distances and DFBETAS of statsmodels."""
        return OLSInfluence(self.result)

    def covariance_hc3(self) -> FloatArray:
        """Return the covariance that holds when variances differ.

        References
        ----------
        MacKinnon JG, White H (1985). J Econometrics 29:305-325 (HC3).
        https://doi.org/10.1016/0304-4076(85)90158-7
        """
        alone = self._fitted_exactly()
        if not alone.any():
            return self.result.cov_HC3
        # 0 / 0 for whoever is alone in a level: the residual is zero whatever the value is, so
        # that this person tells nothing of the variance; NaN here would be NaN for all terms
        leverage = np.where(alone, 0.0, self.influence.hat_matrix_diag)
        scaled = np.where(alone, 0.0, self.residuals) / (1 - leverage)
        half = self.inverse @ (self.result.model.exog.T * scaled)
        covariance: FloatArray = half @ half.T
        return covariance

    def _fitted_exactly(self) -> BoolArray:
        """Tell which observations have a coefficient to themselves, a leverage of one."""
        return np.asarray(self.influence.hat_matrix_diag > 1 - WHOLE)

    def cooks_distance(self) -> FloatArray:
        """Return how far each observation moves the fit; NaN where no fit without it exists.

        References
        ----------
        Cook RD (1977). Technometrics 19:15-18. https://doi.org/10.1080/00401706.1977.10489493
        """
        with np.errstate(divide='ignore', invalid='ignore'):
            distances: FloatArray = self.influence.cooks_distance[0]
        # of a leverage of one it is rounding over rounding, often the largest of all
        return np.where(self._fitted_exactly(), np.nan, distances)


def fit_ols(X: npt.ArrayLike, y: npt.ArrayLike) -> LinearFit:
    """Fit a linear model by least squares.

    Parameters
    ----------
    X : (n, p) array_like
        Design matrix of full column rank.
    y : (n,) array_like
        Response.

    Examples
    --------
    >>> fit = fit_ols([[1, 0], [1, 1], [1, 2]], [1.0, 3.0, 5.0])
    >>> fit.coefficients.round(6)
    array([1., 2.])
    """
    X, y = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
    # not by the pseudoinverse, statsmodels' default, which answers for a singular design too, with
    # the shortest of its many solutions
    return LinearFit(OLS(y, X).fit(method='qr'))


def residual_ss(X: FloatArray, y: FloatArray) -> FloatArray:
    """Return residual sums of squares; ``y`` may hold one response per column.

    Parameters
    ----------
    X : (n, p) ndarray
        Design matrix; without columns the residuals are ``y`` itself.
    y : (n, ...) ndarray
        Responses.
    """
    residuals = y
    if X.shape[1]:
        q, _ = np.linalg.qr(X)
        residuals = y - q @ (q.T @ y)
    squares: FloatArray = np.sum(residuals**2, axis=0)
    return squares


@dataclass(frozen=True)
class TermTest:
    """F test of one term of a linear model."""

    term: str
    f: float
    df1: int
    df2: int
    p: float
    sum_of_squares: float


def f_survival(f: float, df1: float, df2: float) -> float:
    """Return the probability of a larger F, accurate in the far tail.

    Parameters
    ----------
    f : float
        Observed F.
    df1, df2 : float
        Degrees of freedom of numerator and denominator.

    Returns
    -------
    float
        The p value; NaN for a negative or missing ``f``.
    """
    return float(special.fdtrc(df1, df2, f)) if f >= 0 else float('nan')


def t_two_sided(t: float, df: float) -> float:
    """Return the two-sided p of Student's t, accurate in the far tail.

    Parameters
    ----------
    t : float
        Observed t.
    df : float
        Degrees of freedom; need not be whole (Welch, Satterthwaite).

    Returns
    -------
    float
        The p value; NaN if ``t`` is.
    """
    return float(2 * special.stdtr(df, -abs(t)))


def anova(
    X: FloatArray,
    y: FloatArray,
    terms: Mapping[str, Sequence[int]],
    kind: Literal['II', 'III'] = 'II',
) -> list[TermTest]:
    """Test each term of a linear model.

    Parameters
    ----------
    X : (n, p) ndarray
        Design matrix of full rank with an intercept and sum-to-zero coding.
    y : (n,) ndarray
        Response.
    terms : mapping of str to sequence of int
        Columns of each term; interactions are named ``a:b``.
    kind : {'II', 'III'}
        ``II``: each term after all others that do not contain it. ``III``: each term after
        all others.

    Returns
    -------
    list of TermTest
        In the order of ``terms``.

    References
    ----------
    Fox J (2016). Applied Regression Analysis and Generalized Linear Models, 3rd ed., ch. 8.
    """
    # one error for all terms, that of the whole model: that of a model without the interactions
    # would hold their variance as noise
    rss, df2 = fit_ols(X, y).rss, X.shape[0] - X.shape[1]
    tests = []
    for term, columns in terms.items():
        # without an interaction in the model (II) its main effect is the mean effect; with it
        # (III) it means something only because codes sum to zero
        hidden = _higher_order(term, terms) if kind == 'II' else set()
        keep = [i for i in range(X.shape[1]) if i not in hidden]
        without = [i for i in keep if i not in set(columns)]
        larger = rss if not hidden else fit_ols(X[:, keep], y).rss
        # a model without any column, as of a mean change, leaves the values themselves
        smaller = fit_ols(X[:, without], y).rss if without else float(y @ y)
        ss = smaller - larger
        f = (ss / len(columns)) / (rss / df2)
        # rounding can leave a little more with more columns: such an F has a p of one, not none
        tests.append(
            TermTest(term, f, len(columns), df2, f_survival(max(f, 0.0), len(columns), df2), ss)
        )
    return tests


def _higher_order(term: str, terms: Mapping[str, Sequence[int]]) -> set[int]:
    """Return the columns of the interactions that contain a term."""
    own = set(term.split(':'))
    return {
        column for name, columns in terms.items() if own < set(name.split(':'))
        for column in columns
    }  # fmt: skip


@dataclass(frozen=True)
class ContrastTest:
    """t test of one linear combination of coefficients."""

    estimate: float
    se: float
    t: float
    df: int
    p: float


def contrast_test(
    fit: LinearFit, weights: npt.ArrayLike, covariance: FloatArray | None = None
) -> ContrastTest:
    """Test a linear combination of coefficients against zero.

    Parameters
    ----------
    fit : LinearFit
        Fitted model.
    weights : (p,) array_like
        Weight of each coefficient.
    covariance : (p, p) ndarray, optional
        Covariance of the coefficients (default: under equal variances).
    """
    w = np.asarray(weights, dtype=float)
    estimate = float(w @ fit.coefficients)
    se = float(np.sqrt(w @ (fit.covariance if covariance is None else covariance) @ w))
    t = estimate / se if se > 0 else float('nan')
    return ContrastTest(estimate, se, t, fit.df, t_two_sided(t, fit.df))
