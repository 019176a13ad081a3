"""The same head as other scanners and other hands would have left it.

Each function takes a `Head` and returns it as somebody else might hand it in, with the brain mask
on the same grid, so that what is found can be compared with what is found in the plain one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import nibabel as nb
import numpy as np
from nibabel.affines import voxel_sizes
from scipy import ndimage
from scipy.spatial.transform import Rotation


@dataclass(frozen=True)
class Head:
    """A T1w image of a head and where its brain is."""

    data: Any
    affine: Any
    mask: Any
    qform: Any = None
    """Where it differs from the affine."""
    code: int = 1
    """Of sform and qform."""

    def image(self) -> nb.Nifti1Image:
        """Return the image as it would be saved."""
        image = nb.Nifti1Image(self.data, self.affine)
        image.set_sform(self.affine, self.code)
        image.set_qform(self.affine if self.qform is None else self.qform, self.code)
        return image


def turned_axes(head: Head, axes: str) -> Head:
    """Store the voxels in another order, for example ``LPS`` or ``PIR``."""
    image = nb.Nifti1Image(head.data, head.affine)
    here = nb.io_orientation(head.affine)
    way = nb.orientations.ornt_transform(here, nb.orientations.axcodes2ornt(axes))
    moved = image.as_reoriented(way)
    mask = nb.Nifti1Image(head.mask.astype(np.uint8), head.affine).as_reoriented(way)
    return Head(np.asarray(moved.dataobj), moved.affine, np.asarray(mask.dataobj) > 0)


def resampled(head: Head, affine: Any, shape: tuple[int, ...]) -> Head:
    """Look at the head on another grid."""
    way = np.linalg.inv(head.affine) @ affine
    data, mask = (
        ndimage.affine_transform(
            np.asarray(values, dtype=np.float32), way[:3, :3], way[:3, 3],
            output_shape=shape, order=1,
        )
        for values in (head.data, head.mask)
    )  # fmt: skip
    return Head(data, affine, mask > 0.5)


def other_voxels(head: Head, sizes: tuple[float, ...]) -> Head:
    """Look at the head with other voxels; thick slices are averages."""
    ratio = np.array(sizes) / voxel_sizes(head.affine)
    sigma = np.where(ratio > 1, ratio / np.sqrt(12), 0)  # that of a box as wide
    smooth = ndimage.gaussian_filter(np.asarray(head.data, dtype=np.float32), sigma)
    shape = tuple(np.floor(np.array(head.data.shape) / ratio).astype(int))
    return resampled(replace(head, data=smooth), head.affine @ np.diag([*ratio, 1]), shape)


def oblique(head: Head, degrees: tuple[float, float, float]) -> Head:
    """Acquire the head on a grid that is turned about its centre."""
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler('xyz', degrees, degrees=True).as_matrix()
    centre = np.eye(4)
    centre[:3, 3] = (head.affine @ np.r_[(np.array(head.data.shape) - 1) / 2, 1])[:3]
    return resampled(head, centre @ turn @ np.linalg.inv(centre) @ head.affine, head.data.shape)


def tilted(head: Head, degrees: tuple[float, float, float]) -> Head:
    """Turn the head in a grid that stays upright."""
    seen = oblique(head, degrees)
    return replace(seen, affine=head.affine)


def cropped(head: Head, low: tuple[float, ...], high: tuple[float, ...]) -> Head:
    """Cut the field of view: mm off the brain's own box at its left, back, bottom and ends."""
    sizes = voxel_sizes(head.affine)
    box = ndimage.find_objects(head.mask.astype(np.uint8))[0]
    cuts = []
    for side, size, n, below, above in zip(box, sizes, head.mask.shape, low, high, strict=True):
        first, last = side.start + round(below / size), side.stop - round(above / size)
        cuts.append(slice(max(first, 0), min(last, n)))
    affine = head.affine.copy()
    affine[:3, 3] = (head.affine @ np.r_[[c.start for c in cuts], 1])[:3]
    return Head(head.data[tuple(cuts)], affine, head.mask[tuple(cuts)])


FAR = 1000.0
"""Cut nothing: the other side of the brain's box by more than an image has."""


