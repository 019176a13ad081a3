"""The surface fit on brains whose boundaries are known: balls of white matter with a rind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import special

from bids_acc.anat.fitting import (
    SurfaceFitOptions,
    fit_surfaces,
    kept_on_side,
    pial_targets,
    repair_intersections,
    tangentially_relaxed,
    with_minimum_thickness,
)
from bids_acc.anat.morphometry import symmetric_thickness
from bids_acc.anat.profiles import nearest_crossing, nearest_dip
from bids_acc.anat.tissues import TissueImage, cortical_levels
from bids_acc.surfaces.geometry import subdivide
from bids_acc.surfaces.intersection import self_intersecting_faces
from bids_acc.surfaces.neighbours import neighbour_mean

GREY, WHITE, FLUID = 170.0, 220.0, 80.0
INNER, OUTER = 18.0, 20.6
BLUR = 0.8
OCTAHEDRON = np.array(
    [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], dtype=float
)
OCTAHEDRON_FACES = np.array(
    [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]]
)


def make_sphere(order: int) -> tuple[np.ndarray, np.ndarray]:
    points, faces = OCTAHEDRON, OCTAHEDRON_FACES
    for _ in range(order):
        faces, (points,) = subdivide(faces, points)
        points = points / np.linalg.norm(points, axis=1, keepdims=True)
    return points, faces


def ball_image(rng: np.random.Generator, noise: float, wrong: float = 0.0) -> TissueImage:
    """Draw the ball with 1 mm voxels; the local means of GM and WM are wrong by a share."""
    ticks = np.arange(-30.0, 31)
    radius = np.sqrt((np.stack(np.meshgrid(ticks, ticks, ticks, indexing='ij')) ** 2).sum(axis=0))
    inner, outer = (special.ndtr((edge - radius) / BLUR) for edge in (INNER, OUTER))
    data = FLUID + (GREY - FLUID) * outer + (WHITE - GREY) * inner
    data = data + rng.normal(0, noise, data.shape)
    affine = np.eye(4)
    affine[:3, 3] = -30
    means = tuple(
        np.full((4, 4, 4), m * (1 + wrong), dtype=np.float32) for m in (GREY, WHITE, FLUID)
    )
    grey = (outer - inner).astype(np.float32)
    return TissueImage(data.astype(np.float32), affine, means, np.eye(4), grey, affine)


def test_levels_do_not_depend_on_noise_nor_on_the_means_of_voxels(
    rng: np.random.Generator,
) -> None:
    points, faces = make_sphere(5)
    white, pial = INNER * points, OUTER * points
    everywhere = np.ones(len(points), dtype=bool)
    links = neighbour_mean(faces, len(points))
    image = ball_image(rng, noise=8.0, wrong=0.04)
    grey, white_matter = cortical_levels(image, white, pial, points, everywhere, links, BLUR)
    assert grey.mean() == pytest.approx(GREY, rel=0.01)
    assert white_matter.mean() == pytest.approx(WHITE, rel=0.01)


@pytest.mark.parametrize('noise', [0.0, 8.0])
def test_fit_finds_both_surfaces_of_a_ball(rng: np.random.Generator, noise: float) -> None:
    points, faces = make_sphere(5)
    image = ball_image(rng, noise, wrong=0.04)
    start = 1 + 0.03 * np.sin(3 * points[:, :1])
    fit = fit_surfaces(
        image, (INNER - 0.8) * start * points, (OUTER + 0.8) * start * points, faces,
        cortex=np.ones(len(points), dtype=bool),
    )  # fmt: skip
    assert fit.white_supported.mean() > 0.99
    assert not fit.intersecting.any()
    for found, radius in ((fit.white, INNER), (fit.pial, OUTER)):
        assert np.linalg.norm(found, axis=1).mean() == pytest.approx(radius, abs=0.1)
    thickness = symmetric_thickness(fit.white, fit.pial, faces)
    assert thickness.mean() == pytest.approx(OUTER - INNER, abs=0.1)


@pytest.mark.parametrize('width', [0.4, 0.8, 1.2, 1.6, 2.4, 4.0])
def test_bank_of_a_sulcus_is_found_however_narrow(width: float) -> None:
    places = np.arange(-20, 21) * 0.25
    bank = 0.4
    gap = special.ndtr((places - bank) / BLUR) - special.ndtr((places - bank - width) / BLUR)
    profile = (GREY - (GREY - FLUID) * gap)[None]
    levels = np.array([GREY]), np.array([FLUID])
    found = float(
        pial_targets(*levels, profile, places, SurfaceFitOptions.sulcal_minimum_share)[0]
    )
    assert bank - BLUR < found < bank + 0.05
    if width >= 2 * BLUR:
        assert found == pytest.approx(bank, abs=0.06)
    else:  # half-way between GM and CSF is too far out, or is never reached
        half_way = nearest_crossing(profile, (levels[0] + levels[1]) / 2, places)
        assert not half_way[0] <= bank + 0.05


def test_bank_moves_with_the_sulcus_and_hardly_with_its_width() -> None:
    places = np.arange(-20, 21) * 0.25
    bank, width = np.array([0.4, 0.0, 0.4, 0.4]), np.array([0.8, 0.8, 0.7, 0.9])
    inner = (places - bank[:, None]) / BLUR
    gap = special.ndtr(inner) - special.ndtr(inner - width[:, None] / BLUR)
    profiles = GREY - (GREY - FLUID) * gap
    share = SurfaceFitOptions.sulcal_minimum_share
    found = pial_targets(np.full(4, GREY), np.full(4, FLUID), profiles, places, share)
    assert found[0] - found[1] == pytest.approx(0.4, abs=0.03)
    assert abs(found[3] - found[2]) < 0.1


def test_dip_tells_place_and_floor() -> None:
    places = np.arange(-8, 9) * 0.5
    profile = 100 - 40 * np.exp(-((places - 0.6) ** 2) / 2)
    flat = np.full_like(places, 100.0)
    place, floor = nearest_dip(np.stack([profile, flat]), np.array([10.0, 10.0]), places)
    assert place[0] == pytest.approx(0.6, abs=0.05)
    assert floor[0] == pytest.approx(60, abs=1)
    assert np.isnan(place[1])
    assert np.isnan(floor[1])


def test_evening_keeps_the_shape(rng: np.random.Generator) -> None:
    points, faces = make_sphere(4)
    turn = points + 0.02 * rng.standard_normal(points.shape)
    outer = 21 * turn / np.linalg.norm(turn, axis=1, keepdims=True)
    even = tangentially_relaxed(outer, 20 * points, faces, neighbour_mean(faces, len(points)))
    assert np.linalg.norm(even, axis=1) == pytest.approx(21, abs=0.1)
    assert np.linalg.norm(even - 21 * points, axis=1).mean() < (
        0.8 * np.linalg.norm(outer - 21 * points, axis=1).mean()
    )


def tangled(points: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    return radius * points + 1.2 * rng.standard_normal(points.shape) * (points[:, :1] > 0.6)


def test_repair_towards_a_surface_nearby_ends_crossings(rng: np.random.Generator) -> None:
    points, faces = make_sphere(4)
    links = neighbour_mean(faces, len(points))
    tangle = tangled(points, 20, rng)
    assert self_intersecting_faces(tangle, faces).any()
    corrected, bad = repair_intersections(tangle, faces, links, base=19.5 * points)
    assert not bad.any()
    assert not self_intersecting_faces(corrected, faces).any()
    still = points[:, 0] < -0.2
    assert np.array_equal(corrected[still], tangle[still])
    height = np.linalg.norm(corrected[points[:, 0] > 0.7], axis=1).mean()
    assert 19.5 <= height < 20.1


def test_repair_ends_at_the_surface_nearby_if_nothing_else_helps(rng: np.random.Generator) -> None:
    points, faces = make_sphere(4)
    links = neighbour_mean(faces, len(points))
    base = 19.5 * points
    hopeless = base + 8 * rng.standard_normal(points.shape)
    corrected, bad = repair_intersections(hopeless, faces, links, base=base)
    assert not bad.any()
    assert np.linalg.norm(corrected - base, axis=1).mean() < 2


def test_pial_surface_is_lifted_out_of_the_white_one() -> None:
    points, faces = make_sphere(3)
    pial = 18.5 * points
    sunk, cortex = points[:, 0] > 0.5, points[:, 1] < 0.9
    pial[sunk] *= 17 / 18.5
    out = np.linalg.norm(with_minimum_thickness(pial, 18 * points, faces, 0.3, cortex), axis=1)
    assert out[sunk & cortex] == pytest.approx(18.3, abs=0.01)
    assert out[~sunk] == pytest.approx(18.5)
    assert out[sunk & ~cortex] == pytest.approx(17)


def test_without_rounds_nothing_is_repaired() -> None:
    assert SurfaceFitOptions(repair_rounds=0).ranges == SurfaceFitOptions().ranges
    points, faces = make_sphere(3)
    pierced = points.copy()
    pierced[np.argmax(points[:, 2]), 2] = -1.3
    same, bad = repair_intersections(pierced, faces, neighbour_mean(faces, len(points)), 0)
    assert np.array_equal(same, pierced)
    assert bad.any()


@pytest.mark.parametrize('wide', [80.0, 140.0])
@pytest.mark.parametrize('side', [-1, 1])
def test_vertices_go_back_to_the_midsagittal_plane_the_shortest_way(
    rng: np.random.Generator, side: int, wide: float
) -> None:
    """Also where the image is wider than the template, beyond which the side is not known."""
    ticks = np.arange(-wide, wide + 1, 4.0)
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = -wide
    places = np.stack(np.meshgrid(ticks, ticks, ticks, indexing='ij'), axis=-1)
    axis = np.array([0.96, 0.28, 0.0])  # a head that is turned
    growth = 1.2  # of the template's mm in the head's
    signed = np.where(np.abs(places[..., 0]) < 98, growth * places @ axis, 0)
    image = replace(ball_image(rng, 0.0), side=signed.astype(np.float32), mean_affine=affine)
    vertices = rng.uniform(-25, 25, (400, 3))
    height = side * vertices @ axis
    kept = kept_on_side(image, vertices, side)
    expected = vertices - np.minimum(height, 0)[:, None] * side * axis
    np.testing.assert_allclose(kept, expected, atol=1e-3)
    np.testing.assert_array_equal(kept_on_side(image, vertices, 0), vertices)
