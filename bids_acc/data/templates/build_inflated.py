"""Rebuild ``inflated10k.npz``: the inflated surfaces on which pages show maps.

Usage: ``python build_inflated.py``. Inflated surfaces and sulcal depth are fsaverage5's as
nilearn ships them (BSD-3-Clause); their vertices are the first 10,242 of the template, with its
faces. They are looked at and never measured, so that a hundredth of a millimetre is enough.
"""

from __future__ import annotations

from pathlib import Path

import nibabel as nb
import nilearn
import numpy as np

from bids_acc.surfaces.template import load_template

SOURCE = Path(nilearn.__file__).parent / 'datasets' / 'data' / 'fsaverage5'
SIDES = {'L': 'left', 'R': 'right'}


def main() -> None:
    """Write ``inflated10k.npz`` beside this script."""
    arrays = {}
    for hemi, side in SIDES.items():
        mesh = nb.gifti.GiftiImage.from_filename(SOURCE / f'infl_{side}.gii.gz')
        vertices, faces = (array.data for array in mesh.darrays)
        if not np.array_equal(faces, load_template('10k')[hemi].faces):
            raise ValueError(f'{side}: not the faces of the template')
        depth = nb.gifti.GiftiImage.from_filename(SOURCE / f'sulc_{side}.gii.gz').darrays[0].data
        arrays[f'inflated_{hemi}'] = np.round(100 * vertices).astype(np.int16)
        arrays[f'sulcus_{hemi}'] = (depth > 0).astype(np.uint8)
    np.savez_compressed(Path(__file__).parent / 'inflated10k.npz', **arrays)


if __name__ == '__main__':
    main()
