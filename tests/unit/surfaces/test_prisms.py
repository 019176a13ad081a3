"""Volume between two surfaces: solids whose volume is known."""

from __future__ import annotations

import numpy as np
import pytest

from bids_acc.surfaces.geometry import prism_volumes, subdivide, vertex_volumes
from bids_acc.surfaces.template import load_template

TRIANGLE = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
FACE = [[0, 1, 2]]


def _sphere(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a ball's surface of radius 1, subdivided n times from an octahedron."""
    points = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
    faces = np.array([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4],
                      [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]])  # fmt: skip
    for _ in range(n):
        faces, (points,) = subdivide(faces, points)
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points, faces


def test_prism_frustum_and_oblique_prism():
    up = np.array([0, 0, 1.0])
    assert prism_volumes(TRIANGLE, TRIANGLE + up, FACE) == pytest.approx([0.5], abs=1e-12)
    half = TRIANGLE / 2 + up
    frustum = (0.5 + 0.125 + np.sqrt(0.5 * 0.125)) / 3
    assert prism_volumes(TRIANGLE, half, FACE) == pytest.approx([frustum], abs=1e-12)
    leaning = TRIANGLE + np.array([3.0, -2, 1])
    assert prism_volumes(TRIANGLE, leaning, FACE) == pytest.approx([0.5], abs=1e-12)
    assert prism_volumes(TRIANGLE + up, TRIANGLE, FACE) == pytest.approx([-0.5], abs=1e-12)


def test_place_and_turn_change_nothing():
    rng = np.random.default_rng(5)
    inner, outer = rng.normal(size=(2, 3, 3))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    moved = [v @ turn.T + 500.0 for v in (inner, outer)]
    assert prism_volumes(*moved, FACE) == pytest.approx(prism_volumes(inner, outer, FACE))


def test_prisms_share_their_sides():
    """Between closed surfaces they sum to the difference of what these enclose."""
    rng = np.random.default_rng(6)
    inner, faces = _sphere(2)
    outer = inner * 1.4 + rng.normal(scale=0.05, size=inner.shape)

    def enclosed(v: np.ndarray) -> float:
        a, b, c = np.moveaxis(v[faces], 1, 0)
        return float(np.einsum('ij,ij->', a, np.cross(b, c)) / 6)

    wanted = enclosed(outer) - enclosed(inner)
    assert prism_volumes(inner, outer, faces).sum() == pytest.approx(wanted, rel=1e-12)


def test_a_shell_within_a_thousandth():
    points, faces = _sphere(6)
    found = vertex_volumes(10 * points, 12 * points, faces).sum()
    assert found == pytest.approx(4 / 3 * np.pi * (12**3 - 10**3), rel=1e-3)


def test_the_template_has_the_cortex_of_a_brain():
    for mesh in load_template().values():
        volume = vertex_volumes(mesh.white, mesh.pial, mesh.faces)
        assert 200 < volume[mesh.cortex].sum() / 1000 < 400  # mL
