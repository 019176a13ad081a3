"""What a prediction of unseen people is worth: ROC curve, cut-offs, calibration, net benefit.

Everything here takes decision values of people whom the model has not seen.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy import special, stats
from statsmodels.discrete.discrete_model import Logit
from statsmodels.stats.proportion import proportion_confint

from bids_acc.typing import BoolArray, FloatArray


@dataclass(frozen=True)
class Share:
    """A share of people with its Wilson interval (95 %)."""

    value: float
    ci_low: float
    ci_high: float
    count: int
    n: int


def share(events: BoolArray) -> Share:
    """Return the proportion of true values with its Wilson 95 % interval; NaN of nobody.

    Parameters
    ----------
    events : (n,) ndarray of bool
        One value a person: true where what is counted happened.

    Returns
    -------
    Share
        Proportion from 0 to 1, its limits, the number of true values and ``n``.

    Examples
    --------
    >>> found = share(np.array([True, True, False, True]))
    >>> found.value, round(found.ci_low, 3), round(found.ci_high, 3)
    (0.75, 0.301, 0.954)
    """
    count, n = int(events.sum()), len(events)
    if not n:
        return Share(*(float('nan'),) * 3, 0, 0)
    # Wilson and not Wald: where all of 20 people are called rightly, Wald's interval has no width,
    # and beside 0 or 1 it leaves the scale
    low, high = proportion_confint(count, n, method='wilson')
    return Share(count / n, float(low), float(high), count, n)


def at_cutoff(truth: BoolArray, called: BoolArray) -> dict[str, Share]:
    """Return sensitivity, specificity and predictive values of a yes or no.

    Parameters
    ----------
    truth, called : (n,) ndarray of bool
        Who is positive, and who is called so.
    """
    return {
        'sensitivity': share(called[truth]),
        'specificity': share(~called[~truth]),
        'positive predictive value': share(truth[called]),
        'negative predictive value': share(~truth[~called]),
    }


def roc_curve(truth: BoolArray, decision: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return false and true positive rates at falling cut-offs, from (0, 0) to (1, 1).

    Parameters
    ----------
    truth : (n,) ndarray of bool
        Who is positive; both classes occur.
    decision : (n,) ndarray of float64
        Larger means more likely positive.

    Returns
    -------
    false_positive, true_positive, cutoff : (m,) ndarray of float64
        Called positive are those at or above the cut-off.
    """
    # each observed value once: people with the same decision cannot be parted by any cut-off, so
    # that a curve through them one by one would depend on their order
    cutoffs = np.unique(decision)[::-1]
    called = decision[None, :] >= cutoffs[:, None]
    true = (called & truth).sum(axis=1) / truth.sum()
    false = (called & ~truth).sum(axis=1) / (~truth).sum()
    return np.r_[0.0, false], np.r_[0.0, true], np.r_[np.inf, cutoffs]


def youden_cutoff(truth: BoolArray, decision: FloatArray) -> float:
    """Return the cut-off with the largest sum of sensitivity and specificity.

    Parameters
    ----------
    truth : (n,) ndarray of bool
        True for the positive class; both classes must occur.
    decision : (n,) ndarray of float64
        Larger means more likely positive.

    Returns
    -------
    float
        An observed decision value: who has it or more is called positive. The highest one if
        several reach the same sum.

    References
    ----------
    Youden WJ (1950). Cancer 3:32-35.
    doi:10.1002/1097-0142(1950)3:1<32::AID-CNCR2820030106>3.0.CO;2-3

    Examples
    --------
    >>> youden_cutoff(np.array([False, False, True, True]), np.array([0.1, 0.4, 0.5, 0.8]))
    0.5
    """
    false, true, cutoffs = roc_curve(truth, decision)
    return float(cutoffs[1:][np.argmax((true - false)[1:])])


def auc_interval(
    truth: BoolArray, decision: FloatArray, level: float = 0.95
) -> tuple[float, float, float]:
    """Return the area under the ROC curve and its interval on the logit scale.

    Parameters
    ----------
    truth : (n,) ndarray of bool
        Who is positive.
    decision : (n,) ndarray of float64
        Larger means more likely positive.
    level : float
        Coverage.

    References
    ----------
    DeLong ER, et al. (1988). Biometrics 44:837-845. doi:10.2307/2531595
    """
    yes, no = decision[truth], decision[~truth]
    wins = (yes[:, None] > no) + 0.5 * (yes[:, None] == no)
    auc = float(wins.mean())
    # DeLong: how much the members of each class differ in the share of the other class that they
    # beat
    variance = wins.mean(axis=1).var(ddof=1) / len(yes) + wins.mean(axis=0).var(ddof=1) / len(no)
    # complete separation has no logit, and its estimated variance of zero is no certainty
    if not 0 < auc < 1 or not variance > 0:
        return auc, float('nan'), float('nan')
    half = stats.norm.ppf((1 + level) / 2) * np.sqrt(variance) / (auc * (1 - auc))
    low, high = special.expit(special.logit(auc) + np.array([-half, half]))
    return auc, float(low), float(high)


@dataclass(frozen=True)
class Calibration:
    """Whether predicted probabilities are those that come true."""

    slope: float
    """Of the outcome's logit over the predicted one; below 1 the predictions are too extreme."""
    slope_low: float
    slope_high: float
    intercept: float
    """In the large: logit of the outcome minus the predicted one; above 0 they are too low."""
    intercept_low: float
    intercept_high: float
    brier: float
    """Mean squared difference of probability and outcome."""
    brier_of_rate: float
    """The same of predicting everybody's rate."""


