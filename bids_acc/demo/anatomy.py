"""One visit's anatomy: from the scanner's coordinates back to the template."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .patterns import effect_at, pattern_weights
from .templates import Box, Head
from .warp import FloatArray, HeadShape, apply_affine, rigid, sample, smooth_field, to_voxels

PATTERN_SUPPORT = 0.02
"""Effects smaller than this share of their largest value are taken for zero."""

PROBE_MM = 3.0
"""Height above the border, beyond the reach of its shift, to which thickness is measured, mm."""

HEAD_CENTRE_MM = (0.0, 16.0, -11.0)
"""Shift that brings the middle of the template head to the scanner's centre, mm."""


@dataclass(frozen=True)
class Anatomy:
    """Everything that says where a point of the head lies in the template."""

    shape: HeadShape
    placement: FloatArray
    """(4, 4) head to scanner, mm."""
    thickness_mm: FloatArray
    """(n_patterns,) change of thickness at the centre of each pattern, mm."""
    border: Box
    """Faded normals of the GM/WM border, of the template."""

    def scanner_to_head(self, points: FloatArray, motion: FloatArray | None = None) -> FloatArray:
        """Map scanner points (rows, mm) to the head's own frame."""
        matrix = self.placement if motion is None else motion @ self.placement
        return to_voxels(matrix, points)

    def head_to_template(self, points: FloatArray) -> FloatArray:
        """Map head points (rows, mm) to the template, border shift included."""
        template = self.shape.to_template(points)
        return template - self._shift(template)

    def template_to_head(self, points: FloatArray, n_iterations: int = 40) -> FloatArray:
        """Invert `head_to_template` by fixed-point iteration."""
        guess = points.copy()
        for _ in range(n_iterations):
            guess = 0.5 * guess + 0.5 * (points + self._shift(guess))
        return self.shape.from_template(guess)

    def _shift(self, template: FloatArray) -> FloatArray:
        """Move the GM/WM border: thicker cortex means that it retreats into white matter."""
        low, high = _extent(self.border)
        near = np.flatnonzero(np.all((template > low) & (template < high), axis=1))
        shift = np.zeros_like(template)
        amount = -effect_at(template[near], self.thickness_mm)
        felt = np.abs(amount) > PATTERN_SUPPORT * max(1e-9, np.abs(self.thickness_mm).max())
        near, amount = near[felt], amount[felt]
        shift[near] = amount[:, None] * self.border.at(template[near])[:, :3]
        return shift


def _extent(box: Box) -> tuple[FloatArray, FloatArray]:
    """Return the lowest and the highest MNI coordinates of a box."""
    last = np.array([box.field.shape[1:]], dtype=float) - 1
    return box.affine[:3, 3], apply_affine(box.affine, last)[0]


def draw_shape(rng: np.random.Generator) -> HeadShape:
    """Draw the size and the smooth warp of one participant's head."""
    common = 1 + 0.03 * rng.standard_normal()
    scale = common * (1 + 0.012 * rng.standard_normal(3))
    return HeadShape(scale, smooth_field(rng, rms_mm=1.6, smoothness_mm=22.0))


def draw_placement(rng: np.random.Generator) -> FloatArray:
    """Draw where the head lies in the scanner."""
    return rigid(np.array(HEAD_CENTRE_MM) + 3 * rng.standard_normal(3), 3 * rng.standard_normal(3))


def thickness_change(head: Head, anatomy: Anatomy) -> dict[str, Any]:
    """Measure by how much the planted shift and the warp changed the cortex.

    Points of the GM/WM border in the anterior cingulate and points 3 mm above them, beyond the
    reach of the shift, are carried from the template into the head; what happened to their
    distance is the change of thickness.

    Returns
    -------
    dict
        ``mean_mm``: planted change as realised in the image, mean over the region, mm.
        ``by_pattern_mm``: the same, weighted by each pattern. ``asked_by_pattern_mm``: what the
        loadings ask for, weighted likewise; the shift fades away from the border, so that the
        image holds a little less. ``warp_factor``: stretch of the
        cortex by head size and smooth warp, weighted by each pattern; 1 for none.
    """
    foot, normal, weights = border_points(head)
    top = foot + PROBE_MM * normal
    still = replace(anatomy, thickness_mm=0 * anatomy.thickness_mm)
    before = np.linalg.norm(still.template_to_head(top) - still.template_to_head(foot), axis=1)
    after = np.linalg.norm(anatomy.template_to_head(top) - anatomy.template_to_head(foot), axis=1)
    shares = weights / weights.sum(axis=0)
    return {
        'mean_mm': round(float(np.average(after - before, weights=weights.sum(axis=1))), 4),
        'by_pattern_mm': ((after - before) @ shares).round(4).tolist(),
        'asked_by_pattern_mm': (
            (effect_at(foot, anatomy.thickness_mm) @ shares).round(4).tolist()
        ),
        'warp_factor': (before / PROBE_MM @ shares).round(4).tolist(),
    }


def border_points(head: Head) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Find points of the GM/WM border under the patterns.

    Returns
    -------
    points, normals : (n_points, 3) ndarray of float64
        MNI coordinates (mm) and unit normals towards grey matter.
    weights : (n_points, n_patterns) ndarray of float64
        Height of each pattern.
    """
    distance = head.border.field[3]
    voxels = np.argwhere((distance > 0) & (distance < 0.6)).astype(float)
    points = apply_affine(head.border.affine, voxels)
    weights = pattern_weights(points)
    keep = (weights.sum(axis=1) > 0.3) & (np.abs(points[:, 0]) < 16)
    field = head.border.at(points[keep])
    normal = field[:, :3] / np.maximum(np.linalg.norm(field[:, :3], axis=1, keepdims=True), 1e-6)
    points = points[keep] - field[:, 3:] * normal
    cortex = sample(head.tissues[0], to_voxels(head.affine, points + 2 * normal))
    grey = cortex > 0.5
    return points[grey], normal[grey], weights[keep][grey]