def bias_field(head: Head, strength: float = 4.0) -> Head:
    """Put a coil beside the left of the head: there it is so many times as bright."""
    where = np.indices(head.data.shape) / np.array(head.data.shape).reshape(3, 1, 1, 1)
    distance = ((where - np.array([-0.1, 0.6, 0.6]).reshape(3, 1, 1, 1)) ** 2).sum(axis=0)
    return replace(head, data=head.data * (1 + (strength - 1) * np.exp(-distance / 0.35)))


def signed(head: Head) -> Head:
    """Store 16-bit numbers, air below zero."""
    top = np.quantile(head.data, 0.999)
    return replace(head, data=np.asarray(head.data * (1000 / top) - 300).astype(np.int16))


def nan_border(head: Head, mm: float = 8.0) -> Head:
    """Set what a resampling could not fill to NaN: the sides of the image and a corner."""
    n = np.rint(mm / voxel_sizes(head.affine)).astype(int)
    data = np.full(head.data.shape, np.nan, dtype=np.float32)
    inner = tuple(slice(k, -k) for k in n)
    data[inner] = head.data[inner]
    corner = np.indices(data.shape).sum(axis=0) < sum(data.shape) / 5
    return replace(head, data=np.where(corner, np.nan, data))


def padded(head: Head, mm: float = 80.0) -> Head:
    """Put zeros around the image."""
    n = np.rint(mm / voxel_sizes(head.affine)).astype(int)
    affine = head.affine.copy()
    affine[:3, 3] = (head.affine @ np.r_[-n, 1])[:3]
    return Head(np.pad(head.data, [(k, k) for k in n]), affine,
                np.pad(head.mask, [(k, k) for k in n]))  # fmt: skip


def moved(head: Head, mm: tuple[float, float, float]) -> Head:
    """Put the head elsewhere in the scanner."""
    affine = head.affine.copy()
    affine[:3, 3] += mm
    return replace(head, affine=affine)


def scaled(head: Head, factor: float) -> Head:
    """Make the head smaller by making its voxels smaller."""
    return replace(head, affine=head.affine @ np.diag([factor] * 3 + [1.0]))


def wrong_sform(head: Head) -> Head:
    """Keep the right affine in qform only: sform is shifted and turned."""
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler('xyz', (12, 5, 8), degrees=True).as_matrix()
    turn[:3, 3] = (30, -40, 20)
    return replace(head, affine=turn @ head.affine, qform=head.affine)


def unit_sform(head: Head) -> Head:
    """Put 1 mm voxels into sform, whatever they are, and the truth into qform."""
    return replace(head, affine=np.eye(4), qform=head.affine)


def defaced(head: Head) -> Head:
    """Set the face to zero: what lies before a plane below the forehead."""
    sizes = voxel_sizes(head.affine)
    box = ndimage.find_objects(head.mask.astype(np.uint8))[0]
    y, z = np.indices(head.data.shape)[1:] * sizes[1:].reshape(2, 1, 1, 1)
    front, bottom = box[1].stop * sizes[1], box[2].start * sizes[2]
    face = (y - front + 25) - 0.9 * (z - bottom - 35) > 0
    return replace(head, data=np.where(face & ~head.mask, 0, head.data))


def stripped(head: Head, outside: float = 0.0) -> Head:
    """Leave the brain alone."""
    return replace(head, data=np.where(head.mask, head.data, np.float32(outside)))


def mp2rage(head: Head, rng: np.random.Generator) -> Head:
    """Fill air with the noise of a uniform image of MP2RAGE, from black to white."""
    top = float(np.quantile(head.data[head.mask], 0.999))
    smooth = ndimage.gaussian_filter(np.asarray(head.data, dtype=np.float32), 1.0)
    air = smooth < 0.12 * top
    return replace(head, data=np.where(air, rng.uniform(0, top, head.data.shape), head.data))


def inverted(head: Head) -> Head:
    """Make fluid bright and white matter dark, as a T2w does."""
    top = float(np.quantile(head.data[head.mask], 0.999))
    tissue = ndimage.gaussian_filter(np.asarray(head.data, dtype=np.float32), 1.0) > 0.12 * top
    inside = tissue | head.mask
    return replace(head, data=np.where(inside, np.maximum(1.1 * top - head.data, 0), head.data))


