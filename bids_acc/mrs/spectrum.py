"""Spectra and basis sets as arrays, and the axes that go with them.

One convention inside, that of NIfTI-MRS: under :func:`numpy.fft.fft` lines upfield of water
(NAA) have positive frequency, so that ``ppm = 4.65 - f / f0``. Files that disagree are turned
at the border.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from bids_acc.exceptions import InputDataError
from bids_acc.typing import ComplexArray, FloatArray

PPM_REFERENCE = 4.65
"""Chemical shift of zero frequency, water at body temperature, in ppm (LCModel's PPMCEN)."""


def frequency_axis(n_points: int, dwell_time: float) -> FloatArray:
    """Frequencies of a shifted discrete spectrum, ascending, in Hz.

    Parameters
    ----------
    n_points : int
        Number of points.
    dwell_time : float
        Sampling interval in s.

    Returns
    -------
    (n_points,) ndarray of float64

    Examples
    --------
    >>> frequency_axis(4, 0.001)
    array([-500., -250.,    0.,  250.])
    """
    return np.fft.fftshift(np.fft.fftfreq(n_points, dwell_time))


def ppm_axis(n_points: int, dwell_time: float, spectrometer_frequency: float) -> FloatArray:
    """Chemical shifts of a shifted discrete spectrum, descending, in ppm.

    Parameters
    ----------
    n_points : int
        Number of points.
    dwell_time : float
        Sampling interval in s.
    spectrometer_frequency : float
        Proton frequency in MHz.

    Returns
    -------
    (n_points,) ndarray of float64

    Examples
    --------
    >>> ppm_axis(4, 0.001, 125.0).round(2)
    array([8.65, 6.65, 4.65, 2.65])
    """
    return PPM_REFERENCE - frequency_axis(n_points, dwell_time) / spectrometer_frequency


def to_spectrum(fid: npt.ArrayLike, n_points: int | None = None) -> ComplexArray:
    """Discrete spectrum of a free induction decay, in the order of :func:`ppm_axis`.

    Parameters
    ----------
    fid : (..., n_samples) array_like
        Free induction decay.
    n_points : int, optional
        Length after zero filling.

    Returns
    -------
    (..., n_points) ndarray of complex128

    Notes
    -----
    The first point keeps its full weight; the constant offset which that causes
    (half of it, real) is part of the baseline.
    """
    fid = np.asarray(fid, dtype=complex)
    return np.fft.fftshift(np.fft.fft(fid, n=n_points, axis=-1), axes=-1)


@dataclass(frozen=True)
class Spectrum:
    """One averaged, preprocessed single-voxel acquisition.

    Raises
    ------
    InputDataError
        If the FID is not one-dimensional or a timing is not a positive number.
    """

    fid: ComplexArray
    """(n_points,) free induction decay."""
    dwell_time: float
    """Sampling interval in s."""
    spectrometer_frequency: float
    """Proton frequency in MHz."""
    echo_time: float = float('nan')
    """Echo time in s; NaN when unknown."""
    repetition_time: float = float('nan')
    """Repetition time in s; NaN when unknown."""
    sequence: str = ''
    """``press``, ``steam``, ``slaser``, or empty when unknown."""
    nucleus: str = '1H'
    """Resonant nucleus."""

    def __post_init__(self) -> None:
        fid = np.asarray(self.fid, dtype=np.complex128)
        if fid.ndim != 1 or fid.size < 16:
            raise InputDataError(f'a spectrum needs one FID of 16 points or more, got {fid.shape}')
        if not (self.dwell_time > 0 and self.spectrometer_frequency > 0):
            raise InputDataError(
                f'dwell time {self.dwell_time} s and spectrometer frequency '
                f'{self.spectrometer_frequency} MHz must be positive'
            )
        object.__setattr__(self, 'fid', fid)

    @property
    def n_points(self) -> int:
        """Number of complex samples."""
        return int(self.fid.size)

    @property
    def time(self) -> FloatArray:
        """(n_points,) sampling times in s, from 0."""
        return np.arange(self.n_points, dtype=np.float64) * self.dwell_time

    @property
    def duration(self) -> float:
        """Length of the acquisition in s."""
        return self.n_points * self.dwell_time

    @property
    def ppm(self) -> FloatArray:
        """(n_points,) chemical shifts of :func:`to_spectrum`, in ppm."""
        return ppm_axis(self.n_points, self.dwell_time, self.spectrometer_frequency)


def oriented(spectrum: Spectrum) -> tuple[Spectrum, bool]:
    """Turn a FID of the opposite sign convention.

    Parameters
    ----------
    spectrum : Spectrum
        Data of unknown orientation.

    Returns
    -------
    spectrum : Spectrum
        With the strong lines of a brain upfield of water.
    kept : bool
        False when the FID had to be conjugated: power between 5.1 and 9.1 ppm was more than
        twice that of the mirrored range, where NAA, creatine and choline should be.

    Examples
    --------
    >>> import numpy as np
    >>> fid = np.exp((2j * np.pi * 325.0 - 20.0) * np.arange(512) * 5e-4)
    >>> oriented(Spectrum(fid, 5e-4, 123.2))[1], oriented(Spectrum(fid.conj(), 5e-4, 123.2))[1]
    (True, False)
    """
    weighted = spectrum.fid * np.exp(-np.pi * 4.0 * spectrum.time)
    power = np.abs(to_spectrum(weighted)) ** 2
    offset = spectrum.ppm - PPM_REFERENCE
    upfield = power[(offset > -4.45) & (offset < -0.45)].sum()
    downfield = power[(offset < 4.45) & (offset > 0.45)].sum()
    if not downfield > 2 * upfield:
        return spectrum, True
    return replace(spectrum, fid=spectrum.fid.conj()), False


class BasisInfo(TypedDict, total=False):
    """What a sidecar tells of the basis set; empty where nobody knows which one was used."""

    BasisSHA256: str
    BasisNames: list[str]
    BasisSequence: str
    BasisEchoTime: float
    BasisTE1: float
    BasisTE2: float
    BasisTESplitAssumed: bool | None
    BasisProvenance: dict[str, object]
    BasisFlags: list[str]
    ImportedFiles: dict[str, str]


@dataclass(frozen=True)
class Basis:
    """Model spectra of metabolites, as FIDs on the sampling grid of the data.

    Raises
    ------
    InputDataError
        If names and FIDs differ in number, or a name is given twice.
    """

    names: tuple[str, ...]
    """Names in LCModel's spelling (Ins, PCh, Scyllo, ...)."""
    fids: ComplexArray
    """(n_metabolites, n_points) free induction decays."""
    dwell_time: float
    """Sampling interval in s."""
    spectrometer_frequency: float
    """Proton frequency in MHz."""
    echo_time: float = float('nan')
    """Echo time in s; NaN when the file does not say."""
    sequence: str = ''
    """``press``, ``steam``, ``slaser``, or empty when the file does not say."""
    te1: float = float('nan')
    """First echo time in s (PRESS); NaN when unknown."""
    te2: float = float('nan')
    """Second echo time in s (PRESS); NaN when unknown."""
    tm: float = float('nan')
    """Mixing time in s (STEAM); NaN when unknown or without meaning."""
    te_split_assumed: bool = False
    """True when the parts of the echo time were not given and had to be assumed."""
    linewidth_hz: float = 0.0
    """Full width at half maximum that the model lines already have."""
    amplitude_per_proton: float = float('nan')
    """Initial FID amplitude of one uncoupled proton at unit concentration."""
    mm_names: tuple[str, ...] = ()
    """Members that are measured macromolecules rather than metabolites."""
    provenance: dict[str, object] = field(default_factory=dict)
    """Where the spectra come from; can be written as JSON."""
    flags: tuple[str, ...] = ()
    """What is doubtful about this basis for the data it was loaded for."""
    sha256: str = ''
    """Digest of the file, or of the parameters of the simulation."""

    def __post_init__(self) -> None:
        if self.fids.ndim != 2 or self.fids.shape[0] != len(self.names):
            raise InputDataError(
                f'basis: {len(self.names)} names for FIDs of shape {self.fids.shape}'
            )
        if len(set(self.names)) != len(self.names):
            raise InputDataError(f'basis: a name occurs twice among {", ".join(self.names)}')

    @property
    def n_points(self) -> int:
        """Number of complex samples of each FID."""
        return int(self.fids.shape[1])

    def fid(self, name: str) -> ComplexArray:
        """FID of one member of the set.

        Parameters
        ----------
        name : str
            In LCModel's spelling.

        Returns
        -------
        (n_points,) ndarray of complex128

        Raises
        ------
        KeyError
            When there is no such member.
        """
        if name not in self.names:
            raise KeyError(name)
        return np.asarray(self.fids[self.names.index(name)])
