"""Means over tracts, of maps whose values are known."""

from __future__ import annotations

from pathlib import Path

import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from bids_acc.dwi.interfaces.tracts import MIN_EFFECTIVE, MeasureTracts, tract_rows
from bids_acc.exceptions import SettingsError
from bids_acc.surfaces.atlases import load_tract_atlas

AFFINE = np.diag([2.0, 2, 2, 1])
AFFINE[:3, 3] = (-96, -132, -70)
SHAPE = (96, 116, 92)
FA = {'L': 0.6, 'R': 0.4}


def _labels() -> np.ndarray:
    """A bar of 5 x 20 x 5 voxels on either side, and two voxels in the middle."""
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[30:35, 50:70, 40:45] = 1  # x < 0
    labels[61:66, 50:70, 40:45] = 2
    labels[48, 60:62, 60] = 3
    return labels


@pytest.fixture
def atlas(tmp_path: Path) -> str:
    """An atlas of codes, NAME=PATH."""
    path = tmp_path / 'tpl-MNI152NLin2009aSym_atlas-Bars_dseg.nii.gz'
    nb.Nifti1Image(_labels(), AFFINE).to_filename(path)
    (tmp_path / 'tpl-MNI152NLin2009aSym_atlas-Bars_dseg.tsv').write_text(
        'index\tname\n1\tL_bar\n2\tbar_R\n3\tdot\n'
    )
    return f'Bars={path}'


def _measure(folder: Path, atlas: str, maps: list[np.ndarray], white: np.ndarray) -> pd.DataFrame:
    """Run the shell on maps at 2 mm, in the space of the template."""
    files = []
    for number, values in enumerate([*maps, white]):
        path = folder / f'map{number}.nii.gz'
        nb.Nifti1Image(values.astype(np.float32), AFFINE).to_filename(path)
        files.append(str(path))
    identity = folder / 'identity.txt'
    identity.write_text(
        '#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n'
        'Parameters: 1 0 0 0 1 0 0 0 1 0 0 0\nFixedParameters: 0 0 0\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        found = MeasureTracts(
            maps=files[:5], tpms=[files[5]] * 3, images_to_t1w=[str(identity)], atlas=atlas
        ).run().outputs  # fmt: skip
    return pd.read_csv(found.out_file, sep='\t', na_values='n/a').set_index(
        ['region', 'hemisphere']
    )


def _maps() -> list[np.ndarray]:
    """FA of either bar, and .1 around; the other maps follow it."""
    labels = _labels()
    fa = np.where(labels == 1, FA['L'], np.where(labels == 2, FA['R'], 0.1))
    fa[:3] = 0  # outside the brain
    return [fa, 1e-3 * fa, 2e-3 * fa, 5e-4 * fa, fa - 0.5]


def test_tracts_have_their_own_values(tmp_path: Path, atlas: str) -> None:
    found = _measure(tmp_path, atlas, _maps(), np.ones(SHAPE))
    for side, value in FA.items():
        row = found.loc['bar', side]
        assert row['fa'] == pytest.approx(value, rel=1e-4)
        assert row['md'] == pytest.approx(1e-3 * value, rel=1e-4)
        assert row['mo'] == pytest.approx(value - 0.5, abs=1e-4)
        assert row['n_effective'] == pytest.approx(500, rel=1e-3)
        assert row['volume_mm3'] == pytest.approx(4000, rel=1e-3)


def test_exchanged_sides_exchange_the_values(tmp_path: Path, atlas: str) -> None:
    plain = _measure(tmp_path, atlas, _maps(), np.ones(SHAPE))
    mirrored = [m[::-1] for m in _maps()]
    swapped = _measure(tmp_path, atlas, mirrored, np.ones(SHAPE))
    for side, other in (('L', 'R'), ('R', 'L')):
        assert swapped.loc['bar', side]['fa'] == pytest.approx(
            plain.loc['bar', other]['fa'], rel=0.02
        )


def test_white_matter_counts_more_where_it_is_asked_to(tmp_path: Path, atlas: str) -> None:
    maps, white = _maps(), np.ones(SHAPE)
    maps[0][30:35, 50:60] = 0.2  # half of the left bar holds cortex
    white[30:35, 50:60] = 0
    row = _measure(tmp_path, atlas, maps, white).loc['bar', 'L']
    assert row['fa'] == pytest.approx(0.4, abs=0.01)
    assert row['fa_wm'] == pytest.approx(0.6, abs=0.02)
    assert row['white'] == pytest.approx(0.5, abs=0.02)


def test_too_few_voxels_have_no_value(tmp_path: Path, atlas: str) -> None:
    row = _measure(tmp_path, atlas, _maps(), np.ones(SHAPE)).loc['dot', 'both']
    assert row['n_effective'] < MIN_EFFECTIVE
    assert np.isnan(row['fa'])
    assert np.isnan(row['fa_wm'])
    assert row['volume_mm3'] == pytest.approx(16, rel=0.01)


def test_voxels_without_a_tensor_do_not_count() -> None:
    fa = np.r_[np.full(30, 0.5), np.full(30, np.nan)]
    maps = dict.fromkeys(('fa', 'md', 'ad', 'rd', 'mo'), fa)
    share = np.r_[np.ones(30), np.ones(30)]
    row = tract_rows({('a', 'L'): share}, maps, np.ones(60), 8.0)[0]
    assert (row['n_effective'], row['fa'], row['volume_mm3']) == (30, 0.5, 480)
    maps = dict.fromkeys(maps, np.where(np.arange(60) < 19, fa, np.nan))
    assert np.isnan(tract_rows({('a', 'L'): share}, maps, np.ones(60), 8.0)[0]['fa'])


def test_atlases_that_are_none_of_tracts(tmp_path: Path, atlas: str) -> None:
    with pytest.raises(SettingsError, match='none is shipped'):
        load_tract_atlas('JHU')
    path = Path(atlas.partition('=')[2])
    nb.Nifti1Image(_labels()[::-1], AFFINE).to_filename(path)
    with pytest.raises(SettingsError, match=r'--tract-atlas Other=.*left and right are exchanged'):
        load_tract_atlas(f'Other={path}')
