"""A PRESS spectrum and its water reference with known contents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from bids_acc.mrs.basis.simulate import basis, synthetic_fid
from bids_acc.mrs.spectrum import Basis, ppm_axis
from bids_acc.typing import ComplexArray, FloatArray

SPECTROMETER_MHZ = 127.75
DWELL_TIME_S = 5e-4
N_POINTS = 2048
ECHO_TIME_S = 0.035
TE1_S = 0.0124
"""First part of the echo time of PRESS, s."""
REPETITION_TIME_S = 2.0
N_TRANSIENTS = 128

SNR = 42.0
"""Half the tallest peak over the standard deviation of the spectrum's noise."""

TCR_MMOL_PER_KG = 9.0
"""Mean total creatine, mmol per kg of tissue water."""

GLUTAMINE_SHARE = 0.19
"""Glutamine's part of Glx."""

RATIOS: Mapping[str, float] = MappingProxyType({
    'Cr': 0.55, 'PCr': 0.45, 'NAA': 1.22, 'NAAG': 0.13, 'GPC': 0.15, 'PCh': 0.06, 'Ins': 0.82,
    'GSH': 0.20, 'GABA': 0.18, 'Asp': 0.18, 'Tau': 0.14, 'Scyllo': 0.04, 'Lac': 0.07, 'Asc': 0.10,
    'Glc': 0.10, 'PE': 0.16,
})  # fmt: skip
"""Usual amounts of the metabolites other than Glu and Gln, relative to total creatine."""

RATIO_SD = 0.05
"""Relative between-participant standard deviation of each of `RATIOS`; creatine's own two
parts have none, so that their sum stays the unit."""

MACROMOLECULES = (
    (0.92, 2.6, 19.0), (1.21, 0.9, 20.0), (1.40, 2.0, 22.0), (1.66, 1.0, 22.0), (2.04, 3.2, 25.0),
    (2.26, 0.8, 22.0), (2.99, 1.0, 22.0), (3.77, 0.8, 30.0),
)  # fmt: skip
"""Broad resonances: position (ppm), amplitude in protons of total creatine, Gaussian full width
at half maximum (Hz). Rounded values of the size seen at 3 T, not a measured spectrum."""

WATER_CONTENT = (0.78, 0.65, 0.97)
"""Visible water of GM, WM and CSF, kg per litre (Ernst, Kreis, Ross 1993,
doi:10.1006/jmrb.1993.1055)."""

WATER_T1_S = (1.331, 0.832, 3.817)
"""Water T1 of GM, WM and CSF at 3 T, s (Lu et al. 2005, doi:10.1002/jmri.20356)."""

WATER_T2_S = (0.110, 0.0792, 0.503)
"""Water T2 of GM, WM and CSF at 3 T, s."""

METABOLITE_T1_S, METABOLITE_T2_S = 1.35, 0.160
"""Relaxation times given to every metabolite alike, s: ratios need no correction then."""

WATER_MMOL_PER_KG = 55510.0
"""Amount of substance in a kilogram of water, mmol."""


@dataclass(frozen=True)
class SpectrumTruth:
    """What is in one voxel's signal."""

    fractions: FloatArray
    """(3,) volume fractions of GM, WM and CSF."""
    amplitudes: dict[str, float]
    """Amplitude of each metabolite per proton, in the unit of the stored signal."""
    water_per_proton: float
    """Amplitude of the water reference at time 0 divided by two."""
    tcr_mmol_per_kg: float
    linewidth_hz: tuple[float, float]
    """Lorentzian and Gaussian full width at half maximum, Hz."""
    shift_hz: float
    phase_rad: float

    def ratio(self, numerator: tuple[str, ...], denominator: tuple[str, ...]) -> float:
        """Return the ratio of two sums of amplitudes.

        Parameters
        ----------
        numerator, denominator : tuple of str
            Names of metabolites in the basis, such as ``('Glu', 'Gln')``.

        Returns
        -------
        float
            Dimensionless; all metabolites relax alike, so that it is a ratio of concentrations.
        """
        return sum(self.amplitudes[n] for n in numerator) / sum(
            self.amplitudes[n] for n in denominator
        )


@cache
def metabolite_basis() -> Basis:
    """Simulate the metabolites once for all participants."""
    return basis(
        spectrometer_frequency=SPECTROMETER_MHZ,
        dwell_time=DWELL_TIME_S,
        n_points=N_POINTS,
        echo_time=ECHO_TIME_S,
        te1=TE1_S,
        metabolites=(*RATIOS, 'Glu', 'Gln'),
    )


