"""One small class for each kind of test, and the effect that stands beside it.

A kind of test takes the degrees of freedom that it has and no others, and knows how its p value
can contradict the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np
from scipy import special

from bids_acc.group.formulas.linear import f_survival, t_two_sided

NAN = float('nan')
TOLERANCE = 1e-7
"""Relative difference above which a recomputed number contradicts the one that is told."""


def differs(a: float, b: float) -> bool:
    """Tell whether two numbers are too far apart to be the same result.

    Parameters
    ----------
    a, b : float
        What is told and what the rest gives; NaN differs from nothing.

    Examples
    --------
    >>> differs(0.0251, 0.0251138), differs(0.0251138, 0.0251138)
    (True, False)
    """
    return bool(abs(a - b) > TOLERANCE * max(abs(a), abs(b)) + 1e-12)


@dataclass(frozen=True, kw_only=True)
class StatisticalTest:
    """A test whose p does not follow from its statistic, such as U, W or a Bayes factor.

    Without any argument: no test.
    """

    statistic: str = ''
    """Name of the statistic."""
    value: float = NAN
    df1: float = NAN
    df2: float = NAN
    p: float = NAN
    """Two-sided, not corrected for other tests."""

    def contradiction(self) -> str | None:
        """Say what about p cannot be, or None."""
        if np.isfinite(self.p) and not 0 <= self.p <= 1:
            return f'p_unc {self.p} outside [0, 1]'
        return None


@dataclass(frozen=True, kw_only=True)
class ResampledTest(StatisticalTest):
    """A test whose p counts permutations, bootstraps or drawn tables."""

    n_resamples: int

    def contradiction(self) -> str | None:
        """Say that so few resamples cannot show such a p, or what else cannot be."""
        if self.p < 1 / (self.n_resamples + 1) - 1e-12:
            return f'p_unc {self.p:g} is smaller than {self.n_resamples:g} resamples can show'
        return super().contradiction()


class ParametricTest(StatisticalTest, ABC):
    """A test whose p follows from statistic and degrees of freedom."""

    @abstractmethod
    def law_p(self) -> float:
        """Return the p value that the statistic's distribution gives."""

    def contradiction(self) -> str | None:
        """Say that p does not follow from the statistic, or what else cannot be."""
        if (outside := super().contradiction()) or not np.isfinite(self.p):
            return outside
        expected = self.law_p()
        if np.isfinite(expected) and not differs(expected, self.p):
            return None
        degrees = '/'.join(f'{d:g}' for d in (self.df1, self.df2) if np.isfinite(d))
        return (
            f'p_unc {self.p:g} but {self.statistic} = {self.value:g} with df '
            f'{degrees or "none"} gives {expected:g}'
        )


@dataclass(frozen=True, kw_only=True)
class TTest(ParametricTest):
    """Student's or Welch's t."""

    statistic: str = field(default='t', init=False)
    df1: float = field(default=NAN, init=False)

    def law_p(self) -> float:
        """Return p of both tails of t."""
        return t_two_sided(self.value, self.df2)


@dataclass(frozen=True, kw_only=True)
class FTest(ParametricTest):
    """F of a term, with the degrees of freedom of numerator and denominator."""

    statistic: str = field(default='F', init=False)

    def law_p(self) -> float:
        """Return p of the upper tail of F."""
        return f_survival(self.value, self.df1, self.df2)


@dataclass(frozen=True, kw_only=True)
class ChiSquaredTest(ParametricTest):
    """Chi squared; its degrees of freedom stand in ``df1``."""

    statistic: str = field(default='chi2', init=False)
    df2: float = field(default=NAN, init=False)

    def law_p(self) -> float:
        """Return p of the upper tail of chi squared."""
        return float(special.chdtrc(self.df1, self.value))


@dataclass(frozen=True, kw_only=True)
class ZTest(ParametricTest):
    """Standard normal."""

    statistic: str = field(default='z', init=False)
    df1: float = field(default=NAN, init=False)
    df2: float = field(default=NAN, init=False)

    def law_p(self) -> float:
        """Return p of both tails of the standard normal."""
        return float(2 * special.ndtr(-abs(self.value)))


@dataclass(frozen=True)
class Effect:
    """An effect size with its confidence interval; without any argument: none."""

    name: str = ''
    size: float = NAN
    low: float = NAN
    high: float = NAN

    def contradiction(self) -> str | None:
        """Say that the interval's ends are exchanged, or None."""
        if np.isfinite(self.low) and np.isfinite(self.high) and self.low > self.high:
            return f'interval from {self.low:g} to {self.high:g} is upside down'
        return None
