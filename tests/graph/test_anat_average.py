"""Runs of a T1w image that are averaged: the graph, and the node on small files."""

from __future__ import annotations

import nibabel as nb
import numpy as np
from scipy import ndimage

from bids_acc.anat.averaging import AverageT1w
from bids_acc.anat.workflow import init_anat_wf
from bids_acc.settings import AnatSettings


def build(tmp_path, **more):
    return init_anat_wf(
        output_dir=tmp_path, entities={'subject': '01'}, settings=AnatSettings(), **more
    )


def test_the_average_takes_the_place_of_the_image(tmp_path):
    second = tmp_path / 'sub-01_run-2_T1w.nii.gz'
    second.touch()
    workflow = build(tmp_path, further_runs=[second], image_notes=['both are good'])
    node = workflow.get_node('average')
    assert [str(path) for path in node.inputs.further_files] == [str(second)]
    assert node.inputs.metadata == {'SkullStripped': True, 'ImageSelection': 'both are good'}
    fed = {end for _, to, data in workflow._graph.out_edges(node, data=True)
           for _, end in data['connect']}  # fmt: skip
    assert fed == {'inputnode.t1w_file', 'inputnode.t1w_metadata'}


def test_one_image_is_taken_as_it_is_and_its_choice_is_said(tmp_path):
    workflow = build(tmp_path, image_notes=['the other has a contrast agent'])
    assert workflow.get_node('average') is None
    sink = workflow.get_node('sinks_wf').get_node('ds_anat_t1w')
    assert sink.inputs.metadata['ImageSelection'] == 'the other has a contrast agent'


def test_the_node_says_what_it_averaged(tmp_path, rng):
    grid = np.indices((40, 44, 40)) - np.array([20, 22, 20])[:, None, None, None]
    inside = (np.square(grid / np.array([15, 17, 15])[:, None, None, None]).sum(axis=0)) < 1
    texture = ndimage.gaussian_filter(rng.normal(size=inside.shape), 2)
    head = np.where(inside, 100 + 25 * texture / texture.std(), 0)
    paths = []
    for run in (1, 2):
        paths.append(str(tmp_path / f'sub-01_run-{run}_T1w.nii.gz'))
        image = nb.Nifti1Image((head * run).astype(np.float32), np.diag([3.0, 3, 3, 1]))
        image.set_sform(image.affine, 1)
        image.to_filename(paths[-1])
    found = AverageT1w(t1w_file=paths[0], further_files=paths[1:]).run(cwd=str(tmp_path)).outputs
    first, second = found.metadata['AveragedRuns']
    assert first == {'Name': 'sub-01_run-1_T1w.nii.gz', 'Used': True}
    assert (second['Name'], second['Used']) == ('sub-01_run-2_T1w.nii.gz', True)
    mean = nb.load(found.out_file).get_fdata()
    inner = ndimage.binary_erosion(inside, iterations=2)
    assert np.abs(mean - head)[inner].mean() < 4
