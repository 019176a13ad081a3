"""Stage 4: maps, series, quality and figures under their BIDS names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from bids_acc.derivatives.outputs import SinkPlace, init_sink
from bids_acc.dwi.interfaces.quality import GatherReports, QualityTable
from bids_acc.dwi.interfaces.reportlets import PlotMotion, PlotOverlay, PlotScheme
from bids_acc.dwi.interfaces.surface import RegionTable
from bids_acc.dwi.interfaces.tensor import MAP_NAMES
from bids_acc.dwi.workflow.engines import engine_versions
from bids_acc.dwi.workflow.prepare import STEP_REPORTS
from bids_acc.dwi.workflow.tensor import SINK_FIELDS, draws_fields
from bids_acc.settings import DwiSettings
from bids_acc.typing import Metadata

UNITS = {'md': 'mm2/s', 'ad': 'mm2/s', 'rd': 'mm2/s'}
"""Of the maps that have one."""


def init_dwi_sinks_wf(
    *,
    output_dir: Path,
    entities: Metadata,
    settings: DwiSettings,
    engines: Mapping[str, str],
    has_anat: bool,
    notes: Sequence[str] = (),
    name: str = 'sinks_wf',
) -> pe.Workflow:
    """Keep maps, series, quality table and figures under their BIDS names.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative dataset.
    entities : mapping
        Entities of the series.
    settings : DwiSettings
    engines : mapping
        From `choose_engines`; written into the sidecars.
    has_anat : bool
        Whether maps lie in T1w space.
    notes : sequence of str
        What was decided beforehand, in sentences.
    name : str
        Name of the workflow.

    Inputs
    ------
    gradients, motion, mask, report, runs_report, background, itk_transform, coreg_report,
    coreg_figure, anatomy_figure, distortion_figure, fields_figure, figure, denoised_figure,
    surface_reports, surface_parcels, and the outputs of `init_dwi_tensor_wf`.

    Outputs
    -------
    qc
        Table of quality measures.
    """
    where: SinkPlace = {'output_dir': output_dir, 'entities': entities}
    suffix = '_t1w' if has_anat else ''
    workflow = pe.Workflow(name=name)
    fields = ['gradients', 'motion', 'mask', 'report', 'runs_report', *STEP_REPORTS, 'background',
              'figure', 'denoised_figure',
              'itk_transform', 'coreg_report', 'coreg_figure', 'anatomy_figure',
              'distortion_figure', 'fields_figure', 'surface_reports', 'surface_parcels',
              *SINK_FIELDS]  # fmt: skip
    inputnode = pe.Node(niu.IdentityInterface(fields), name='inputnode')
    outputnode = pe.Node(niu.IdentityInterface(['qc']), name='outputnode')
    used = {**dict(engines), 'versions': engine_versions(engines)}
    table = pe.Node(QualityTable(engines=used, notes=list(notes)), name='table')
    for what in (*MAP_NAMES, 'residual', 'non_positive'):
        label = what.replace('_', '')
        sink = init_sink(f'dwi_map{suffix}', **where, param=label, name=f'ds_{label}')
        sink.inputs.metadata = {'Units': UNITS.get(what, '1'), 'Model': _model(settings, engines)}
        workflow.connect(inputnode, what, sink, 'in_file')
    for what, key in (('corrected', f'dwi_preproc{suffix}'),
                      ('corrected_mask', f'dwi_mask{suffix}'),
                      ('corrected_bval', f'dwi_preproc{suffix}_bval'),
                      ('corrected_bvec', f'dwi_preproc{suffix}_bvec')):  # fmt: skip
        sink = init_sink(key, **where, name=f'ds_{what}')
        workflow.connect(inputnode, what, sink, 'in_file')
        if what == 'corrected':
            workflow.connect(table, 'metadata', sink, 'metadata')
    if has_anat:
        ds_xfm = init_sink('dwi_xfm', **where, name='ds_xfm')
        workflow.connect(inputnode, 'itk_transform', ds_xfm, 'in_file')
        regions = pe.Node(RegionTable(), name='regions')
        ds_regions = init_sink('dwi_regions', **where, name='ds_regions')
        for what in ('coreg', 'anatomy', 'distortion'):
            ds_figure = init_sink(f'dwi_figure_{what}', **where, name=f'ds_{what}')
            workflow.connect(inputnode, f'{what}_figure', ds_figure, 'in_file')
        workflow.connect([
            (inputnode, regions, [('surface_parcels', 'rows')]),
            (regions, ds_regions, [('out_file', 'in_file')]),
        ])  # fmt: skip
    ds_steps = init_sink('dwi_figure_steps', **where, name='ds_steps')
    workflow.connect(inputnode, 'figure', ds_steps, 'in_file')
    ds_denoised = init_sink('dwi_figure_denoised', **where, name='ds_denoised')
    workflow.connect(inputnode, 'denoised_figure', ds_denoised, 'in_file')
    if draws_fields(engines):
        ds_fields = init_sink('dwi_figure_fields', **where, name='ds_fields')
        workflow.connect(inputnode, 'fields_figure', ds_fields, 'in_file')

    reports = pe.Node(GatherReports(), name='reports')
    ds_qc = init_sink('dwi_qc', **where, name='ds_qc')
    ds_motion = init_sink('dwi_motion', **where, name='ds_motion')
    workflow.connect([
        (inputnode, reports, [('report', 'series'), ('tensor_report', 'tensor'),
                              ('runs_report', 'runs'),
                              *((n, n) for n in STEP_REPORTS)]),
        (reports, table, [('out', 'reports')]),
        (inputnode, table, [('motion', 'transforms'), ('mask', 'mask'),
                            ('gradients', 'gradients')]),
        (table, ds_qc, [('out_file', 'in_file'), ('metadata', 'metadata')]),
        (table, ds_motion, [('motion', 'in_file')]),
        (table, outputnode, [('out_file', 'qc')]),
    ])  # fmt: skip
    if has_anat:
        workflow.connect([
            (inputnode, reports, [('coreg_report', 'coregistration'),
                                  ('surface_reports', 'surfaces')]),
        ])  # fmt: skip
    _add_figures(workflow, inputnode, table, where)
    return workflow


def _model(settings: DwiSettings, engines: Mapping[str, str]) -> dict[str, object]:
    """Describe the model as BEP016 does."""
    weights = {
        'ols': 'equal',
        'wls': 'squared measured signal',
        'iwls': 'squared predicted signal, 2 iterations after squared measured signal',
    }
    method = engines['tensor_fit']
    return {
        'Description': 'Diffusion tensor, linear fit to the log signal',
        'Parameters': {
            'FitMethod': method,
            'Weights': weights[method],
            'LargestBValue': settings.b_max,
            'OutlierSlices': 'weight zero',
            'B0': f'volumes with b <= {settings.b0_threshold:g} s/mm2 count as b = 0 and have no '
            'direction',
        },
    }


def _add_figures(
    workflow: pe.Workflow, inputnode: pe.Node, table: pe.Node, where: SinkPlace
) -> None:
    """Add the three figures of the subject's page."""
    overlay = pe.Node(PlotOverlay(), name='overlay')
    motion = pe.Node(PlotMotion(), name='plot_motion')
    scheme = pe.Node(PlotScheme(), name='scheme')
    workflow.connect([
        (inputnode, overlay, [('background', 'background'), ('fa', 'fa'), ('md', 'md'),
                              ('direction', 'direction')]),
        (inputnode, motion, [('gradients', 'gradients'), ('tensor_report', 'report')]),
        (table, motion, [('motion', 'motion')]),
        (inputnode, scheme, [('gradients', 'gradients'), ('report', 'report')]),
    ])  # fmt: skip
    for node, key in ((overlay, 'fa'), (motion, 'motion'), (scheme, 'scheme')):
        sink = init_sink(f'dwi_figure_{key}', **where)
        workflow.connect(node, 'out_file', sink, 'in_file')
