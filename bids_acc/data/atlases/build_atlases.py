"""Make the atlases that are shipped from the files of their sources; not needed to run bids_acc.

    python build_atlases.py CEREBRA.nii.gz CEREBRA.tsv LABELS.npz ORDER.npy

CEREBRA lies on the grid of MNI152NLin2009aSym at 1 mm, LABELS names the vertices of an icosahedral
mesh of 40,962 vertices (``dkt_L``: CerebrA at 25, 50 and 75 % of the template's cortex;
``hcpmmp1_L``: HCP-MMP1.0 by position on fsaverage's sphere), and ORDER is the vertex of fsaverage6
at each of its places.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path

import nibabel as nb
import numpy as np
import pandas as pd

HERE = Path(__file__).parent
NO_LABEL = ('unknown', 'medialwall')


def plain(name: str) -> str:
    """Return a name as FreeSurfer writes it: small letters, no blanks.

    Parameters
    ----------
    name : str
        Of a region, in any atlas's spelling.

    Returns
    -------
    str
        What regions are matched by.
    """
    return re.sub(r'[^a-z0-9]', '', name.lower())


def write_volume(image: str, table: str) -> None:
    """Store CerebrA with one name for each region and its side.

    Parameters
    ----------
    image : str
        CerebrA on the grid of MNI152NLin2009aSym, 1 mm; codes below 256.
    table : str
        Tab-separated, with ``index``, ``name`` and ``hemi``.
    """
    labels = pd.read_csv(table, sep='\t').rename(columns={'hemi': 'hemisphere'})
    labels['name'] = labels['name'].map(plain)
    labels = labels[['index', 'name', 'hemisphere']].sort_values('index')
    labels.to_csv(HERE / 'CerebrA_dseg.tsv', sep='\t', index=False, lineterminator='\n')
    volume = nb.Nifti1Image.from_filename(image)
    data = np.asarray(volume.dataobj).astype(np.uint8)
    stored = nb.Nifti1Image(data, volume.affine)
    stored.set_sform(volume.affine, 4)
    stored.set_qform(volume.affine, 4)
    stored.to_filename(HERE / 'CerebrA_dseg.nii.gz')


def write_surfaces(names: str, order: str) -> None:
    """Store the labels of vertices as codes in the order of fsaverage6.

    Parameters
    ----------
    names : str
        NumPy archive with ``dkt_L``, ``hcpmmp1_L`` and so on: a name for each vertex.
    order : str
        NumPy file: row k of ``names`` is vertex ``order[k]`` of fsaverage6.

    Raises
    ------
    ValueError
        If two names of an atlas differ in the case of letters only.
    """
    stored, place = np.load(names), np.load(order)
    arrays: dict[str, np.ndarray] = {}
    tables: dict[str, list[str]] = {}
    for atlas, key, tidy in (('DKT', 'dkt', plain), ('HCPMMP1', 'hcpmmp1', str)):
        words = {side: [tidy(str(n)) for n in stored[f'{key}_{side}']] for side in 'LR'}
        known = sorted({*words['L'], *words['R']} - set(NO_LABEL), key=lambda n: (n.lower(), n))
        if len({n.lower() for n in known}) < len(known):
            raise ValueError(f'{atlas}: two names differ in the case of letters only')
        code = dict.fromkeys(NO_LABEL, 0) | {name: k for k, name in enumerate(known, 1)}
        for side in 'LR':
            codes = np.zeros(len(place), dtype=np.uint8)
            codes[place] = [code[name] for name in words[side]]
            arrays[f'{atlas}_{side}'] = codes
        tables[atlas] = known
    np.savez_compressed(HERE / 'surface41k.npz', **arrays)
    digest = hashlib.sha256((HERE / 'surface41k.npz').read_bytes()).hexdigest()
    content = {'SHA256': digest, 'labels': tables}
    (HERE / 'surface41k.json').write_text(json.dumps(content, indent=1) + '\n')


if __name__ == '__main__':
    write_volume(*sys.argv[1:3])
    write_surfaces(*sys.argv[3:5])
