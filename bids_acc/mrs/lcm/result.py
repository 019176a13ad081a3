"""What a fit returns, and what can be computed from it without fitting again."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from bids_acc.mrs.lcm.options import FitOptions
from bids_acc.mrs.spectrum import Basis
from bids_acc.typing import FloatArray

NOT_DETECTED = 999.0
"""Relative bound of an amplitude of zero, as LCModel writes it."""


@dataclass(frozen=True)
class FitResult:
    """Amplitudes, their covariance and the curves of one fit; NaN all over when it failed."""

    names: tuple[str, ...]
    """Metabolites, then macromolecules and lipids."""
    kinds: tuple[str, ...]
    """``metabolite``, ``macromolecule`` or ``lipid`` for each name."""
    amplitudes: FloatArray
    """(n,) in units of the basis set."""
    covariance: FloatArray
    """(n, n) Cramér-Rao covariance of the amplitudes."""
    sampling: FloatArray
    """(n, n) covariance of the amplitudes' errors over spectra, never above the bound."""
    unbiased: FloatArray
    """(n,) amplitudes without soft ratios and bound at zero; may be negative."""
    unbiased_covariance: FloatArray
    """(n, n) covariance of their errors over spectra."""
    ppm: FloatArray
    """(n_ppm,) chemical shifts of the curves, descending; on the scale of the basis set."""
    data: FloatArray
    """(n_ppm,) real part of the phased data."""
    fit: FloatArray
    """(n_ppm,) model, baseline included."""
    baseline: FloatArray
    """(n_ppm,) baseline."""
    components: FloatArray
    """(n, n_ppm) contribution of each name."""
    phase0_deg: float
    """Zero-order phase of the data at the centre of the window."""
    phase1_deg_per_ppm: float
    """First-order phase of the data."""
    shift_ppm: float
    """Common shift of the data against the basis; positive: towards lower ppm."""
    lorentz_hz: float
    """Shared Lorentzian broadening."""
    gauss_hz: float
    """Shared Gaussian broadening."""
    snr_lcm: float
    """Half the highest point of fit minus baseline over the residual's SD; not rounded."""
    snr_noise: float
    """Highest point of fit minus baseline over the SD of signal-free regions."""
    ndf: float
    """Parameters as LCModel counts them: amplitudes in use, splines, shifts, widths, phases."""
    n_effective: float
    """Effective number of parameters, smaller than their count because of the priors."""
    residual_sd: float
    """SD of the residual with ``ndf`` parameters, as LCModel has it."""
    fwhm_hz: float
    """Full width at half maximum of the fitted NAA singlet, tCr without NAA."""
    fwhm_ppm: float
    """The same in ppm."""
    linewidth_kernel_hz: float
    """Width of the broadening alone, LCModel's FWHM."""
    baseline_ed_per_ppm: float
    """Effective dimension of the baseline."""
    converged: bool
    """Whether the descent met its tolerance."""
    notes: tuple[str, ...]
    """What should be known about this fit."""
    options: FitOptions
    """Settings."""
    basis: Basis
    """Basis set."""
    invalid: tuple[str, ...] = ()
    """Reasons why the numbers mean nothing, whatever they are."""
    second: dict[str, float] = field(default_factory=dict)
    """Ratios to the reference with the other baseline stiffness."""
    baseline_sensitivity: dict[str, float] = field(default_factory=dict)
    """Relative difference of those ratios, as a fraction; NaN when undefined."""
    n_iterations: int = 0
    """Accepted steps of the final stage."""

    @property
    def failed(self) -> bool:
        """Whether there are no amplitudes."""
        return not bool(np.all(np.isfinite(self.amplitudes)))

    @property
    def residual(self) -> FloatArray:
        """(n_ppm,) data minus fit."""
        return self.data - self.fit

    def _members(self, names: tuple[str, ...]) -> FloatArray:
        """Mark the names that the fit has; of a sum, missing members are left out."""
        weights = np.zeros(len(self.names))
        for name in names:
            if name in self.names:
                weights[self.names.index(name)] = 1.0
        return weights

    def value(self, *names: str) -> tuple[float, float]:
        """Sum of amplitudes and its standard deviation.

        Parameters
        ----------
        *names : str
            Members of the sum; those not in the fit are left out.

        Returns
        -------
        amplitude : float
            NaN when none of the names is in the fit.
        sd : float
            From the covariance.
        """
        weights = self._members(names)
        if not weights.any():
            return float('nan'), float('nan')
        variance = float(weights @ self.covariance @ weights)
        return float(weights @ self.amplitudes), float(np.sqrt(variance))

    def crlb_pct(self, *names: str) -> float:
        """Relative Cramér-Rao bound of a sum of amplitudes, in percent.

        Parameters
        ----------
        *names : str
            Members of the sum; those not in the fit are left out.

        Returns
        -------
        float
            999 when the sum is not positive, NaN when there is none.
        """
        amplitude, sd = self.value(*names)
        if np.isnan(amplitude):
            return float('nan')
        return min(100 * sd / amplitude, NOT_DETECTED) if amplitude > 0 else NOT_DETECTED

    def ratio(
        self, numerator: tuple[str, ...], denominator: tuple[str, ...]
    ) -> tuple[float, float]:
        """Ratio of two sums and its standard deviation.

        Parameters
        ----------
        numerator, denominator : tuple of str
            Members of the sums.

        Returns
        -------
        ratio : float
            NaN when the denominator is not positive.
        sd : float
            First-order propagation with all covariances.
        """
        upper, _ = self.value(*numerator)
        lower, _ = self.value(*denominator)
        if not lower > 0 or np.isnan(upper):
            return float('nan'), float('nan')
        ratio = upper / lower
        # The delta method with the whole covariance: errors of numerator and denominator are
        # correlated, and a sum of squares of relative SDs would be wrong either way.
        gradient = (self._members(numerator) - ratio * self._members(denominator)) / lower
        return ratio, float(np.sqrt(gradient @ self.covariance @ gradient))

    def proton_amplitude(self, *names: str) -> tuple[float, float]:
        """Sum of amplitudes as initial FID amplitude per proton, and its SD.

        Parameters
        ----------
        *names : str
            Members of the sum; those not in the fit are left out.

        Returns
        -------
        amplitude, sd : float
            In units of the data, whatever the scale of the basis set: over that of a water
            reference it is a ratio of protons.
        """
        amplitude, sd = self.value(*names)
        scale = self.basis.amplitude_per_proton
        return amplitude * scale, sd * scale


