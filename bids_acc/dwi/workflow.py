"""The diffusion line as a graph: series to FA, MD and MO in the brain and at the cortex."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nipype.interfaces import mrtrix3 as mrt
from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from bids_acc.derivatives.outputs import init_sink
from bids_acc.settings import DwiSettings

from .interfaces import (
    MAP_NAMES,
    BrainMask,
    Coregister,
    Denoise,
    EstimateMotion,
    FitTensor,
    GatherReports,
    JoinRuns,
    PickSide,
    QualityTable,
    ResampleSeries,
    SampleSurface,
    Unring,
)
from .reportlets import PlotMotion, PlotOverlay, PlotScheme

HEMISPHERES = ('L', 'R')
INPUTS = ('dwi_files', 'bval_files', 'bvec_files', 'sidecars')
ANAT_INPUTS = ('t1w_preproc', 't1w_mask', 'tpms', 'white', 'pial', 'midthickness')
STEP_REPORTS = ('denoising', 'unringing')
VERTEX_NAMES = (*MAP_NAMES, 'coverage', 'fluid')
MIN_VOLUMES = 30
"""Below this number `auto` does not denoise: the Marchenko-Pastur law is that of large matrices,
and of 20 volumes it was seen to take away a sixth of the white matter's FA."""

UNITS = {'md': 'mm2/s', 'ad': 'mm2/s', 'rd': 'mm2/s'}
"""Of the maps that have one."""


def choose_engines(settings: DwiSettings) -> dict[str, str]:
    """Decide which program does each step, from the settings and what is on PATH.

    Parameters
    ----------
    settings : DwiSettings

    Returns
    -------
    dict of str to str
        ``none`` where a step is skipped.
    """

    def on_path(program: str, otherwise: str) -> str:
        return 'mrtrix3' if shutil.which(program) else otherwise

    denoise, unringing = settings.denoise, settings.unringing
    return {
        'denoise': on_path('dwidenoise', 'builtin') if denoise == 'auto' else denoise,
        'unringing': on_path('mrdegibbs', 'none') if unringing == 'auto' else unringing,
        'motion': settings.motion,
        'susceptibility': 'none',
        'bias': settings.bias,
        'tensor_fit': settings.tensor_fit,
    }


def engine_versions(engines: Mapping[str, str]) -> dict[str, str]:
    """Name the version of each program that is used."""
    names = set(engines.values())
    versions = {'antspyx': version('antspyx')}
    if 'dipy' in names:
        versions['dipy'] = version('dipy')
    if 'mrtrix3' in names:
        versions['mrtrix3'] = str(mrt.DWIDenoise().version or 'unknown')
    return versions


