"""Every declared output has a name that the BIDS validator accepts or ``.bidsignore`` names."""

from __future__ import annotations

import json
import shutil
import subprocess

import nibabel as nb
import numpy as np
import pytest

from bids_acc.derivatives import dataset, outputs
from tests.synthetic.bids_folder import write_dataset
from tests.unit.test_derivatives import EXAMPLE

EXAMPLES = {**EXAMPLE, 'param': 'fa', 'segmentation': 'DKT', 'density': '41k'}


@pytest.mark.validator
@pytest.mark.skipif(
    shutil.which('bids-validator-deno') is None, reason='bids-validator-deno is not installed'
)
def test_all_names_are_valid(tmp_path):
    raw, root = write_dataset(tmp_path / 'raw'), tmp_path / 'out'
    dataset.write_dataset_files(raw, root)
    for key, spec in outputs.load_table().items():
        fields = {name: EXAMPLES.get(name, 'x1') for name in spec.free}
        entities = {name: EXAMPLE.get(name, 'x2') for name in spec.inherit}
        # results of the group level lie in folders by model and by parcels
        place = root / 'group' / 'model-x' if key.startswith('group_') else root
        path = outputs.output_path(key, place, entities, **fields)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name.endswith('.nii.gz'):
            shape = (3, 3, 3, 1) if 'dwi' in path.name else (3, 3, 3)
            nb.Nifti1Image(np.zeros(shape, 'i2'), np.eye(4)).to_filename(path)
        elif path.suffix == '.tsv':
            path.write_text('participant_id\tindex\tname\nsub-01\t1\tx\n')
        elif path.suffix == '.json':
            path.write_text('{"Name": "x", "License": "x", "Authors": ["a"]}')
        elif path.suffix in ('.bval', '.bvec'):
            path.write_text('0\n' * (3 if path.suffix == '.bvec' else 1))
        else:
            path.write_text('x')
        outputs.write_sidecar(key, path, {'Density': 'x'})
    done = subprocess.run(
        ['bids-validator-deno', str(root), '--format', 'json'],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    issues = json.loads(done.stdout)['issues']['issues']
    errors = [f'{i["code"]} {i.get("location")}' for i in issues if i['severity'] == 'error']
    assert errors == []


WRONG = (
    'sub-01/mrs/sub-01_notes.txt', 'sub-01/mrs/sub-01_desc-other_svs.tsv',
    'sub-01/anat/sub-01_thickness.nii.gz', 'sub-01/anat/sub-01_hemi-L_thickness.shape.gii',
    'sub-01/dwi/sub-01_dwimap.nii.gz', 'sub-01/func/sub-01_task-rest_desc-mine_bold.tsv',
    'notes.html', 'sub-01/sub-01_xfm.txt',
    'sub-01/dwi/sub-01_mine-1_desc-preproc_dwi.nii.gz',
)  # fmt: skip


@pytest.mark.validator
@pytest.mark.skipif(
    shutil.which('bids-validator-deno') is None, reason='bids-validator-deno is not installed'
)
def test_a_file_that_does_not_belong_here_is_still_found(tmp_path):
    raw, root = write_dataset(tmp_path / 'raw'), tmp_path / 'out'
    dataset.write_dataset_files(raw, root)
    for name in WRONG:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text('x')
    done = subprocess.run(
        ['bids-validator-deno', str(root), '--format', 'json'],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    issues = json.loads(done.stdout)['issues']['issues']
    found = {str(i.get('location')) for i in issues if i['severity'] == 'error'}
    assert {f'/{name}' for name in WRONG} <= found
