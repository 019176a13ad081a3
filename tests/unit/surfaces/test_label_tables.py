"""Tables of labels as programs and people write them."""

from __future__ import annotations

import re

import nibabel as nb
import numpy as np
import pytest

from bids_acc.exceptions import SettingsError
from bids_acc.surfaces.atlases import atlas_files, load_atlas
from bids_acc.surfaces.label_tables import NO_CODE, parse_labels

WANTED = [(1, 'Left-Amygdala'), (54, 'Right-Amygdala')]
AFFINE = np.array([[2.0, 0, 0, -20], [0, 2, 0, -20], [0, 0, 2, -20], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    'text',
    [
        'index\tname\n1\tLeft-Amygdala\n54\tRight-Amygdala\n',
        'index\tname\tcolor\n1.0\tLeft-Amygdala\t#a\n54.0\tRight-Amygdala\n',
        'Label,Region\n1,Left-Amygdala\n54,Right-Amygdala\n',
        'ROI_name;ID\nLeft-Amygdala;1\nRight-Amygdala;54\n',
        'label_name value\nLeft-Amygdala 1\nRight-Amygdala 54\n',
        '#No. Label Name: R G B A\n\n1  Left-Amygdala  1 2 3 0\n54 Right-Amygdala 4 5 6 0\n',
        '1 255 0 0 1 1 1 "Left-Amygdala"\n54 0 255 0 1 1 1 "Right-Amygdala"\n',
        'Left-Amygdala\t1\nRight-Amygdala\t54\n',
        '1\tLeft-Amygdala\r\n54\tRight-Amygdala\r\n',
    ],
)  # fmt: skip
def test_layouts(text):
    assert [(row.code, row.name) for row in parse_labels(text)] == WANTED


def test_sides_quotes_and_words():
    rows = parse_labels('index,name,hemi\n1,"amygdala, left part",left\n2,it\'s,R\n')
    assert [(r.name, r.side) for r in rows] == [('amygdala, left part', 'left'), ("it's", 'R')]
    assert parse_labels('3 Left Hippocampus 220 216 20 0\n')[0].name == 'Left Hippocampus'
    assert parse_labels('name\nUncinate_L\n')[0].code == NO_CODE


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('', 'holds no labels'),
        ('# only a comment\n', 'holds no labels'),
        ('a\tb\n1\tx\n', 'needs the columns index and name'),
        ('index\tname\n1\ta\nx\tb\n', "has 'x' for a code in row 2; write a number"),
        ('index\tname\n1\ta\n\tb\n', "has '' for a code in row 2"),
        ('index\tname\n1\tn/a\n', 'has no name in row 1'),
        ('1 a\n2\n', "has no code and name in row 2 ('2')"),
        ('index name\n1 left amygdala\n', 'has 3 cells in row 1 and 2 columns'),
    ],
)
def test_what_cannot_be_read_is_told_by_row(text, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        parse_labels(text)


def image(path, values, table, end='.tsv'):
    """Write an atlas and its table."""
    nb.Nifti1Image(np.asarray(values), AFFINE).to_filename(path)
    path.with_name(path.name.partition('.')[0] + end).write_text(table)
    return load_atlas(f'A={path}')


@pytest.fixture
def codes() -> np.ndarray:
    """Return two labels, left and right."""
    data = np.zeros((20, 20, 20), dtype=np.int16)
    data[2:8, 5:9, 5:9], data[13:18, 5:9, 5:9] = 1, 54
    return data


@pytest.mark.parametrize('end', ['.txt', '_LUT.txt', '.csv', '.lut'])
def test_a_look_up_table_of_another_ending_is_found(tmp_path, codes, end):
    path = tmp_path / 'atlas.nii.gz'
    table = '1 Left-Amygdala 1 2 3 0\n54 Right-Amygdala 1 2 3 0\n'
    atlas = image(path, codes, table, end)
    assert atlas.regions == {1: ('Amygdala', 'L'), 54: ('Amygdala', 'R')}
    assert atlas_files(f'A={path}')[1].name == f'atlas{end}'


def test_codes_without_a_name_are_told(tmp_path, codes):
    atlas = image(tmp_path / 'few.nii.gz', codes, 'index\tname\n1\tAmygdala_L\n')
    assert list(atlas.regions) == [1]
    assert '1 of its codes are not in the table and are left out (54)' in atlas.note


def test_a_code_that_stands_twice_is_refused(tmp_path, codes):
    with pytest.raises(SettingsError, match=r'twice.tsv has code 1 in more than one row'):
        image(tmp_path / 'twice.nii.gz', codes, 'index\tname\n1\ta_L\n1\tb_L\n54\tc_R\n')


def test_maps_of_probability_are_named_by_their_number(tmp_path, codes):
    """A table in another order than the maps named each map by its row."""
    maps = np.stack([codes == 1, codes == 54], axis=-1).astype(np.float32)
    turned = 'index\tname\n1\tAmygdala_R\n0\tAmygdala_L\n'
    assert image(tmp_path / 'a.nii.gz', maps, turned).regions[0] == ('Amygdala', 'L')
    free = 'index\tname\n17\tAmygdala_L\n54\tAmygdala_R\n'
    assert image(tmp_path / 'b.nii.gz', maps, free).regions[1] == ('Amygdala', 'R')


@pytest.mark.parametrize(
    'name',
    ['sub-01_space-T1w_dseg', 'tpl-fsaverage_dseg', 'tpl-MNIPediatricAsym_cohort-1_dseg',
     'space-MNI305_dseg'],
)  # fmt: skip
def test_a_volume_of_another_space_is_refused(tmp_path, codes, name):
    with pytest.raises(SettingsError, match='none of the spaces of MNI152'):
        image(tmp_path / f'{name}.nii.gz', codes, 'index\tname\n1\ta_L\n54\ta_R\n')


def test_a_fourth_dimension_of_one_is_none(tmp_path, codes):
    table = 'index\tname\n1\ta_L\n54\ta_R\n'
    assert image(tmp_path / 'x.nii.gz', codes[..., None], table).data.ndim == 3