def init_dwi_wf(
    *,
    output_dir: Path,
    entities: Mapping[str, Any],
    settings: DwiSettings,
    has_anat: bool,
    density: str = '41k',
    omp_nthreads: int = 1,
    seed: int = 0,
    name: str = 'dwi_wf',
) -> pe.Workflow:
    """Turn the diffusion series of a session into maps of the diffusion tensor.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative dataset.
    entities : mapping
        Entities of the series.
    settings : DwiSettings
        Steps and engines.
    has_anat : bool
        Whether T1w image, tissues and surfaces are there; without them, maps stay in the
        space of the first b = 0 volume.
    density : str
        Of the template mesh.
    omp_nthreads : int
        Threads that one step may use.
    seed : int
        Of registration.
    name : str
        Name of the workflow.

    Inputs
    ------
    dwi_files, bval_files, bvec_files
        One of each per run.
    sidecars
        Metadata of each run.
    t1w_preproc, t1w_mask, tpms
        T1w image, its brain, and fractions of GM, WM and CSF (only with ``has_anat``).
    white, pial, midthickness
        Surfaces, left and right, scanner RAS (only with ``has_anat``).

    Outputs
    -------
    fa, md, ad, rd, mo
        Maps, in T1w space with ``has_anat``.
    vertex_fa, vertex_md, vertex_mo
        Vertex maps, left and right (only with ``has_anat``).
    qc
        Table of quality measures.
    """
    engines = choose_engines(settings)
    workflow = pe.Workflow(name=name)
    fields = [*INPUTS, *(ANAT_INPUTS if has_anat else ())]
    inputnode = pe.Node(niu.IdentityInterface(fields=fields), name='inputnode')
    vertex = [f'vertex_{n}' for n in ('fa', 'md', 'mo')] if has_anat else []
    outputnode = pe.Node(niu.IdentityInterface([*MAP_NAMES, 'qc', *vertex]), name='outputnode')
    where: dict[str, Any] = {'output_dir': output_dir, 'entities': entities}

    prepare_wf = init_dwi_prepare_wf(
        engines=engines,
        min_volumes=MIN_VOLUMES if settings.denoise == 'auto' else 0,
        omp_nthreads=omp_nthreads,
        seed=seed,
    )
    tensor_wf = init_dwi_tensor_wf(
        settings=settings, engines=engines, has_anat=has_anat, seed=seed
    )
    sinks_wf = init_dwi_sinks_wf(**where, engines=engines, settings=settings, has_anat=has_anat)
    done = {'gradients', 'transforms', 'mask', 'report',
            *(n for n, step in zip(STEP_REPORTS, ('denoise', 'unringing'), strict=True)
              if engines[step] != 'none')}  # fmt: skip
    chain = ['series', 'gradients', 'transforms', 'reference', 'mask', 'report']
    workflow.connect([
        (inputnode, prepare_wf, [(n, f'inputnode.{n}') for n in INPUTS]),
        (prepare_wf, tensor_wf, [(f'outputnode.{n}', f'inputnode.{n}') for n in chain]),
        (prepare_wf, sinks_wf, [(f'outputnode.{n}', f'inputnode.{n}')
                                for n in ('gradients', 'transforms', 'mask', 'report',
                                          *STEP_REPORTS) if n in done]),
        (tensor_wf, sinks_wf, [(f'outputnode.{n}', f'inputnode.{n}') for n in SINK_FIELDS]),
        (sinks_wf, outputnode, [(f'outputnode.{n}', n) for n in (*MAP_NAMES, 'qc')]),
    ])  # fmt: skip
    if not has_anat:
        workflow.connect(prepare_wf, 'outputnode.reference', sinks_wf, 'inputnode.background')
        return workflow

    surface_wf = init_dwi_surface_wf(**where, settings=settings, density=density)
    workflow.connect([
        (inputnode, tensor_wf, [(n, f'inputnode.{n}') for n in ('t1w_preproc', 't1w_mask')]),
        (inputnode, sinks_wf, [('t1w_preproc', 'inputnode.background')]),
        (inputnode, surface_wf, [(n, f'inputnode.{n}') for n in ('tpms', 'white', 'pial')]),
        (prepare_wf, surface_wf, [(f'outputnode.{n}', f'inputnode.{n}')
                                  for n in ('series', 'gradients', 'transforms')]),
        (tensor_wf, surface_wf, [(f'outputnode.{n}', f'inputnode.{n}')
                                 for n in ('coregistration', 'axes')]),
        (tensor_wf, sinks_wf, [('outputnode.itk_transform', 'inputnode.itk_transform'),
                               ('outputnode.coreg_report', 'inputnode.coreg_report')]),
        (surface_wf, sinks_wf, [('outputnode.reports', 'inputnode.surface_reports')]),
        (surface_wf, outputnode, [(f'outputnode.{n}', n) for n in vertex]),
    ])  # fmt: skip
    return workflow


