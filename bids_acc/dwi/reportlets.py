"""Nipype shells around the figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from . import files


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
        from .figures import plot_overlay, save

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
        self._results['out_file'] = str(save(figure, Path(runtime.cwd) / 'fa.png'))
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
        from .figures import plot_motion, save

        table = pd.read_csv(self.inputs.motion, sep='\t', na_values='n/a')
        figure = plot_motion(
            table[['trans_x', 'trans_y', 'trans_z']],
            table[['rot_x', 'rot_y', 'rot_z']],
            self.inputs.report.get('outlier_list', []),
            table['framewise_displacement'],
            files.Gradients.read(self.inputs.gradients).bvals,
        )
        self._results['out_file'] = str(save(figure, Path(runtime.cwd) / 'motion.svg'))
        return runtime


class _PlotSchemeInputSpec(BaseInterfaceInputSpec):
    gradients = File(exists=True, mandatory=True, desc='gradient table')
    report = traits.Dict(mandatory=True, desc='with the shells')


class PlotScheme(SimpleInterface):
    """Draw the sampling scheme."""

    input_spec = _PlotSchemeInputSpec
    output_spec = _FigureOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from .figures import plot_scheme, save

        table = files.Gradients.read(self.inputs.gradients)
        shells = self.inputs.report.get('shells', {})
        title = ', '.join(f'{n} x b {b}' for b, n in shells.items())
        figure = plot_scheme(table.bvals, table.directions, title)
        self._results['out_file'] = str(save(figure, Path(runtime.cwd) / 'scheme.svg'))
        return runtime
