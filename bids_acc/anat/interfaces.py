"""Nipype shells of the built-in route: from a T1w file to tissues, surfaces and maps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nb
import numpy as np
import numpy.typing as npt
from nibabel.affines import voxel_sizes
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    File,
    InputMultiObject,
    OutputMultiObject,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from bids_acc.anat.brain import (
    BrainMask,
    check_coherent,
    find_brain,
    find_in_stripped,
    given_brain,
)
from bids_acc.anat.brain_weights import weights_record
from bids_acc.anat.builtin import (
    UNDEFINED,
    fit_hemisphere,
    measure_hemisphere,
    segment_brain,
    tissue_image,
)
from bids_acc.anat.quality import contrast_to_noise
from bids_acc.anat.registration import bias_correct, register_to_template
from bids_acc.anat.segmentation import TISSUES, discrete_segmentation
from bids_acc.exceptions import InputDataError
from bids_acc.files.reading import check_gzip
from bids_acc.images.files import header_forms
from bids_acc.images.masks import dice
from bids_acc.images.volumes import (
    bared_area,
    check_forms,
    check_gaps,
    check_volume,
    close_gaps,
    form_gap,
    is_skull_stripped,
    lost_planes,
    outside_grid,
    shifted_to_zero,
)
from bids_acc.surfaces.gifti import write_labels, write_map, write_surface
from bids_acc.surfaces.template import load_template
from bids_acc.typing import FloatArray, IntArray, SingleArray, Volume

MAPS = ('thickness', 'area', 'volume')
"""What is measured at each vertex."""


def load_volume(path: str | Path) -> tuple[SingleArray, FloatArray]:
    """Return data as float32 and affine of a NIfTI file; of complex numbers, their magnitude.

    Parameters
    ----------
    path : Path
        NIfTI, from anywhere; values are scaled as its header says.

    Returns
    -------
    data : ndarray of float32
        With all dimensions of the file.
    affine : (4, 4) ndarray
        Voxel to scanner RAS in mm.

    Raises
    ------
    InputDataError
        If the file cannot be read, or holds colours.
    """
    image = _open_nifti(path)
    try:
        if image.get_data_dtype().kind == 'c':
            # get_fdata would drop the imaginary part with a warning only.
            return np.abs(np.asanyarray(image.dataobj)).astype(np.float32), image.affine
        return image.get_fdata(dtype=np.float32), image.affine
    except Exception as error:
        raise InputDataError(f'{path} is no readable NIfTI image: {error}') from error


def _open_nifti(path: str | Path) -> nb.Nifti1Image:
    """Open a NIfTI-1 or NIfTI-2 file whose voxels are numbers."""
    try:
        image = nb.load(str(path))
    except Exception as error:
        raise InputDataError(f'{path} is no readable NIfTI image: {error}') from error
    if not isinstance(image, nb.Nifti1Image):  # of which NIfTI-2 is a kind
        raise InputDataError(f'{path} is no NIfTI image, but {type(image).__name__}.')
    if image.get_data_dtype().fields:
        raise InputDataError(
            f'{path} holds colours (RGB) and no intensities: convert the image again from DICOM.'
        )
    return image


def load_t1w(path: str | Path) -> tuple[SingleArray, FloatArray, float]:
    """Read a T1w image, check it, and turn its axes nearest to right, anterior, superior.

    Parameters
    ----------
    path : Path
        NIfTI of three dimensions, or of one volume.

    Returns
    -------
    data : (nx, ny, nz) ndarray of float32
        Intensities; where they reach below zero, shifted
        (`bids_acc.images.volumes.shifted_to_zero`).
    affine : (4, 4) ndarray
        Voxel to scanner RAS in mm.
    form_gap_mm : float
        See `bids_acc.images.volumes.form_gap`.

    Raises
    ------
    InputDataError
        If it cannot be read or used, or its header does not tell left from right.
    """
    check_gzip(path)
    data, affine = load_volume(path)
    if data.ndim > 3 and set(data.shape[3:]) == {1}:
        data = data.reshape(data.shape[:3])
    check_volume(data, affine, str(path))
    sform, qform = header_forms(path)
    check_forms(sform, qform, str(path))
    image = nb.as_closest_canonical(nb.Nifti1Image(shifted_to_zero(data), affine))
    return image.get_fdata(dtype=np.float32), image.affine, form_gap(sform, qform, data.shape)


def save_volume(path: Path, data: npt.ArrayLike, affine: FloatArray) -> str:
    """Write a NIfTI file in scanner space; masks and labels as bytes, the rest as float32.

    Parameters
    ----------
    path : Path
        Ends in ``.nii.gz``.
    data : (nx, ny, nz) or (nx, ny, nz, n) ndarray
        Of bool or uint8: stored as bytes.
    affine : (4, 4) ndarray
        Voxel to scanner RAS in mm; becomes sform and qform, both with code 1.

    Returns
    -------
    str
        ``path``.
    """
    data = np.asarray(data)
    dtype = np.uint8 if data.dtype in (bool, np.uint8) else np.float32
    image = nb.Nifti1Image(data.astype(dtype), affine)
    # Both forms alike: tools differ in which of the two they believe.
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    image.header.set_xyzt_units('mm', 'sec')
    image.to_filename(path)
    return str(path)


class _PrepareT1wInputSpec(BaseInterfaceInputSpec):
    t1w_file = File(exists=True, mandatory=True, desc='T1-weighted image')
    brain_mask = File(exists=True, desc='brain as somebody gives it')
    skull_strip = traits.Enum('auto', 'force', 'skip', usedefault=True, desc='brain extraction')
    seed = traits.Int(0, usedefault=True, desc='seed of the registration')
    num_threads = traits.Int(1, usedefault=True, nohash=True, desc='threads of ITK')


class _PrepareT1wOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='image with axes nearest to right, anterior, superior')
    mask_file = File(exists=True, desc='brain')
    mask_metadata = traits.Dict(desc='who found the brain, for the sidecar of the mask')
    facts = traits.Dict(desc='what was met with in the input, for the table of quality')


class PrepareT1w(SimpleInterface):
    """Check and reorient a T1w image, and find the brain in it."""

    input_spec = _PrepareT1wInputSpec
    output_spec = _PrepareT1wOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        source = self.inputs.t1w_file
        raw, affine, form_gap_mm = load_t1w(source)
        # slices that were lost on the way are as empty as air, and are none
        data, gap_share = close_gaps(np.where(lost_planes(raw == 0), np.float32(np.nan), raw))
        check_gaps(gap_share, source)
        sizes = voxel_sizes(affine)
        out = Path(runtime.cwd)
        stripped = self.inputs.skull_strip == 'skip' or (
            self.inputs.skull_strip == 'auto' and is_skull_stripped(data, sizes)
        )
        brain = self._brain(data, affine, stripped, out)
        check_coherent(data, brain.mask, source)
        self._results['out_file'] = save_volume(out / 'ras.nii.gz', data, affine)
        self._results['mask_file'] = save_volume(out / 'mask.nii.gz', brain.mask, affine)
        self._results['mask_metadata'] = mask_metadata(brain.method, self.inputs.brain_mask)
        self._results['facts'] = {
            'voxel_max_mm': float(sizes.max()),
            'skull_stripped': str(bool(stripped)).lower(),
            'brain_method': brain.method,
            'brain_agreement': brain.agreement,
            'gap_share': gap_share,
            'bared_cm2': float('nan') if stripped else bared_area(data, brain.mask, sizes),
            'form_gap_mm': form_gap_mm,
        }
        return runtime

    def _brain(self, data: Volume, affine: FloatArray, stripped: bool, folder: Path) -> BrainMask:
        """Take the given mask, or find the brain; whatever fails names the file."""
        given, source = self.inputs.brain_mask, self.inputs.t1w_file
        try:
            if isdefined(given):
                source = given
                return given_brain(data, affine, *load_volume(given))
            if stripped:
                return find_in_stripped(data, affine, sure=self.inputs.skull_strip == 'skip')
            return find_brain(
                data, affine, folder, seed=self.inputs.seed, n_threads=self.inputs.num_threads
            )
        except InputDataError as error:
            raise InputDataError(f'{source}: {error}') from error


def mask_metadata(method: str, given: Path | str) -> dict[str, object]:
    """Describe in a sidecar how a brain mask came about.

    Parameters
    ----------
    method : str
        See `BrainMask`: ``network``, ``registration``, ``background`` or ``given``.
    given : Path or str
        Mask that was given; not looked at with another method.

    Returns
    -------
    dict
        ``Method``, and ``Weights`` of the networks or ``MaskFile``.
    """
    said = {
        'network': 'two trained networks',
        'registration': 'affine registration of a template, trimmed to the intensities',
        'background': 'all that is not zero in the T1w image, which has no skull',
        'given': 'mask that was given',
    }
    found: dict[str, Any] = {'Method': said[method]}
    if method == 'network':
        found['Weights'] = weights_record()
    if method == 'given':
        found['MaskFile'] = Path(given).name
    return found


class _BiasCorrectInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='T1w image')
    mask_file = File(exists=True, mandatory=True, desc='brain, on the same grid')
    num_threads = traits.Int(1, usedefault=True, nohash=True, desc='threads of ITK')


class _OutFileOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='result')


class BiasCorrect(SimpleInterface):
    """Remove the bias field with N4 and what is not brain."""

    input_spec = _BiasCorrectInputSpec
    output_spec = _OutFileOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        data, affine = load_volume(self.inputs.in_file)
        mask = load_volume(self.inputs.mask_file)[0] > 0
        corrected = bias_correct(np.maximum(data, 0), affine, mask, self.inputs.num_threads)
        corrected = np.where(mask, np.maximum(corrected, 0), 0)
        self._results['out_file'] = save_volume(Path(runtime.cwd) / 'n4.nii.gz', corrected, affine)
        return runtime


class _RegisterInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='bias-corrected brain')
    seed = traits.Int(0, usedefault=True, desc='seed of the metric samples')
    num_threads = traits.Int(1, usedefault=True, nohash=True, desc='threads of ITK')


class _RegisterOutputSpec(TraitedSpec):
    points_to_t1w = OutputMultiObject(File(exists=True), desc='for template points, ANTs order')
    images_to_t1w = OutputMultiObject(File(exists=True), desc='for template images, ANTs order')


class RegisterTemplate(SimpleInterface):
    """Register the brain to the template: affine and SyN at 2 mm."""

    input_spec = _RegisterInputSpec
    output_spec = _RegisterOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        data, affine = load_volume(self.inputs.in_file)
        points, images = register_to_template(
            data, affine, Path(runtime.cwd) / 'template_',
            seed=self.inputs.seed, n_threads=self.inputs.num_threads,
        )  # fmt: skip
        self._results['points_to_t1w'] = [str(p) for p in points]
        self._results['images_to_t1w'] = [str(p) for p in images]
        return runtime


class _SegmentInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='bias-corrected brain')
    mask_file = File(exists=True, mandatory=True, desc='brain mask')
    images_to_t1w = InputMultiObject(File(exists=True), mandatory=True, desc='template to T1w')


class _SegmentOutputSpec(TraitedSpec):
    tpms = OutputMultiObject(File(exists=True), desc='probabilities of GM, WM and CSF')
    dseg = File(exists=True, desc='1 GM, 2 WM, 3 CSF')
    model_file = File(exists=True, desc='JSON with the tissues as found')


class SegmentTissues(SimpleInterface):
    """Estimate tissue probabilities from intensities and the template's priors."""

    input_spec = _SegmentInputSpec
    output_spec = _SegmentOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        data, affine = load_volume(self.inputs.in_file)
        mask = load_volume(self.inputs.mask_file)[0] > 0
        model, carried = segment_brain(data, affine, mask, self.inputs.images_to_t1w)
        out = Path(runtime.cwd)
        self._results['tpms'] = [
            save_volume(out / f'{name}.nii.gz', p, affine)
            for name, p in zip(TISSUES, model.probabilities, strict=True)
        ]
        labels = discrete_segmentation(model.probabilities)
        self._results['dseg'] = save_volume(out / 'dseg.nii.gz', labels, affine)
        cnr, snr = contrast_to_noise(model.means, model.deviations)
        expected = carried.sum(axis=0) > 0.5
        found = {
            'registration_dice': dice(expected, mask),
            'registration_dice_wm': dice(carried[1] > 0.5, labels == 2),
            'cnr': cnr,
            'snr_wm': snr,
            'spread_ratio': model.spread_ratio,
            'converged': model.converged,
        }
        model_file = out / 'tissues.json'
        model_file.write_text(json.dumps(found))
        self._results['model_file'] = str(model_file)
        return runtime


