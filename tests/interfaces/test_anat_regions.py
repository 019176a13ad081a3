"""Regions of a head that is the template itself, so that every volume is known."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from bids_acc.anat.freesurfer import read_aseg_volumes
from bids_acc.anat.native import NativeHemisphere, on_template
from bids_acc.anat.region_interfaces import MeasureRegions
from bids_acc.anat.registration import template_path
from bids_acc.exceptions import InputDataError
from bids_acc.images.template_space import template_coordinates
from bids_acc.surfaces.atlases import cerebra
from bids_acc.surfaces.geometry import vertex_areas, vertex_volumes
from bids_acc.surfaces.gifti import write_map
from bids_acc.surfaces.template import HEMISPHERES, load_template

STATS = """# Measure EstimatedTotalIntraCranialVol, eTIV, Estimated Total Volume, 1577946.11, mm^3
# ColHeaders  Index SegId NVoxels Volume_mm3 StructName normMean
  1  10  7000  7421.5  Left-Thalamus-Proper  90.0
  2  17  4000  4123.5  Left-Hippocampus  60.0
  3  53  4100  4201.0  Right-Hippocampus  60.0
  4  16  9999 20123.0  Brain-Stem 80.0
"""


@pytest.fixture(scope='module')
def affine() -> np.ndarray:
    """Voxels of 2.5 mm over the template, a little oblique."""
    turned = np.diag([2.5, 2.5, 2.5, 1.0])
    angle = np.deg2rad(4)
    turned[:2, :2] = 2.5 * np.array([[np.cos(angle), -np.sin(angle)],
                                     [np.sin(angle), np.cos(angle)]])  # fmt: skip
    turned[:3, 3] = (-97, -140, -80)
    return turned


@pytest.fixture(scope='module')
def shift(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The transform of a head that lies 10 mm to the left of the template."""
    path = tmp_path_factory.mktemp('xfm') / 'shift.txt'
    # takes points of the head to the template, in LPS: left is +
    path.write_text(
        '#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n'
        'Parameters: 1 0 0 0 1 0 0 0 1 -10 0 0\nFixedParameters: 0 0 0\n'
    )
    return str(path)


