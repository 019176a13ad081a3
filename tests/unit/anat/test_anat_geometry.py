"""Meshes: identities that hold on any closed surface."""

from __future__ import annotations

import numpy as np
import pytest

from bids_acc.anat.morphometry import distance_to_surface, smooth_on_mesh, symmetric_thickness
from bids_acc.exceptions import ComputationError
from bids_acc.surfaces.geometry import (
    enclosed_volume,
    face_areas,
    smooth_displacement,
    subdivide,
    vertex_areas,
    vertex_normals,
)
from bids_acc.surfaces.intersection import self_intersecting_faces
from bids_acc.surfaces.neighbours import adjacency, neighbour_mean, unique_edges
from bids_acc.surfaces.resampling import (
    area_weights,
    barycentric_weights,
    resample_labels,
    resample_values,
)
from bids_acc.surfaces.template import load_template

OCTAHEDRON = np.array(
    [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], dtype=float
)
FACES = np.array(
    [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]]
)


def make_sphere(order: int, radius: float = 10.0) -> tuple[np.ndarray, np.ndarray]:
    points, faces = OCTAHEDRON, FACES
    for _ in range(order):
        faces, (points,) = subdivide(faces, points)
        points = points / np.linalg.norm(points, axis=1, keepdims=True)
    return radius * points, faces


def test_sphere_has_its_area_volume_and_topology() -> None:
    points, faces = make_sphere(5)
    assert vertex_areas(points, faces).sum() == pytest.approx(face_areas(points, faces).sum())
    assert vertex_areas(points, faces).sum() == pytest.approx(4 * np.pi * 100, rel=3e-3)
    assert enclosed_volume(points, faces) == pytest.approx(4 / 3 * np.pi * 1000, rel=5e-3)
    assert len(points) - len(unique_edges(faces)) + len(faces) == 2
    assert np.allclose(vertex_normals(points, faces), points / 10, atol=0.02)


def test_subdivision_keeps_old_vertices_and_flat_area() -> None:
    points, faces = make_sphere(2)
    fine_faces, (fine,) = subdivide(faces, points)
    assert np.array_equal(fine[: len(points)], points)
    assert len(fine_faces) == 4 * len(faces)
    assert face_areas(fine, fine_faces).sum() == pytest.approx(face_areas(points, faces).sum())
    assert enclosed_volume(fine, fine_faces) == pytest.approx(enclosed_volume(points, faces))


def test_adjacency_is_symmetric_and_counts_edges() -> None:
    points, faces = make_sphere(2)
    links = adjacency(faces, len(points))
    assert (links != links.T).nnz == 0
    assert links.sum() == pytest.approx(3 * len(faces))


def test_smooth_displacement_carries_into_gaps_and_keeps_constants() -> None:
    points, faces = make_sphere(3)
    links = neighbour_mean(faces, len(points))
    weight = (points[:, 2] > 0).astype(float)
    found = smooth_displacement(np.where(weight > 0, 0.7, np.nan), weight, links, 5.0, 4000)
    assert np.allclose(found, 0.7, atol=1e-3)


def test_concentric_spheres_are_as_thick_as_their_radii_differ() -> None:
    points, faces = make_sphere(5, 30.0)
    thickness = symmetric_thickness(points, points * 1.1, faces)
    assert thickness == pytest.approx(3.0, abs=0.02)


def test_thickness_ignores_sliding_along_the_surface() -> None:
    points, faces = make_sphere(5, 30.0)
    turn = np.array([[np.cos(0.1), -np.sin(0.1), 0], [np.sin(0.1), np.cos(0.1), 0], [0, 0, 1]])
    slid = 1.1 * points @ turn.T
    assert np.linalg.norm(slid - points, axis=1).max() > 4
    assert symmetric_thickness(points, slid, faces) == pytest.approx(3.0, abs=0.02)


