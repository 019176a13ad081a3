"""Equal content gives equal bytes, and headers say what the data are."""

import json

import nibabel as nb
import numpy as np
import pytest

from bids_acc.demo.files import write_image, write_spectrum
from bids_acc.mrs.scan.io import read_nifti_mrs


def test_images_have_equal_bytes_under_any_name_at_any_time(tmp_path, monkeypatch):
    data = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    write_image(tmp_path / 'a.nii.gz', data, np.eye(4))
    monkeypatch.setattr('time.time', lambda: 4e9)
    write_image(tmp_path / 'b.nii.gz', data, np.eye(4))
    assert (tmp_path / 'a.nii.gz').read_bytes() == (tmp_path / 'b.nii.gz').read_bytes()


def test_image_comes_back_with_its_frame(tmp_path):
    affine = np.diag([-3.0, 3, 3, 1])
    write_image(tmp_path / 'dwi.nii.gz', np.zeros((2, 2, 2, 5), np.int16), affine, tr_s=7.5)
    image = nb.Nifti1Image.from_filename(tmp_path / 'dwi.nii.gz')
    assert image.affine == pytest.approx(affine)
    assert image.header.get_zooms() == pytest.approx((3, 3, 3, 7.5))
    assert int(image.header['sform_code']) == 1


def test_spectrum_is_nifti_mrs(tmp_path, rng):
    fid = rng.standard_normal(128) + 1j * rng.standard_normal(128)
    header = {
        'SpectrometerFrequency': [127.75],
        'ResonantNucleus': ['1H'],
        'EchoTime': 0.035,
    }
    path = tmp_path / 'sub-1_svs.nii.gz'
    write_spectrum(path, fid, np.diag([20.0, 20, 20, 1]), 5e-4, header)
    image = nb.Nifti2Image.from_filename(path)
    assert image.get_data_dtype() == np.complex64
    assert image.shape == (1, 1, 1, 128)
    assert bytes(image.header['intent_name']).rstrip(b'\0') == b'mrs_v0_10'
    (extension,) = image.header.extensions
    assert extension.get_code() == 44
    assert json.loads(bytes(extension.get_content()).rstrip(b'\0')) == header
    assert read_nifti_mrs(path).fids.ravel() == pytest.approx(fid, rel=1e-6)
