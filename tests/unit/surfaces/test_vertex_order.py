"""Our meshes number their vertices as FreeSurfer does, so that maps fit files of others."""

from __future__ import annotations

from pathlib import Path

import nibabel as nb
import nilearn
import numpy as np
import pytest

from bids_acc.surfaces.geometry import subdivide
from bids_acc.surfaces.neighbours import edges_as_met, unique_edges
from bids_acc.surfaces.template import load_template

FSAVERAGE5 = Path(nilearn.__file__).parent / 'datasets' / 'data' / 'fsaverage5'


@pytest.mark.parametrize(('hemi', 'side'), [('L', 'left'), ('R', 'right')])
def test_the_10k_mesh_has_the_vertices_and_triangles_of_nilearns_fsaverage5(hemi, side):
    sphere = nb.GiftiImage.from_filename(str(FSAVERAGE5 / f'sphere_{side}.gii.gz'))
    points, faces = (array.data for array in sphere.darrays[:2])
    ours = load_template('10k')[hemi]
    assert np.abs(ours.sphere - points).max() < 0.01
    assert {frozenset(f) for f in faces.tolist()} == {frozenset(f) for f in ours.faces.tolist()}


def test_the_41k_mesh_starts_with_the_10k_one():
    fine, coarse = load_template('41k')['L'], load_template('10k')['L']
    assert np.array_equal(fine.pial[:10242], coarse.pial)
    faces, (sphere,) = subdivide(coarse.faces, coarse.sphere)
    assert np.array_equal(faces, fine.faces)
    radial = 100 * sphere / np.linalg.norm(sphere, axis=1, keepdims=True)
    assert np.abs(fine.sphere - radial).max() < 0.05


def test_midpoints_have_the_numbers_of_fsaverage6(shared_data):
    """The file gives the fsaverage6 number of each vertex when midpoints go by `unique_edges`."""
    number = np.load(shared_data / 'regions' / 'product41k_to_fsaverage6_index.npy')
    faces = load_template('10k')['L'].faces
    sorted_edges, in_order = unique_edges(faces), edges_as_met(faces)
    assert np.array_equal(in_order[number[10242:] - 10242], sorted_edges)
    assert (number == np.arange(len(number))).sum() < 11000  # the file says something
