"""How far a person lies from a norm: a table of means, or a model fitted to a norm sample.

A norm sample is small. The centile of a person who is not in it therefore comes from the
distribution of a *predicted* value (Student's t, with the uncertainty of the mean), which is the
right share of people however small the sample is; that of a member comes from the norm fitted
without that member.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from bids_acc.exceptions import InputDataError
from bids_acc.typing import BoolArray, FloatArray

LOG_CHI2_MEAN = float(special.digamma(0.5) + np.log(2))
"""Expectation of the logarithm of a squared standard normal value, -1.270."""


@dataclass(frozen=True)
class Distances:
    """Distances of some people from a norm."""

    z: FloatArray
    """(n,) Standard deviations from the expected value; NaN where unknown."""
    centile: FloatArray
    """(n,) Share of the norm population with a smaller value, per cent."""
    sd: FloatArray
    """(n,) Standard deviation of the norm at each person's covariates."""


@dataclass(frozen=True)
class _Fit:
    """Weighted least squares with a spread that changes with covariates."""

    coefficients: FloatArray
    inverse: FloatArray
    sigma: float
    spread: FloatArray
    df: int

    def predict(
        self, X: FloatArray, Z: FloatArray, y: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return z, centile and standard deviation of people whom the norm was not fitted to.

        Parameters
        ----------
        X : (n, p) ndarray of float64
            Covariates of the mean, with the intercept.
        Z : (n, q) ndarray of float64
            Covariates of the log variance, without intercept.
        y : (n,) ndarray of float64
            Observed values.

        Returns
        -------
        z : (n,) ndarray of float64
            Distance from the expected value over the norm's standard deviation.
        centile : (n,) ndarray of float64
            Per cent of the predictive t distribution below ``y``; the uncertainty of the mean
            widens it.
        sd : (n,) ndarray of float64
            Standard deviation of the norm, in units of ``y``.
        """
        sd = self.sigma * np.exp(0.5 * Z @ self.spread)
        away = y - X @ self.coefficients
        of_mean = self.sigma**2 * np.einsum('ij,jk,ik->i', X, self.inverse, X)
        centile = 100 * special.stdtr(self.df, away / np.sqrt(sd**2 + of_mean))
        return away / sd, centile, sd


def _weighted(X: FloatArray, y: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return coefficients and the inverse of X'WX."""
    inverse = np.linalg.inv((X / variance[:, None]).T @ X)
    coefficients: FloatArray = inverse @ (X.T @ (y / variance))
    return coefficients, inverse.astype(np.float64)


def _fit(X: FloatArray, y: FloatArray, Z: FloatArray) -> _Fit:
    """Fit the mean, and the logarithm of the variance, in two steps."""
    n, p = X.shape
    if n - p < 1 or np.linalg.matrix_rank(X) < p:
        raise InputDataError(f'a norm sample of {n} cannot carry {p} coefficients: no z scores.')
    spread = np.zeros(Z.shape[1])
    if Z.shape[1]:
        b, _ = _weighted(X, y, np.ones(n))
        e2 = (y - X @ b) ** 2
        # one person on the line would have a logarithm of minus infinity and bend the spread of
        # all
        log_e2 = np.log(np.maximum(e2, 1e-6 * e2.mean())) - LOG_CHI2_MEAN
        design = np.column_stack([np.ones(n), Z])
        spread = np.linalg.lstsq(design, log_e2, rcond=None)[0][1:]
    variance = np.exp(Z @ spread)
    b, inverse = _weighted(X, y, variance)
    sigma2 = float(np.sum((y - X @ b) ** 2 / variance) / (n - p))
    if not sigma2 > 1e-20 * float(np.mean(y**2)):
        raise InputDataError(f'the norm sample of {n} does not vary: no z scores.')
    return _Fit(b, inverse, float(np.sqrt(sigma2)), spread, n - p)


def sample_norms(
    X: FloatArray, y: FloatArray, norm: BoolArray, Z: FloatArray | None = None
) -> Distances:
    """Return the distances of people from a model fitted to those of a norm sample.

    Parameters
    ----------
    X : (n, p) ndarray
        Design matrix of the expected value, intercept first.
    y : (n,) ndarray
        Values; NaN where missing.
    norm : (n,) ndarray of bool
        Members of the norm sample.
    Z : (n, q) ndarray, optional
        Covariates of the spread, without intercept: the logarithm of the variance is linear in
        them. None: one standard deviation for all.

    Returns
    -------
    Distances
        ``z`` is of the model of the whole norm sample; the centile of a member is that of the
        model without it.

    Raises
    ------
    InputDataError
        If the norm sample is too small for the model or does not vary.

    References
    ----------
    Crawford JR, Howell DC (1998). Clin Neuropsychol 12:482-486, for the centile against a small
    sample. https://doi.org/10.1076/clin.12.4.482.7241
    Crawford JR, Garthwaite PH (2006). Neuropsychology 20:259-271, with covariates.
    https://doi.org/10.1037/0894-4105.20.3.259
    Harvey AC (1976). Econometrica 44:461-465, for the two steps of the spread, which is then
    taken as known. https://doi.org/10.2307/1913974

    Examples
    --------
    >>> y = np.array([1.0, 2.0, 3.0, 4.0])
    >>> member = np.array([True, True, True, False])
    >>> found = sample_norms(np.ones((4, 1)), y, member)
    >>> float(found.z[3]), round(float(found.centile[3]), 1)
    (2.0, 88.7)
    """
    Z = np.zeros((len(y), 0)) if Z is None else Z
    known = np.isfinite(y)
    members = norm & known
    whole = _fit(X[members], y[members], Z[members])
    z, centile, sd = (np.full(len(y), np.nan) for _ in range(3))
    z[known], centile[known], sd[known] = whole.predict(X[known], Z[known], y[known])
    # in a norm of 20 each person pulls mean and spread towards oneself: judged by that norm, fewer
    # than the declared share would lie beyond a centile
    for i in np.flatnonzero(members):
        others = members.copy()
        others[i] = False
        try:
            own = _fit(X[others], y[others], Z[others])
            centile[i] = own.predict(X[[i]], Z[[i]], y[[i]])[1][0]
        except InputDataError:
            centile[i] = np.nan
    return Distances(z, centile, sd)


def table_norms(y: FloatArray, mean: FloatArray, sd: FloatArray) -> Distances:
    """Return the distances of people from published means and standard deviations.

    Parameters
    ----------
    y : (n,) ndarray
        Values.
    mean, sd : (n,) ndarray
        Norm at each person's age and sex; NaN where the table has none.

    Examples
    --------
    >>> found = table_norms(np.array([1.2]), np.array([1.0]), np.array([0.1]))
    >>> round(float(found.z[0]), 3), round(float(found.centile[0]), 1)
    (2.0, 97.7)
    """
    z = (y - mean) / sd
    return Distances(z, 100 * special.ndtr(z), sd)
