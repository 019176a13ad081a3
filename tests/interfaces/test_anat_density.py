"""Modulated grey matter of a head whose way to the template is known."""

from __future__ import annotations

from pathlib import Path

import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from bids_acc.anat.density import jacobian_determinant, modulated
from bids_acc.anat.region_interfaces import (
    MeasureRegions,
    ModulateGrey,
    density_grid,
    region_densities,
)
from bids_acc.images.template_space import person_coordinates
from bids_acc.surfaces.atlases import cerebra
from bids_acc.surfaces.gifti import write_map
from bids_acc.surfaces.template import load_template

STRETCH = np.array([1.1, 0.9, 1.05])
"""Size of the head by that of the template, along x, y and z."""
SHIFT = np.array([4.0, -3.0, 2.0])
"""Of the head, mm."""
SHAPE = (67, 74, 67)
AFFINE = np.diag([3.0, 3, 3, 1])
AFFINE[:3, 3] = (-100, -125, -80)


def _transform(folder: Path, name: str, scale: np.ndarray, shift: np.ndarray) -> str:
    """Write an affine that takes points by scale and shift, RAS, in ITK's LPS."""
    moved = shift * [-1, -1, 1]
    path = folder / f'{name}.txt'
    path.write_text(
        '#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n'
        f'Parameters: {scale[0]} 0 0 0 {scale[1]} 0 0 0 {scale[2]} '
        f'{moved[0]} {moved[1]} {moved[2]}\nFixedParameters: 0 0 0\n'
    )
    return str(path)


@pytest.fixture(scope='module')
def head(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A head whose grey matter fades out smoothly, with more of it on the left."""
    folder = tmp_path_factory.mktemp('density')
    centres = np.indices(SHAPE).reshape(3, -1).T * 3.0 + AFFINE[:3, 3]
    places = (centres - SHIFT) / STRETCH
    away = (places - [0, -20, 15]) / 30
    grey = np.exp(-(away**2).sum(axis=1) / 2) * (0.6 - 0.3 * np.tanh(places[:, 0] / 15))
    grey = grey.astype(np.float32)
    path = folder / 'grey.nii.gz'
    nb.Nifti1Image(grey.reshape(SHAPE), AFFINE).to_filename(path)
    return {
        'grey': str(path),
        'points': _transform(folder, 'points', STRETCH, SHIFT),
        'images': _transform(folder, 'images', 1 / STRETCH, -SHIFT / STRETCH),
        'folder': str(folder),
    }


@pytest.fixture(scope='module')
def density(head: dict[str, str]) -> nb.Nifti1Image:
    """Run the shell."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(head['folder'])
        out = ModulateGrey(tpms=[head['grey']] * 3, points_to_t1w=[head['points']]).run().outputs
    return nb.Nifti1Image.from_filename(out.out_file)


def test_no_grey_matter_is_lost_or_won(head, density):
    grey = nb.Nifti1Image.from_filename(head['grey']).get_fdata()
    total = density.get_fdata().sum() * 1.5**3
    assert total == pytest.approx(grey.sum() * 27, rel=0.005)
    assert total != pytest.approx(grey.sum() * 27 / STRETCH.prod(), rel=0.02)  # unmodulated


def test_a_region_has_its_own_volume(head, density, monkeypatch):
    folder = Path(head['folder'])
    monkeypatch.chdir(folder)
    maps: dict[str, list[str]] = {n: [] for n in ('thickness', 'area', 'volume')}
    for side, mesh in load_template('10k').items():
        for name, files in maps.items():
            path = folder / f'{side}_{name}.shape.gii'
            files.append(str(write_map(path, np.ones(len(mesh.white)), side, name)))
    out = MeasureRegions(
        grid_file=head['grey'], tpms=[head['grey']] * 3, images_to_t1w=[head['images']],
        density='10k', density_file=density.get_filename(), **maps,
    ).run().outputs  # fmt: skip
    table = pd.read_csv(out.out_file, sep='\t', na_values='n/a').query("atlas == 'CerebrA'")
    atlas = cerebra()
    size = {region: float((atlas.data == code).sum() * abs(np.linalg.det(atlas.affine[:3, :3])))
            for code, region in atlas.regions.items()}  # fmt: skip
    own = np.array([size[r, h] for r, h in zip(table['region'], table['hemisphere'], strict=True)])
    ratio = table['gm_density'] * own / table['gm_volume_mm3']
    # the volume takes the grey matter of the nearest voxel of 3 mm, the density interpolates it
    assert ratio.median() == pytest.approx(1, abs=0.01)
    assert ratio[own > 2000].between(0.95, 1.05).all(), ratio[own > 2000].describe()


def test_sides_stay_on_their_side(density):
    means = region_densities(cerebra(), density.get_fdata(), density.affine)
    assert means['hippocampus', 'L'] > 1.5 * means['hippocampus', 'R']


def test_places_of_the_person(head):
    shape, affine = density_grid()
    places = person_coordinates(shape, affine, [head['points']], SHAPE, AFFINE)
    index = (60, 70, 50)
    template = affine[:3] @ [*index, 1]
    np.testing.assert_allclose(places[index], template * STRETCH + SHIFT, atol=1e-3)
    determinant = jacobian_determinant(places, affine)
    assert determinant[index] == pytest.approx(STRETCH.prod(), rel=1e-4)


def test_folded_or_unknown_space_holds_nothing():
    grey = np.full((2, 2, 2), 0.5)
    determinant = np.array([1.0, -1, np.nan, 2, 1, 1, 1, 1]).reshape(2, 2, 2)
    assert modulated(grey, determinant).ravel()[:4].tolist() == [0.5, 0, 0, 1]
