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

INPUTS = (
    'gradients', 'motion', 'mask', 'report', 'runs_report', 'background', 'figure',
    'denoised_figure', 'itk_transform', 'coreg_report', 'coreg_figure', 'anatomy_figure',
    'distortion_figure', 'fields_figure', 'surface_reports', 'surface_parcels',
)  # fmt: skip
"""What the sinks are given besides the tensor's maps and the reports of steps."""
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
    inputnode = pe.Node(niu.IdentityInterface([*INPUTS, *STEP_REPORTS, *SINK_FIELDS]),
                        name='inputnode')  # fmt: skip
    outputnode = pe.Node(niu.IdentityInterface(['qc']), name='outputnode')
    used = {**dict(engines), 'versions': engine_versions(engines)}
    table = pe.Node(QualityTable(engines=used, notes=list(notes)), name='table')
    workflow.add_nodes([inputnode, table, outputnode])
    _keep_maps(workflow, where, suffix, _model(settings, engines))
    _keep_series(workflow, where, suffix)
    _keep_quality(workflow, where)
    figures = ['steps', 'denoised', *(['fields'] if draws_fields(engines) else [])]
    if has_anat:
        _keep_alignment(workflow, where)
        figures += ['coreg', 'anatomy', 'distortion']
    for what in figures:
        sink = init_sink(f'dwi_figure_{what}', **where, name=f'ds_{what}')
        field = 'figure' if what == 'steps' else f'{what}_figure'
        workflow.connect(inputnode, field, sink, 'in_file')
    _add_figures(workflow, inputnode, table, where)
    return workflow


def _keep_maps(
    workflow: pe.Workflow, where: SinkPlace, suffix: str, model: Mapping[str, object]
) -> None:
    """Keep the maps of the tensor, each with the model it comes from."""
    for what in (*MAP_NAMES, 'residual', 'non_positive'):
        label = what.replace('_', '')  # BIDS entities know letters and digits only
        sink = init_sink(f'dwi_map{suffix}', **where, param=label, name=f'ds_{label}')
        sink.inputs.metadata = {'Units': UNITS.get(what, '1'), 'Model': model}
        workflow.connect(workflow.get_node('inputnode'), what, sink, 'in_file')


def _keep_series(workflow: pe.Workflow, where: SinkPlace, suffix: str) -> None:
    """Keep the series that the tensor was fitted to, its mask and its gradients."""
    inputnode, table = (workflow.get_node(n) for n in ('inputnode', 'table'))
    for what, key in (('corrected', f'dwi_preproc{suffix}'),
                      ('corrected_mask', f'dwi_mask{suffix}'),
                      ('corrected_bval', f'dwi_preproc{suffix}_bval'),
                      ('corrected_bvec', f'dwi_preproc{suffix}_bvec')):  # fmt: skip
        sink = init_sink(key, **where, name=f'ds_{what}')
        workflow.connect(inputnode, what, sink, 'in_file')
        if what == 'corrected':
            workflow.connect(table, 'metadata', sink, 'metadata')


def _keep_quality(workflow: pe.Workflow, where: SinkPlace) -> None:
    """Gather what the steps report into the table of quality, and keep it."""
    inputnode, table, outputnode = (
        workflow.get_node(n) for n in ('inputnode', 'table', 'outputnode')
    )
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


def _keep_alignment(workflow: pe.Workflow, where: SinkPlace) -> None:
    """Keep what only a T1w image gives: the transform, the regions, and what they report."""
    inputnode, reports = (workflow.get_node(n) for n in ('inputnode', 'reports'))
    regions = pe.Node(RegionTable(), name='regions')
    ds_xfm = init_sink('dwi_xfm', **where, name='ds_xfm')
    ds_regions = init_sink('dwi_regions', **where, name='ds_regions')
    workflow.connect([
        (inputnode, ds_xfm, [('itk_transform', 'in_file')]),
        (inputnode, regions, [('surface_parcels', 'rows')]),
        (regions, ds_regions, [('out_file', 'in_file')]),
        (inputnode, reports, [('coreg_report', 'coregistration'),
                              ('surface_reports', 'surfaces')]),
    ])  # fmt: skip


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
