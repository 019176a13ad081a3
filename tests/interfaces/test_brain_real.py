"""Brain extraction on two real whole heads: one with face and neck, one cut into thick slices."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nb
import numpy as np
import pytest

from bids_acc.anat.brain import find_brain
from bids_acc.anat.interfaces import load_t1w, load_volume
from bids_acc.images.masks import dice
from tests.synthetic.strange_heads import Head, other_voxels


@pytest.mark.parametrize('name', ['IXI202-HH-1526_age20', 'ms_thick_p04s1'])
def test_real_heads(shared_data: Path, tmp_path: Path, name: str) -> None:
    folder = shared_data / 'heads'
    data, affine, _ = load_t1w(folder / f'{name}.nii.gz')
    expected = nb.as_closest_canonical(nb.load(folder / f'{name}_mask.nii.gz'))
    found = find_brain(data, affine, tmp_path)
    assert found.method == 'network'
    assert found.agreement > 0.85
    assert dice(found.mask, np.asarray(expected.dataobj)) > 0.995


@pytest.mark.slow
def test_seeds_and_threads_decide_nothing(shared_data: Path, tmp_path: Path) -> None:
    """Method, refusal and flags of a head with voxels of 3 mm are those of each run."""
    folder, name = shared_data / 'heads', 'IXI202-HH-1526_age20'
    image, mask = (
        nb.as_closest_canonical(nb.load(folder / f'{name}{end}.nii.gz')) for end in ('', '_mask')
    )
    head = Head(image.get_fdata(dtype=np.float32), image.affine, np.asarray(mask.dataobj) > 0)
    coarse = other_voxels(head, (3.0, 3.0, 3.0))
    heads = tmp_path / 'heads'
    heads.mkdir()
    coarse.image().to_filename(heads / 'one.nii.gz')
    replace(coarse, data=coarse.mask.astype(np.uint8)).image().to_filename(
        heads / 'one_mask.nii.gz'
    )
    run = subprocess.run(
        [sys.executable, '-m', 'tests.benchmarks.real_heads', heads, '--verdicts', '2',
         '--out', tmp_path / 'out'],
        cwd=Path(__file__).resolve().parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert 'one: network, flagged ' in run.stdout


def test_numbers_of_every_kind_are_read(tmp_path: Path, rng: np.random.Generator) -> None:
    """NIfTI-2 is read, of complex numbers the magnitude; colours are refused."""
    values = rng.random((20, 20, 20)).astype(np.float32)
    affine = np.diag([2.0, 2, 2, 1])
    path = tmp_path / 'two.nii.gz'
    nb.Nifti2Image(values, affine).to_filename(path)
    assert np.array_equal(load_t1w(path)[0], values)
    turned = values * np.exp(2j * np.pi * rng.random(values.shape)).astype(np.complex64)
    path = tmp_path / 'complex.nii.gz'
    image = nb.Nifti1Image(turned, affine)
    image.to_filename(path)
    assert load_volume(path)[0] == pytest.approx(values, abs=1e-6)
    path = tmp_path / 'colours.nii.gz'
    colours = np.zeros((20, 20, 20), dtype=[('R', 'u1'), ('G', 'u1'), ('B', 'u1')])
    nb.Nifti1Image(colours, affine).to_filename(path)
    with pytest.raises(Exception, match=r'colours \(RGB\)'):
        load_volume(path)
