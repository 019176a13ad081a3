"""A head of the demo with a T1w image and a magnetization transfer pair of known ratio."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nb
import numpy as np

from bids_acc.demo import cohort, structural
from bids_acc.demo.anatomy import Anatomy, draw_placement, draw_shape
from bids_acc.demo.templates import Head, load_head
from bids_acc.demo.warp import sample, to_voxels
from bids_acc.images.labels import sum_labels
from bids_acc.surfaces.atlases import cerebra

RATIO = {'gm': 33.0, 'wm': 45.0, 'csf': 2.0}
"""Planted ratio of each tissue, per cent (of the size that 3 T gives)."""
SIGNAL = (1000.0, 800.0, 900.0)
"""Signal of grey matter, white matter and CSF without saturation: proton density, roughly."""
SCALP, SCALP_RATIO = 600.0, 5.0
"""Signal of what is outside the brain, times its T1w intensity, and its ratio."""
TE_S, TR_S, ANGLE = 0.01, 0.03, 5


@dataclass(frozen=True)
class Phantom:
    """A head, and where its points lie in the template."""

    head: Head
    anatomy: Anatomy
    rng: np.random.Generator

    def places(self, affine: Any, shape: Any, motion: Any = None) -> Any:
        """Return the place in the template of each voxel."""
        points = structural.grid_points(affine, shape)
        return self.anatomy.head_to_template(self.anatomy.scanner_to_head(points, motion))

    def signals(self, places: Any, resolution: float) -> tuple[Any, Any]:
        """Return the signals with and without saturation, without noise."""
        voxels = to_voxels(self.head.affine, places)
        parts = [sample(structural.blur_to(t, resolution), voxels) for t in self.head.tissues]
        tissue = np.minimum(sum(parts), 1)
        t1w = sample(structural.blur_to(self.head.t1w, resolution), voxels)
        other = SCALP * t1w * (1 - tissue)
        levels = list(zip(parts, SIGNAL, RATIO.values(), strict=True))
        off = sum(part * level for part, level, _ in levels) + other
        on = sum(part * level * (1 - ratio / 100) for part, level, ratio in levels)
        return on + other * (1 - SCALP_RATIO / 100), off


def make_phantom(seed: int = 3) -> Phantom:
    """Draw a head."""
    rng = np.random.default_rng(seed)
    person = cohort.draw_cohort(1, sessions=False, seed=seed)[0]
    head = load_head()
    anatomy = Anatomy(
        draw_shape(rng), draw_placement(rng), np.array(person.visits[0].thickness_mm),
        head.border,
    )  # fmt: skip
    return Phantom(head, anatomy, rng)


def true_regions(phantom: Phantom, step: float = 1.5) -> dict[str, float]:
    """Return the ratio of each label of CerebrA through the exact warp, as ratio of sums."""
    affine, shape = structural.grid(step, structural.FIELD_OF_VIEW_MM)
    places = phantom.places(affine, shape)
    on, off = phantom.signals(places, step)
    atlas = cerebra()
    found = sum_labels(atlas.data, atlas.affine, places, [on, off]).weighted
    return {
        f'{name} {side}': float(100 * (1 - found[0, code] / found[1, code]))
        for code, (name, side) in atlas.regions.items()
    }


def write_dataset(
    folder: Path, phantom: Phantom, *, resolution: float = 2.0, noise: float = 10.0,
    motion: Any = None,
) -> Path:  # fmt: skip
    """Write a BIDS data set of one head, the image with saturation moved by ``motion``."""
    anat = folder / 'sub-01' / 'anat'
    anat.mkdir(parents=True)
    (folder / 'dataset_description.json').write_text('{"Name": "MT", "BIDSVersion": "1.11.1"}')
    affine, shape = structural.grid(resolution, structural.FIELD_OF_VIEW_MM)
    t1w = structural.t1w_image(
        phantom.head, structural.blur_to(phantom.head.t1w, resolution), phantom.anatomy, affine,
        shape, phantom.rng,
    )  # fmt: skip
    nb.Nifti1Image(t1w, affine).to_filename(anat / 'sub-01_T1w.nii.gz')
    for state in ('on', 'off'):
        places = phantom.places(affine, shape, motion if state == 'on' else None)
        signal = phantom.signals(places, resolution)[state == 'off']
        parts = noise * phantom.rng.standard_normal((2, len(signal)))
        image = np.hypot(signal + parts[0], parts[1]).reshape(shape).astype(np.float32)
        write_image(anat / f'sub-01_mt-{state}_MTR.nii.gz', image, affine, state)
    return folder


def write_image(path: Path, image: Any, affine: Any, state: str = '', **fields: Any) -> None:
    """Write an image with its sidecar."""
    nb.Nifti1Image(image, affine).to_filename(path)
    told = {'MTState': state == 'on'} if state else {}
    content = {**told, 'EchoTime': TE_S, 'RepetitionTimeExcitation': TR_S, 'FlipAngle': ANGLE}
    path.with_name(path.name.partition('.')[0] + '.json').write_text(
        json.dumps({**content, **fields})
    )
