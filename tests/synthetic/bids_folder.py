"""Small BIDS folders whose images are real but tiny."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nb
import numpy as np

BVAL = '0 1000 1000 1000 1000 1000 1000 1000\n'
"""b-values of `write_dwi`."""
BVEC = """\
0 1 0 0 0.7071 0.7071 0 0.5774
0 0 1 0 0.7071 0 0.7071 0.5774
0 0 0 1 0 0.7071 0.7071 0.5774
"""
"""Directions of `write_dwi`: three axes, three diagonals between two, and the one between all."""


def write_image(path: Path, shape: tuple[int, ...], dtype: str = 'int16') -> Path:
    """Write an image of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    nb.Nifti1Image(values, np.diag([3.0, 3.0, 3.0, 1.0])).to_filename(path)
    return path


def write_dataset(root: Path, **fields: object) -> Path:
    """Write ``dataset_description.json``."""
    root.mkdir(parents=True, exist_ok=True)
    description = {'Name': 'test', 'BIDSVersion': '1.10.0', **fields}
    (root / 'dataset_description.json').write_text(json.dumps(description))
    return root


def write_t1w(root: Path, subject: str, session: str | None = None, **entities: str) -> Path:
    """Write a T1w image."""
    return write_image(_path(root, subject, session, 'anat', 'T1w', entities), (20, 20, 20))


def write_dwi(
    root: Path,
    subject: str,
    session: str | None = None,
    *,
    gradients: bool = True,
    **entities: str,
) -> Path:
    """Write a diffusion series with one volume of b = 0 and seven of b = 1000."""
    path = write_image(_path(root, subject, session, 'dwi', 'dwi', entities), (6, 6, 6, 8))
    if gradients:
        stem = path.name.partition('.')[0]
        path.with_name(f'{stem}.bval').write_text(BVAL)
        path.with_name(f'{stem}.bvec').write_text(BVEC)
    return path


def write_svs(
    root: Path,
    subject: str,
    session: str | None = None,
    *,
    suffix: str = 'svs',
    metadata: dict | None = None,
    **entities: str,
) -> Path:
    """Write a file with the shape of a spectrum."""
    path = _path(root, subject, session, 'mrs', suffix, entities)
    write_image(path, (1, 1, 1, 64), 'complex64')
    content = {'EchoTime': 0.035, 'SpectrometerFrequency': 127.7, 'ResonantNucleus': '1H'}
    path.with_name(path.name.partition('.')[0] + '.json').write_text(
        json.dumps({**content, **(metadata or {})})
    )
    return path


def _path(
    root: Path, subject: str, session: str | None, datatype: str, suffix: str, entities: dict
) -> Path:
    """Compose a BIDS path."""
    folder = root / f'sub-{subject}'
    parts = [f'sub-{subject}']
    if session:
        folder /= f'ses-{session}'
        parts.append(f'ses-{session}')
    parts += [f'{k}-{v}' for k, v in entities.items()]
    return folder / datatype / ('_'.join([*parts, suffix]) + '.nii.gz')
