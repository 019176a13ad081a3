"""Series of brain regions whose correlations are known: what BOLD images are made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline
from scipy.spatial import cKDTree

from bids_acc.typing import FloatArray, IntArray

BAND_HZ = (0.01, 0.1)
"""Band of the planted fluctuations."""

STEP_S = 0.5
"""Time between the samples of which series are made; they are interpolated to slice times."""

WITHIN_NETWORK = 0.5
"""Correlation of two regions of one network in the population."""

SUBGENUAL = ((-5.0, 19.0, -10.0), (5.0, 19.0, -10.0))
"""Centres of the subgenual cingulate, left and right, MNI mm; both have one series."""
SUBGENUAL_CLEAR_MM = 13.0
"""No other region lies nearer to them than this."""

REGION_SD_MM = 6.0
"""Standard deviation of the bump with which a region's series fades around its centre."""
NEAREST = 4
"""Regions that share in the signal of a point."""

DMN = 'DefaultMode'
"""Name of the default-mode network in Seitzman et al. 2018."""
SGACC = 'sgACC'


@dataclass(frozen=True)
class Regions:
    """Where regions lie and which network each belongs to."""

    centres: FloatArray
    """(n_regions, 3) MNI, mm."""
    networks: tuple[str, ...]

    def members(self, network: str) -> IntArray:
        """List the regions of a network.

        Parameters
        ----------
        network : str
            Such as ``DefaultMode`` or ``sgACC``.

        Returns
        -------
        (n,) ndarray of int
            Rows of `centres`.
        """
        return np.flatnonzero(np.array(self.networks) == network)


@cache
def regions() -> Regions:
    """Return the regions of Seitzman et al. 2018 and the subgenual cingulate.

    References
    ----------
    Seitzman BA, et al. (2020). A set of functionally-defined brain regions with improved
    representation of the subcortex and cerebellum. NeuroImage 206:116290.
    https://doi.org/10.1016/j.neuroimage.2019.116290
    """
    from nilearn.datasets import fetch_coords_seitzman_2018

    found = fetch_coords_seitzman_2018(ordered_regions=False)
    table = found['rois']
    centres = np.stack([np.asarray(table[axis], dtype=float) for axis in 'xyz'], axis=1)
    names = [str(name) for name in found['networks']]
    own = np.array(SUBGENUAL)
    clear = cKDTree(own).query(centres)[0] > SUBGENUAL_CLEAR_MM
    networks = [name for name, kept in zip(names, clear, strict=True) if kept]
    return Regions(np.vstack([own, centres[clear]]), (SGACC, SGACC, *networks))


@dataclass(frozen=True)
class RegionSeries:
    """Series of all regions, known at any time of the run."""

    values: FloatArray
    """(n_regions, n_samples), standard deviation one."""
    start_s: float
    """Time of the first sample, s."""

    def at(self, times: npt.ArrayLike) -> FloatArray:
        """Interpolate at times (s), (n_regions, n_times).

        Parameters
        ----------
        times : npt.ArrayLike
            Within the samples; cubic splines go on beyond them.

        Returns
        -------
        (n_regions, n_times) ndarray
            In standard deviations.
        """
        samples = self.start_s + STEP_S * np.arange(self.values.shape[1])
        return np.asarray(CubicSpline(samples, self.values, axis=1)(np.asarray(times)))


def band_noise(shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    """Draw series of `BAND_HZ` and standard deviation one; the last axis is time.

    Parameters
    ----------
    shape : tuple of int
        The last number counts samples, `STEP_S` apart.
    rng : numpy.random.Generator
        Draws white noise, which is cut to the band.

    Returns
    -------
    ndarray
        Of that shape.
    """
    spectrum = np.fft.rfft(rng.standard_normal(shape))
    frequency = np.fft.rfftfreq(shape[-1], STEP_S)
    spectrum[..., (frequency < BAND_HZ[0]) | (frequency > BAND_HZ[1])] = 0
    series = np.fft.irfft(spectrum, n=shape[-1])
    return np.asarray(series / series.std(axis=-1, keepdims=True))


def draw_series(
    where: Regions, seconds: float, coupling: float, rng: np.random.Generator
) -> RegionSeries:
    """Draw series with a known correlation within networks, and of the subgenual cingulate.

    Parameters
    ----------
    where : Regions
    seconds : float
        Length of the run.
    coupling : float
        Correlation, in the population, of the subgenual cingulate with the default-mode network's
        own series, which each of its regions shares by the root of `WITHIN_NETWORK`.
    rng : numpy.random.Generator

    Returns
    -------
    RegionSeries
    """
    # Seconds before and after the run: splines need neighbours at its ends, and slices of dummy
    # volumes times before zero.
    margin = 20.0
    n_samples = int((seconds + 2 * margin) / STEP_S)
    own = band_noise((len(where.networks), n_samples), rng)
    names = sorted(set(where.networks) - {SGACC})
    shared = dict(zip(names, band_noise((len(names), n_samples), rng), strict=True))
    common = np.stack([shared[DMN if n == SGACC else n] for n in where.networks])
    weight = np.full(len(where.networks), np.sqrt(WITHIN_NETWORK))
    subgenual = where.members(SGACC)
    weight[subgenual] = coupling
    own[subgenual] = own[subgenual[0]]
    # Variances add up to one, so that the product of two weights is the correlation of their
    # regions.
    values = weight[:, None] * common + np.sqrt(1 - weight**2)[:, None] * own
    return RegionSeries(values, -margin)


def mean_fisher_z(series: FloatArray, first: IntArray, second: IntArray) -> float:
    """Return the mean Fisher z of the mean of some regions with each of some others.

    Parameters
    ----------
    series : (n_regions, n_times) ndarray
        Equally spaced.
    first : (n_first,) ndarray of int
        Rows that are averaged.
    second : (n_second,) ndarray of int
        Rows with each of which the average is correlated.
    """
    mean = series[first].mean(axis=0)
    r = np.array([np.corrcoef(mean, series[k])[0, 1] for k in second])
    return float(np.arctanh(r).mean())


@dataclass(frozen=True)
class Shares:
    """Which regions share in the signal of each point."""

    indices: IntArray
    """(n_points, `NEAREST`) region."""
    weights: FloatArray
    """(n_points, `NEAREST`), the sum at most one."""


def shares_at(points: FloatArray, centres: FloatArray, sd_mm: float = REGION_SD_MM) -> Shares:
    """Give each point (rows, MNI mm) to the regions around it, by Gaussian bumps.

    Parameters
    ----------
    points : (n, 3) ndarray
        MNI coordinates, mm.
    centres : (n_regions, 3) ndarray
        MNI coordinates, mm.
    sd_mm : float
        Of a bump; by default `REGION_SD_MM`.

    Returns
    -------
    Shares
        The `NEAREST` regions of each point and their weights, which sum to one at most.
    """
    distance, indices = cKDTree(centres).query(points, k=NEAREST)
    weights = np.exp(-0.5 * (distance / sd_mm) ** 2)
    total = weights.sum(axis=1, keepdims=True)
    # where regions meet, the nearest prevails: squares, scaled to one where bumps add up to more
    sharp = weights**2
    sharp = sharp / np.maximum(sharp.sum(axis=1, keepdims=True), 1e-12)
    return Shares(indices.astype(np.int32), sharp * np.minimum(total, 1))
