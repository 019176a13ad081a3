"""Subjects as FreeSurfer, FastSurfer, sMRIPrep and CIVET leave them, on meshes of any size.

The writers are nibabel's. The native mesh is no icosphere: its vertices lie on a Fibonacci
spiral, so that every resampling is a real one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import nibabel as nb
import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull

from bids_acc.anat.morphometry import symmetric_thickness
from bids_acc.anat.registration import template_path
from bids_acc.surfaces.geometry import vertex_areas
from bids_acc.surfaces.gifti import write_map, write_surface
from bids_acc.surfaces.resampling import barycentric_weights, resample_labels
from bids_acc.surfaces.template import MEDIAL_WALL, TemplateHemisphere

CENTRE = np.array([3.0, -4.0, 5.0])
"""Where the centre of FreeSurfer's volume lies in the scanner, mm."""


@dataclass(frozen=True)
class Native:
    """A hemisphere on its own mesh, with what its software would have measured."""

    white: np.ndarray
    pial: np.ndarray
    faces: np.ndarray
    sphere: np.ndarray
    thickness: np.ndarray
    """Zero on the medial wall."""
    area: np.ndarray
    labels: np.ndarray
    names: dict[int, str]


def spiral_sphere(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (n, 3) vertices on a sphere of radius 100 and faces wound outwards."""
    k = np.arange(n) + 0.5
    height, turn = 1 - 2 * k / n, np.pi * (1 + 5**0.5) * k
    ring = np.sqrt(1 - height**2)
    points = np.stack([ring * np.cos(turn), ring * np.sin(turn), height], axis=1)
    faces = ConvexHull(points).simplices.astype(np.int64)
    corners = points[faces]
    inwards = np.linalg.det(corners) < 0
    faces[inwards] = faces[inwards][:, ::-1]
    return 100 * points, faces


def native_hemisphere(
    mesh: TemplateHemisphere, n: int | None = None, placed: tuple | None = None
) -> Native:
    """Put the template's hemisphere on a mesh of its own.

    Parameters
    ----------
    mesh : TemplateHemisphere
        The finer, the better.
    n : int, optional
        Vertices of the native mesh; the template's own mesh by default.
    placed : tuple of (n_vertices, 3) array, optional
        White and pial surface to take instead of the template's.
    """
    white, pial = placed or (mesh.white, mesh.pial)
    sphere, faces, labels = mesh.sphere, mesh.faces, mesh.labels
    if n is not None:
        sphere, faces = spiral_sphere(n)
        weights = barycentric_weights(mesh.sphere, mesh.faces, sphere)
        white, pial = weights @ white, weights @ pial
        labels = resample_labels(weights, mesh.labels)
    wall = [code for code, name in mesh.names.items() if name == MEDIAL_WALL]
    thickness = symmetric_thickness(white, pial, faces)
    return Native(
        white, pial, faces, sphere, np.where(np.isin(labels, wall), 0, thickness),
        vertex_areas(white, faces), labels, mesh.names,
    )  # fmt: skip


def write_freesurfer(
    folder: Path, native: Native, hemi: str, annotation: str | None = 'aparc.DKTatlas'
) -> Path:
    """Write one hemisphere of a FreeSurfer subject whose volume lies at `CENTRE`."""
    prefix = {'L': 'lh', 'R': 'rh'}[hemi]
    for name in ('surf', 'label', 'scripts'):
        (folder / name).mkdir(parents=True, exist_ok=True)
    info = {
        'head': np.array([2, 0, 20]), 'valid': '1  # volume info valid', 'filename': 'orig.mgz',
        'volume': [256, 256, 256], 'voxelsize': [1.0, 1, 1], 'xras': [-1.0, 0, 0],
        'yras': [0.0, 0, -1], 'zras': [0.0, 1, 0], 'cras': CENTRE,
    }  # fmt: skip
    surf = folder / 'surf'
    for kind, points in (('white', native.white), ('pial', native.pial)):
        nb.freesurfer.write_geometry(
            surf / f'{prefix}.{kind}', points - CENTRE, native.faces, volume_info=info
        )
    nb.freesurfer.write_geometry(surf / f'{prefix}.sphere.reg', native.sphere, native.faces)
    for kind in ('thickness', 'area'):
        nb.freesurfer.write_morph_data(surf / f'{prefix}.{kind}', getattr(native, kind))
    stamp = 'freesurfer-linux-ubuntu22_x86_64-7.4.1-20230614-7eb8460\n'
    (folder / 'scripts' / 'build-stamp.txt').write_text(stamp)
    if annotation is not None:
        write_annotation(folder / 'label' / f'{prefix}.{annotation}.annot', native)
    return folder


def write_annotation(path: Path, native: Native) -> None:
    """Write the labels in an order of their own, with ``corpuscallosum`` and no label at all."""
    codes = sorted(native.names, key=lambda code: native.names[code][::-1])
    words = [native.names[code] for code in codes] + ['corpuscallosum']
    colours = np.zeros((len(words), 5), dtype=int)
    colours[:, 0] = np.arange(1, len(words) + 1)
    wall = next(code for code, name in native.names.items() if name == MEDIAL_WALL)
    entries = np.searchsorted(sorted(codes), native.labels)
    position = np.array([codes.index(code) for code in sorted(codes)])
    values = position[entries]
    on_wall = np.flatnonzero(native.labels == wall)
    values[on_wall[::2]] = -1
    values[on_wall[1::4]] = len(words) - 1
    nb.freesurfer.write_annot(path, values, colours[:, :4], words, fill_ctab=True)


def write_gifti_subject(root: Path, subject: str, native: Native, hemi: str) -> Path:
    """Write one hemisphere as sMRIPrep does; return its ``anat`` folder."""
    anat = root / f'sub-{subject}' / 'anat'
    anat.mkdir(parents=True, exist_ok=True)
    made = {'Name': 'sMRIPrep', 'BIDSVersion': '1.9.0', 'DatasetType': 'derivative',
            'GeneratedBy': [{'Name': 'sMRIPrep', 'Version': '0.19.2'}]}  # fmt: skip
    (root / 'dataset_description.json').write_text(json.dumps(made))
    stem = f'sub-{subject}_hemi-{hemi}'
    for kind, points in (('white', native.white), ('pial', native.pial)):
        write_surface(anat / f'{stem}_{kind}.surf.gii', points, native.faces, hemi, kind)
    path = anat / f'{stem}_space-fsaverage_desc-reg_sphere.surf.gii'
    write_surface(path, native.sphere, native.faces, hemi, 'sphere')
    other = anat / f'{stem}_space-fsLR_desc-reg_sphere.surf.gii'
    write_surface(other, native.sphere[::-1], native.faces, hemi, 'sphere')
    write_map(anat / f'{stem}_thickness.shape.gii', native.thickness, hemi, 'thickness')
    return anat


def write_obj(path: Path, points: np.ndarray, faces: np.ndarray) -> None:
    """Write an MNI .obj with one colour."""
    with path.open('w') as stream:
        stream.write(f'P 0.3 0.3 0.4 10 1 {len(points)}\n')
        for block in (points, points / 100):
            stream.writelines(f' {x:.6f} {y:.6f} {z:.6f}\n' for x, y, z in block)
        stream.write(f'\n {len(faces)}\n 0 1 1 1 1\n\n')
        stream.write(' '.join(str(3 * (i + 1)) for i in range(len(faces))) + '\n\n')
        stream.write(' '.join(map(str, faces.ravel())) + '\n')


XFM = (
    'MNI Transform File\n\nTransform_Type = Linear;\nLinear_Transform =\n'
    ' 1.1 0 0 2\n 0 1.1 0 -3\n 0 0 1.1 4;\n'
)


def write_civet(folder: Path, native: Native, hemi: str, thickness: np.ndarray) -> None:
    """Write one hemisphere of a CIVET subject on the template's own mesh of 40,962 vertices.

    The uncalibrated white surface, a more smoothed thickness and a resampled thickness without
    its surfaces lie beside the right files; the right hemisphere is wound inwards, as CIVET's
    mirrored extraction leaves it.
    """
    side = {'L': 'left', 'R': 'right'}[hemi]
    for name in ('surfaces', 'thickness', 'transforms/linear', 'logs'):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / 'transforms' / 'linear' / 'x_t1_tal.xfm').write_text(XFM)
    (folder / 'logs' / 'x.log').write_text('running CIVET-2.1.1\n')
    shift = np.array([2.0, -3, 4])
    faces = native.faces if hemi == 'L' else native.faces[:, ::-1]
    uncalibrated = native.white + 3
    for kind, end, points in (
        ('white', '_calibrated', native.white), ('white', '', uncalibrated),
        ('gray', '', native.pial), ('mid', '', (native.white + native.pial) / 2),
    ):  # fmt: skip
        path = folder / 'surfaces' / f'x_{kind}_surface_{side}{end}_81920.obj'
        write_obj(path, 1.1 * points + shift, faces)
    for name, values in (
        ('tlink_0mm', thickness), ('tlink_30mm', np.full_like(thickness, thickness.mean())),
        ('rsl_tlink_0mm', thickness[::-1]),
    ):  # fmt: skip
        path = folder / 'thickness' / f'x_native_rms_{name}_{side}.txt'
        np.savetxt(path, values, fmt='%.5f')


def write_civet_rsl(folder: Path, native: Native, hemi: str, thickness: np.ndarray) -> None:
    """Write the resampled files of a hemisphere, whose vertices correspond among subjects."""
    for name in ('surfaces', 'thickness', 'transforms/linear'):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / 'transforms' / 'linear' / 'x_t1_tal.xfm').write_text(XFM)
    side = {'L': 'left', 'R': 'right'}[hemi]
    faces = native.faces if hemi == 'L' else native.faces[:, ::-1]
    for kind, end, points in (('white', '_calibrated', native.white), ('gray', '', native.pial)):
        path = folder / 'surfaces' / f'x_{kind}_surface_rsl_{side}{end}_81920.obj'
        write_obj(path, 1.1 * points + np.array([2.0, -3, 4]), faces)
    path = folder / 'thickness' / f'x_native_rms_rsl_tlink_0mm_{side}.txt'
    np.savetxt(path, thickness, fmt='%.5f')


N_FSLR = 32492
"""Vertices of fsLR 32k."""


def write_fslr(anat: Path, subject: str, sides: dict[str, Native]) -> None:
    """Write surfaces and thickness on fsLR as sMRIPrep does with ``--cifti-output 91k``.

    Thickness is a CIFTI file without the vertices of the medial wall.
    """
    anat.mkdir(parents=True, exist_ok=True)
    values, models = [], None
    for hemi, native in sides.items():
        for kind in ('white', 'pial'):
            path = anat / f'sub-{subject}_hemi-{hemi}_space-fsLR_den-32k_{kind}.surf.gii'
            write_surface(path, getattr(native, kind), native.faces, hemi, kind)
        seen = native.thickness > 0
        side = {'L': 'CORTEX_LEFT', 'R': 'CORTEX_RIGHT'}[hemi]
        model = nb.cifti2.BrainModelAxis.from_mask(seen, name=f'CIFTI_STRUCTURE_{side}')
        models = model if models is None else models + model
        values.append(native.thickness[seen])
    axes = (nb.cifti2.ScalarAxis(['thickness']), models)
    image = nb.Cifti2Image(np.concatenate(values)[None].astype(np.float32), axes)
    image.to_filename(anat / f'sub-{subject}_space-fsLR_den-91k_thickness.dscalar.nii')


PLACEMENT = np.array(
    [[0.95, -0.06, 0.02, 3.0], [0.05, 0.97, 0.04, -5.0], [-0.03, -0.05, 0.96, 4.0], [0, 0, 0, 1]]
)
"""Template to scanner of the head that `write_t1w` draws, mm."""


def placed(points: np.ndarray) -> np.ndarray:
    """Carry template points to the scanner."""
    return points @ PLACEMENT[:3, :3].T + PLACEMENT[:3, 3]


def write_t1w(path: Path, voxel: float = 3.0, noise: float = 0.02) -> Path:
    """Write a skull-stripped T1w image of the template's brain at its `PLACEMENT`."""
    template = nb.Nifti1Image.from_filename(template_path('t1'))
    intensity = ndimage.gaussian_filter(template.get_fdata(), max(voxel**2 - 1, 0) ** 0.5 / 2.355)
    low, high = np.array([-85.0, -125, -85]), np.array([85.0, 95, 100])
    shape = np.ceil((high - low) / voxel).astype(int)
    affine = np.diag([voxel, voxel, voxel, 1.0])
    affine[:3, 3] = low
    to_template = np.linalg.inv(template.affine) @ np.linalg.inv(PLACEMENT) @ affine
    image = ndimage.affine_transform(
        intensity, to_template[:3, :3], to_template[:3, 3], tuple(shape), order=1
    )
    rng = np.random.default_rng(7)
    noisy = image + rng.normal(0, noise * intensity.max(), shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.where(image > 0.1 * intensity.max(), np.maximum(noisy, 1), 0)
    scaled = nb.Nifti1Image(np.rint(values * 1000 / intensity.max()).astype(np.int16), affine)
    scaled.set_sform(affine, 1)
    scaled.set_qform(affine, 1)
    scaled.to_filename(path)
    return path
