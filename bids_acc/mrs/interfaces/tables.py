"""Levels, quality and curves of a spectrum as tables, and the figures drawn from them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from bids_acc.mrs.interfaces.traits import given
from bids_acc.mrs.levels.tables import (
    TableInputs,
    checklist_table,
    column_meanings,
    components_table,
    concordance_lines,
    concordance_table,
    correlation_table,
    fit_table,
    level_lines,
    quality_row,
    quantity_table,
)
from bids_acc.mrs.levels.timecourse import primary_changes
from bids_acc.mrs.results.records import load_result
from bids_acc.mrs.scan.io import read_nifti_mrs, unread
from bids_acc.mrs.scan.report import PreprocessingReport
from bids_acc.tables.writing import write_tsv


class _TabulateInputSpec(BaseInterfaceInputSpec):
    result_file = File(exists=True, mandatory=True, desc='engine result')
    second_result_file = File(exists=True, desc='result of a second engine')
    report_file = File(exists=True, mandatory=True, desc='report of preprocessing')
    tissue_file = File(exists=True, desc='tissue fractions')
    contrast_file = File(exists=True, desc='differences between blocks')
    in_file = File(exists=True, desc='preprocessed decay; open when there is none')
    basis_info = traits.Dict(desc='basis set')
    gate = traits.Str('acc-structure', usedefault=True, desc='preset or file')
    ratios = traits.List(traits.Str(), desc='declared ratios')
    relaxation = traits.Str('auto', usedefault=True, desc='relaxation constants')


class _TabulateOutputSpec(TraitedSpec):
    quantities_file = File(exists=True, desc='levels')
    quality_file = File(exists=True, desc='quality and verdicts')
    fit_file = File(exists=True, desc='curves')
    concordance_file = File(exists=True, desc='two engines side by side')
    checklist_file = File(exists=True, desc='MRSinMRS list')
    components_file = File(exists=True, desc='what each metabolite adds to the model')
    correlation_file = File(exists=True, desc='correlations of the amplitudes')
    metadata = traits.Dict(desc='for all sidecars')
    components_metadata = traits.Dict(desc='columns of the components')
    correlation_metadata = traits.Dict(desc='columns of the correlations')


class TabulateSpectrum(SimpleInterface):
    """Levels, quality, verdicts and curves as tables."""

    input_spec = _TabulateInputSpec
    output_spec = _TabulateOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        report: PreprocessingReport = json.loads(Path(self.inputs.report_file).read_text())
        in_file = given(self.inputs.in_file)
        # a spectrum that could not be read has tables, too, of n/a and the reason
        if in_file is None:
            data = unread(report['metadata'], 'spectrum', report['unusable'])
        else:
            data = read_nifti_mrs(in_file, {})
        tissue = given(self.inputs.tissue_file)
        inputs = TableInputs.build(
            result=load_result(self.inputs.result_file),
            report=report,
            tissue=json.loads(Path(tissue).read_text()) if tissue else {},
            basis_info=given(self.inputs.basis_info) or {},
            gate=self.inputs.gate,
            ratios=tuple(given(self.inputs.ratios) or ()),
            relaxation=self.inputs.relaxation,
            data=data,
        )
        contrasts = given(self.inputs.contrast_file)
        if contrasts is not None:
            table = pd.read_csv(contrasts, sep='\t', na_values='n/a')
            inputs = replace(inputs, changes=primary_changes(table))
        tables = {
            'quantities': quantity_table(inputs),
            'quality': pd.DataFrame([quality_row(inputs)]),
            'fit': fit_table(inputs),
            'checklist': checklist_table(inputs, data),
            'components': components_table(inputs),
            'correlation': correlation_table(inputs),
        }
        second = given(self.inputs.second_result_file)
        if second is not None:
            tables['concordance'] = concordance_table(inputs.result, load_result(second))
        for name, table in tables.items():
            path = Path(runtime.cwd) / f'{name}.tsv'
            write_tsv(path, table)
            self._results[f'{name}_file'] = str(path)
        self._results['metadata'] = inputs.sidecar()
        for name in ('components', 'correlation'):
            meanings = column_meanings(inputs, name)
            self._results[f'{name}_metadata'] = {**meanings, 'Engine': inputs.result.engine}
        return runtime


class _PlotInputSpec(BaseInterfaceInputSpec):
    fit_file = File(exists=True, mandatory=True, desc='curves')
    quality_file = File(exists=True, mandatory=True, desc='quality and verdicts')


class _PlotOutputSpec(TraitedSpec):
    out_file = File(desc='figure, SVG')


class PlotFit(SimpleInterface):
    """Draw spectrum, fit, baseline and residual."""

    input_spec = _PlotInputSpec
    output_spec = _PlotOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from bids_acc.mrs.figures import plot_fit, plot_no_fit
        from bids_acc.mrs.results.engine_result import Curves
        from bids_acc.report.figures import save_figure

        table = pd.read_csv(self.inputs.fit_file, sep='\t', na_values='n/a')
        quality = pd.read_csv(self.inputs.quality_file, sep='\t', na_values='n/a').iloc[0]
        reason = quality['gate_reasons']
        title = f'{quality["gate_preset"]}: {quality["gate"]}'
        title += f' ({reason})' if isinstance(reason, str) else ''
        if pd.notna(quality['te1_s']):
            parts = f'{1e3 * quality["te1_s"]:.1f} + {1e3 * quality["te2_s"]:.1f} ms'
            # read as a truth value, or as NaN where it is n/a
            assumed = str(quality['te_split_assumed']).lower() == 'true'
            title += f'\nbasis set for TE {parts}' + (', split assumed' if assumed else '')
        if isinstance(quality['artefacts'], str):
            title += f'\nremarked upon: {quality["artefacts"].replace("_", " ")}'
        title = title.replace('$', r'\$')  # LCModel's section marks are no formulas
        if table['fit'].notna().any():
            columns = ('ppm', 'data', 'fit', 'baseline')
            curves = Curves(*(table[name].to_numpy(dtype=float) for name in columns))
            difference = None
            # the difference is fitted over another range of ppm: elsewhere its columns are n/a
            if 'fit_difference' in table and table['fit_difference'].notna().any():
                part = table[table['fit_difference'].notna()]
                names = ('ppm', *(f'{name}_difference' for name in columns[1:]))
                difference = Curves(*(part[name].to_numpy(dtype=float) for name in names))
            figure = plot_fit(curves, title, difference)
        else:
            figure = plot_no_fit(title)
        out_file = save_figure(figure, Path(runtime.cwd) / 'fit.svg')
        self._results['out_file'] = str(out_file)
        return runtime


class _PlotModelInputSpec(BaseInterfaceInputSpec):
    fit_file = File(exists=True, mandatory=True, desc='curves')
    components_file = File(exists=True, mandatory=True, desc='what each metabolite adds')
    correlation_file = File(exists=True, mandatory=True, desc='correlations of the amplitudes')
    water_file = File(exists=True, desc='combined and averaged water, NIfTI-MRS')


class _PlotModelOutputSpec(TraitedSpec):
    components = File(exists=True, desc='single metabolites, SVG')
    correlation = File(exists=True, desc='matrix of correlations, SVG')
    water = File(exists=True, desc='water reference, SVG')


class PlotModel(SimpleInterface):
    """Draw the parts of the model, the correlations of its amplitudes, and the water reference."""

    input_spec = _PlotModelInputSpec
    output_spec = _PlotModelOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from bids_acc.mrs import figures
        from bids_acc.report.figures import save_figure

        names = ('fit_file', 'components_file', 'correlation_file')
        fit, parts, correlation = (
            pd.read_csv(getattr(self.inputs, name), sep='\t', na_values='n/a') for name in names
        )
        none = figures.plot_no_fit
        # a figure that says why it is empty: the node must give every file that its sinks wait for
        drawn = dict.fromkeys(('components', 'correlation'), none('the engine does not tell'))
        drawn['water'] = none('no water reference')
        if len(parts) and fit['fit'].notna().any():
            curves = {str(name): parts[name].to_numpy() for name in parts.columns[1:]}
            drawn['components'] = figures.plot_components(
                fit['ppm'], curves, fit['data'], fit['baseline']
            )
        if len(correlation):
            metabolites = [str(name) for name in correlation['metabolite']]
            drawn['correlation'] = figures.plot_correlation(metabolites, correlation.iloc[:, 1:])
        if (water_file := given(self.inputs.water_file)) is not None:
            water = read_nifti_mrs(water_file, {})
            drawn['water'] = figures.plot_water(water.fids[0, 0, 0].ravel(), water.dwell_time)
        for name, figure in drawn.items():
            path = save_figure(figure, Path(runtime.cwd) / f'{name}.svg')
            self._results[name] = str(path)
        return runtime


class _PlotLevelsInputSpec(BaseInterfaceInputSpec):
    quantities_file = File(exists=True, mandatory=True, desc='levels')


class PlotLevels(SimpleInterface):
    """Draw the levels of the main metabolites with their verdicts."""

    input_spec = _PlotLevelsInputSpec
    output_spec = _PlotOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from bids_acc.mrs.figures import plot_levels
        from bids_acc.report.figures import save_figure

        table = pd.read_csv(self.inputs.quantities_file, sep='\t', na_values='n/a')
        figure = plot_levels(*level_lines(table))
        out_file = save_figure(figure, Path(runtime.cwd) / 'levels.svg')
        self._results['out_file'] = str(out_file)
        return runtime


class _PlotConcordanceInputSpec(BaseInterfaceInputSpec):
    concordance_file = File(exists=True, mandatory=True, desc='two engines side by side')


class PlotConcordance(SimpleInterface):
    """Draw the ratios of two engines."""

    input_spec = _PlotConcordanceInputSpec
    output_spec = _PlotOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from bids_acc.mrs.figures import plot_concordance, plot_no_fit
        from bids_acc.report.figures import save_figure

        table = pd.read_csv(self.inputs.concordance_file, sep='\t', na_values='n/a')
        figure = plot_no_fit('the engines share no metabolite')
        if len(table):
            engines = (str(table['engine_1'].iloc[0]), str(table['engine_2'].iloc[0]))
            figure = plot_concordance(
                concordance_lines(table), table['ratio_tcr_1'], table['ratio_tcr_2'], engines
            )
        out_file = save_figure(figure, Path(runtime.cwd) / 'concordance.svg')
        self._results['out_file'] = str(out_file)
        return runtime
