"""Nipype shells: pictures of a BOLD series for the participant's page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
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

from bids_acc.func.interfaces.measuring import read_carpet
from bids_acc.images import files
from bids_acc.images.frames import Frame, places_within


class _FigureOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='the figure')


class _PlotCarpetInputSpec(BaseInterfaceInputSpec):
    carpets = InputMultiObject(File(exists=True), mandatory=True, desc='one for each run')
    qc = File(exists=True, mandatory=True, desc='table of quality, for the title')


class PlotCarpet(SimpleInterface):
    """Draw motion and the series before and after cleaning."""

    input_spec = _PlotCarpetInputSpec
    output_spec = _FigureOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from bids_acc.func.figures import plot_carpet
        from bids_acc.report.figures import save_figure

        row = pd.read_csv(self.inputs.qc, sep='\t').iloc[0]
        title = (
            f'mean FD {row["fd_mean"]:.2f} mm, {row["n_kept"]:.0f} of {row["n_volumes"]:.0f} '
            f'volumes kept, {row["dof"]:.0f} degrees of freedom left'
        )
        figure = plot_carpet([read_carpet(Path(p)) for p in self.inputs.carpets], title)
        self._results['out_file'] = str(save_figure(figure, Path(runtime.cwd) / 'carpet.png'))
        return runtime


class _PlotMapsInputSpec(BaseInterfaceInputSpec):
    joined = File(exists=True, mandatory=True, desc='maps and matrix of a task')
    kind = traits.Enum('signal', 'activity', 'seed', mandatory=True, desc='which maps')
    seed = traits.Str('sgACC', usedefault=True, desc='whose map')
    unit = traits.Str('% x sqrt(n)', usedefault=True, desc='of ALFF')


class PlotMaps(SimpleInterface):
    """Draw maps on the cortex."""

    input_spec = _PlotMapsInputSpec
    output_spec = _FigureOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from bids_acc.func.figures import plot_maps
        from bids_acc.report.figures import save_figure

        with np.load(self.inputs.joined) as content:
            if self.inputs.kind == 'signal':
                top = _high(content['tsnr'])
                maps = [
                    ('tSNR', content['tsnr'], 0.0, top, 'viridis'),
                    ('signal (1) or none (0)', content['coverage'], 0.0, 1.0, 'cividis'),
                ]
            elif self.inputs.kind == 'activity':
                alff = f'ALFF, {self.inputs.unit}' if self.inputs.unit else 'ALFF'
                titles = {'reho': 'ReHo', 'alff': alff, 'falff': 'fALFF'}
                maps = [(title, content[name], 0.0, _high(content[name]), 'inferno')
                        for name, title in titles.items() if name in content]  # fmt: skip
            else:
                maps = [
                    (f"Fisher's z with {self.inputs.seed}", content[f'seed_{self.inputs.seed}'],
                     -0.8, 0.8, 'RdBu_r')
                ]  # fmt: skip
        out = Path(runtime.cwd) / f'{self.inputs.kind}.png'
        self._results['out_file'] = str(save_figure(plot_maps(maps), out))
        return runtime


def _high(values: np.ndarray) -> float:
    """Return a value near the top of a map, for the range of its colours."""
    finite = values[np.isfinite(values)]
    # not the largest value: a single bright vertex would make the rest of the map dark
    return float(np.quantile(finite, 0.98)) if finite.size else 1.0


class _PlotMatrixInputSpec(BaseInterfaceInputSpec):
    joined = File(exists=True, mandatory=True, desc='maps and matrix of a task')
    regions = File(exists=True, mandatory=True, desc='table of regions')


class PlotMatrix(SimpleInterface):
    """Draw the correlations of regions by network."""

    input_spec = _PlotMatrixInputSpec
    output_spec = _FigureOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from bids_acc.func.figures import plot_matrix
        from bids_acc.report.figures import save_figure

        regions = pd.read_csv(self.inputs.regions, sep='\t', keep_default_na=False)
        networks = ['' if n == 'n/a' else n for n in regions['network'].astype(str)]
        with np.load(self.inputs.joined) as content:
            figure = plot_matrix(content['matrix'], networks, "Pearson's r by network")
        self._results['out_file'] = str(save_figure(figure, Path(runtime.cwd) / 'matrix.png'))
        return runtime


class _PlotContrastsInputSpec(BaseInterfaceInputSpec):
    joined = File(exists=True, mandatory=True, desc='effects of a task')


class PlotContrasts(SimpleInterface):
    """Draw the effect of each contrast."""

    input_spec = _PlotContrastsInputSpec
    output_spec = _FigureOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from bids_acc.func.figures import plot_maps
        from bids_acc.report.figures import save_figure

        with np.load(self.inputs.joined) as content:
            found = {name.removesuffix('_effect'): content[name] for name in content.files}
        maps = []
        for name, effect in found.items():
            # the same on both sides, so that white is no effect
            limit = _high(np.abs(effect))
            maps.append((f'{name}, % signal change', effect, -limit, limit, 'RdBu_r'))
        out = Path(runtime.cwd) / 'contrasts.png'
        self._results['out_file'] = str(save_figure(plot_maps(maps), out))
        return runtime


class _PlotAlignmentInputSpec(BaseInterfaceInputSpec):
    measured = File(exists=True, mandatory=True, desc='mean BOLD image as it was measured')
    reference = File(exists=True, mandatory=True, desc='the same, undistorted where that is done')
    field_report = traits.Dict(desc='whether the distortion was corrected, as ``sdc_applied``')
    coregistration = File(exists=True, mandatory=True, desc='affine matrix, T1w to reference')
    coreg_report = traits.Dict(mandatory=True, desc='overlap of the brains')
    t1w = File(exists=True, mandatory=True, desc='T1w image')
    tpms = InputMultiObject(File(exists=True), mandatory=True, desc='fractions of GM, WM, CSF')


class _PlotAlignmentOutputSpec(TraitedSpec):
    anatomy = File(exists=True, desc='BOLD and T1w image at the same places')
    distortion = File(exists=True, desc='BOLD image before and after the correction')


class PlotBoldAlignment(SimpleInterface):
    """Draw BOLD and T1w image in turn, and the BOLD image with and without its distortion."""

    input_spec = _PlotAlignmentInputSpec
    output_spec = _PlotAlignmentOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from bids_acc.report.figures import save_figure
        from bids_acc.report.frame_figures import no_frames, two_frames

        measured, affine = files.read_image(self.inputs.measured)
        straight = files.read_image(self.inputs.reference)[0]
        grey, grid = files.read_image(self.inputs.tpms[0])
        white = files.read_image(self.inputs.tpms[1])[0]
        # both are drawn in T1w space: the series' own grid is put where it lies there
        placed = np.linalg.inv(np.load(self.inputs.coregistration)) @ affine
        brain = white + grey
        places = places_within(brain, grid)
        outlines = [(white, grid, '#e03a3e'), (brain, grid, '#e8b000')]
        title = f'mean BOLD image (Dice {self.inputs.coreg_report["coreg_dice"]:.3f})'
        t1w = Frame('T1w image', *files.read_image(self.inputs.t1w))
        figures = {
            'anatomy': two_frames(Frame(title, straight, placed), t1w, places, outlines),
            'distortion': no_frames('distortion was not corrected: there is no field to do it by'),
        }
        report = self.inputs.field_report
        if isdefined(report) and report.get('sdc_applied'):
            before = Frame('mean BOLD image as measured', measured, placed)
            after = Frame('displacement by susceptibility undone', straight, placed)
            figures['distortion'] = two_frames(before, after, places, outlines)
        for name, figure in figures.items():
            path = save_figure(figure, Path(runtime.cwd) / f'{name}.png')
            self._results[name] = str(path)
        return runtime
