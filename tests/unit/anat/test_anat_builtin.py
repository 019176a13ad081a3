"""The built-in route's steps on arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bids_acc.anat import builtin
from bids_acc.anat.fitting import FittedSurfaces
from bids_acc.anat.morphometry import symmetric_thickness
from bids_acc.surfaces.template import load_template


def test_a_coarse_mesh_is_the_beginning_of_the_fine_one() -> None:
    """Between its own, longer triangles the cortex of the template is 0.1 mm thicker."""
    mesh, coarse = load_template()['L'], load_template('10k')['L']
    code = np.zeros(len(mesh.white), dtype=int)
    code[np.flatnonzero(mesh.cortex)[[7, -1]]] = (2, 1)
    fine, first = (
        builtin.measure_hemisphere(mesh.white, mesh.pial, code, 'L', density)
        for density in ('41k', '10k')
    )
    for name in ('white', 'pial', 'undefined', 'thickness'):
        values, expected = getattr(first, name), getattr(fine, name)[:10242]
        np.testing.assert_array_equal(values, expected, err_msg=name)
    for found, cortex in ((fine, mesh.cortex), (first, coarse.cortex)):
        expected = cortex & (found.undefined == 0)
        np.testing.assert_array_equal(np.isfinite(found.thickness), expected)
        np.testing.assert_array_equal(np.isfinite(found.area), expected)
    own = symmetric_thickness(coarse.white, coarse.pial, coarse.faces)
    defined = np.isfinite(first.thickness)
    assert 0.05 < (own - first.thickness)[defined].mean() < 0.15


def test_area_of_a_coarse_mesh_is_that_of_the_fine_one() -> None:
    mesh = load_template()['R']
    code = np.zeros(len(mesh.white), dtype=int)
    totals = [
        np.nansum(builtin.measure_hemisphere(mesh.white, mesh.pial, code, 'R', density).area)
        for density in ('41k', '10k')
    ]
    assert totals[1] == pytest.approx(totals[0], rel=0.005)  # the edge of the medial wall differs


def test_the_fit_runs_on_the_finest_mesh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fitted on its own, the 10k mesh smooths over twice the distance and loses differences."""

    def fit(image: Any, white: Any, pial: Any, faces: Any, **_: Any) -> FittedSurfaces:
        seen = np.arange(len(white)) % 5 > 0
        return FittedSurfaces(white + 1, pial + 2, seen, seen, np.arange(len(white)) == 7)

    monkeypatch.setattr(builtin, 'fit_surfaces', fit)
    monkeypatch.setattr(builtin, 'points_to_t1w', lambda points, _: points)
    image: Any = None
    found, codes = builtin.fit_hemisphere(image, 'L', [])
    assert len(found.white) == len(found.pial) == len(codes) == 40962
    assert codes[7] == 2