def relaxation(t1: npt.ArrayLike, t2: npt.ArrayLike) -> FloatArray:
    """Signal left by saturation and transverse decay at the protocol's TR and TE.

    Parameters
    ----------
    t1, t2 : array_like
        Relaxation times, s.

    Returns
    -------
    ndarray of float64
        Between 0 and 1.

    Examples
    --------
    >>> relaxation(1e-6, 1e6).round(3).item()
    1.0
    """
    t1, t2 = np.asarray(t1, dtype=float), np.asarray(t2, dtype=float)
    return np.asarray((1 - np.exp(-REPETITION_TIME_S / t1)) * np.exp(-ECHO_TIME_S / t2))


def draw_truth(glx_tcr: float, fractions: FloatArray, rng: np.random.Generator) -> SpectrumTruth:
    """Decide what one voxel holds.

    Parameters
    ----------
    glx_tcr : float
        Planted ratio of Glu + Gln to Cr + PCr.
    fractions : (3,) ndarray of float64
        Volume fractions of GM, WM and CSF in the voxel.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    SpectrumTruth
        Amplitudes such that the voxel's water gives the signal of `WATER_MMOL_PER_KG` times its
        relaxation factors (the model of Gasparovic et al. 2006, doi:10.1002/mrm.20901).
    """
    tcr = TCR_MMOL_PER_KG * (1 + 0.04 * rng.standard_normal())
    ratios = {
        name: value * (1 + RATIO_SD * rng.standard_normal()) for name, value in RATIOS.items()
    }
    ratios['PCr'] = 1 - RATIOS['Cr']
    ratios['Cr'] = RATIOS['Cr']
    ratios |= {'Glu': glx_tcr * (1 - GLUTAMINE_SHARE), 'Gln': glx_tcr * GLUTAMINE_SHARE}
    water = fractions * np.array(WATER_CONTENT)
    water = water / water.sum()
    per_mmol = (1 - water[2]) * float(relaxation(METABOLITE_T1_S, METABOLITE_T2_S))
    return SpectrumTruth(
        fractions=fractions,
        amplitudes={name: tcr * ratio * per_mmol for name, ratio in ratios.items()},
        water_per_proton=WATER_MMOL_PER_KG * float(water @ relaxation(WATER_T1_S, WATER_T2_S)),
        tcr_mmol_per_kg=round(tcr, 4),
        linewidth_hz=(float(rng.uniform(2.5, 3.5)), float(rng.uniform(3.0, 4.5))),
        shift_hz=float(rng.normal(0, 1.0)),
        phase_rad=float(rng.normal(0, 0.3)),
    )


def _macromolecules(unit: float, time: FloatArray) -> ComplexArray:
    """Signal of the broad resonances; ``unit`` is the amplitude of total creatine per proton."""
    centre = ppm_axis(2, 1.0, SPECTROMETER_MHZ)[1]
    signal = np.zeros(len(time), dtype=complex)
    for position, protons, width in MACROMOLECULES:
        frequency = (centre - position) * SPECTROMETER_MHZ
        decay = np.exp(-((np.pi * width * time) ** 2) / (4 * np.log(2)))
        signal += unit * protons * np.exp(2j * np.pi * frequency * time) * decay
    return signal


def make_fids(truth: SpectrumTruth, rng: np.random.Generator) -> tuple[ComplexArray, ComplexArray]:
    """Compute the averaged, water-suppressed decay and the water reference.

    Parameters
    ----------
    truth : SpectrumTruth
        What the voxel holds.
    rng : numpy.random.Generator
        Source of the noise.

    Returns
    -------
    metabolites, water : (N_POINTS,) ndarray of complex128
        Decays in the convention of NIfTI-MRS, with the same phase, shift and eddy currents.
    """
    time = DWELL_TIME_S * np.arange(N_POINTS, dtype=np.float64)
    lorentz, gauss = truth.linewidth_hz
    envelope = np.exp(
        -np.pi * (lorentz + 1.0) * time - (np.pi * gauss * time) ** 2 / (4 * np.log(2))
    )
    drift = 2 * np.pi * truth.shift_hz * time + truth.phase_rad
    # An eddy current that has died away after some 20 ms turns water and metabolites alike.
    common = np.exp(1j * (drift + 0.15 * (1 - np.exp(-time / 0.02))))
    water = 2 * truth.water_per_proton * envelope
    residual = 3e-4 * np.exp(1j * rng.uniform(-np.pi, np.pi)) * water
    tcr = truth.amplitudes['Cr'] + truth.amplitudes['PCr']
    pure = synthetic_fid(
        metabolite_basis(),
        truth.amplitudes,
        lorentz_hz=lorentz,
        gauss_hz=gauss,
        extra=_macromolecules(tcr, time),
    )
    # From a point of the spectrum to a sample: the transform adds the noise of all samples, whose
    # deviation grows with the root of their number.
    noise_sd = 0.5 * np.abs(np.fft.fft(pure)).max() / SNR / np.sqrt(N_POINTS)
    noise = noise_sd * rng.standard_normal((4, N_POINTS))
    return (
        (pure + residual) * common + noise[0] + 1j * noise[1],
        water * common + noise[2] + 1j * noise[3],
    )