def calibration(truth: BoolArray, decision: FloatArray) -> Calibration:
    """Compare predicted probabilities with what came true.

    Parameters
    ----------
    truth : (n,) ndarray of bool
        Who is positive.
    decision : (n,) ndarray of float64
        Predicted logits of people who were not seen.

    References
    ----------
    Van Calster B, et al. (2019). BMC Med 17:230. doi:10.1186/s12916-019-1466-7
    Brier GW (1950). Mon Weather Rev 78:1-3.
    doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2
    """
    y, ones = truth.astype(float), np.ones((len(truth), 1))
    # two questions, two models: the slope with a free intercept, and the intercept with the slope
    # held at one (the offset), or each would make up for the other
    slope = _logit(y, np.column_stack([ones, decision]), None)
    large = _logit(y, ones, decision)
    p = special.expit(decision)
    return Calibration(
        *slope, *large, float(np.mean((p - y) ** 2)), float(y.mean() * (1 - y.mean()))
    )


def calibration_curve(
    truth: BoolArray, decision: FloatArray, level: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """Return what comes true of each predicted probability, by logistic recalibration.

    Parameters
    ----------
    truth : (n,) ndarray of bool
        Who is positive.
    decision : (n,) ndarray of float64
        Predicted logits of people who were not seen.
    level : float
        Coverage of the band, pointwise.

    Returns
    -------
    predicted : (50,) ndarray of float64
        Probabilities from the smallest to the largest that was predicted.
    observed : (3, 50) ndarray of float64
        Share that comes true, with the lower and upper limit of its band (Wald, on the logit
        scale); NaN where the classes are told apart completely.

    References
    ----------
    Cox DR (1958). Biometrika 45:562-565. doi:10.1093/biomet/45.3-4.562
    """
    grid = np.linspace(decision.min(), decision.max(), 50)
    fit = _logistic(truth.astype(float), np.column_stack([np.ones(len(truth)), decision]), None)
    if fit is None:
        return special.expit(grid), np.full((3, 50), np.nan)
    X = np.column_stack([np.ones(50), grid])
    logit = X @ fit.params
    half = stats.norm.ppf((1 + level) / 2) * np.sqrt(np.sum(X @ fit.cov_params() * X, axis=1))
    return special.expit(grid), special.expit(np.array([logit, logit - half, logit + half]))


def calibration_groups(
    truth: BoolArray, decision: FloatArray, smallest: int = 10
) -> list[tuple[float, Share]]:
    """Return mean predicted probability and observed share in groups of rising prediction.

    Parameters
    ----------
    truth : (n,) ndarray of bool
        Who is positive.
    decision : (n,) ndarray of float64
        Predicted logits.
    smallest : int
        People in a group at least; at most ten groups are made (own convention).

    Examples
    --------
    >>> truth, decision = np.arange(20) >= 10, np.linspace(-2, 2, 20)
    >>> [(round(p, 2), found.value) for p, found in calibration_groups(truth, decision)]
    [(0.27, 0.0), (0.73, 1.0)]
    """
    count = int(np.clip(len(truth) // smallest, 1, 10))
    # equal numbers of people, not equal widths of probability, whose outer bins hold nobody
    order = np.array_split(np.argsort(decision, kind='stable'), count)
    return [(float(special.expit(decision[who]).mean()), share(truth[who])) for who in order]


def _logit(y: FloatArray, X: FloatArray, offset: FloatArray | None) -> tuple[float, float, float]:
    """Return the last coefficient of a logistic regression with its interval, or NaN."""
    fit = _logistic(y, X, offset)
    if fit is None:
        return (float('nan'),) * 3
    low, high = fit.conf_int()[-1]
    return float(fit.params[-1]), float(low), float(high)


class LogisticResults(Protocol):
    """What is used of statsmodels' `LogitResults`, which has no types."""

    params: FloatArray
    mle_retvals: Mapping[str, object]

    def cov_params(self) -> FloatArray:
        """Return the covariance of the coefficients, (p, p)."""
        ...

    def conf_int(self) -> FloatArray:
        """Return the 95 % interval of each coefficient, (p, 2)."""
        ...


def _logistic(y: FloatArray, X: FloatArray, offset: FloatArray | None) -> LogisticResults | None:
    """Fit a logistic regression; None where it has no maximum."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            fit: LogisticResults = Logit(y, X, offset=offset).fit(disp=False)
        except (np.linalg.LinAlgError, ValueError):  # the classes are told apart completely
            return None
        # where classes are told apart the likelihood rises for ever, which is not always an error:
        # the coefficients are then those of the last step allowed
        return fit if fit.mle_retvals['converged'] else None


def net_benefit(truth: BoolArray, decision: FloatArray, thresholds: npt.ArrayLike) -> FloatArray:
    """Return the net benefit of treating those whose predicted probability reaches a threshold.

    Parameters
    ----------
    truth : (n,) ndarray of bool
        Who is positive.
    decision : (n,) ndarray of float64
        Predicted logits.
    thresholds : (m,) array_like
        Probabilities; one unneeded treatment weighs p / (1 - p) needed ones.

    Returns
    -------
    (2, m) ndarray of float64
        Of the model, and of treating everybody; treating nobody has none.

    References
    ----------
    Vickers AJ, Elkin EB (2006). Med Decis Making 26:565-574. doi:10.1177/0272989X06295361
    """
    p = np.asarray(thresholds, dtype=float)
    odds = p / (1 - p)
    called = special.expit(decision)[None, :] >= p[:, None]
    model = (called & truth).mean(axis=1) - (called & ~truth).mean(axis=1) * odds
    return np.array([model, truth.mean() - (~truth).mean() * odds])
