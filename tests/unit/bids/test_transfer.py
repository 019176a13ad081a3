"""Magnetization transfer images in a data set: what is taken, and what is refused in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nb
import numpy as np
import pytest

from bids_acc.bids.index import ImageIndex
from bids_acc.bids.layout import NothingThereError
from bids_acc.bids.selection import Selection
from bids_acc.bids.transfer import find_mtr
from bids_acc.exceptions import BidsAccError, InputDataError, MissingInputError

OFF = np.pad(np.random.default_rng(0).uniform(900, 1100, (12, 12, 12)), 4)
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write an image of the only session, with a sidecar."""
    (tmp_path / 'dataset_description.json').write_text('{"Name": "x", "BIDSVersion": "1.11.1"}')

    def image(name: str, values: Any, zoom: float = 2.0, folder: str = '', **fields: Any) -> Path:
        path = tmp_path / folder / 'sub-01' / 'anat' / f'sub-01_{name}.nii.gz'
        path.parent.mkdir(parents=True, exist_ok=True)
        affine = np.diag([zoom, zoom, zoom, 1.0])
        nb.Nifti1Image(np.asarray(values, dtype=np.float32), affine).to_filename(path)
        path.with_name(f'sub-01_{name}.json').write_text(json.dumps(fields))
        return path

    return image


def _found(tmp_path: Path, source: str = 'auto', **more: Any) -> tuple[Any, str]:
    """Look for images; return them and the words of the plan."""
    index = ImageIndex(tmp_path)
    inputs, notes = find_mtr(index, '01', None, Selection(mtr_source=source, **more))
    return inputs, '; '.join(notes)


def _names(inputs: Any) -> list[str]:
    return [path.name.removeprefix('sub-01_').removesuffix('.nii.gz') for path in inputs.images]


def test_a_pair(tmp_path: Path, write: Write) -> None:
    """With saturation comes first; a ready map beside it is named and not used."""
    write('mt-off_MTR', OFF)
    write('mt-on_MTR', 0.6 * OFF)
    write('MTRmap', np.where(OFF > 0, 40, 0))
    inputs, said = _found(tmp_path)
    assert _names(inputs) == ['mt-on_MTR', 'mt-off_MTR']
    assert 'MTRmap.nii.gz: a ready map' in said
    assert _names(_found(tmp_path, 'map')[0]) == ['MTRmap']


def test_of_a_collection_the_two_of_equal_flip_angle(tmp_path: Path, write: Write) -> None:
    """The third image of an MTS collection, T1-weighted, is no half of a pair."""
    write('flip-1_mt-on_MTS', 0.6 * OFF, FlipAngle=6, MTState=True)
    write('flip-1_mt-off_MTS', OFF, FlipAngle=6, MTState=False)
    write('flip-2_mt-off_MTS', 1.2 * OFF, FlipAngle=20, MTState=False)
    inputs, said = _found(tmp_path)
    assert _names(inputs) == ['flip-1_mt-on_MTS', 'flip-1_mt-off_MTS']
    assert 'not used' not in said
    assert 'flip' not in inputs.entities


def test_of_several_runs_the_first_that_is_whole(tmp_path: Path, write: Write) -> None:
    """A run without its second image is named, not mixed with another."""
    write('run-1_mt-on_MTR', 0.6 * OFF)
    for run in (2, 3):
        write(f'run-{run}_mt-on_MTR', 0.6 * OFF)
        write(f'run-{run}_mt-off_MTR', OFF)
    inputs, said = _found(tmp_path)
    assert _names(inputs) == ['run-2_mt-on_MTR', 'run-2_mt-off_MTR']
    assert 'run-1_mt-on_MTR.nii.gz: its image with mt-off is not there' in said
    assert 'run-3_mt-on_MTR.nii.gz: sub-01_run-2_mt-on_MTR.nii.gz comes first' in said


def test_the_sidecar_tells_the_state_where_the_name_does_not(tmp_path: Path, write: Write) -> None:
    """MTState, which BIDS asks for."""
    write('acq-a_MTR', 0.6 * OFF, MTState=True)
    with pytest.raises(MissingInputError, match='mt-off is not there'):
        _found(tmp_path)
    write('mt-on_MTR', OFF, MTState=False)
    with pytest.raises(InputDataError, match='correct one of them'):
        _found(tmp_path)


@pytest.mark.parametrize(
    ('on', 'fields', 'words'),
    [
        (OFF, {}, 'hold the same values'),
        (1.4 * OFF, {}, 'exchanged'),
        (0 * OFF, {}, 'no signal'),
        (np.full(OFF.shape, np.nan), {}, 'no signal'),
        (0.6 * OFF, {'EchoTime': 0.02}, 'EchoTime is 0.02'),
        (0.6 * OFF, {'FlipAngle': 9}, 'FlipAngle is 9'),
        (0.6 * OFF, {'zoom': 3.0}, 'same resolution'),
        (np.stack([OFF, OFF], axis=3), {}, 'dimensions'),
    ],
)
def test_what_is_no_pair_is_refused(
    tmp_path: Path, write: Write, on: Any, fields: dict[str, Any], words: str
) -> None:
    """One sentence that names the file."""
    path = write('mt-on_MTR', on, **fields)
    write('mt-off_MTR', OFF, EchoTime=0.01, FlipAngle=5)
    with pytest.raises(BidsAccError, match=words) as refused:
        _found(tmp_path)
    assert path.name in str(refused.value)