def test_distance_to_surface_beats_distance_to_vertices() -> None:
    points, faces = make_sphere(2, 30.0)
    centres = points[faces].mean(axis=1)
    assert distance_to_surface(centres, points, faces) == pytest.approx(0, abs=1e-9)


def test_smoothing_keeps_nan_and_constants() -> None:
    points, faces = make_sphere(6, 50.0)
    links = neighbour_mean(faces, len(points))
    values = np.ones(len(points))
    values[:10] = np.nan
    smooth = smooth_on_mesh(values, points, links, 8.0)
    assert np.isnan(smooth[:10]).all()
    assert smooth[10:] == pytest.approx(1.0)


def test_smoothing_has_its_width() -> None:
    mesh = load_template('10k')['L']
    points = mesh.sphere / 2
    spike = np.zeros(len(points))
    spike[5000] = 1.0
    kernel = smooth_on_mesh(spike, points, neighbour_mean(mesh.faces, len(points)), 8.0)
    along = 50 * np.arccos(np.clip(points @ points[5000] / 2500, -1, 1))
    sigma = np.sqrt((kernel * along**2).sum() / kernel.sum() / 2)
    assert sigma * np.sqrt(8 * np.log(2)) == pytest.approx(8.0, rel=0.1)


def test_self_intersection_found_where_a_bulge_pierces_the_far_side() -> None:
    points, faces = make_sphere(4)
    assert not self_intersecting_faces(points, faces).any()
    pole = np.argmax(points[:, 2])
    pierced = points.copy()
    pierced[pole, 2] = -12.0
    bad = self_intersecting_faces(pierced, faces)
    assert 4 < bad.sum() < 40
    near = np.zeros(len(faces), dtype=bool)
    near[(faces == pole).any(axis=1)] = True
    assert np.array_equal(self_intersecting_faces(pierced, faces, near), bad)


def test_barycentric_identity_and_partition_of_unity() -> None:
    points, faces = make_sphere(4)
    same = barycentric_weights(points, faces, points)
    assert np.array_equal(same.toarray(), np.eye(len(points)))
    finer, _ = make_sphere(5)
    weights = barycentric_weights(points, faces, finer)
    assert weights.sum(axis=1) == pytest.approx(1.0)
    assert weights @ points[:, 0] == pytest.approx(finer[:, 0], abs=0.1)


@pytest.mark.parametrize(('old', 'new'), [(4, 4), (5, 3), (3, 5)])
def test_area_is_conserved_whichever_mesh_is_finer(
    old: int, new: int, rng: np.random.Generator
) -> None:
    (points, faces), (others, other_faces) = make_sphere(old), make_sphere(new)
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    others = others if old == new else others @ turn
    area = rng.uniform(0.5, 2, len(points))
    moved = area_weights(points, faces, others, other_faces) @ area
    assert moved.sum() == pytest.approx(area.sum(), rel=1e-9)
    if old == new:
        assert np.array_equal(moved, area)


def test_undefined_values_are_never_averaged_in() -> None:
    points, faces = make_sphere(3)
    finer, _ = make_sphere(4)
    weights = barycentric_weights(points, faces, finer)
    values = np.where(points[:, 2] > 0, 2.5, np.nan)
    found = resample_values(weights, values)
    assert np.nanmin(found) == pytest.approx(2.5)
    assert np.isnan(found[finer[:, 2] < -2]).all()


def test_labels_are_never_mixed() -> None:
    points, faces = make_sphere(3)
    finer, _ = make_sphere(4)
    labels = np.where(points[:, 2] > 0, 7, 3)
    found = resample_labels(barycentric_weights(points, faces, finer), labels)
    assert set(found) == {3, 7}
    assert (found[finer[:, 2] > 2] == 7).all()


def test_holes_in_the_sphere_are_refused() -> None:
    points, faces = make_sphere(3)
    open_faces = faces[points[faces].mean(axis=1)[:, 2] < 5]
    with pytest.raises(ComputationError, match='in no face'):
        barycentric_weights(points, open_faces, points)
