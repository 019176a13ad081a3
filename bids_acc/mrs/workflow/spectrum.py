"""From a raw spectrum to levels, quality and verdicts, in one graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from bids_acc.derivatives.outputs import SinkPlace, init_sink
from bids_acc.mrs.engines.run import choose_engine
from bids_acc.mrs.interfaces.fit import FitBlocks, FitSpectrum
from bids_acc.mrs.interfaces.preprocess import PreprocessSpectrum
from bids_acc.mrs.interfaces.tables import (
    PlotConcordance,
    PlotFit,
    PlotLevels,
    PlotModel,
    TabulateSpectrum,
)
from bids_acc.mrs.interfaces.voxel import PlotVoxel, VoxelInTemplate, VoxelOnCortex, VoxelTissue
from bids_acc.settings import MrsSettings

TABLES = {
    'quantities': 'mrs_quantities',
    'quality': 'mrs_quality',
    'fit': 'mrs_fit',
    'checklist': 'mrs_checklist',
    'components': 'mrs_components',
    'correlation': 'mrs_correlation',
}
"""Tables of a spectrum and their rows in the table of outputs."""


FIT_INPUTS = (
    ('out_file', 'in_file'), ('report_file', 'report_file'), ('water_file', 'water_file'),
)  # fmt: skip
"""What preprocessing hands to an engine."""


def _fit_node(
    engine: str,
    settings: MrsSettings,
    entities: Mapping[str, object],
    name: str,
    cache_dir: Path | None = None,
    seed: int = 0,
    interface: type[FitSpectrum] = FitSpectrum,
) -> pe.Node:
    """Node that runs one engine."""
    node = pe.Node(
        interface(
            engine=engine,
            basis=settings.basis,
            # empty: the sidecar's words, or those of the file's acq entity, tell the sequence
            sequence='' if settings.sequence == 'auto' else settings.sequence,
            acquisition=str(entities.get('acquisition', '')),
            macromolecules=settings.macromolecules,
            ppm_max=settings.ppm_max,
            seed=seed,
        ),
        name=name,
        mem_gb=0.5,
    )
    # traits take no None: what nobody gave stays undefined
    if settings.fits is not None:
        node.inputs.fits_dir = settings.fits
    if settings.te1 is not None:
        node.inputs.te1 = settings.te1
    if settings.tm is not None:
        node.inputs.tm = settings.tm
    if settings.baseline_ed is not None:
        node.inputs.baseline_ed_per_ppm = settings.baseline_ed
    if cache_dir is not None:
        node.inputs.cache_dir = str(cache_dir)
    return node


TISSUE_INPUTS = (
    'svs_file', 't1w_preproc', 'tpms', 'acc_mask', 'template_to_t1w_xfm', 'white', 'pial',
)  # fmt: skip
"""The raw spectrum and the anatomy that its voxel is drawn into."""


def init_mrs_tissue_wf(
    *,
    output_dir: Path,
    entities: Mapping[str, object],
    density: str,
    name: str = 'mrs_tissue_wf',
) -> pe.Workflow:
    """Say where a spectrum was measured and in which tissues.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative dataset.
    entities : mapping
        Entities of the spectrum.
    density : str
        Of the surfaces' mesh, for file names.
    name : str
        Name of the workflow.

    Inputs
    ------
    svs_file
        The raw spectrum, whose affine is the voxel.
    t1w_preproc
        T1w image.
    tpms
        Maps of GM, WM and CSF on its grid.
    acc_mask
        Anterior cingulate on its grid; may be left open.
    template_to_t1w_xfm
        Affine and warp that resample template images onto the T1w image.
    white, pial
        Left and right surfaces in its space.

    Outputs
    -------
    tissue_file
        Fractions and overlap, JSON.
    """
    workflow = pe.Workflow(name=name)
    inputnode = pe.Node(
        niu.IdentityInterface(fields=list(TISSUE_INPUTS), mandatory_inputs=False), name='inputnode'
    )
    voxel = pe.Node(VoxelTissue(), name='voxel', mem_gb=1)
    template = pe.Node(VoxelInTemplate(), name='template', mem_gb=0.5)
    ds_template = init_sink(
        'mrs_template_voxel', output_dir=output_dir, entities=entities, name='ds_template'
    )
    cortex = pe.Node(VoxelOnCortex(), name='cortex', mem_gb=0.5)
    for side, field in (('L', 'left'), ('R', 'right')):
        sink = init_sink(
            'mrs_vertex_voxel', output_dir=output_dir, entities=entities, hemisphere=side,
            density=density, name=f'ds_cortex_{side}',
        )  # fmt: skip
        workflow.connect(cortex, field, sink, 'in_file')
    plot = pe.Node(PlotVoxel(), name='plot_voxel', mem_gb=1)
    ds_voxel = init_sink('mrs_voxel', output_dir=output_dir, entities=entities, name='ds_voxel')
    ds_plot = init_sink(
        'mrs_figure_voxel', output_dir=output_dir, entities=entities, name='ds_plot'
    )
    outputnode = pe.Node(niu.IdentityInterface(fields=['tissue_file']), name='outputnode')
    workflow.connect([
        (inputnode, voxel, [
            ('svs_file', 'svs_file'),
            ('t1w_preproc', 't1w_file'),
            ('tpms', 'tpms'),
            ('acc_mask', 'acc_mask'),
        ]),
        (inputnode, plot, [('t1w_preproc', 't1w_file'), ('acc_mask', 'acc_mask')]),
        (inputnode, template, [('svs_file', 'svs_file'), ('template_to_t1w_xfm', 'transforms')]),
        (template, ds_template, [('out_file', 'in_file')]),
        (inputnode, cortex, [(field, field) for field in ('svs_file', 'white', 'pial')]),
        (voxel, plot, [('mask_file', 'mask_file')]),
        (voxel, ds_voxel, [('mask_file', 'in_file')]),
        (plot, ds_plot, [('out_file', 'in_file')]),
        (voxel, outputnode, [('tissue_file', 'tissue_file')]),
    ])  # fmt: skip
    return workflow


def init_mrs_report_wf(
    *,
    output_dir: Path,
    entities: Mapping[str, object],
    settings: MrsSettings,
    second: bool = False,
    name: str = 'mrs_report_wf',
) -> pe.Workflow:
    """Write the tables and figures of a fitted spectrum.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative dataset.
    entities : mapping
        Entities of the spectrum.
    settings : MrsSettings
        Gate, ratios and constants.
    second : bool
        Whether a second engine ran.
    name : str
        Name of the workflow.

    Inputs
    ------
    in_file, water_file, report_file, result_file, second_result_file, tissue_file, basis_info,
    contrast_file
        Preprocessed spectrum and water, report, fits, tissue, basis set, and differences between
        blocks.

    Outputs
    -------
    quantities, quality, fit
        Tables.
    """
    workflow = pe.Workflow(name=name)
    fields = ['in_file', 'report_file', 'result_file', 'second_result_file', 'tissue_file',
              'basis_info', 'contrast_file']  # fmt: skip
    inputnode = pe.Node(
        niu.IdentityInterface(fields=[*fields, 'water_file'], mandatory_inputs=False),
        name='inputnode',
    )
    tabulate = pe.Node(
        TabulateSpectrum(
            gate=settings.gate, ratios=list(settings.ratios), relaxation=settings.relaxation
        ),
        name='tabulate',
    )
    plot = pe.Node(PlotFit(), name='plot_fit')
    plot_levels = pe.Node(PlotLevels(), name='plot_levels')
    plot_model = pe.Node(PlotModel(), name='plot_model')
    ds_plot, ds_levels = (
        init_sink(f'mrs_figure_{what}', output_dir=output_dir, entities=entities, name=name)
        for what, name in (('fit', 'ds_plot'), ('levels', 'ds_levels'))
    )
    outputnode = pe.Node(
        niu.IdentityInterface(fields=['quantities', 'quality', 'fit']), name='outputnode'
    )
    workflow.connect([
        (inputnode, tabulate, [(field, field) for field in fields]),
        (tabulate, plot, [('fit_file', 'fit_file'), ('quality_file', 'quality_file')]),
        (tabulate, plot_levels, [('quantities_file', 'quantities_file')]),
        (plot, ds_plot, [('out_file', 'in_file')]),
        (plot_levels, ds_levels, [('out_file', 'in_file')]),
        (inputnode, plot_model, [('water_file', 'water_file')]),
        (tabulate, plot_model, [
            (f'{what}_file', f'{what}_file') for what in ('fit', 'components', 'correlation')
        ]),
    ])  # fmt: skip
    for what in ('components', 'correlation', 'water'):
        sink = init_sink(
            f'mrs_figure_{what}', output_dir=output_dir, entities=entities, name=f'ds_plot_{what}'
        )
        workflow.connect(plot_model, what, sink, 'in_file')
    where: SinkPlace = {'output_dir': output_dir, 'entities': entities}
    if second:
        _add_concordance(workflow, tabulate, where)
    tables = TABLES | ({'concordance': 'mrs_concordance'} if second else {})
    for table, key in tables.items():
        sink = init_sink(key, **where, name=f'ds_{table}')
        workflow.connect(tabulate, f'{table}_file', sink, 'in_file')
        # their columns are named by the metabolites of the fit, and are described one by one
        own = f'{table}_metadata' if table in ('components', 'correlation') else 'metadata'
        workflow.connect(tabulate, own, sink, 'metadata')
        if table in ('quantities', 'quality', 'fit'):
            workflow.connect(tabulate, f'{table}_file', outputnode, table)
    return workflow


def _add_concordance(workflow: pe.Workflow, tabulate: pe.Node, where: SinkPlace) -> None:
    """Add the figure of what two engines agree on."""
    plot = pe.Node(PlotConcordance(), name='plot_concordance')
    sink = init_sink('mrs_figure_concordance', **where, name='ds_both')
    workflow.connect([
        (tabulate, plot, [('concordance_file', 'concordance_file')]),
        (plot, sink, [('out_file', 'in_file')]),
    ])  # fmt: skip


def _add_time_course(
    workflow: pe.Workflow,
    settings: MrsSettings,
    entities: Mapping[str, object],
    output_dir: Path,
    cache_dir: Path | None,
) -> None:
    """Fit blocks beside the whole spectrum, and hand their differences to the table of levels."""
    # the built-in engine, whatever fits the whole spectrum: an imported fit has no blocks
    fit = _fit_node('builtin', settings, entities, 'fit_blocks', cache_dir, interface=FitBlocks)
    preproc, report = (workflow.get_node(name) for name in ('preproc', 'mrs_report_wf'))
    workflow.connect([
        (preproc, fit, [('blocks_file', 'in_file'), ('report_file', 'report_file')]),
        (fit, report, [('contrast_file', 'inputnode.contrast_file')]),
    ])  # fmt: skip
    sinks = {'course': 'mrs_timecourse', 'contrast': 'mrs_contrasts',
             'plot': 'mrs_figure_timecourse'}  # fmt: skip
    for field, key in sinks.items():
        name = f'ds_{field}'
        sink = init_sink(key, output_dir=output_dir, entities=entities, name=name)
        workflow.connect(fit, f'{field}_file', sink, 'in_file')


def init_mrs_wf(
    *,
    output_dir: Path,
    entities: Mapping[str, object],
    settings: MrsSettings,
    has_anat: bool,
    density: str = '41k',
    cache_dir: Path | None = None,
    note: str = '',
    seed: int = 0,
    name: str = 'mrs_wf',
) -> pe.Workflow:
    """Turn one raw spectrum into gated, tissue-corrected levels.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative dataset.
    entities : mapping
        Entities of the spectrum, with PyBIDS's long names.
    settings : MrsSettings
        Engine, basis set, gate and constants.
    has_anat : bool
        Whether there is a segmented T1w image of the same session.
    density : str
        Of its surfaces' mesh, for file names.
    cache_dir : Path, optional
        Folder where simulated basis sets are kept, named by a digest of all that made them.
    note : str
        What is known beforehand about this spectrum and belongs into its tables.
    seed : int
        Of the noise by which the built-in fit is probed.
    name : str
        Name of the workflow.

    Inputs
    ------
    svs_file, svs_metadata
        Raw spectrum (NIfTI-MRS) and its BIDS metadata.
    ref_file, ref_metadata
        Unsuppressed water of the same voxel; without it there is no water scaling.
    events_file
        Table of events of the series, where blocks are made of them.
    t1w_preproc, tpms, acc_mask, template_to_t1w_xfm, white, pial
        T1w image, maps of GM, WM, CSF and the anterior cingulate, all on one grid, with its
        transforms and surfaces; read only with ``has_anat``.

    Outputs
    -------
    quantities, quality, fit
        Tables.

    Raises
    ------
    SettingsError
        If an engine is asked for that is not there.
    """
    engine = choose_engine(settings.engine, settings.fits is not None)
    # an engine beside itself would agree with itself
    second = settings.second_engine if settings.second_engine != engine else 'none'
    workflow = pe.Workflow(name=name)
    fields = ['svs_file', 'svs_metadata', 'ref_file', 'ref_metadata', 'events_file']
    fields += TISSUE_INPUTS[1:]
    inputnode = pe.Node(
        niu.IdentityInterface(fields=fields, mandatory_inputs=False), name='inputnode'
    )
    preproc = pe.Node(
        PreprocessSpectrum(
            eddy_current=settings.eddy_current,
            edit_index=settings.edit_index,
            acquisition=str(entities.get('acquisition', '')),
            note=note,
            blocks=settings.blocks or '',
        ),
        name='preproc',
    )
    fit = _fit_node(engine, settings, entities, 'fit', cache_dir, seed)
    report_wf = init_mrs_report_wf(
        output_dir=output_dir, entities=entities, settings=settings, second=second != 'none'
    )
    ds_preproc, ds_steps = (
        init_sink(f'mrs_{what}', output_dir=output_dir, entities=entities, name=f'ds_{what}')
        for what in ('preproc', 'steps')
    )
    outputnode = pe.Node(
        niu.IdentityInterface(fields=['quantities', 'quality', 'fit']), name='outputnode'
    )
    workflow.connect([
        (inputnode, preproc, [(field, field) for field in fields[:5]]),
        (inputnode, fit, [('svs_file', 'svs_file')]),
        (preproc, fit, list(FIT_INPUTS)),
        (preproc, ds_preproc, [('out_file', 'in_file')]),
        (preproc, ds_steps, [('steps_file', 'in_file')]),
        (preproc, report_wf, [
            ('out_file', 'inputnode.in_file'),
            ('report_file', 'inputnode.report_file'),
            ('water_file', 'inputnode.water_file'),
        ]),
        (fit, report_wf, [
            ('result_file', 'inputnode.result_file'),
            ('basis_info', 'inputnode.basis_info'),
        ]),
        (report_wf, outputnode, [
            (f'outputnode.{field}', field) for field in ('quantities', 'quality', 'fit')
        ]),
    ])  # fmt: skip
    if settings.blocks is not None:
        _add_time_course(workflow, settings, entities, output_dir, cache_dir)
    if second != 'none':
        checked = choose_engine(second, settings.fits is not None)
        other = _fit_node(checked, settings, entities, 'second_fit', cache_dir, seed)
        workflow.connect([
            (inputnode, other, [('svs_file', 'svs_file')]),
            (preproc, other, list(FIT_INPUTS)),
            (other, report_wf, [('result_file', 'inputnode.second_result_file')]),
        ])  # fmt: skip
    # without a T1w image levels are there too, not corrected for tissue
    if has_anat:
        tissue_wf = init_mrs_tissue_wf(output_dir=output_dir, entities=entities, density=density)
        workflow.connect([
            (inputnode, tissue_wf, [(field, f'inputnode.{field}') for field in TISSUE_INPUTS]),
            (tissue_wf, report_wf, [('outputnode.tissue_file', 'inputnode.tissue_file')]),
        ])  # fmt: skip
    return workflow