def init_dwi_prepare_wf(
    *,
    engines: Mapping[str, str],
    min_volumes: int = 0,
    omp_nthreads: int = 1,
    seed: int = 0,
    name: str = 'prepare_wf',
) -> pe.Workflow:
    """Join, denoise and unring a series, and find where the head was in each volume.

    Parameters
    ----------
    engines : mapping
        From `choose_engines`.
    min_volumes : int
        Series with fewer volumes are not denoised.
    omp_nthreads : int
        Threads for MRtrix3.
    seed : int
        Of registration.
    name : str
        Name of the workflow.

    Inputs
    ------
    dwi_files, bval_files, bvec_files, sidecars
        One of each per run.

    Outputs
    -------
    series, gradients
        All usable volumes, not interpolated, and their gradient table.
    transforms, reference, mask
        Pull matrices, mean b = 0 image, brain.
    report, denoising, unringing
        Counts and findings.
    """
    workflow = pe.Workflow(name=name)
    inputnode = pe.Node(niu.IdentityInterface(list(INPUTS)), name='inputnode')
    fields = ['series', 'gradients', 'transforms', 'reference', 'mask', 'report', 'denoising',
              'unringing']  # fmt: skip
    outputnode = pe.Node(niu.IdentityInterface(fields), name='outputnode')
    join = pe.Node(JoinRuns(), name='join', mem_gb=1)
    brain = pe.Node(BrainMask(), name='brain', mem_gb=0.5)
    motion = pe.Node(EstimateMotion(engine=engines['motion'], seed=seed + 1), name='motion',
                     mem_gb=2)  # fmt: skip
    workflow.connect([
        (inputnode, join, [(n, n) for n in INPUTS]),
        (join, brain, [('out_file', 'in_file'), ('gradients', 'gradients')]),
        (join, motion, [('gradients', 'gradients')]),
        (brain, motion, [('out_file', 'mask')]),
        (join, outputnode, [('gradients', 'gradients'), ('report', 'report')]),
        (brain, outputnode, [('out_file', 'mask')]),
        (motion, outputnode, [('transforms', 'transforms'), ('reference', 'reference')]),
    ])  # fmt: skip
    last = join
    if engines['denoise'] != 'none':
        denoise = pe.Node(
            Denoise(engine=engines['denoise'], min_volumes=min_volumes, nthreads=omp_nthreads),
            name='denoise', mem_gb=2, n_procs=omp_nthreads,
        )  # fmt: skip
        workflow.connect([
            (last, denoise, [('out_file', 'in_file')]),
            (brain, denoise, [('out_file', 'mask')]),
            (denoise, outputnode, [('report', 'denoising')]),
        ])  # fmt: skip
        last = denoise
    if engines['unringing'] != 'none':
        unring = pe.Node(Unring(engine=engines['unringing'], nthreads=omp_nthreads),
                         name='unring', mem_gb=2, n_procs=omp_nthreads)  # fmt: skip
        workflow.connect([
            (last, unring, [('out_file', 'in_file')]),
            (join, unring, [('partial_fourier', 'partial_fourier'),
                            ('slice_axis', 'slice_axis')]),
            (unring, outputnode, [('report', 'unringing')]),
        ])  # fmt: skip
        last = unring
    workflow.connect([
        (last, motion, [('out_file', 'in_file')]),
        (last, outputnode, [('out_file', 'series')]),
    ])  # fmt: skip
    return workflow


SINK_FIELDS = (
    *MAP_NAMES, 'residual', 'direction', 'non_positive', 'corrected', 'corrected_bval',
    'corrected_bvec', 'corrected_mask', 'tensor_report',
)  # fmt: skip
"""What the tensor's workflow hands to the sinks."""


