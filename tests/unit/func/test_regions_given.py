"""Seeds and atlases that users give: what is taken, and what is refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import nibabel as nb
import numpy as np
import pytest

from bids_acc.exceptions import SettingsError
from bids_acc.func.regions import members_of_atlas, seed_regions

SHAPE = (40, 49, 41)
AFFINE = np.array([[4.0, 0, 0, -78], [0, 4, 0, -112], [0, 0, 4, -72], [0, 0, 0, 1]])
NAMES = 'index\tname\n1\tLeft-Area\n2\tRight-Area\n'


def labels() -> np.ndarray:
    """Return two blocks, 1 on the left and 2 on the right."""
    values = np.zeros(SHAPE, dtype=np.float32)
    values[10:14, 25:30, 20:25], values[26:30, 25:30, 20:25] = 1, 2
    return values


def write(folder: Path, values: np.ndarray, table: str = '', affine: np.ndarray = AFFINE) -> Path:
    """Write an image and the table beside it."""
    path = folder / 'own_dseg.nii.gz'
    nb.Nifti1Image(values, affine).to_filename(path)
    if table:
        (folder / 'own_dseg.tsv').write_text(table)
    return path


def regions(path: Path) -> dict[str, int]:
    """Return names of an atlas' regions and their number of voxels on its own grid."""
    index = np.indices(SHAPE).reshape(3, -1).T
    places = index @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    found = members_of_atlas(path, places, np.ones(len(places), dtype=bool))
    return {r.name: len(w) for r, w in zip(found.regions, found.where, strict=True)}


@pytest.mark.parametrize(
    ('table', 'names'),
    [('', ['region1', 'region2']), (NAMES, ['Area_L', 'Area_R']),
     ('index\tlabel\themisphere\n1\tArea\tL\n2\tArea\tR\n', ['Area_L', 'Area_R']),
     ('index\tname\n1\tone\n2\ttwo\n9\tnowhere\n', ['one', 'two'])],
)  # fmt: skip
def test_names_of_regions(tmp_path, table, names):
    assert regions(write(tmp_path, labels(), table)) == dict.fromkeys(names, 100)


def test_a_background_of_nan_is_none(tmp_path):
    values = labels()
    assert regions(write(tmp_path, np.where(values > 0, values, np.nan))) == {
        'region1': 100, 'region2': 100,
    }  # fmt: skip


@pytest.mark.parametrize(
    ('values', 'table', 'affine', 'words'),
    [(labels() * 0, '', AFFINE, 'holds no label'),
     (labels() * 0.5, '', AFFINE, 'its labels were interpolated'),
     (-labels(), '', AFFINE, 'negative codes'),
     (np.stack([labels() / 4] * 2, -1), 'index\tname\n1\ta\n2\tb\n', AFFINE, '4 dimensions'),
     (labels(), NAMES.replace('Right', 'Left'), AFFINE, 'stands for several regions'),
     (labels(), 'code\tvolume\n1\t80\n', AFFINE, 'needs the columns index and name'),
     (labels()[::-1], NAMES, AFFINE, 'left and right are exchanged'),
     (labels(), '', AFFINE + np.eye(4, k=3) * 400, 'outside the brain of MNI152')],
)  # fmt: skip
def test_atlases_that_are_refused(tmp_path, values, table, affine, words):
    path = write(tmp_path, values, table, affine)
    with pytest.raises(SettingsError, match=f'--func-atlas .*own_dseg.nii.gz: .*{words}'):
        regions(path)


@pytest.mark.parametrize(
    ('row', 'words'),
    [('', 'holds no seed'),
     ('mine\t90\t126\t72\t4\tMNI152', 'mine at 90, 126, 72 lies outside the brain'),
     ('mine\t5\t30\t-8\t4\tTalairach', 'the space of mine is Talairach')],
)  # fmt: skip
def test_seeds_that_are_refused(tmp_path, row, words):
    path = tmp_path / 'seeds.tsv'
    path.write_text(f'name\tx\ty\tz\tradius_mm\tspace\n{row}\n'.replace('\n\n', '\n'))
    with pytest.raises(SettingsError, match=words):
        seed_regions(path)


def test_a_seed_in_any_mni_space_is_taken(tmp_path):
    path = tmp_path / 'seeds.tsv'
    row = 'mine\t5\t30\t-8\t4\tMNI152NLin6Asym\n'
    path.write_text(f'name\tx\ty\tz\tradius_mm\tspace\n{row}')
    assert {r.name: r.spheres for r in seed_regions(path)}['mine'] == ((5.0, 30.0, -8.0, 4.0),)
