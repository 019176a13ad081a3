"""Diffusion signals."""

import numpy as np
import pytest

from bids_acc.demo.diffusion import (
    CSF_MD,
    GM_MD,
    S0,
    WM_DIFFUSIVITY,
    diffusion_grid,
    gradient_table,
    tissue_signal,
    to_world,
)

ONE = np.ones(1)


def test_directions_are_unit_vectors_and_cover_the_sphere():
    bvals, bvecs = gradient_table()
    weighted = bvecs[bvals > 0]
    assert np.linalg.norm(weighted, axis=1) == pytest.approx(1)
    assert np.linalg.eigvalsh(weighted.T @ weighted / len(weighted)) == pytest.approx(
        1 / 3, abs=0.03
    )
    assert not bvecs[bvals == 0].any()


@pytest.mark.parametrize(
    ('tissue', 'diffusivity'), [(0, GM_MD), (1, WM_DIFFUSIVITY[0]), (2, CSF_MD)]
)
def test_pure_tissue_decays_as_its_diffusivity_says(tissue, diffusivity):
    fractions = np.eye(3)[[tissue]]
    signal = [tissue_signal(fractions, ONE, 0 * ONE, b)[0] for b in (0.0, 1000.0)]
    assert np.log(signal[0] / signal[1]) / 1000 == pytest.approx(diffusivity)
    assert signal[0] == pytest.approx(list(S0.values())[tissue])


def test_planted_effect_raises_the_diffusivity_of_grey_matter_only():
    grey, white = np.array([[1.0, 0, 0]]), np.array([[0, 1.0, 0]])
    plain, raised = (tissue_signal(grey, 0 * ONE, e * ONE, 1000.0)[0] for e in (0.0, 0.1))
    assert np.log(plain / raised) / 1000 == pytest.approx(0.1 * GM_MD)
    assert tissue_signal(white, ONE, 0.1 * ONE, 1000.0) == tissue_signal(
        white, ONE, 0 * ONE, 1000.0
    )


def test_stored_grid_is_left_handed_so_that_bvecs_are_not_flipped():
    affine, _ = diffusion_grid()
    assert np.linalg.det(affine[:3, :3]) < 0
    world = to_world(np.eye(3), affine)
    assert world == pytest.approx(affine[:3, :3].T / 3.0)


def test_world_directions_do_not_depend_on_how_the_image_is_stored(rng):
    """Flipping the stored first axis flips it in FSL's frame too: the direction stays."""
    affine, _ = diffusion_grid()
    flipped = affine @ np.diag([-1.0, 1, 1, 1])
    vectors = rng.standard_normal((5, 3))
    assert to_world(vectors, flipped) == pytest.approx(to_world(vectors, affine))
