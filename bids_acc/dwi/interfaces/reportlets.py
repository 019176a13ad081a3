"""Nipype shells around the figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    File,
    InputMultiObject,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from bids_acc.dwi.gradients import Gradients
from bids_acc.dwi.shells import find_shells
from bids_acc.images import files
from bids_acc.images.distortion import undistort
from bids_acc.images.frames import Frame, places_within
from bids_acc.typing import FloatArray, SingleArray, Volume


class _FigureOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='the figure')


class _PlotOverlayInputSpec(BaseInterfaceInputSpec):
    background = File(exists=True, mandatory=True, desc='T1w or mean b = 0 image')
    fa = File(exists=True, mandatory=True, desc='fractional anisotropy')
    direction = File(exists=True, mandatory=True, desc='principal direction, RAS+')
    md = File(exists=True, mandatory=True, desc='mean diffusivity, for the title')


class PlotOverlay(SimpleInterface):
    """Draw FA over the anatomy."""

    input_spec = _PlotOverlayInputSpec
    output_spec = _FigureOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from bids_acc.dwi.figures import plot_overlay
        from bids_acc.report.figures import save_figure

        fa, affine = files.read_image(self.inputs.fa)
        md = files.read_image(self.inputs.md)[0]
        title = (
            f'FA by direction; medians in the brain: FA {np.nanmedian(fa):.3f}, '
            f'MD {1e3 * np.nanmedian(md):.3f}e-3 mm2/s'
        )
        figure = plot_overlay(
            *files.read_image(self.inputs.background),
            fa,
            files.read_image(self.inputs.direction)[0],
            affine,
            title,
        )
        self._results['out_file'] = str(save_figure(figure, Path(runtime.cwd) / 'fa.png'))
        return runtime


class _PlotMotionInputSpec(BaseInterfaceInputSpec):
    motion = File(exists=True, mandatory=True, desc='motion, one row per volume')
    gradients = File(exists=True, mandatory=True, desc='gradient table')
    report = traits.Dict(mandatory=True, desc='with the list of outlier slices')


class PlotMotion(SimpleInterface):
    """Draw the motion of the head."""

    input_spec = _PlotMotionInputSpec
    output_spec = _FigureOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from bids_acc.dwi.figures import plot_motion
        from bids_acc.report.figures import save_figure

        table = pd.read_csv(self.inputs.motion, sep='\t', na_values='n/a')
        figure = plot_motion(
            table[['trans_x', 'trans_y', 'trans_z']],
            table[['rot_x', 'rot_y', 'rot_z']],
            self.inputs.report.get('outlier_list', []),
            table['framewise_displacement'],
            Gradients.read(self.inputs.gradients).bvals,
        )
        self._results['out_file'] = str(save_figure(figure, Path(runtime.cwd) / 'motion.svg'))
        return runtime


class _PlotSchemeInputSpec(BaseInterfaceInputSpec):
    gradients = File(exists=True, mandatory=True, desc='gradient table')
    report = traits.Dict(mandatory=True, desc='with the shells')


class PlotScheme(SimpleInterface):
    """Draw the sampling scheme."""

    input_spec = _PlotSchemeInputSpec
    output_spec = _FigureOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from bids_acc.dwi.figures import plot_scheme
        from bids_acc.report.figures import save_figure

        table = Gradients.read(self.inputs.gradients)
        shells = self.inputs.report.get('shells', {})
        title = ', '.join(f'{n} x b {b}' for b, n in shells.items())
        figure = plot_scheme(table.bvals, table.directions, title)
        self._results['out_file'] = str(save_figure(figure, Path(runtime.cwd) / 'scheme.svg'))
        return runtime


class _PlotStepsInputSpec(BaseInterfaceInputSpec):
    raw = File(exists=True, mandatory=True, desc='series as acquired')
    gradients = File(exists=True, mandatory=True, desc='gradient table')
    mask = File(exists=True, mandatory=True, desc='brain')
    denoised = File(exists=True, desc='series after denoising')
    unringed = File(exists=True, desc='series after unringing')


class _PlotStepsOutputSpec(_FigureOutputSpec):
    before_after = File(exists=True, desc='one volume as acquired and after all steps')


class PlotSteps(SimpleInterface):
    """Draw the series after each step of its preparation, and before and after all of them."""

    input_spec = _PlotStepsInputSpec
    output_spec = _PlotStepsOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from bids_acc.dwi.figures import plot_steps
        from bids_acc.report.figures import save_figure
        from bids_acc.report.frame_figures import no_frames, two_frames

        bvals = Gradients.read(self.inputs.gradients).bvals
        labels = find_shells(bvals).labels
        weighted = np.flatnonzero(labels > 0)
        first = int(np.flatnonzero(labels == 0)[0])
        chosen = [first, int(weighted[0]) if weighted.size else first]
        steps: list[tuple[str, npt.ArrayLike, npt.ArrayLike]] = []
        affine = np.eye(4)
        for name in ('raw', 'denoised', 'unringed'):
            path = getattr(self.inputs, name)
            if isdefined(path) and not (steps and path == self.inputs.raw):
                data, affine = files.read_image(path)
                label = 'acquired' if name == 'raw' else name
                steps.append((label, data[..., chosen[0]], data[..., chosen[1]]))
        mask = files.read_image(self.inputs.mask)[0] > 0
        figure = plot_steps(steps, affine, mask)
        self._results['out_file'] = str(save_figure(figure, Path(runtime.cwd) / 'steps.png'))
        figure = no_frames('the series was neither denoised nor unringed')
        if len(steps) > 1:
            done = ' and '.join(name for name, *_ in steps[1:])
            before = Frame('as acquired', steps[0][2], affine)
            after = Frame(done, steps[-1][2], affine)
            figure = two_frames(before, after, places_within(mask, affine))
        path = save_figure(figure, Path(runtime.cwd) / 'before_after.png')
        self._results['before_after'] = str(path)
        return runtime


class _PlotAlignmentInputSpec(BaseInterfaceInputSpec):
    reference = File(exists=True, mandatory=True, desc='mean b = 0 image')
    gradients = File(exists=True, mandatory=True, desc='gradient table with phase encoding')
    t1w = File(exists=True, mandatory=True, desc='T1w image')
    tpms = InputMultiObject(File(exists=True), mandatory=True, desc='fractions of GM, WM, CSF')
    coregistration = File(exists=True, mandatory=True, desc='affine matrix, T1w to reference')
    warp = File(exists=True, desc='displacement on the reference, where one was estimated')
    report = traits.Dict(mandatory=True, desc='overlap and cost of the alignment')


class _PlotAlignmentOutputSpec(_FigureOutputSpec):
    anatomy = File(exists=True, desc='b = 0 and T1w image at the same places')
    distortion = File(exists=True, desc='b = 0 image before and after the correction')


class PlotAlignment(SimpleInterface):
    """Draw the borders of the T1w image's tissues over the b = 0 image, and both in turn."""

    input_spec = _PlotAlignmentInputSpec
    output_spec = _PlotAlignmentOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from bids_acc.dwi.figures import plot_alignment
        from bids_acc.report.figures import save_figure
        from bids_acc.report.frame_figures import no_frames, two_frames

        measured, affine = files.read_image(self.inputs.reference)
        grey, grid = files.read_image(self.inputs.tpms[0])
        white = files.read_image(self.inputs.tpms[1])[0]
        shift, image = self._corrected(measured, affine)
        # the picture is in T1w space: the image's own grid is put where it lies there
        placed = np.linalg.inv(np.load(self.inputs.coregistration)) @ affine
        found = self.inputs.report
        title = (
            f'b = 0 image with borders of white matter (red) and brain tissue (yellow) from T1w; '
            f'Dice {found["coreg_dice"]:.3f}, NMI {found["coreg_nmi"]:.3f}'
        )
        brain = white + grey
        out = Path(runtime.cwd)
        figure = plot_alignment(image, placed, white, brain, grid, shift, title)
        self._results['out_file'] = str(save_figure(figure, out / 'alignment.png'))
        places = places_within(brain, grid)
        outlines = [(white, grid, '#e03a3e'), (brain, grid, '#e8b000')]
        t1w, t1w_grid = files.read_image(self.inputs.t1w)
        after = Frame('b = 0 image', image, placed)
        figure = two_frames(after, Frame('T1w image', t1w, t1w_grid), places, outlines)
        self._results['anatomy'] = str(save_figure(figure, out / 'anatomy.png'))
        figure = no_frames('no displacement was applied: there is no field, or it is zero')
        if shift is not None:
            before = Frame('b = 0 image as measured', measured, placed)
            after = Frame('b = 0 image, displacement by susceptibility undone', image, placed)
            figure = two_frames(before, after, places, outlines)
        self._results['distortion'] = str(save_figure(figure, out / 'distortion.png'))
        return runtime

    def _corrected(
        self, image: SingleArray, affine: FloatArray
    ) -> tuple[SingleArray | None, Volume]:
        """Return displacement and undistorted image; a field of zeros is none."""
        if not isdefined(self.inputs.warp):
            return None, image
        shift = files.read_image(self.inputs.warp)[0]
        if not np.any(shift):
            return None, image
        axis = Gradients.read(self.inputs.gradients).phase_axes[0]
        return shift, undistort(image, shift, affine, axis)


