"""Tissues of a brain of known shares: a ventricle within white matter within cortex."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from bids_acc.anat import segmentation
from bids_acc.anat.segmentation import TissueModel, fit_tissue_model
from bids_acc.exceptions import InputDataError

LEVELS = (600.0, 900.0, 250.0)
SIZE, FINE = 54, 2


@cache
def shares(ventricle: float, cortex: float = 3.0, waves: float = 3.0) -> np.ndarray:
    """Return the true shares (3, x, y, z) of GM, WM and CSF in voxels of 1 mm."""
    axis = (np.arange(SIZE * FINE) + 0.5) / FINE - SIZE / 2
    x, y, z = np.meshgrid(axis, axis, axis, indexing='ij', sparse=True)
    radius = np.sqrt(x**2 + y**2 + z**2)
    fold = waves * np.cos(x / 2.5) * np.cos(y / 2.5) * np.cos(z / 2.5)  # gyri
    labels = np.full(radius.shape, 3, dtype=np.uint8)
    labels[radius < 25] = 2
    labels[radius < 20 + fold + cortex / 2] = 0
    labels[radius < 20 + fold - cortex / 2] = 1
    labels[radius < ventricle] = 2
    blocks = labels.reshape(SIZE, FINE, SIZE, FINE, SIZE, FINE)
    return np.stack([(blocks == k).mean(axis=(1, 3, 5), dtype=np.float32) for k in range(3)])


def image_of(truth: np.ndarray, noise: float, levels: tuple[float, ...] = LEVELS) -> np.ndarray:
    """Return intensities with a share of the white level as noise."""
    rng = np.random.default_rng(0)
    image = np.einsum('k,kxyz->xyz', levels, truth)
    return image + rng.normal(0, noise * levels[1], image.shape)


def template(ventricle: float = 3.0) -> np.ndarray:
    """Return what a template knows of it: no gyri, small ventricles, all of it blurred."""
    smooth = shares(ventricle, waves=0.0)
    return np.stack([ndimage.gaussian_filter(tissue, 2.0) for tissue in smooth])


def fitted(truth: np.ndarray, noise: float = 0.05, **how: object) -> TissueModel:
    return fit_tissue_model(image_of(truth, noise), truth.sum(axis=0) > 0.5, template(), **how)


def cube_shares(maps: np.ndarray, corner: tuple[int, int, int], side: int) -> np.ndarray:
    where = tuple(slice(c, c + side) for c in corner)
    sums = maps[(slice(None), *where)].sum(axis=(1, 2, 3))
    return np.asarray(sums / sums.sum())


@pytest.mark.parametrize('ventricle', [3.0, 7.0])
@pytest.mark.parametrize('noise', [0.03, 0.07])
def test_shares_of_cubes_are_the_true_ones(ventricle: float, noise: float) -> None:
    truth = shares(ventricle)
    found = fitted(truth, noise).probabilities
    for corner in ((3, 17, 17), (17, 17, 17), (29, 17, 17), (7, 7, 17), (27, 27, 27)):
        apart = cube_shares(found, corner, 20) - cube_shares(truth, corner, 20)
        assert np.abs(apart).max() < 0.03, (corner, apart)


def test_a_ventricle_wider_than_the_templates_is_csf() -> None:
    truth = shares(10.0)
    found = fitted(truth, 0.08).probabilities
    core = ndimage.binary_erosion(truth[2] > 0.99) & (truth[2] > 0.99)
    middle = np.zeros_like(core)
    middle[17:37, 17:37, 17:37] = True
    assert found[2][core & middle].mean() > 0.98


def test_deviations_are_each_tissues_own_and_the_ratio_tells() -> None:
    model = fitted(shares(6.0))
    assert model.converged
    assert 1.0 < model.spread_ratio < segmentation.UNEQUAL
    assert model.deviations[1] < model.deviations[0]


def test_neighbours_quiet_the_noise_within_white_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = shares(3.0)
    deep = ndimage.binary_erosion(truth[1] == 1, iterations=2)
    wrong = []
    for coherence in (0.0, segmentation.COHERENCE):
        monkeypatch.setattr(segmentation, 'COHERENCE', coherence)
        found = fitted(truth, 0.12).probabilities
        wrong.append((found[1][deep] < 0.5).mean())
    assert wrong[1] < 0.6 * wrong[0]


def test_units_of_the_intensity_do_not_matter() -> None:
    truth = shares(6.0)
    mask, image = truth.sum(axis=0) > 0.5, image_of(truth, 0.05)
    first, second = (fit_tissue_model(k * image, mask, template()) for k in (1.0, 1e-3))
    np.testing.assert_allclose(first.probabilities, second.probabilities, atol=2e-3)


def test_far_neighbours_count_less() -> None:
    truth = shares(6.0)
    near, far = (fitted(truth, voxel_sizes=(1.0, 1.0, z)).probabilities for z in (1.0, 8.0))
    assert np.abs(near - far).max() > 0.02
    assert segmentation._neighbour_weights((2.0, 2.0, 2.0)) == pytest.approx((1.0, 1.0, 1.0))


def test_a_clipped_image_keeps_the_full_priors_and_says_so() -> None:
    """White matter and half of the grey beside it at one level: no equal deviations there."""
    truth = shares(6.0)
    mask = truth.sum(axis=0) > 0.5
    image = np.minimum(image_of(truth, 0.1), 760.0) + image_of(truth, 0.002) * 0.02
    model = fit_tissue_model(image, mask, template())
    assert model.spread_ratio > segmentation.UNEQUAL
    assert model.probabilities[0].sum() == pytest.approx(truth[0].sum(), rel=0.35)


def test_tissues_in_another_order_are_refused() -> None:
    truth = shares(6.0)
    inverted = image_of(truth, 0.03, levels=(600.0, 300.0, 900.0))
    with pytest.raises(InputDataError, match='not in the order of a T1-weighted image'):
        fit_tissue_model(inverted, truth.sum(axis=0) > 0.5, template())


def smooth_noise(shape: tuple[int, ...]) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=shape), 2.0)
    return noise / noise.std()


def test_smooth_noise_in_the_shape_of_a_brain_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its tissues come out in the order of a T1w, once in six times."""
    monkeypatch.setattr(segmentation, '_in_order', lambda _: True)
    mask = shares(6.0).sum(axis=0) > 0.5
    with pytest.raises(InputDataError, match=r'this is no brain'):
        fit_tissue_model(600 + 100 * smooth_noise(mask.shape), mask, template())


def test_likeness_is_that_of_a_brain_only() -> None:
    truth = shares(6.0)
    mask = truth.sum(axis=0) > 0.5
    priors = template()[:, mask]
    priors /= priors.sum(axis=0)
    assert segmentation.likeness(image_of(truth, 0.1)[mask], priors) > 0.5
    of_noise = segmentation.likeness(smooth_noise(mask.shape)[mask], priors)
    assert abs(of_noise) < segmentation.LEAST_LIKENESS
    assert np.isnan(segmentation.likeness(np.ones(int(mask.sum())), priors))
