r"""What noise leaves of a planted correlation, computed and not simulated.

The mean series of a region is linear in all that is drawn: with weights :math:`A` of the planted
series :math:`s`, weights :math:`B` of activity that belongs to no region, and thermal noise of
variance :math:`d`, the covariance of regions is :math:`A\,C_s\,A^T + B\,B^T + \mathrm{diag}(d)`.
Correlations of it are the planted ones times the root of each region's reliability (Spearman 1904,
Am J Psychol 15:72-101, https://doi.org/10.2307/1412159), with what neighbours share besides.
Physiology, drift and motion are left out, as if cleaning took them away and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bids_acc.demo.anatomy import Anatomy
from bids_acc.demo.bold import (
    BACKGROUND,
    DENSITY,
    NEURAL,
    REFERENCE_TE_S,
    T2STAR_S,
    BoldTruth,
    Effects,
    HeadMaps,
    Protocol,
)
from bids_acc.demo.networks import BAND_HZ, DMN, SGACC, Shares
from bids_acc.demo.warp import to_voxels
from bids_acc.func.connectivity import band_share
from bids_acc.func.networks import APART_MM
from bids_acc.func.regions import Region, seed_regions, seitzman_regions
from bids_acc.typing import FloatArray

STEP_MM = 2.0
"""Distance of the points at which a region's mean is taken."""


def expected_z(
    protocol: Protocol, maps: HeadMaps, anatomy: Anatomy, effects: Effects, truth: BoldTruth
) -> float:
    """Return the Fisher z of seed and network that is to be expected in noisy images.

    Parameters
    ----------
    protocol, maps, anatomy, effects, truth
        What `bids_acc.demo.bold.simulate` took and gave.

    Returns
    -------
    float
        Mean over the default mode's regions of z with the subgenual cingulate, both where the
        package measures them.
    """
    seed = next(r for r in seed_regions() if r.name == SGACC)
    centre = np.array(seed.spheres[0][:3])
    network = [r for r in seitzman_regions() if r.network == DMN
               and np.linalg.norm(np.array(r.spheres[0][:3]) - centre) >= APART_MM]  # fmt: skip
    covariance = _covariance([seed, *network], protocol, maps, anatomy, effects, truth)
    spread = np.sqrt(np.diag(covariance))
    r = covariance[0, 1:] / (spread[0] * spread[1:])
    z = np.arctanh(r[np.isfinite(r)])
    return float(z.mean()) if len(z) else float('nan')


def _covariance(
    wanted: Sequence[Region], protocol: Protocol, maps: HeadMaps, anatomy: Anatomy,
    effects: Effects, truth: BoldTruth,
) -> FloatArray:  # fmt: skip
    """Return the covariance of the regions' mean series; NaN of one outside the brain."""
    planted = truth.series.at(truth.volume_times)
    n_background = int(maps.background.indices.max()) + 1
    of_planted = np.full((len(wanted), len(planted)), np.nan)
    of_background = np.full((len(wanted), n_background), np.nan)
    thermal = np.full(len(wanted), np.nan)
    for number, region in enumerate(wanted):
        places = _places(region)
        where = to_voxels(maps.affine, anatomy.template_to_head(places))
        rows = maps.rows_at(where)
        density = maps.at('density', where)
        rate = maps.at('decay', where) / np.maximum(density, 1e-6)
        gain = np.exp(-protocol.echo_times[0] * rate) * maps.at('grey', where)
        inside = rows > 0
        if not inside.any():
            continue
        of_planted[number] = NEURAL * _mean_weights(maps.nodes, rows[inside], gain[inside],
                                                    len(planted))  # fmt: skip
        of_background[number] = BACKGROUND * _mean_weights(
            maps.background, rows[inside], gain[inside], n_background
        )
        # Thermal noise of voxels is independent: the mean of n has a share of 1/n of its variance;
        # what neighbours have in common has not.
        n_voxels = max(region.volume / protocol.voxel_mm**3, 1.0)
        thermal[number] = _thermal_variance(protocol, effects) / n_voxels
    series = planted - planted.mean(axis=1, keepdims=True)
    shared = of_planted @ (series @ series.T / series.shape[1]) @ of_planted.T
    if effects.background:
        shared += of_background @ of_background.T
    return np.asarray(shared + np.diag(thermal))


def _places(region: Region) -> FloatArray:
    """Return points of a region's spheres, MNI mm."""
    found = []
    for *centre, radius in region.spheres:
        steps = np.arange(-np.floor(radius / STEP_MM), np.floor(radius / STEP_MM) + 1) * STEP_MM
        offsets = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
        found.append(np.array(centre) + offsets[np.linalg.norm(offsets, axis=1) <= radius])
    return np.concatenate(found)


def _mean_weights(
    shares: Shares, rows: np.ndarray, gain: FloatArray, n_series: int
) -> FloatArray:  # fmt: skip
    """Return how much of each series is in the mean of some points."""
    total = np.zeros(n_series)
    np.add.at(total, shares.indices[rows], shares.weights[rows] * gain[:, None])
    return total / len(rows)


def _thermal_variance(protocol: Protocol, effects: Effects) -> float:
    """Return the variance of one voxel's thermal noise within the band of the networks."""
    if effects.tsnr is None:
        return 0.0
    level = DENSITY['GM'] * np.exp(-REFERENCE_TE_S / T2STAR_S['GM']) / effects.tsnr
    return float(level**2 * band_share(BAND_HZ, protocol.repetition_time))