def failed_result(
    names: tuple[str, ...],
    kinds: tuple[str, ...],
    reason: str,
    options: FitOptions,
    basis: Basis,
) -> FitResult:
    """Return a result that has NaN for every number, and the reason.

    Parameters
    ----------
    names, kinds : tuple of str
        What would have been fitted.
    reason : str
        A sentence for the notes.
    options : FitOptions
        Settings.
    basis : Basis
        Basis set.

    Returns
    -------
    FitResult
    """
    n, nan, empty = len(names), float('nan'), np.empty(0)
    return FitResult(
        names=names,
        kinds=kinds,
        amplitudes=np.full(n, nan),
        covariance=np.full((n, n), nan),
        sampling=np.full((n, n), nan),
        unbiased=np.full(n, nan),
        unbiased_covariance=np.full((n, n), nan),
        ppm=empty,
        data=empty,
        fit=empty,
        baseline=empty,
        components=np.empty((n, 0)),
        phase0_deg=nan,
        phase1_deg_per_ppm=nan,
        shift_ppm=nan,
        lorentz_hz=nan,
        gauss_hz=nan,
        snr_lcm=nan,
        snr_noise=nan,
        ndf=nan,
        n_effective=nan,
        residual_sd=nan,
        fwhm_hz=nan,
        fwhm_ppm=nan,
        linewidth_kernel_hz=nan,
        baseline_ed_per_ppm=nan,
        converged=False,
        notes=(reason,),
        options=options,
        basis=basis,
        invalid=(reason,),
    )
