r"""Random-matrix denoising (MP-PCA) of a diffusion series, on arrays.

In a small patch the series is a matrix of voxels by volumes. The eigenvalues that noise alone
adds to its covariance follow the Marchenko-Pastur law; those are removed, the rest is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from bids_acc.typing import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class Denoised:
    """A denoised series and what was removed."""

    series: npt.NDArray[np.float32]
    """(i, j, k, n_volumes)."""
    sigma: npt.NDArray[np.float32]
    """(i, j, k) noise standard deviation, data units; NaN outside the mask."""
    n_signals: npt.NDArray[np.float32]
    """(i, j, k) mean number of components kept; NaN outside the mask."""


def marchenko_pastur_rank(
    eigenvalues: npt.ArrayLike, n_samples: int
) -> tuple[IntArray, FloatArray]:
    """Tell signal from noise in the eigenvalues of covariances.

    Parameters
    ----------
    eigenvalues : (n_patches, m) array_like
        Of ``X.T @ X / n_samples`` with ``m`` variables, ascending.
    n_samples : int
        Rows of ``X``; at least ``m``.

    Returns
    -------
    n_noise : (n_patches,) ndarray of int
        How many of the smallest eigenvalues are noise.
    variance : (n_patches,) ndarray
        Noise variance.

    References
    ----------
    Veraart J, et al. (2016). Denoising of diffusion MRI using random matrix theory. NeuroImage
    142:394-406. https://doi.org/10.1016/j.neuroimage.2016.08.016
    """
    values = np.asarray(eigenvalues, dtype=float)
    counts = np.arange(1, values.shape[1] + 1)
    means = np.cumsum(values, axis=1) / counts
    # Marchenko-Pastur: the largest and the smallest of p noise eigenvalues differ by
    # 4 sigma^2 sqrt(gamma), and their mean is sigma^2
    spans = (values - values[:, :1]) / (4 * np.sqrt(counts / n_samples))
    # The largest number of components for which both estimates of the noise agree, as Veraart's
    # rule has it: smaller numbers may agree by chance.
    n_noise = np.maximum(1, np.where(spans <= means, counts, 0).max(axis=1))
    return n_noise, means[np.arange(len(values)), n_noise - 1]


def mppca(
    series: npt.ArrayLike,
    mask: npt.ArrayLike,
    *,
    radius: int | None = None,
    stride: int = 2,
    chunk: int = 1500,
) -> Denoised:
    """Denoise a series, patch by overlapping patch.

    Parameters
    ----------
    series : (i, j, k, n_volumes) array_like
        As acquired: before any interpolation.
    mask : (i, j, k) array_like of bool
        Where patches are centred; voxels that no patch covers stay as they are.
    radius : int, optional
        Half width of the cubic patch, voxels; by default the smallest that holds at least as
        many voxels as there are volumes (2, i.e. 5 x 5 x 5, up to 125 volumes).
    stride : int
        Distance between patch centres; every voxel gets the mean of all patches that cover it.
    chunk : int
        Patches at a time; bounds memory, changes nothing else.

    Returns
    -------
    Denoised
    """
    data = np.asarray(series, dtype=np.float32)
    n_volumes = data.shape[3]
    half = radius or _radius_for(n_volumes)
    width = 2 * half + 1
    padded = np.pad(data, [(half, half)] * 3 + [(0, 0)], mode='reflect')
    centres = _patch_centres(np.asarray(mask, dtype=bool), stride)
    windows = sliding_window_view(padded, (width, width, width), axis=(0, 1, 2))  # type: ignore[call-overload]
    total = np.zeros_like(padded)
    weight, sigma, rank = (np.zeros(padded.shape[:3], dtype=np.float32) for _ in range(3))
    offsets = np.indices((width,) * 3).reshape(3, -1)
    for start in range(0, len(centres), chunk):
        where = centres[start : start + chunk]
        patches = windows[tuple(where.T)].reshape(len(where), n_volumes, -1)
        clean, variance, kept = _denoise_patches(patches)
        target = where[:, :, None] + offsets[None]
        flat = np.ravel_multi_index(tuple(np.moveaxis(target, 1, 0)), padded.shape[:3]).ravel()
        _accumulate(total, weight, sigma, rank, flat, clean, variance, kept)
    inner = (slice(half, -half),) * 3
    count = weight[inner]
    covered = count > 0
    with np.errstate(invalid='ignore', divide='ignore'):
        mean = total[inner] / count[..., None]
        out = np.where(covered[..., None], mean, data)
        return Denoised(out, np.sqrt(sigma[inner] / count), rank[inner] / count)


def _radius_for(n_volumes: int) -> int:
    """Smallest half width of a cube with at least as many voxels as volumes."""
    half = 1
    while (2 * half + 1) ** 3 < n_volumes:
        half += 1
    return max(half, 2)


def _patch_centres(mask: BoolArray, stride: int) -> IntArray:
    """Centres on a lattice, near enough to the mask to cover all of it."""
    size = np.array(mask.shape)
    lattice = [np.unique(np.r_[np.arange(0, n, stride), n - 1]) for n in size]
    grid = np.stack(np.meshgrid(*lattice, indexing='ij'), axis=-1).reshape(-1, 3)
    keep = mask[tuple(grid.T)]
    for shift in np.indices((stride,) * 3).reshape(3, -1).T[1:]:
        near = np.minimum(grid + shift, size - 1)
        keep |= mask[tuple(near.T)]
    return np.asarray(grid[keep])


def _denoise_patches(
    patches: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float32], FloatArray, FloatArray]:
    """Remove the noise components of each patch, (n_patches, n_volumes, n_voxels)."""
    n_volumes, n_voxels = patches.shape[1:]
    # The mean over the patch is no noise, and it would be the largest component of every patch.
    mean = patches.mean(axis=2, keepdims=True)
    centred = patches - mean
    # The smaller of the two products: there are fewer volumes than voxels in a patch
    # (`_radius_for`), and both have the same eigenvalues.
    gram = centred @ centred.transpose(0, 2, 1) / n_voxels
    values, vectors = np.linalg.eigh(gram)
    n_noise, variance = marchenko_pastur_rank(values, n_voxels)
    signal = np.arange(n_volumes)[None] >= n_noise[:, None]
    basis = vectors * signal[:, None, :]
    clean = (basis @ basis.transpose(0, 2, 1)) @ centred + mean
    return clean, variance, signal.sum(axis=1).astype(float)


def _accumulate(
    total: npt.NDArray[np.float32],
    weight: npt.NDArray[np.float32],
    sigma: npt.NDArray[np.float32],
    rank: npt.NDArray[np.float32],
    flat: IntArray,
    clean: npt.NDArray[np.float32],
    variance: FloatArray,
    kept: FloatArray,
) -> None:
    """Add patches to the running sums; patches with few components count more."""
    n_volumes, n_voxels = clean.shape[1:]
    # Fewer components kept mean that more noise was told from signal: they count more where
    # patches overlap.
    shares = np.repeat(1.0 / (1.0 + kept), n_voxels)
    size = weight.size
    weight += np.bincount(flat, shares, size).reshape(weight.shape).astype(np.float32)
    sigma += (
        np.bincount(flat, shares * np.repeat(variance, n_voxels), size)
        .reshape(weight.shape)
        .astype(np.float32)
    )
    rank += (
        np.bincount(flat, shares * np.repeat(kept, n_voxels), size)
        .reshape(weight.shape)
        .astype(np.float32)
    )
    # One volume after the other: an index for all volumes of all patches would be larger than the
    # series.
    for volume in range(n_volumes):
        values = shares * clean[:, volume].ravel()
        total[..., volume] += np.bincount(flat, values, size).reshape(weight.shape)
