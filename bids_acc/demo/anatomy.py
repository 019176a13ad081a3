"""One visit's anatomy: from the scanner's coordinates back to the template."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_acc.demo.patterns import effect_at
from bids_acc.demo.templates import Box
from bids_acc.demo.warp import HeadShape, apply_affine, rigid, smooth_field, to_voxels
from bids_acc.typing import FloatArray

PATTERN_SUPPORT = 0.02
"""Effects smaller than this share of their largest value are taken for zero."""

HEAD_SIZE = 0.9
"""Length of a head relative to the template, which holds 1.9 L where adults have 1.29 to 1.47 L
(means of women and men; Matsumae et al. 1996, J Neurosurg 84:982)."""
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
        """Map scanner points (rows, mm) to the head's own frame.

        Parameters
        ----------
        points : (n, 3) ndarray
            Scanner coordinates, mm.
        motion : (4, 4) ndarray, optional
            Movement of the head in scanner coordinates since it was placed.

        Returns
        -------
        (n, 3) ndarray
            mm.
        """
        matrix = self.placement if motion is None else motion @ self.placement
        return to_voxels(matrix, points)

    def head_to_template(self, points: FloatArray) -> FloatArray:
        """Map head points (rows, mm) to the template, border shift included.

        Parameters
        ----------
        points : (n, 3) ndarray
            In the head's own frame, mm.

        Returns
        -------
        (n, 3) ndarray
            MNI coordinates, mm.
        """
        template = self.shape.to_template(points)
        return template - self._shift(template)

    def template_to_head(self, points: FloatArray, n_iterations: int = 40) -> FloatArray:
        """Invert `head_to_template` by fixed-point iteration.

        Parameters
        ----------
        points : (n, 3) ndarray
            MNI coordinates, mm.
        n_iterations : int
            Half-steps; the shift changes slowly enough for them to converge.

        Returns
        -------
        (n, 3) ndarray
            In the head's own frame, mm.
        """
        guess = points.copy()
        for _ in range(n_iterations):
            # Half steps: where the border's shift changes fast, whole ones would jump from one
            # side of the answer to the other.
            guess = 0.5 * guess + 0.5 * (points + self._shift(guess))
        return self.shape.from_template(guess)

    def _shift(self, template: FloatArray) -> FloatArray:
        """Move the GM/WM border: thicker cortex means that it retreats into white matter."""
        low, high = _extent(self.border)
        # Most of a head lies outside the box: evaluating patterns there would cost most of the
        # time.
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
    """Draw the size and the smooth warp of one participant's head.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws size (3 % between people, 1.2 % more along each axis) and warp (own conventions).
    """
    common = 1 + 0.03 * rng.standard_normal()
    scale = common * (1 + 0.012 * rng.standard_normal(3)) / HEAD_SIZE
    return HeadShape(scale, smooth_field(rng, rms_mm=1.6, smoothness_mm=22.0))


def draw_placement(rng: np.random.Generator) -> FloatArray:
    """Draw where the head lies in the scanner.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws shifts (SD 3 mm) and rotations (SD 3 degrees; own conventions).

    Returns
    -------
    (4, 4) ndarray
        Head to scanner, mm.
    """
    return rigid(
        HEAD_SIZE * np.array(HEAD_CENTRE_MM) + 3 * rng.standard_normal(3),
        3 * rng.standard_normal(3),
    )
