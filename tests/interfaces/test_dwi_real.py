"""The diffusion line on real data, where they are there."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from bids_acc.derivatives.outputs import find_outputs
from bids_acc.dwi.workflow import init_dwi_wf
from bids_acc.settings import DwiSettings


@pytest.mark.slow
def test_a_real_series_has_plausible_medians(shared_data, tmp_path):
    """ds000114 (4 mm voxels, 7 + 13 volumes): a lost registration shows in both medians."""
    stem = shared_data / 'dwi-ds000114/sub-01/ses-test/dwi/sub-01_ses-test_dwi'
    files = {end: stem.with_name(stem.name + end) for end in ('.nii.gz', '.bval', '.bvec')}
    if not files['.nii.gz'].exists():
        pytest.skip(f'no series at {stem.parent}')
    workflow = init_dwi_wf(
        output_dir=tmp_path / 'out', entities={'subject': '01'}, has_anat=False,
        settings=DwiSettings(unringing='none'), seed=1,
    )  # fmt: skip
    workflow.base_dir = str(tmp_path)
    inputs = workflow.get_node('inputnode').inputs
    inputs.dwi_files, inputs.sidecars = [str(files['.nii.gz'])], [{}]
    inputs.bval_files, inputs.bvec_files = [str(files['.bval'])], [str(files['.bvec'])]
    workflow.run()
    path = find_outputs('dwi_qc', tmp_path / 'out')[0].path
    found = pd.read_csv(path, sep='\t').loc[0]
    assert 0.145 < found['fa_median'] < 0.35
    assert 0.7e-3 < found['md_median'] < 1.1e-3
    assert found['fd_mean'] < 2.5
    assert not found['axes_suspicious']
    findings = json.loads(path.with_suffix('.json').read_text())['Findings']
    assert any('too few for MP-PCA' in sentence for sentence in findings)
