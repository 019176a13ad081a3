"""Headers and names that converters leave: each is read right, or refused with the remedy."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nb
import numpy as np
import pytest

from bids_acc.anat.interfaces import load_t1w
from bids_acc.bids.discovery import discover
from bids_acc.bids.index import ImageIndex
from bids_acc.bids.selection import Selection
from bids_acc.exceptions import ExitCode
from tests.synthetic.bids_folder import BVAL, BVEC, write_dataset

SHAPE = (50, 60, 45)
AFFINE = np.diag([-3.0, 3.0, 3.0, 1.0])
Fault = Callable[[bytes], bytes]


def field(*parts: tuple[int, str, tuple]) -> Fault:
    """Write values at places of a NIfTI-1 header."""

    def change(content: bytes) -> bytes:
        for offset, kind, values in parts:
            raw = struct.pack(f'<{kind}', *values)
            content = content[:offset] + raw + content[offset + len(raw) :]
        return content

    return change


NO_SFORM = (254, 'h', (0,))
NO_ROTATION = (256, '3f', (2.0, 2.0, 2.0))
NO_SIZES = (80, '3f', (0.0, 0.0, 0.0))


def smooth(low: float, high: float) -> np.ndarray:
    """Intensities of something round, from low to high."""
    away = np.linalg.norm(np.indices(SHAPE).T - (np.array(SHAPE) - 1) / 2, axis=-1).T
    return low + (high - low) * np.exp(-((away / 18) ** 2))


def t1w(folder: Path, values=None, change: Fault | None = None, affine=AFFINE, dtype=np.int16):
    """Write a T1w image; return its plan."""
    root = write_dataset(folder / 'bids')
    path = root / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz'
    path.parent.mkdir(parents=True)
    image = nb.Nifti1Image((smooth(0, 500) if values is None else values).astype(dtype), affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    image.to_filename(path)
    if change:
        path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()))))
    return path, planned(root, 'anat')


def planned(root: Path, modality: str):
    """Return the row of a plan."""
    (session,) = discover(ImageIndex(root), Selection(modalities=(modality,)))
    return session.row(modality)


@pytest.mark.parametrize(
    'fault',
    [field(NO_ROTATION), field(NO_SIZES), field((256, '3f', (np.nan,) * 3)),
     field((112, '2f', (0.0, 0.0))), field((112, '2f', (np.nan, np.nan)))],
    ids=['quaternion', 'pixdim 0', 'quaternion NaN', 'slope 0', 'slope NaN'],
)  # fmt: skip
def test_a_sound_sform_or_value_is_enough(tmp_path, fault, capfd):
    path, row = t1w(tmp_path, change=fault)
    assert (row.status, row.reason) == ('run', '')
    data, affine, _ = load_t1w(path)
    np.testing.assert_allclose(np.diag(affine)[:3], 3)
    assert data.max() == 499
    assert 'pixdim' not in capfd.readouterr().err  # no word of the reader without a name


UP_TO = 'too large for their integers'
UNSIGNED = smooth(0, 60000).astype(np.int64).astype(np.uint16).view(np.int16)


@pytest.mark.parametrize(
    ('written', 'words'),
    [
        ({'change': field(NO_SFORM, NO_SIZES)}, 'pixdim, the sizes of voxels, is [0.0, 0.0, 0.0]'),
        ({'change': field((108, 'f', (0.0,)))}, 'vox_offset in its header is 0'),
        ({'values': smooth(0, 1) > 0.5}, 'only 2 different values: this is a mask'),
        ({'values': np.digitize(smooth(0, 1), [0.2, 0.4, 0.6])}, 'only 4 different values'),
        ({'values': UNSIGNED}, UP_TO),
        ({'values': smooth(0, 600).astype(int) % 256, 'dtype': np.uint8}, UP_TO),
        ({'values': smooth(0, 9000).astype(int) % 4096}, UP_TO),
        ({'values': smooth(0, 1e-30), 'dtype': np.float32}, 'values of up to 1e-30 are no'),
        ({'values': smooth(0, 1e30), 'dtype': np.float32}, 'are no intensities of a scanner'),
        ({'affine': np.diag([-3000.0, 3000, 3000, 1])}, 'seems to be in micrometres'),
        ({'values': smooth(0, 500)[None]}, 'write it again without the dimension of one'),
    ],
)
def test_what_would_give_wrong_numbers_is_refused(tmp_path, written, words):
    path, row = t1w(tmp_path, **written)
    assert (row.status, row.exit_code) == ('fail', ExitCode.BAD_DATA)
    assert path.name in row.reason
    assert words in row.reason


@pytest.mark.parametrize(
    ('low', 'high', 'dtype'), [(-32768, 32767, np.int16), (-128, 127, np.int8),
                               (-1024, 3000, np.int16), (0, 65535, np.uint16)],
)  # fmt: skip
def test_integers_may_use_their_whole_range(tmp_path, low, high, dtype):
    """The difference of the largest and the smallest does not fit into their type."""
    _, row = t1w(tmp_path, smooth(low, high).round(), dtype=dtype)
    assert (row.status, row.reason) == ('run', '')


def dwi(folder: Path, bval: bytes = BVAL.encode(), bvec: bytes = BVEC.encode()) -> Path:
    """Write a series."""
    root = write_dataset(folder / 'bids')
    path = root / 'sub-01' / 'dwi' / 'sub-01_dwi.nii.gz'
    path.parent.mkdir(parents=True)
    values = np.random.default_rng(0).uniform(1, 100, (6, 6, 6, 8)).astype(np.float32)
    nb.Nifti1Image(values, np.diag([4.0, 4, 4, 1])).to_filename(path)
    path.with_name('sub-01_dwi.bval').write_bytes(bval)
    path.with_name('sub-01_dwi.bvec').write_bytes(bvec)
    return path


@pytest.mark.parametrize(
    ('old', 'new', 'words'),
    [
        ('.bval', '.bvals', 'Rename sub-01_dwi.bvals to sub-01_dwi.bval.'),
        ('.bvec', '.bvec.txt', 'Rename sub-01_dwi.bvec.txt to sub-01_dwi.bvec.'),
        ('.nii.gz', '.nii', 'is packed by gzip: rename it to sub-01_dwi.nii.gz.'),
    ],
)
def test_a_wrong_ending_is_named_with_the_right_one(tmp_path, old, new, words):
    path = dwi(tmp_path)
    path.with_name(f'sub-01_dwi{old}').rename(path.with_name(f'sub-01_dwi{new}'))
    row = planned(tmp_path / 'bids', 'dwi')
    assert row.status == 'fail'
    assert words in row.reason


def test_an_image_that_was_never_packed(tmp_path):
    path = dwi(tmp_path)
    path.write_bytes(gzip.decompress(path.read_bytes()))
    assert (
        'is not packed by gzip: rename it to sub-01_dwi.nii.'
        in planned(tmp_path / 'bids', 'dwi').reason
    )


@pytest.mark.parametrize(
    'table', [BVAL.encode('utf-16'), b'\xef\xbb\xbf' + BVAL.encode(),
              ','.join(BVAL.split()).encode(), ';'.join(BVAL.split()).encode()],
)  # fmt: skip
def test_tables_of_office_programs(tmp_path, table):
    dwi(tmp_path, bval=table)
    assert planned(tmp_path / 'bids', 'dwi').status == 'run'


def test_decimal_commas_are_not_taken_for_two_numbers(tmp_path):
    dwi(tmp_path, bval=' '.join(f'{b},0' for b in BVAL.split()).encode())
    row = planned(tmp_path / 'bids', 'dwi')
    assert row.status == 'fail'
    assert 'commas within numbers; write points' in row.reason


def test_negative_b_values_are_named_where_nothing_is_left(tmp_path):
    dwi(tmp_path, bval=' '.join('-1' if b == '0' else b for b in BVAL.split()).encode())
    row = planned(tmp_path / 'bids', 'dwi')
    assert row.status == 'fail'
    assert 'b-value missing or negative in volumes 0' in row.reason


def test_a_table_of_another_program_is_named(tmp_path):
    vectors = np.c_[np.loadtxt(BVEC.splitlines()).T, np.loadtxt(BVAL.split())]
    dwi(tmp_path, bvec='\n'.join(' '.join(map(str, row)) for row in vectors).encode())
    row = planned(tmp_path / 'bids', 'dwi')
    assert row.status == 'fail'
    assert 'mrconvert -export_grad_fsl' in row.reason


@pytest.mark.parametrize(('direction', 'said'), [('k', True), ('k-', True), ('i', False)])
def test_phase_encoding_along_the_slices_is_doubted(tmp_path, direction, said):
    path = dwi(tmp_path)
    path.with_name('sub-01_dwi.json').write_text(
        f'{{"PhaseEncodingDirection": "{direction}", "TotalReadoutTime": 0.05}}'
    )
    row = planned(tmp_path / 'bids', 'dwi')
    assert row.status == 'run'
    assert ('runs along the slices' in row.reason) == said


@pytest.mark.parametrize('told', ['0', '-0.05', '"0,05"'])
def test_a_readout_that_is_no_time_is_said(tmp_path, told):
    path = dwi(tmp_path)
    path.with_name('sub-01_dwi.json').write_text(
        f'{{"PhaseEncodingDirection": "j", "TotalReadoutTime": {told}}}'
    )
    row = planned(tmp_path / 'bids', 'dwi')
    assert row.status == 'run'
    assert 'which is no time, and was taken as unknown' in row.reason
