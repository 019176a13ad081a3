"""What a page says of the inputs, from files on disk."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import nibabel as nb
import numpy as np

from bids_acc.bids.inputs import AnatInputs, DwiInputs, DwiRun, FuncInputs, Session
from bids_acc.bids.surfaces import SurfaceChoice
from bids_acc.participant.page_facts import COLUMNS, inputs_table


def image(path: Path, shape: tuple[int, ...], zooms: tuple[float, ...]) -> Path:
    affine = np.diag([*zooms[:3], 1.0])
    nb.Nifti1Image(np.zeros(shape, dtype=np.int16), affine).to_filename(path)
    return path


def test_sequence_times_shells_and_voxel_are_told_and_unknown_ones_are_empty(tmp_path) -> None:
    t1w = image(tmp_path / 'sub-01_T1w.nii.gz', (4, 4, 4), (1.0, 1.0, 1.25))
    dwi = image(tmp_path / 'sub-01_dwi.nii.gz', (4, 4, 4, 3), (2.0, 2.0, 2.0))
    (tmp_path / 'a.bval').write_text('0 1000 990\n')
    (tmp_path / 'a.bvec').write_text('0 1 0\n0 0 1\n0 0 0\n')
    run = DwiRun(
        dwi, tmp_path / 'a.bval', tmp_path / 'a.bvec', {},
        {'EchoTime': 0.08, 'RepetitionTime': 7.5, 'PhaseEncodingDirection': 'j-'},
    )  # fmt: skip
    bold = SimpleNamespace(files=(tmp_path / 'x.func.gii',), metadata={'RepetitionTime': 2})
    session = Session(
        '01', '1', AnatInputs(t1w, {}, {'MagneticFieldStrength': 3, 'SequenceName': 'mprage'}),
        DwiInputs((run,), {}), (), (), func=FuncInputs(runs=(bold,), source='fMRIPrep'),
    )  # fmt: skip
    job = SimpleNamespace(session=session, surfaces=SurfaceChoice())
    table = inputs_table([job])
    assert tuple(table.columns) == COLUMNS
    rows = table.set_index('modality')
    assert rows.loc['anat', ['session', 'sequence', 'TE', 'voxel']].tolist() == [
        'ses-1', 'mprage', '', '1 x 1 x 1.25 mm',
    ]  # fmt: skip
    assert rows.loc['anat', 'more'] == 'surfaces: builtin; 3 T'
    assert rows.loc['dwi', ['TE', 'TR']].tolist() == ['80 ms', '7500 ms']
    assert rows.loc['dwi', 'more'] == '1 x b 0, 2 x b 1000; phase encoding j-'
    assert rows.loc['func', ['TR', 'voxel', 'more']].tolist() == [
        '2000 ms', '', 'prepared by fMRIPrep',
    ]  # fmt: skip