class _PlotFieldsInputSpec(BaseInterfaceInputSpec):
    warp = File(exists=True, desc='displacement by susceptibility, mm')
    warp_mask = File(exists=True, mandatory=True, desc='brain in the reference, on its grid')
    bias = File(exists=True, desc='intensity field by which the series was divided')
    bias_mask = File(exists=True, mandatory=True, desc='brain on the grid of the maps')


class PlotFields(SimpleInterface):
    """Draw the displacement by susceptibility and the bias field."""

    input_spec = _PlotFieldsInputSpec
    output_spec = _FigureOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from bids_acc.dwi.figures import FieldPanel, plot_fields
        from bids_acc.report.figures import save_figure
        from bids_acc.report.frame_figures import no_frames

        panels = []
        for name, title, limits, unit in (
            ('warp', 'displacement by susceptibility', (-6.0, 6.0), 'mm'),
            ('bias', 'bias field, relative to its mean', (0.5, 1.5), 'factor'),
        ):
            if isdefined(getattr(self.inputs, name)):
                values, affine = files.read_image(getattr(self.inputs, name))
                if name == 'warp' and not np.any(values):
                    continue  # a field of zeros corrects nothing
                mask = files.read_image(getattr(self.inputs, f'{name}_mask'))[0] > 0
                panels.append(FieldPanel(title, values, affine, mask, limits, unit))
        figure = plot_fields(panels) if panels else no_frames('no field was corrected')
        self._results['out_file'] = str(save_figure(figure, Path(runtime.cwd) / 'fields.png'))
        return runtime