def init_dwi_tensor_wf(
    *,
    settings: DwiSettings,
    engines: Mapping[str, str],
    has_anat: bool,
    seed: int = 0,
    name: str = 'tensor_wf',
) -> pe.Workflow:
    """Align with the T1w image, interpolate once, fit the tensor.

    Parameters
    ----------
    settings : DwiSettings
    engines : mapping
        From `choose_engines`.
    has_anat : bool
        Whether there is a T1w image to align with.
    seed : int
        Of registration.
    name : str
        Name of the workflow.

    Inputs
    ------
    series, gradients, transforms, reference, mask, report
        From `init_dwi_prepare_wf`.
    t1w_preproc, t1w_mask
        Only with ``has_anat``.

    Outputs
    -------
    fa, md, ad, rd, mo, residual, direction, non_positive
        Maps.
    corrected, corrected_bval, corrected_bvec, corrected_mask
        The series they were fitted to.
    tensor_report, coreg_report
        Quality.
    coregistration, itk_transform, axes
        Transforms.
    """
    workflow = pe.Workflow(name=name)
    fields = ['series', 'gradients', 'transforms', 'reference', 'mask', 'report', 't1w_preproc',
              't1w_mask']  # fmt: skip
    inputnode = pe.Node(niu.IdentityInterface(fields), name='inputnode')
    outputnode = pe.Node(
        niu.IdentityInterface(
            [*SINK_FIELDS, 'coregistration', 'itk_transform', 'axes', 'coreg_report']
        ),
        name='outputnode',
    )
    resample = pe.Node(ResampleSeries(bias=engines['bias'] == 'n4'), name='resample', mem_gb=3)
    fit = pe.Node(
        FitTensor(
            method=engines['tensor_fit'], b_max=settings.b_max, fix_axes=settings.gradient_fix
        ),
        name='fit',
        mem_gb=2,
    )
    workflow.connect([
        (inputnode, resample, [('series', 'in_file'), ('gradients', 'gradients'),
                               ('transforms', 'transforms')]),
        (resample, fit, [('out_file', 'in_file'), ('out_mask', 'mask'),
                         ('gradients', 'gradients')]),
        (resample, outputnode, [('out_file', 'corrected'), ('bval', 'corrected_bval'),
                                ('bvec', 'corrected_bvec'), ('out_mask', 'corrected_mask')]),
        (fit, outputnode, [*((n, n) for n in (*MAP_NAMES, 'residual', 'direction')),
                           ('non_positive', 'non_positive'), ('axes', 'axes'),
                           ('report', 'tensor_report')]),
    ])  # fmt: skip
    if not has_anat:
        workflow.connect(inputnode, 'mask', resample, 'mask')
        return workflow
    coregister = pe.Node(Coregister(seed=seed + 1), name='coregister', mem_gb=1)
    workflow.connect([
        (inputnode, coregister, [('reference', 'reference'), ('mask', 'mask'),
                                 ('t1w_preproc', 't1w'), ('t1w_mask', 't1w_mask')]),
        (inputnode, resample, [('t1w_mask', 'mask')]),
        (coregister, resample, [('transform', 'coregistration')]),
        (coregister, outputnode, [('transform', 'coregistration'),
                                  ('itk_transform', 'itk_transform'),
                                  ('report', 'coreg_report')]),
    ])  # fmt: skip
    return workflow


def init_dwi_surface_wf(
    *,
    output_dir: Path,
    entities: Mapping[str, Any],
    settings: DwiSettings,
    density: str,
    name: str = 'surface_wf',
) -> pe.Workflow:
    """Measure diffusion in the cortical ribbon.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative dataset.
    entities : mapping
        Entities of the series.
    settings : DwiSettings
    density : str
        Of the template mesh.
    name : str
        Name of the workflow.

    Inputs
    ------
    series, gradients, transforms, coregistration, axes
        The series and its transforms.
    tpms, white, pial
        Tissues and surfaces, left and right.

    Outputs
    -------
    vertex_fa, vertex_md, vertex_mo
        Vertex maps, left and right.
    reports
        Coverage of each side.
    """
    workflow = pe.Workflow(name=name)
    fields = ['series', 'gradients', 'transforms', 'coregistration', 'axes', 'tpms', 'white',
              'pial']  # fmt: skip
    inputnode = pe.Node(niu.IdentityInterface(fields), name='inputnode')
    merged = ('vertex_fa', 'vertex_md', 'vertex_mo', 'reports')
    outputnode = pe.Node(niu.IdentityInterface(list(merged)), name='outputnode')
    gather = {n: pe.Node(niu.Merge(2), name=f'gather_{n}') for n in merged}
    workflow.connect([(gather[n], outputnode, [('out', n)]) for n in merged])
    for number, side in enumerate(HEMISPHERES):
        node = pe.Node(
            SampleSurface(hemisphere=side, method=settings.tensor_fit, b_max=settings.b_max,
                          depths=settings.depths),
            name=f'sample_{side}', mem_gb=2,
        )  # fmt: skip
        pick = pe.Node(PickSide(index=number), name=f'pick_{side}')
        workflow.connect([
            (inputnode, pick, [('white', 'white'), ('pial', 'pial')]),
            (pick, node, [('white', 'white'), ('pial', 'pial')]),
            (inputnode, node, [('series', 'in_file'), ('gradients', 'gradients'),
                               ('transforms', 'transforms'), ('axes', 'axes'),
                               ('coregistration', 'coregistration'), ('tpms', 'tpms')]),
            (node, gather['reports'], [('report', f'in{number + 1}')]),
        ])  # fmt: skip
        for what in VERTEX_NAMES:
            sink = init_sink(f'dwi_vertex_{what}', output_dir=output_dir, entities=entities,
                             hemisphere=side, density=density,
                             name=f'ds_{what}_{side}')  # fmt: skip
            sink.inputs.metadata = {
                'SamplingDepths': settings.depths,
                'Weights': 'Squared grey-matter share of the voxel',
            }
            workflow.connect(node, what, sink, 'in_file')
            if f'vertex_{what}' in merged:
                workflow.connect(sink, 'out_file', gather[f'vertex_{what}'], f'in{number + 1}')
    return workflow


