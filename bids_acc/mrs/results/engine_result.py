"""What any engine returns, in one form: amplitudes, their covariance, quality, curves."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import SupportsFloat

import numpy as np

from bids_acc.mrs.results.intervals import Interval, bounded_interval, bounded_ratio_interval
from bids_acc.quality.measure import QualityMeasure
from bids_acc.typing import FloatArray

COMBINED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        'tCr': ('Cr', 'PCr'),
        'tNAA': ('NAA', 'NAAG'),
        'tCho': ('GPC', 'PCh'),
        'Glx': ('Glu', 'Gln'),
        'GABA+': ('GABA_edited', 'MM30_edited'),
        'Glx_edited': ('Glu_edited', 'Gln_edited'),
    }
)
"""Sums reported besides single metabolites, with their members. What ends in ``_edited``, and
GABA+, comes from the difference of an edited scan."""

LARGEST_CRLB = 100.0
"""Relative bound in percent beyond which a metabolite is not detected: its amplitude is smaller
than the bound."""

UNDETECTED_CRLB = 999.0
"""Relative Cramer-Rao bound in percent that LCModel prints for an amplitude of zero."""


def members_of(name: str) -> tuple[str, ...]:
    """Return the members of a metabolite or sum; sums that nobody named are written with ``+``.

    Parameters
    ----------
    name : str
        Metabolite, key of :data:`COMBINED`, or several joined by ``+``.

    Returns
    -------
    tuple of str
        Each once.

    Examples
    --------
    >>> members_of('Glx'), members_of('tNAA+Ins'), members_of('Glu')
    (('Glu', 'Gln'), ('NAA', 'NAAG', 'Ins'), ('Glu',))
    >>> members_of('GABA+')
    ('GABA_edited', 'MM30_edited')
    """
    parts = (name,) if name in COMBINED else name.split('+')
    found = [member for part in parts for member in COMBINED.get(part, (part,))]
    return tuple(dict.fromkeys(found))


def kind_of(name: str) -> str:
    """Kind of a member of a fit, from its name.

    Parameters
    ----------
    name : str
        As LCModel spells it.

    Returns
    -------
    {'metabolite', 'macromolecule', 'lipid', 'correction'}
        Only metabolites get rows in the table of levels; a correction is a line that LCModel
        subtracts.

    Examples
    --------
    >>> [kind_of(name) for name in ('Glu', 'MM09', 'Mac', 'Lip13a', '-CrCH2')]
    ['metabolite', 'macromolecule', 'macromolecule', 'lipid', 'correction']
    """
    if name.startswith('-'):
        return 'correction'
    if re.match(r'^(MM|Mac)', name):
        return 'macromolecule'
    return 'lipid' if re.match(r'^Lip', name) else 'metabolite'


@dataclass(frozen=True)
class Curves:
    """Phased data and model on one ppm axis."""

    ppm: FloatArray
    """Chemical shifts in ppm, (n_ppm,)."""
    data: FloatArray
    """Real part of the phased data."""
    fit: FloatArray
    """Model with baseline."""
    baseline: FloatArray
    """Baseline."""
    components: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    """What each of the result's names adds to the model, (n, n_ppm); empty where the engine does
    not tell."""

    @property
    def residual(self) -> FloatArray:
        """Data without the model."""
        return self.data - self.fit


@dataclass(frozen=True)
class EngineResult:
    """Amplitudes found by one engine, in the engine's own units."""

    engine: str
    """``builtin``, ``lcmodel``, ``fsl_mrs``, ``osprey``."""
    version: str
    """Version of the engine."""
    names: tuple[str, ...]
    """Metabolites, macromolecules and lipids."""
    kinds: tuple[str, ...]
    """``metabolite``, ``macromolecule``, ``lipid``, or ``part`` for what is in an edited
    difference and has no row of its own."""
    values: FloatArray
    """Amplitudes, (n,); NaN when the fit failed."""
    sd: FloatArray
    """Cramer-Rao bounds of the amplitudes, (n,), same units."""
    covariance: FloatArray | None = None
    """Covariance of the amplitudes, (n, n), where the engine tells it."""
    sampling: FloatArray | None = None
    """Covariance of the amplitudes' errors over spectra, (n, n), where it is another."""
    unbiased: FloatArray | None = None
    """Amplitudes without soft ratios and bound at zero, (n,), where the engine tells them."""
    unbiased_covariance: FloatArray | None = None
    """Covariance of their errors over spectra, (n, n)."""
    refits: FloatArray | None = None
    """Amplitudes of the spectrum changed by less than can be measured, (n_copies, n), where the
    engine tells them."""
    sums: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Amplitude and bound of sums that the engine itself reports, where there is no covariance."""
    printed_crlb: Mapping[str, float] = field(default_factory=dict)
    """Relative bounds in percent as the engine prints them; they win over a quotient, so that
    20 % stays 20 %."""
    measures: Mapping[str, tuple[QualityMeasure, ...]] = field(default_factory=dict)
    """Quality by metric; several definitions may stand side by side."""
    curves: Curves | None = None
    """Data and model."""
    difference: Curves | None = None
    """Those of the difference of an edited scan."""
    model_spread: Mapping[str, float] = field(default_factory=dict)
    """Largest relative change of an edited amount under other models of the macromolecules."""
    water_scale: float = math.nan
    """Factor from an amplitude to :math:`A_m / (A_w / 2)`; NaN without water."""
    baseline_sensitivity: Mapping[str, float] = field(default_factory=dict)
    """Relative change of the ratio to tCr under a second baseline stiffness."""
    extra: Mapping[str, object] = field(default_factory=dict)
    """The engine's own numbers under its own names; goes into the sidecar."""
    crlb_definition: str = 'builtin_crlb'
    """What its relative bounds mean."""
    notes: tuple[str, ...] = ()
    """Sentences about the fit."""
    invalid: tuple[str, ...] = ()
    """Sentences that exclude the spectrum whatever its numbers: a basis set of another field."""
    basis_sha256: str = ''
    """Checksum of the basis set, where it is known."""

    @classmethod
    def failed(cls, engine: str, version: str, names: Sequence[str], reason: str) -> EngineResult:
        """Stand for a fit that gave nothing: NaN for every number, and the reason.

        Parameters
        ----------
        engine, version : str
            What was to fit.
        names : sequence of str
            Members that a fit would have had, so that the table has its rows.
        reason : str
            One sentence, which excludes the spectrum.

        Returns
        -------
        EngineResult
        """
        return cls(
            engine=engine,
            version=version,
            names=tuple(names),
            kinds=tuple(kind_of(name) for name in names),
            values=np.full(len(names), np.nan),
            sd=np.full(len(names), np.nan),
            crlb_definition=f'{engine}_crlb',
            invalid=(reason,),
        )

    def number(self, name: str) -> float:
        """Look up one of the engine's own numbers.

        Parameters
        ----------
        name : str
            Key of ``extra``.

        Returns
        -------
        float
            NaN where this engine has no such number.
        """
        value = self.extra.get(name)
        return float(value) if isinstance(value, SupportsFloat) else math.nan

    def of_difference(self) -> Mapping[str, object]:
        """Return the numbers of the fit of an edited difference; empty for a scan without one."""
        found = self.extra.get('difference')
        return found if isinstance(found, Mapping) else {}

    def metabolites(self) -> list[str]:
        """Metabolites, then the sums of which a member is there."""
        kinds = dict(zip(self.names, self.kinds, strict=True))
        single = [name for name, kind in kinds.items() if kind == 'metabolite']
        summed = {name for name, kind in kinds.items() if kind in ('metabolite', 'part')}
        sums = [name for name, members in COMBINED.items() if summed.intersection(members)]
        return single + sums

    def _indices(self, name: str) -> list[int]:
        """Positions of a name's members."""
        members = members_of(name)
        return [self.names.index(member) for member in members if member in self.names]

    def amount(self, name: str) -> tuple[float, float]:
        """Amplitude and Cramer-Rao bound of a metabolite or sum.

        Parameters
        ----------
        name : str
            Metabolite, or a key of :data:`COMBINED`.

        Returns
        -------
        value, sd : float
            NaN when the name is not in the fit; the bound of a sum is NaN where neither the
            covariance nor the engine's own sum is known.
        """
        index = self._indices(name)
        if not index:
            return self.sums.get(name, (math.nan, math.nan))
        if len(index) == 1:
            return float(self.values[index[0]]), float(self.sd[index[0]])
        if self.covariance is None:
            # Bounds of members cannot be added: lines that overlap, such as those of Glu and Gln,
            # are told together better than each, and their errors are opposite.
            return self.sums.get(name) or (float(self.values[index].sum()), math.nan)
        return float(self.values[index].sum()), _spread(self._members(name), self.covariance)

    def amount_sd(self, name: str) -> float:
        """Return the SD of an amount's error over spectra; its bound where that is all.

        Parameters
        ----------
        name : str
            Metabolite or sum.
        """
        if self.sampling is None or not self._indices(name):
            return self.amount(name)[1]
        return _spread(self._members(name), self.sampling)

    def amount_interval(self, name: str) -> Interval:
        """Return the 95 % confidence interval of an amount.

        Parameters
        ----------
        name : str
            Metabolite or sum.

        Returns
        -------
        low, high : float
            NaN when the name is not in the fit or the engine gives no unbiased amplitudes.
        """
        if self.unbiased is None or self.unbiased_covariance is None or not self._indices(name):
            return math.nan, math.nan
        weights = self._members(name)
        return bounded_interval(
            float(weights @ self.unbiased), _spread(weights, self.unbiased_covariance)
        )

    def unbiased_amount(self, name: str, below: str = '') -> float:
        """Return the estimate that an interval belongs to, of an amount or a ratio.

        Parameters
        ----------
        name : str
            Metabolite or sum.
        below : str
            Denominator of a ratio; empty for the amount itself.

        Returns
        -------
        float
            Zero where it would be negative; NaN where there is no interval.
        """
        limits = self.ratio_interval(name, below) if below else self.amount_interval(name)
        if self.unbiased is None or not all(map(math.isfinite, limits)):
            return math.nan
        value = float(self._members(name) @ self.unbiased)
        if below:
            value /= float(self._members(below) @ self.unbiased)
        return max(value, 0.0)

    def spread(self, name: str, below: str = '') -> float:
        """Return the largest change of an amount or ratio over the changed copies of the spectrum.

        Parameters
        ----------
        name : str
            Metabolite or sum.
        below : str
            Denominator of a ratio; empty for the amount itself.

        Returns
        -------
        float
            NaN without copies, or where a copy has no such ratio.
        """
        if self.refits is None or not self.refits.size or not self._indices(name):
            return math.nan
        values = self.refits @ self._members(name)
        if below:
            lower = self.refits @ self._members(below)
            values = np.divide(values, lower, out=np.full_like(values, np.nan), where=lower > 0)
        value = self.ratio(name, below)[0] if below else self.amount(name)[0]
        return float(np.max(np.abs(values - value)))

    def _members(self, name: str) -> FloatArray:
        """Mark a name's members, (n,)."""
        weights = np.zeros(len(self.names))
        weights[self._indices(name)] = 1.0
        return weights

    def crlb_pct(self, name: str) -> float:
        """Relative Cramer-Rao bound in percent; 999 for an amplitude of zero, NaN when failed.

        Parameters
        ----------
        name : str
            Metabolite or sum.

        Returns
        -------
        float
            As the engine prints it where it does; at most 999.
        """
        # a quotient of rounded numbers could move a bound over the limit that it was printed at
        if name in self.printed_crlb:
            return self.printed_crlb[name]
        value, sd = self.amount(name)
        # zero without a bound is not detected all the same
        if math.isnan(value) or (math.isnan(sd) and value > 0):
            return math.nan
        return min(100 * sd / value, UNDETECTED_CRLB) if value > 0 else UNDETECTED_CRLB

    def detected(self, name: str) -> bool:
        """Whether the amplitude is above zero and larger than its bound, where that is known.

        Parameters
        ----------
        name : str
            Metabolite or sum.

        Returns
        -------
        bool
            False where there is no amplitude; True where there is one and its bound is not known.
        """
        return self.amount(name)[0] > 0 and not self.crlb_pct(name) > LARGEST_CRLB

    def ratio(self, numerator: str, denominator: str) -> tuple[float, float]:
        """Ratio of two amounts with its standard deviation from the covariance.

        Parameters
        ----------
        numerator, denominator : str
            Metabolites or sums; they may share members.

        Returns
        -------
        ratio, sd : float
            NaN when the denominator is not above zero; the SD is the Cramer-Rao bound, NaN
            without covariance.
        """
        ratio, gradient = self._ratio(numerator, denominator)
        return ratio, math.nan if self.covariance is None else _spread(gradient, self.covariance)

    def ratio_sd(self, numerator: str, denominator: str) -> float:
        """Return the SD of a ratio's error over spectra; its bound where that is all.

        Parameters
        ----------
        numerator, denominator : str
            Metabolites or sums.
        """
        if self.sampling is None:
            return self.ratio(numerator, denominator)[1]
        return _spread(self._ratio(numerator, denominator)[1], self.sampling)

    def ratio_interval(self, numerator: str, denominator: str) -> Interval:
        """Return the 95 % confidence interval of a ratio.

        Parameters
        ----------
        numerator, denominator : str
            Metabolites or sums.

        Returns
        -------
        low, high : float
            NaN where there is no ratio, no unbiased amplitudes, or where the denominator might
            be zero.
        """
        indices = self._indices(numerator), self._indices(denominator)
        if self.unbiased is None or self.unbiased_covariance is None or not all(indices):
            return math.nan, math.nan
        weights = np.stack([self._members(numerator), self._members(denominator)])
        return bounded_ratio_interval(
            weights @ self.unbiased, weights @ self.unbiased_covariance @ weights.T
        )

    def _ratio(self, numerator: str, denominator: str) -> tuple[float, FloatArray]:
        """Ratio of two amounts and its derivatives by the amplitudes, (n,); NaN when undefined."""
        top, bottom = self.amount(numerator)[0], self.amount(denominator)[0]
        # written so that NaN fails, too
        if not bottom > 0 or math.isnan(top):
            return math.nan, np.full(len(self.names), math.nan)
        ratio = top / bottom
        return ratio, (self._members(numerator) - ratio * self._members(denominator)) / bottom


def _spread(weights: FloatArray, covariance: FloatArray) -> float:
    """Return the standard deviation of a weighted sum; NaN stays NaN."""
    return float(np.sqrt(np.maximum(weights @ covariance @ weights, 0.0)))
