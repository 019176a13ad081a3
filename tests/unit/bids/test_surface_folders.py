"""Folders of other tools that do not hold what their surfaces are taken from."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_acc.bids.surfaces import choose_surfaces
from bids_acc.exceptions import MissingInputError


def touch(root: Path, *names: str) -> None:
    """Make empty files."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.mark.parametrize(
    ('source', 'names', 'said'),
    [
        ('freesurfer', ['sub-01/mri/orig/001.mgz'], 'has no folder surf'),
        ('freesurfer', ['01/mri/aparc.DKTatlas+aseg.deep.mgz'], 'has no folder surf'),
        ('freesurfer', ['sourcedata/freesurfer/sub-01/mri/T1.mgz'], 'has no folder surf'),
        ('gifti', ['sub-01/anat/sub-01_hemi-L_white.surf.gii'], 'desc-reg_sphere.surf.gii'),
        ('civet', ['sub-01/final/stx_01_t1_final.mnc'], 'as CIVET writes them at its end'),
        ('civet', ['01/surfaces/stx_01_white_surface_left_81920.obj'], 'as CIVET writes them'),
    ],
)
def test_what_was_not_finished_is_told(tmp_path, source, names, said):
    touch(tmp_path, *names)
    choice = choose_surfaces('auto', {'a': tmp_path}, '01', None)
    assert choice.source == 'builtin'
    assert said in choice.note
    assert choose_surfaces('builtin', {'a': tmp_path}, '01', None).note == ''
    with pytest.raises(MissingInputError, match='no such surfaces of sub-01') as error:
        choose_surfaces(source, {'a': tmp_path}, '01', None)
    assert said in str(error.value)


@pytest.mark.parametrize(
    'names',
    [
        [],
        ['sub-02/mri/orig/001.mgz'],
        ['sub-01/anat/sub-01_desc-preproc_T1w.nii.gz'],
        ['sub-01/anat/._sub-01_hemi-L_white.surf.gii'],
    ],
)
def test_where_nothing_was_begun_nothing_is_told(tmp_path, names):
    touch(tmp_path, *names)
    assert choose_surfaces('auto', {'a': tmp_path}, '01', None).describe() == 'surfaces: builtin'


@pytest.mark.parametrize('name', ['01', 'sub-01', '01_ses-a', 'sub-01_ses-a', '01/ses-a'])
def test_freesurfer_folders_are_found_with_and_without_prefix(tmp_path, name):
    touch(tmp_path, f'{name}/surf/lh.white')
    choice = choose_surfaces('auto', {'a': tmp_path}, '01', 'a')
    assert (choice.source, choice.folder) == ('freesurfer', tmp_path / name)
    assert ('as a whole' in choice.note) is ('ses-a' not in name)


@pytest.mark.parametrize(
    ('name', 'said'),
    [('recon-all.error', 'ended with an error'), ('IsRunning.lh+rh', 'was broken off')],
)
def test_what_recon_all_leaves_behind_is_told(tmp_path, name, said):
    touch(tmp_path, 'sub-01/surf/lh.white', f'sub-01/scripts/{name}')
    choice = choose_surfaces('auto', {'a': tmp_path}, '01', None)
    assert choice.source == 'freesurfer'
    assert said in choice.note
