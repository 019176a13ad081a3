"""Whether a linear model's answer hangs on single observations.

A test after leaving out those with a large influence rejects too often: the deletion looks at the
data. Instead, the largest change by any one observation is told, and the model is fitted again by
an estimator that single observations cannot move far.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from statsmodels.robust.norms import TukeyBiweight
from statsmodels.robust.resistant_linear_model import RLMDetSMM
from statsmodels.robust.robust_linear_model import RLM
from statsmodels.robust.scale import mad

from bids_acc.exceptions import ComputationError
from bids_acc.group.formulas.linear import LinearFit, f_survival, residual_ss
from bids_acc.typing import FloatArray

EFFICIENCY = 0.95
"""Efficiency of the MM estimator when errors are normal."""

LEAST_SCALE = 1e-8
"""Scale of the residuals, in standard deviations of the response, below which half of the people
lie on the fit and nothing is left to test against (own convention: rounding)."""


@dataclass(frozen=True)
class LargestChange:
    """What leaving out the most influential observation does to some coefficients."""

    dfbetas: float
    """Largest change of a coefficient by one observation, in its standard errors; signed."""
    index: int
    """That observation."""


def largest_change(fit: LinearFit, columns: Sequence[int]) -> LargestChange:
    """Return the largest DFBETAS of some coefficients.

    Parameters
    ----------
    fit : LinearFit
        Fitted model.
    columns : sequence of int
        Coefficients to look at.

    References
    ----------
    Belsley DA, Kuh E, Welsch RE (1980). Regression Diagnostics, eq. 2.7.
    https://doi.org/10.1002/0471725153
    """
    with warnings.catch_warnings(), np.errstate(divide='ignore', invalid='ignore'):
        # statsmodels refits without each; without somebody who is alone in a level it cannot
        warnings.simplefilter('ignore')
        # without somebody whom the design needs there is no fit to compare with
        changes = np.nan_to_num(fit.influence.dfbetas[:, list(columns)], posinf=0, neginf=0)
    row, column = np.unravel_index(int(np.argmax(np.abs(changes))), changes.shape)
    return LargestChange(float(changes[row, column]), int(row))


def leave_one_out_p(X: FloatArray, y: FloatArray, columns: Sequence[int]) -> FloatArray:
    """Return the p of some columns without each observation in turn.

    Parameters
    ----------
    X : (n, p) ndarray
        Design matrix.
    y : (n,) ndarray
        Response.
    columns : sequence of int
        Columns that are tested.

    Returns
    -------
    (n,) ndarray of float64
        NaN where the rest cannot carry the model.
    """
    n, df1 = len(y), len(columns)
    df2 = n - 1 - X.shape[1]
    p = np.full(n, np.nan)
    if df2 < 1:
        return p
    reduced = np.delete(X, list(columns), axis=1)
    for i in range(n):
        kept = np.arange(n) != i
        if np.linalg.matrix_rank(X[kept]) < X.shape[1]:
            continue
        full = float(residual_ss(X[kept], y[kept]))
        small = float(residual_ss(reduced[kept], y[kept]))
        if full > 0:
            p[i] = f_survival(max((small - full) / df1 / (full / df2), 0.0), df1, df2)
    return p


def mm_test(X: FloatArray, y: FloatArray, columns: Sequence[int]) -> tuple[float, int, int]:
    """Return the Wald F of some coefficients by MM regression.

    The start is a deterministic S estimator (breakdown point 0.5), or, where no column is
    continuous, the fit of Huber's M estimator with the median absolute deviation. A column in
    which more than half of the values are the same, a zero-inflated one say, has no robust scale
    and takes no part in the start.

    Parameters
    ----------
    X : (n, p) ndarray
        Design matrix with an intercept.
    y : (n,) ndarray
        Response.
    columns : sequence of int
        Coefficients that are tested.

    Returns
    -------
    f : float
    df1, df2 : int

    Raises
    ------
    ComputationError
        If the estimator finds no finite answer, or fits half of the observations exactly.

    References
    ----------
    Yohai VJ (1987). Ann Stat 15:642-656. https://doi.org/10.1214/aos/1176350366
    """
    scale = float(y.std()) or 1.0
    z = (y - float(np.median(y))) / scale
    # the deterministic start looks for outliers in a column's distribution; codes of groups have
    # none, and a column that is the same in more than half of the people has no robust scale
    continuous = [
        i for i in range(1, X.shape[1])
        if len(np.unique(X[:, i])) > 3 and np.median(np.abs(X[:, i] - np.median(X[:, i]))) > 0
    ]  # fmt: skip
    with warnings.catch_warnings(), np.errstate(all='ignore'):
        warnings.simplefilter('ignore')
        try:
            model = RLMDetSMM(
                z, X, norm=TukeyBiweight(), efficiency=EFFICIENCY, breakdown_point=0.5,
                col_indices=continuous or None,
            )  # fmt: skip
            start = None
            if not continuous:
                first = RLM(z, X).fit()
                start = (first.params, float(mad(first.resid, center=0)))
            result = model.fit(start=start)
            b = result.params[list(columns)]
            v = result.cov_params()[np.ix_(list(columns), list(columns))]
            f = float(b @ np.linalg.solve(v, b)) / len(columns)
        except (ValueError, ArithmeticError, IndexError, np.linalg.LinAlgError) as error:
            raise ComputationError(f'robust regression found no answer ({error}).') from error
    if not (np.isfinite(f) and result.scale > LEAST_SCALE):
        raise ComputationError('robust regression found no finite answer.')
    return f, len(columns), X.shape[0] - X.shape[1]
