"""The built-in route's steps on arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bids_acc.anat import builtin
from bids_acc.anat.fitting import FittedSurfaces
from bids_acc.anat.template import load_template


def test_a_coarse_mesh_is_the_beginning_of_the_fine_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fitted on its own, the 10k mesh smooths over twice the distance and loses differences."""

    def fit(image: Any, white: Any, pial: Any, faces: Any, **_: Any) -> FittedSurfaces:
        seen = np.arange(len(white)) % 5 > 0
        return FittedSurfaces(white + len(white), pial + 2, seen, seen, np.arange(len(white)) == 7)

    monkeypatch.setattr(builtin, 'fit_surfaces', fit)
    monkeypatch.setattr(builtin, 'points_to_t1w', lambda points, _: points)
    image: Any = None
    (coarse, codes), (fine, fine_codes) = (
        builtin.fit_hemisphere(image, load_template(density)['L'], 'L', [])
        for density in ('10k', '41k')
    )
    assert len(fine.white) == 40962
    assert len(coarse.white) == len(coarse.pial) == len(codes) == 10242
    np.testing.assert_array_equal(coarse.white, fine.white[:10242])
    np.testing.assert_array_equal(coarse.pial_supported, fine.pial_supported[:10242])
    np.testing.assert_array_equal(codes, fine_codes[:10242])
    assert codes[7] == 2