def test_other_grids_are_said(tmp_path: Path, write: Write) -> None:
    """Two fields of view are no reason to refuse: both images are registered."""
    write('mt-on_MTR', 0.6 * OFF[:, :, 1:])
    write('mt-off_MTR', OFF)
    assert 'different grids' in _found(tmp_path)[1]


def test_ready_maps(tmp_path: Path, write: Write) -> None:
    """Fractions are taken times 100; of another tool's, only those in the person's space."""
    write('MTRmap', np.where(OFF > 0, 0.4, 0))
    inputs, said = _found(tmp_path)
    assert inputs.is_map
    assert inputs.factor == 100
    assert 'fractions' in said
    with pytest.raises(MissingInputError, match='no pair'):
        _found(tmp_path, 'pair')


def test_maps_of_other_tools(tmp_path: Path, write: Write) -> None:
    """Of a derivative, with who made it; a map in the template is refused."""
    write('T1w', OFF)
    write('space-MNI152NLin6Asym_MTRmap', np.where(OFF > 0, 40, 0), folder='deriv')
    derivatives = {'qmrlab': tmp_path / 'deriv'}
    with pytest.raises(InputDataError, match='MNI152NLin6Asym'):
        _found(tmp_path, derivatives=derivatives)
    write('MTRmap', np.where(OFF > 0, 40, 0), folder='deriv')
    inputs, said = _found(tmp_path, derivatives=derivatives)
    assert inputs.source == 'qmrlab'
    assert 'made by qmrlab' in said


def test_nothing_there(tmp_path: Path, write: Write) -> None:
    """A session without such images has nothing, which is no error."""
    write('T1w', OFF)
    with pytest.raises(NothingThereError):
        _found(tmp_path)


@pytest.mark.parametrize(
    ('on', 'off', 'said'),
    [
        ('run-1_mt-on_MTR', 'run-2_mt-off_MTR', 'the two names differ in run'),
        ('acq-mt_mt-on_MTR', 'acq-nomt_mt-off_MTR', 'the two names differ in acquisition'),
        ('acq-MTon_MTR', 'acq-MToff_MTR', 'the two names differ in acquisition'),
    ],
)
def test_the_only_two_images_are_a_pair_whatever_their_names(
    tmp_path: Path, write: Write, on: str, off: str, said: str
) -> None:
    write(on, 0.6 * OFF)
    write(off, OFF)
    inputs, words = _found(tmp_path)
    assert _names(inputs) == [on, off]
    assert said in words
    assert 'run' not in inputs.entities
    assert 'acquisition' not in inputs.entities


def test_of_two_with_saturation_the_first_makes_the_pair(tmp_path: Path, write: Write) -> None:
    write('run-1_mt-on_MTR', 0.6 * OFF)
    write('run-2_mt-on_MTR', 0.61 * OFF)
    write('mt-off_MTR', OFF)
    inputs, words = _found(tmp_path)
    assert _names(inputs) == ['run-1_mt-on_MTR', 'mt-off_MTR']
    assert 'run-2_mt-on_MTR.nii.gz: its image with mt-off is not there' in words


def test_images_of_two_flip_angles_are_no_pair(tmp_path: Path, write: Write) -> None:
    """Of an MTS collection whose proton-density image is not there."""
    write('flip-1_mt-on_MTS', 0.6 * OFF)
    write('flip-2_mt-off_MTS', OFF)
    with pytest.raises(MissingInputError, match='none of 2'):
        _found(tmp_path)


def test_two_unmatched_pairs_are_not_guessed(tmp_path: Path, write: Write) -> None:
    for name, values in (('run-1_mt-on_MTR', 0.6 * OFF), ('run-2_mt-on_MTR', 0.6 * OFF),
                         ('run-3_mt-off_MTR', OFF), ('run-4_mt-off_MTR', OFF)):  # fmt: skip
        write(name, values)
    with pytest.raises(MissingInputError, match='none of 4'):
        _found(tmp_path)


def test_images_of_two_coils_and_of_four_dimensions_are_refused(
    tmp_path: Path, write: Write
) -> None:
    write('mt-on_MTR', 0.6 * OFF, ReceiveCoilName='32Ch')
    write('mt-off_MTR', OFF, ReceiveCoilName='Body')
    with pytest.raises(InputDataError, match='ReceiveCoilName is 32Ch with and Body without'):
        _found(tmp_path)
    write('mt-off_MTR', np.stack([OFF, OFF], axis=-1))
    with pytest.raises(BidsAccError, match='a file each'):
        _found(tmp_path)