def init_dwi_sinks_wf(
    *,
    output_dir: Path,
    entities: Mapping[str, Any],
    settings: DwiSettings,
    engines: Mapping[str, str],
    has_anat: bool,
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
    name : str
        Name of the workflow.

    Inputs
    ------
    gradients, transforms, mask, report, background, itk_transform, coreg_report,
    surface_reports, and the outputs of `init_dwi_tensor_wf`.

    Outputs
    -------
    fa, md, ad, rd, mo, qc
        The kept files.
    """
    where: dict[str, Any] = {'output_dir': output_dir, 'entities': entities}
    suffix = '_t1w' if has_anat else ''
    workflow = pe.Workflow(name=name)
    fields = ['gradients', 'transforms', 'mask', 'report', *STEP_REPORTS, 'background',
              'itk_transform',
              'coreg_report', 'surface_reports', *SINK_FIELDS]  # fmt: skip
    inputnode = pe.Node(niu.IdentityInterface(fields), name='inputnode')
    outputnode = pe.Node(niu.IdentityInterface([*MAP_NAMES, 'qc']), name='outputnode')
    used = {**dict(engines), 'versions': engine_versions(engines)}
    table = pe.Node(QualityTable(engines=used), name='table')
    for what in (*MAP_NAMES, 'residual', 'non_positive'):
        label = what.replace('_', '')
        sink = init_sink(f'dwi_map{suffix}', **where, param=label, name=f'ds_{label}')
        sink.inputs.metadata = {'Units': UNITS.get(what, '1'), 'Model': _model(settings, engines)}
        workflow.connect(inputnode, what, sink, 'in_file')
        if what in MAP_NAMES:
            workflow.connect(sink, 'out_file', outputnode, what)
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

    reports = pe.Node(GatherReports(), name='reports')
    ds_qc = init_sink('dwi_qc', **where, name='ds_qc')
    ds_motion = init_sink('dwi_motion', **where, name='ds_motion')
    workflow.connect([
        (inputnode, reports, [('report', 'series'), ('tensor_report', 'tensor'),
                              *((n, n) for n in STEP_REPORTS)]),
        (reports, table, [('out', 'reports')]),
        (inputnode, table, [('transforms', 'transforms'), ('mask', 'mask')]),
        (table, ds_qc, [('out_file', 'in_file'), ('metadata', 'metadata')]),
        (table, ds_motion, [('motion', 'in_file')]),
        (ds_qc, outputnode, [('out_file', 'qc')]),
    ])  # fmt: skip
    if has_anat:
        workflow.connect([
            (inputnode, reports, [('coreg_report', 'coregistration'),
                                  ('surface_reports', 'surfaces')]),
        ])  # fmt: skip
    _add_figures(workflow, inputnode, table, where)
    return workflow


def _model(settings: DwiSettings, engines: Mapping[str, str]) -> dict[str, Any]:
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
        },
    }


def _add_figures(
    workflow: pe.Workflow, inputnode: pe.Node, table: pe.Node, where: Mapping[str, Any]
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
