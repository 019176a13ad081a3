"""Smoothing along the mesh."""

from __future__ import annotations

import numpy as np
import pytest

from bids_acc.surfaces.geometry import vertex_areas
from bids_acc.surfaces.smoothing import HeatKernel, cotangent_laplacian, template_kernel
from bids_acc.surfaces.template import load_template

N = 121


@pytest.fixture(scope='module')
def plane() -> tuple[np.ndarray, np.ndarray]:
    """A square of N x N vertices, 1 mm apart, slightly irregular."""
    x, y = np.meshgrid(np.arange(N, dtype=float), np.arange(N, dtype=float))
    points = np.column_stack([x.ravel(), y.ravel(), np.zeros(N * N)])
    points[:, :2] += np.random.default_rng(2).uniform(-0.2, 0.2, size=(N * N, 2))
    index = np.arange(N * N).reshape(N, N)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    faces = np.concatenate([np.stack(t, axis=-1).reshape(-1, 3) for t in ((a, b, c), (b, d, c))])
    return points, faces


@pytest.mark.parametrize('fwhm', [10.0, 20.0])
def test_the_kernel_has_the_width_that_was_asked_for(plane, fwhm):
    points, faces = plane
    centre = N * N // 2
    values = np.zeros(N * N)
    values[centre] = 1
    kernel = HeatKernel(points, faces, fwhm)
    spread = kernel.spread(values)
    distance = np.linalg.norm(points - points[centre], axis=1)
    near = np.abs(distance - fwhm / 2) < 1.0  # half the maximum lies there
    slope = np.polyfit(distance[near], spread[near], 1)
    at_half = (spread[centre] / 2 - slope[1]) / slope[0]
    assert 2 * at_half == pytest.approx(fwhm, rel=0.05)
    assert spread.min() > -1e-12
    assert (kernel.areas * spread).sum() == pytest.approx(kernel.areas[centre])


def test_the_laplacian_of_a_linear_field_is_zero_inside(plane):
    points, faces = plane
    inside = np.all((points[:, :2] > 2) & (points[:, :2] < N - 3), axis=1)
    field = cotangent_laplacian(points, faces) @ (2 * points[:, 0] - points[:, 1])
    assert np.abs(field[inside]).max() < 1e-10


def test_mean_and_area_stay_on_the_template():
    mesh = load_template('10k')['L']
    kernel = template_kernel('10k', 'L', 20.0)
    rng = np.random.default_rng(3)
    values = rng.normal(2.5, 0.4, len(mesh.white))
    whole = kernel.smooth(values)
    assert (kernel.areas * whole).sum() == pytest.approx((kernel.areas * values).sum())
    assert whole.std() < values.std() / 3
    area = vertex_areas((mesh.white + mesh.pial) / 2, mesh.faces) * rng.uniform(
        0.8, 1.2, len(whole)
    )
    assert kernel.smooth(area, summed=True).sum() == pytest.approx(area.sum())


def test_what_is_undefined_gives_nothing_and_stays_undefined():
    mesh = load_template('10k')['R']
    kernel = template_kernel('10k', 'R', 15.0)
    values = np.where(mesh.cortex, 2.5, np.nan)
    smoothed = kernel.smooth(values)
    np.testing.assert_array_equal(np.isfinite(smoothed), mesh.cortex)
    np.testing.assert_allclose(smoothed[mesh.cortex], 2.5)


def test_share_within_a_region_falls_with_the_width():
    mesh = load_template('10k')['L']
    acc = np.isin(mesh.labels, [c for c, n in mesh.names.items() if 'anteriorcingulate' in n])
    shares = [template_kernel('10k', 'L', fwhm).share_within(acc) for fwhm in (5.0, 20.0, 30.0)]
    assert 1 > shares[0] > shares[1] > shares[2] > 0.2
    with pytest.raises(ValueError, match='wider than 0'):
        HeatKernel(mesh.white, mesh.faces, 0)