@pytest.fixture(scope='module')
def found(
    tmp_path_factory: pytest.TempPathFactory, affine: np.ndarray, shift: str
) -> SimpleNamespace:
    """Run the shell once."""
    folder = tmp_path_factory.mktemp('regions')
    shape = (84, 100, 84)
    grid = folder / 'grid.nii.gz'
    nb.Nifti1Image(np.ones(shape, np.float32), affine).to_filename(grid)
    grey = folder / 'grey.nii.gz'
    nb.Nifti1Image(np.full(shape, 0.25, np.float32), affine).to_filename(grey)
    maps: dict[str, list[str]] = {'thickness': [], 'area': [], 'volume': []}
    for side, mesh in load_template('10k').items():
        values = {'thickness': np.full(len(mesh.white), 2.5),
                  'area': vertex_areas(mesh.white, mesh.faces),
                  'volume': vertex_volumes(mesh.white, mesh.pial, mesh.faces)}  # fmt: skip
        for name, own in values.items():
            path = folder / f'{side}_{name}.shape.gii'
            cortical = np.where(mesh.cortex, own, np.nan)
            maps[name].append(str(write_map(path, cortical, side, name)))
    stats = folder / 'fs' / 'stats'
    stats.mkdir(parents=True)
    (stats / 'aseg.stats').write_text(STATS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        outputs = MeasureRegions(
            grid_file=str(grid), tpms=[str(grey)] * 3, images_to_t1w=[shift], density='10k',
            freesurfer_dir=str(folder / 'fs'), **maps,
        ).run().outputs  # fmt: skip
    table = pd.read_csv(outputs.out_file, sep='\t', na_values='n/a').set_index(
        ['atlas', 'region', 'hemisphere']
    )
    return SimpleNamespace(table=table, outputs=outputs, affine=affine)


def test_places_are_those_of_the_template(affine: np.ndarray, shift: str) -> None:
    places = template_coordinates((84, 100, 84), affine, [shift])
    index = (40, 50, 40)
    wanted = affine[:3] @ [*index, 1] + [10, 0, 0]
    np.testing.assert_allclose(places[index], wanted, atol=1e-3)
    assert np.isnan(places[0, 0, 0]).all()  # beyond the template's field of view


@pytest.mark.parametrize('region', ['hippocampus', 'amygdala', 'caudate', 'putamen', 'thalamus'])
def test_volumes_are_those_of_the_labels(found: SimpleNamespace, region: str) -> None:
    atlas = cerebra()
    for code, (name, side) in atlas.regions.items():
        if name == region:
            row = found.table.loc['CerebrA', region, side]
            assert row['volume_mm3'] == pytest.approx((atlas.data == code).sum(), rel=0.015)
            assert row['gm_volume_mm3'] == pytest.approx(row['volume_mm3'] / 4, rel=1e-4)
            assert row['n_voxels'] == pytest.approx(row['volume_mm3'] / 2.5**3, rel=1e-4)


def test_the_intracranial_volume_is_that_of_the_mask(found: SimpleNamespace) -> None:
    mask = nb.Nifti1Image.from_filename(template_path('t1')).get_fdata() > 0
    assert found.outputs.facts['tiv_ml'] == pytest.approx(mask.sum() / 1000, rel=0.002)


def test_labels_lie_on_their_side_of_the_head(found: SimpleNamespace) -> None:
    image = nb.Nifti1Image.from_filename(found.outputs.dseg)
    names = pd.read_csv(found.outputs.dseg_table, sep='\t').set_index('name')['index']
    labels = np.asarray(image.dataobj)
    for side, sign in (('L', -1), ('R', 1)):
        where = np.argwhere(labels == names[f'hippocampus_{side}']).mean(axis=0)
        x = (found.affine[:3] @ [*where, 1])[0] + 10  # the head lies 10 mm to the left
        assert 15 < sign * x < 35


def test_regions_of_the_cortex_are_sums_of_their_vertices(found: SimpleNamespace) -> None:
    mesh = load_template('10k')['L']
    row = found.table.loc['DKT', 'insula', 'L']
    assert row['thickness_mm'] == 2.5
    assert 1500 < row['area_mm2'] < 4000
    assert 2 < row['volume_mm3'] / row['area_mm2'] < 5
    parts = [found.table.loc['HCPMMP1', name, 'L'] for name in ('25', 's32')]
    whole = found.table.loc['HCPMMP1', 'subgenualACC', 'L']
    assert whole['n_vertices'] == sum(part['n_vertices'] for part in parts)
    assert whole['defined_share'] < 1  # a fifth of area 25 lies on the medial wall
    assert not {'Desikan', 'V1'} & set(found.table.index.get_level_values(0))
    assert mesh.cortex.any()


def test_freesurfers_own_volumes_are_taken(found: SimpleNamespace) -> None:
    volume = found.table['volume_mm3']
    assert volume['aseg', 'thalamus', 'L'] == 7421.5
    assert volume['aseg', 'etiv', 'both'] == 1577946.1
    assert volume['aseg', 'brainstem', 'both'] == 20123
    assert found.table.loc['aseg', 'hippocampus', 'R']['method'] == 'freesurfer'


def test_intracranial_volume_of_old_freesurfer(tmp_path: Path) -> None:
    """Up to 5.1 the line has another name; FastSurfer writes mm3 and fewer columns."""
    (tmp_path / 'stats').mkdir()
    (tmp_path / 'stats' / 'aseg.stats').write_text(
        '# Measure IntraCranialVol, ICV, Intracranial Volume, 1490000.5, mm3\n'
        '# ColHeaders  Index SegId NVoxels Volume_mm3 StructName\n'
        '  1  10  7000  7421.5  Left-Thalamus\n'
    )
    found = {(r['region'], r['hemisphere']): r['volume_mm3'] for r in read_aseg_volumes(tmp_path)}
    assert found == {('etiv', 'both'): 1490000.5, ('thalamus', 'L'): 7421.5}


def test_damaged_volumes_of_freesurfer_are_named(tmp_path: Path) -> None:
    assert read_aseg_volumes(tmp_path) == []
    (tmp_path / 'stats').mkdir()
    (tmp_path / 'stats' / 'aseg.stats').write_text('  1 10 7000\n')
    with pytest.raises(InputDataError, match=r'aseg\.stats is no readable table'):
        read_aseg_volumes(tmp_path)


def test_volume_is_handed_over_without_loss() -> None:
    for side in HEMISPHERES:
        coarse, fine = load_template('10k')[side], load_template()[side]
        native = NativeHemisphere(
            fine.white, fine.pial, fine.faces, np.full(len(fine.white), 2.5),
            np.ones(len(fine.white)), fine.sphere,
        )  # fmt: skip
        volume = on_template(native, coarse).volume
        wanted = vertex_volumes(fine.white, fine.pial, fine.faces)
        assert volume.sum() == pytest.approx(wanted.sum())
        mirrored = NativeHemisphere(
            fine.white, fine.pial, fine.faces[:, ::-1].copy(), native.thickness, native.area,
            fine.sphere,
        )  # fmt: skip
        np.testing.assert_allclose(on_template(mirrored, coarse).volume, volume)