def write_surfaces(
    folder: Path, white: FloatArray, pial: FloatArray, faces: IntArray, hemi: str
) -> Iterator[tuple[str, str]]:
    """Write the white, pial and mid-surface of a hemisphere; yield kind and path of each.

    Parameters
    ----------
    folder : Path
        Where files ``<hemi>_<kind>.surf.gii`` are written.
    white, pial : (n_vertices, 3) ndarray
        Scanner RAS in mm. The mid-surface is half-way between corresponding vertices.
    faces : (n_faces, 3) ndarray of int
        Shared by all three.
    hemi : str
        ``L`` or ``R``.

    Yields
    ------
    kind, path : str
        ``white``, ``pial`` and ``midthickness``.
    """
    for kind, vertices in (('white', white), ('pial', pial), ('midthickness', (white + pial) / 2)):
        path = folder / f'{hemi}_{kind}.surf.gii'
        yield kind, str(write_surface(path, vertices, faces, hemi, kind))


class _FitSurfacesInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='bias-corrected brain')
    tpms = InputMultiObject(File(exists=True), mandatory=True, desc='GM, WM and CSF')
    points_to_t1w = InputMultiObject(File(exists=True), mandatory=True, desc='for points')
    images_to_t1w = InputMultiObject(File(exists=True), mandatory=True, desc='for images')
    density = traits.Enum('41k', '10k', usedefault=True, desc='vertices per hemisphere')


