"""Which brain mask a session comes with."""

from __future__ import annotations

from pathlib import Path

import nibabel as nb
import numpy as np
import pytest

from bids_acc.bids.brain_masks import choose_brain_mask
from bids_acc.exceptions import InputDataError, MissingInputError, SettingsError

T1W = Path('sub-01_ses-a_acq-mprage_T1w.nii.gz')


def write_mask(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nb.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4)).to_filename(path)
    return path


def test_named_mask_comes_first_and_must_be_there(tmp_path: Path) -> None:
    path = write_mask(tmp_path / 'sub-01' / 'a.nii.gz')
    pattern = f'{tmp_path}/sub-{{subject}}/{{session}}.nii.gz'
    assert choose_brain_mask(pattern, {}, '01', 'a', T1W).path == path
    with pytest.raises(MissingInputError, match=r'02/a\.nii\.gz does not exist'):
        choose_brain_mask(pattern, {}, '02', 'a', T1W)
    with pytest.raises(SettingsError, match=r'only \{subject\} and \{session\}'):
        choose_brain_mask(f'{tmp_path}/{{label}}.nii.gz', {}, '01', 'a', T1W)


def test_named_mask_of_another_format_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / 'brainmask.mgz'
    path.write_bytes(b'x')
    with pytest.raises(InputDataError, match=r'no NIfTI file by its name: convert it .* by nib-c'):
        choose_brain_mask(str(path), {}, '01', 'a', T1W)


@pytest.mark.parametrize(
    ('name', 'fits'),
    [
        ('sub-01_ses-a_desc-brain_mask', True),
        ('sub-01_ses-a_acq-mprage_space-T1w_desc-brain_mask', True),
        ('sub-01_ses-a_acq-flash_desc-brain_mask', False),
        ('sub-01_ses-a_space-MNI152NLin2009cAsym_desc-brain_mask', False),
        ('sub-01_ses-a_space-MNI152NLin2009cAsym_res-2_desc-brain_mask', False),
    ],
)
def test_mask_of_a_derivative_has_to_fit_the_image(tmp_path: Path, name: str, fits: bool) -> None:
    path = write_mask(tmp_path / 'sub-01' / 'ses-a' / 'anat' / f'{name}.nii.gz')
    found = choose_brain_mask('', {'fmriprep': tmp_path}, '01', 'a', T1W)
    assert found.path == (path if fits else None)


def test_mask_of_a_whole_person_is_in_the_space_of_no_session(tmp_path: Path) -> None:
    write_mask(tmp_path / 'sub-01' / 'anat' / 'sub-01_desc-brain_mask.nii.gz')
    assert choose_brain_mask('', {'fmriprep': tmp_path}, '01', 'a', T1W).path is None
    single = Path('sub-01_T1w.nii.gz')
    assert choose_brain_mask('', {'fmriprep': tmp_path}, '01', None, single).path is not None


def test_broken_mask_of_a_derivative_is_passed_over_and_said(tmp_path: Path) -> None:
    path = write_mask(
        tmp_path / 'sub-01' / 'ses-a' / 'anat' / 'sub-01_ses-a_desc-brain_mask.nii.gz'
    )
    path.write_bytes(b'')
    found = choose_brain_mask('', {'fmriprep': tmp_path}, '01', 'a', T1W)
    assert found.path is None
    assert 'passed over' in found.note