def one_volume(head: Head) -> Head:
    """Store the image as a series of one."""
    return replace(head, data=np.asarray(head.data)[..., None])


def smooth_noise(head: Head, rng: np.random.Generator, mm: float = 6.0) -> Head:
    """Keep nothing of the head but its grid."""
    sigma = mm / voxel_sizes(head.affine)
    noise = ndimage.gaussian_filter(rng.normal(size=head.data.shape), sigma)
    return replace(head, data=np.asarray(1000 + 300 * noise / noise.std(), dtype=np.float32))


def smooth_ball(head: Head, rng: np.random.Generator) -> Head:
    """Put smooth noise where the head is, and zeros around it."""
    inside = ndimage.binary_dilation(head.mask, iterations=4)
    return replace(head, data=np.where(inside, smooth_noise(head, rng).data, 0))


def bottle(head: Head, rng: np.random.Generator) -> Head:
    """Put a water bottle into the scanner."""
    sizes = voxel_sizes(head.affine)
    middle = (np.array(head.data.shape).reshape(3, 1, 1, 1) - 1) / 2
    x, y, z = (np.indices(head.data.shape) - middle) * sizes.reshape(3, 1, 1, 1)
    inside = (np.hypot(x, y) < 60) & (np.abs(z) < 70)
    return replace(head, data=inside * 800.0 + rng.rayleigh(15.0, head.data.shape))


FITTING: dict[str, Callable[[Head], Head]] = {
    'plain': lambda head: head,
    'LPS': lambda head: turned_axes(head, 'LPS'),
    'PIR': lambda head: turned_axes(head, 'PIR'),
    'ASL': lambda head: turned_axes(head, 'ASL'),
    'oblique 35': lambda head: oblique(head, (35, 0, 0)),
    'oblique 30 20 10': lambda head: oblique(head, (30, 20, 10)),
    'oblique 45': lambda head: oblique(head, (0, 0, 45)),
    'tilt 15': lambda head: tilted(head, (15, 5, 5)),
    'tilt 30': lambda head: tilted(head, (-30, 0, 0)),
    'roll 25': lambda head: tilted(head, (0, 25, 0)),
    '1x1x3': lambda head: other_voxels(head, (1, 1, 3)),
    '3x1x1': lambda head: other_voxels(head, (3, 1, 1)),
    '0.7': lambda head: other_voxels(head, (0.7, 0.7, 0.7)),
    'tight box': lambda head: cropped(head, (-4, -4, -4), (-4, -4, -4)),
    'neck only below': lambda head: cropped(head, (-15, -15, -FAR), (-15, -15, -6)),
    'top cut': lambda head: cropped(head, (-FAR,) * 3, (-FAR, -FAR, 20)),
    'bottom cut': lambda head: cropped(head, (-FAR, -FAR, 30), (-FAR,) * 3),
    'bias 4': bias_field,
    'signed': signed,
    'NaN border': nan_border,
    'padded': padded,
    'origin 200 mm off': lambda head: moved(head, (200, -150, 220)),
    'wrong sform': wrong_sform,
    'defaced': defaced,
    'stripped': stripped,
    'stripped, NaN': lambda head: stripped(head, np.nan),
    'MP2RAGE': lambda head: mp2rage(head, np.random.default_rng(1)),
    'scale .9': lambda head: scaled(head, 0.9),
    'scale .8': lambda head: scaled(head, 0.8),
    'unit sform': unit_sform,
    'one volume': one_volume,
}
"""Heads whose brain can be found, or that are refused for what they are."""
NO_HEADS: dict[str, Callable[[Head], Head]] = {
    'smooth noise': lambda head: smooth_noise(head, np.random.default_rng(1)),
    'smooth noise, 15 mm': lambda head: smooth_noise(head, np.random.default_rng(2), 15.0),
    'ball of noise': lambda head: smooth_ball(head, np.random.default_rng(3)),
    'bottle': lambda head: bottle(head, np.random.default_rng(4)),
    'inverted': inverted,
}
"""What has to be refused."""
REFUSABLE = ('scale .8', 'unit sform')
"""Ways of `FITTING` that may be refused: an infant's size, and voxels of the wrong size."""
