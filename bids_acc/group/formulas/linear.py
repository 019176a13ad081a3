"""Ordinary least squares on arrays: fits, tests of terms, contrasts, influence.

Sums of squares of both types come from comparing residual sums of squares of nested models,
which needs no reference to how a factor was coded, except that type III asks for columns that
sum to zero over the levels (`bids_acc.group.formulas.design` codes factors so).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from bids_acc.typing import FloatArray


@dataclass(frozen=True)
class LinearFit:
    """A fitted linear model."""

    X: FloatArray
    """(n, p) Design matrix."""
    coefficients: FloatArray
    """(p,) Least-squares estimates."""
    inverse: FloatArray
    """(p, p) Inverse of X'X."""
    residuals: FloatArray
    """(n,) Observed minus fitted."""
    df: int
    """Residual degrees of freedom, n - p."""

    @property
    def rss(self) -> float:
        """Residual sum of squares."""
        return float(self.residuals @ self.residuals)

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return float(np.sqrt(self.rss / self.df))

    @property
    def covariance(self) -> FloatArray:
        """(p, p) Covariance of the coefficients under equal variances."""
        return self.inverse * (self.rss / self.df)

    @property
    def leverage(self) -> FloatArray:
        """(n,) Diagonal of the hat matrix."""
        return np.einsum('ij,jk,ik->i', self.X, self.inverse, self.X)

    def covariance_hc3(self) -> FloatArray:
        """Return the covariance that holds when variances differ.

        References
        ----------
        MacKinnon JG, White H (1985). J Econometrics 29:305-325 (HC3).
        https://doi.org/10.1016/0304-4076(85)90158-7
        """
        # a point that the fit must pass through (leverage 1) has no residual to learn from
        slack = np.maximum(1 - self.leverage, 1e-12)
        weighted = self.X * (self.residuals / slack)[:, None]
        return self.inverse @ (weighted.T @ weighted) @ self.inverse

    def cooks_distance(self) -> FloatArray:
        """Return how far each observation moves the fit.

        References
        ----------
        Cook RD (1977). Technometrics 19:15-18. https://doi.org/10.1080/00401706.1977.10489493
        """
        h = self.leverage
        with np.errstate(divide='ignore', invalid='ignore'):
            return self.residuals**2 * h / ((1 - h) ** 2 * self.X.shape[1] * self.sigma**2)


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
    q, r = np.linalg.qr(X)
    coefficients = np.linalg.solve(r, q.T @ y)
    r_inverse = np.linalg.inv(r)
    return LinearFit(
        X=X,
        coefficients=coefficients,
        inverse=r_inverse @ r_inverse.T,
        residuals=y - X @ coefficients,
        df=X.shape[0] - X.shape[1],
    )


def residual_ss(X: FloatArray, y: FloatArray) -> FloatArray:
    """Return residual sums of squares; ``y`` may hold one response per column.

    Parameters
    ----------
    X : (n, p) ndarray
        Design matrix; without columns the residuals are ``y`` itself.
    y : (n, ...) ndarray
        Responses.
    """
    if X.shape[1] == 0:
        return np.sum(y**2, axis=0)
    q, _ = np.linalg.qr(X)
    return np.sum((y - q @ (q.T @ y)) ** 2, axis=0)


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
    """Return the chance of a larger F, accurate in the far tail."""
    return float(special.fdtrc(df1, df2, f)) if f >= 0 else float('nan')


def t_two_sided(t: float, df: float) -> float:
    """Return the two-sided p of t, accurate in the far tail."""
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
    rss, df2 = float(residual_ss(X, y)), X.shape[0] - X.shape[1]
    tests = []
    for term, columns in terms.items():
        hidden = _higher_order(term, terms) if kind == 'II' else set()
        keep = [i for i in range(X.shape[1]) if i not in hidden]
        without = [i for i in keep if i not in set(columns)]
        larger = rss if not hidden else float(residual_ss(X[:, keep], y))
        ss = float(residual_ss(X[:, without], y)) - larger
        f = (ss / len(columns)) / (rss / df2)
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
