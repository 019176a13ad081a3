"""A measured macromolecule spectrum, from a metabolite-nulled acquisition.

Such a spectrum has no singlets to be referenced and phased by: the known places of the
macromolecules themselves (Birch et al. 2017) serve instead, and what an inversion pulse leaves of
the metabolites' singlets is taken out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bids_acc.exceptions import InputDataError, SettingsError
from bids_acc.mrs.basis.macromolecules import birch_fid
from bids_acc.mrs.scan.io import MrsData, read_nifti_mrs
from bids_acc.mrs.signal.alignment import align_transients, shift_and_phase
from bids_acc.mrs.signal.coils import combine_coils
from bids_acc.mrs.signal.measures import ppm_mask
from bids_acc.mrs.signal.water import hlsvd, remove_residual_water
from bids_acc.mrs.spectrum import Spectrum, ppm_axis, to_spectrum
from bids_acc.typing import ComplexArray

NARROW_PPM = 0.12
"""Width at half maximum below which a line at one of these places is a residual metabolite."""

RESIDUALS_PPM = (2.008, 3.027, 3.21, 3.92)
"""Singlets of which an inversion pulse leaves most: NAA, both of creatine, cholines."""

RANGE_PPM = (0.5, 4.1)
"""Where macromolecules resonate beside water."""

LIKE_MACROMOLECULES = 0.75
"""Least correlation with the published spectrum of one of which metabolites were nulled: a real
one has .84, lipid alone some .6. A convention."""

LARGEST_SHIFT_PPM = 0.15
"""The ppm scale is looked for within this distance on both sides."""


def without_metabolites(
    fid: ComplexArray, dwell_time: float, spectrometer_mhz: float
) -> ComplexArray:
    """Take the narrow lines at the places of metabolites' singlets out of a decay.

    Parameters
    ----------
    fid : (n_points,) ndarray
        Decay without residual water.
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.

    Returns
    -------
    (n_points,) ndarray of complex128
        Decay without them.
    """
    frequency, damping, amplitude = hlsvd(fid, dwell_time, n_components=30)
    ppm = 4.65 - frequency / spectrometer_mhz
    place = np.abs(ppm[:, None] - np.array(RESIDUALS_PPM)).min(axis=1) < 0.04
    # macromolecules lie at the same places and are several times as broad
    narrow = place & (damping < np.pi * NARROW_PPM * spectrometer_mhz)
    time = np.arange(fid.size) * dwell_time
    lines = np.exp(np.outer(time, 2j * np.pi * frequency[narrow] - damping[narrow]))
    return np.asarray(fid - lines @ amplitude[narrow])


def shift_and_phase_of(
    fid: ComplexArray, dwell_time: float, spectrometer_mhz: float
) -> tuple[float, float, float]:
    """Displacement in ppm and phase in rad of a macromolecule spectrum, and how alike it is.

    Magnitudes are correlated with those of the published spectrum for the displacement; the phase
    is that of the best complex factor between both.

    Parameters
    ----------
    fid : (n_points,) ndarray
        Decay without residual water.
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.

    Returns
    -------
    shift_ppm, phase_rad : float
        To be taken away.
    likeness : float
        Correlation with the published spectrum, 0 to 1; brain with metabolites has some .6 to .85.
    """
    ppm = ppm_axis(2 * fid.size, dwell_time, spectrometer_mhz)
    inside = ppm_mask(ppm, *RANGE_PPM)
    time = np.arange(fid.size) * dwell_time
    known = birch_fid(fid.size, dwell_time, spectrometer_mhz)
    # broadened, as the lines looked for are far broader than this and noise is not
    target = to_spectrum(fid * np.exp(-np.pi * 4 * time), 2 * fid.size)[inside]
    best = (-1.0, 0.0, 0.0)
    for shift in np.arange(-LARGEST_SHIFT_PPM, LARGEST_SHIFT_PPM + 1e-9, 0.005):
        moved = known * np.exp(-2j * np.pi * shift * spectrometer_mhz * time)
        template = to_spectrum(moved, 2 * fid.size)[inside]
        inner = np.vdot(template, target)
        score = float(abs(inner)) / max(
            float(np.linalg.norm(template) * np.linalg.norm(target)), 1e-300
        )
        if score > best[0]:
            best = (score, float(shift), float(np.angle(inner)))
    return best[1], best[2], best[0]


def nulled_sign(fid: ComplexArray, dwell_time: float, spectrometer_mhz: float) -> str:
    """Say that a spectrum looks as if metabolites were nulled; empty when it does not.

    Then the macromolecules at 0.9 ppm stand higher than any singlet, and all else is like the
    published spectrum of macromolecules.

    Parameters
    ----------
    fid : (n_points,) ndarray
        Preprocessed decay.
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.
    """
    if not np.all(np.isfinite(fid)):
        return ''
    magnitude = np.abs(to_spectrum(fid))
    ppm = ppm_axis(fid.size, dwell_time, spectrometer_mhz)
    at = [ppm_mask(ppm, low, high) for low, high in ((0.75, 1.05), (1.9, 4.1))]
    methyl, others = (float(magnitude[mask].max()) if mask.any() else 0.0 for mask in at)
    if methyl < others:
        return ''
    if shift_and_phase_of(fid, dwell_time, spectrometer_mhz)[2] < LIKE_MACROMOLECULES:
        return ''
    return (
        'macromolecules at 0.9 ppm stand higher than NAA, creatine and cholines, and the spectrum '
        'is like theirs alone: if metabolites were nulled, inv- in its name marks such a scan, '
        'and --mrs-macromolecules takes it.'
    )


def nulled_spectrum(data: MrsData) -> Spectrum:
    """Combine, align, average and clean a metabolite-nulled acquisition.

    Parameters
    ----------
    data : MrsData
        As read; the first editing condition is taken.

    Returns
    -------
    Spectrum
        In phase, on the ppm scale, without water and without metabolites.

    Raises
    ------
    InputDataError
        If the decays are zero or not finite.
    """
    if data.unusable:
        raise InputDataError(
            f'--mrs-macromolecules {data.source}: {data.unusable}: give another file.'
        )
    axis = (data.dwell_time, data.spectrometer_mhz)
    transients = combine_coils(data.fids[:, :, 0])[0]
    fid = align_transients(transients, data.dwell_time)[0].mean(axis=0)
    fid = remove_residual_water(fid, *axis)
    fid = without_metabolites(fid, *axis)
    shift, phase, _ = shift_and_phase_of(fid, *axis)
    fid = shift_and_phase(fid, data.dwell_time, -shift * data.spectrometer_mhz, phase)
    return Spectrum(
        fid=fid,
        dwell_time=data.dwell_time,
        spectrometer_frequency=data.spectrometer_mhz,
        echo_time=data.echo_time,
    )


def check_nulled(path: str | Path) -> None:
    """Refuse a metabolite-nulled acquisition that is not there.

    Parameters
    ----------
    path : str or Path
        Value of ``--mrs-macromolecules`` that is none of its words.

    Raises
    ------
    SettingsError
        If there is no such file.
    """
    if not Path(path).is_file():
        raise SettingsError(
            f'--mrs-macromolecules {path}: neither auto, parametrised, none nor a NIfTI-MRS file.'
        )


def read_nulled(path: str | Path) -> Spectrum:
    """Read and clean a metabolite-nulled acquisition, see :func:`nulled_spectrum`.

    Parameters
    ----------
    path : str or Path
        NIfTI-MRS of the metabolite-nulled acquisition.

    Returns
    -------
    Spectrum
        Referenced and phased by the macromolecules themselves.

    Raises
    ------
    SettingsError
        If there is no such file.
    """
    check_nulled(path)
    return nulled_spectrum(read_nifti_mrs(path))