class SurfacesOutputSpec(TraitedSpec):
    """Surfaces and maps of both hemispheres, whoever made them."""

    white = OutputMultiObject(File(exists=True), desc='left and right')
    pial = OutputMultiObject(File(exists=True), desc='left and right')
    midthickness = OutputMultiObject(File(exists=True), desc='left and right')
    thickness = OutputMultiObject(File(exists=True), desc='mm, left and right')
    area = OutputMultiObject(File(exists=True), desc='mm2, left and right')
    volume = OutputMultiObject(File(exists=True), desc='mm3, left and right')


class _FitSurfacesOutputSpec(SurfacesOutputSpec):
    undefined = OutputMultiObject(File(exists=True), desc='1 clamped, 2 self-intersecting')


class FitSurfaces(SimpleInterface):
    """Carry the template's surfaces into the T1w, fit them to its own boundaries, measure them."""

    input_spec = _FitSurfacesInputSpec
    output_spec = _FitSurfacesOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        data, affine = load_volume(self.inputs.in_file)
        tissues = np.stack([load_volume(path)[0] for path in self.inputs.tpms])
        image = tissue_image(data, affine, tissues, self.inputs.images_to_t1w)
        results: dict[str, list[str]] = {key: [] for key in _FitSurfacesOutputSpec().get()}
        out = Path(runtime.cwd)
        for hemi, mesh in load_template(self.inputs.density).items():
            fit, undefined = fit_hemisphere(image, hemi, self.inputs.points_to_t1w)
            outside = outside_grid(fit.white, data.shape, affine)
            outside |= outside_grid(fit.pial, data.shape, affine)
            undefined = np.where(outside & load_template()[hemi].cortex, 3, undefined)
            found = measure_hemisphere(fit.white, fit.pial, undefined, hemi, self.inputs.density)
            for kind, file in write_surfaces(out, found.white, found.pial, mesh.faces, hemi):
                results[kind].append(file)
            path = out / f'{hemi}_undefined.label.gii'
            write_labels(path, found.undefined, UNDEFINED, hemi, 'undefined')
            results['undefined'].append(str(path))
            for name in MAPS:
                values = getattr(found, name)
                path = out / f'{hemi}_{name}.shape.gii'
                results[name].append(str(write_map(path, values, hemi, name)))
        self._results.update(results)
        return runtime
