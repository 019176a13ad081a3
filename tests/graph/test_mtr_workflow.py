"""The graph of magnetization transfer: what it keeps, and how it joins a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_acc.derivatives.outputs import load_table
from bids_acc.mtr.workflow import ANAT_INPUTS, init_mtr_wf
from bids_acc.settings import MtrSettings


@pytest.mark.parametrize('is_map', [False, True])
def test_every_output_of_the_table_is_kept_once(tmp_path: Path, is_map: bool) -> None:
    """Each key of the table has its sink, vertex maps one for each side."""
    workflow = init_mtr_wf(
        output_dir=tmp_path, entities={'subject': '01', 'session': 'a', 'run': '2', 'mt': 'on'},
        settings=MtrSettings(), density='10k', is_map=is_map, factor=100.0,
    )  # fmt: skip
    names = [n for n in workflow.list_node_names() if n.startswith('ds_')]
    keys = [k for k, s in load_table().items() if k.startswith('mtr_') and not s.mesh]
    vertex = [key for key in keys if '_vertex_' in key]
    assert len(names) == len(keys) + len(vertex)
    paths = {Path(workflow.get_node(n).interface.inputs.out_path).name for n in names}
    assert len(paths) == len(names)
    assert 'sub-01_ses-a_run-2_space-T1w_MTRmap.nii.gz' in paths
    assert 'sub-01_ses-a_run-2_hemi-R_space-fsaverage_den-10k_MTRmap.shape.gii' in paths
    told = workflow.get_node('ds_mtr_map').interface.inputs.metadata
    assert ('NoiseFloor' in told) is not is_map
    assert workflow.get_node('map').interface.inputs.factor == 100


def test_it_takes_what_the_t1w_image_gives(tmp_path: Path) -> None:
    """Fields have the names of the anatomical outputs, by which they are joined."""
    from bids_acc.anat.workflow import OUTPUTS

    workflow = init_mtr_wf(
        output_dir=tmp_path, entities={'subject': '01'}, settings=MtrSettings(), density='10k',
        is_map=False,
    )  # fmt: skip
    assert set(ANAT_INPUTS) <= set(OUTPUTS)
    assert set(ANAT_INPUTS) < set(workflow.get_node('inputnode').inputs.copyable_trait_names())
