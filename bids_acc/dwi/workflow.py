"""The diffusion line as a graph: series to FA, MD and MO in the brain and at the cortex."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nipype.interfaces import fsl
from nipype.interfaces import mrtrix3 as mrt
from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from bids_acc import __version__
from bids_acc.derivatives.outputs import init_sink
from bids_acc.exceptions import SettingsError
from bids_acc.settings import DwiSettings

from .distortion import FieldFromPair, RegisterDistortion, RunTopup, Undistort
from .eddy import RunEddy, eddy_program
from .interfaces import (
    MAP_NAMES,
    AlignMaps,
    BrainMask,
    Coregister,
    Denoise,
    EstimateMotion,
    FitTensor,
    GatherReports,
    JoinRuns,
    PickSide,
    QualityTable,
    RegionTable,
    ResampleSeries,
    SampleMaps,
    SampleSurface,
    Unring,
)
from .reportlets import PlotAlignment, PlotMotion, PlotOverlay, PlotScheme, PlotSteps
from .sampling import NODDI_NAMES

HEMISPHERES = ('L', 'R')
SERIES = ('dwi_files', 'bval_files', 'bvec_files', 'sidecars', 'opposite_files',
          'opposite_sidecars')  # fmt: skip
INPUTS = (*SERIES, 'brain_mask', 'noddi_maps')
ANAT_INPUTS = ('t1w_preproc', 't1w_mask', 'tpms', 'white', 'pial', 'midthickness', 'parcellation')
STEP_REPORTS = ('denoising', 'unringing', 'susceptibility', 'eddy')
VERTEX_NAMES = (*MAP_NAMES, 'coverage', 'fluid')
MIN_VOLUMES = 30
"""Below this number `auto` does not denoise: the Marchenko-Pastur law is that of large matrices,
and of 20 volumes it was seen to take away a sixth of the white matter's FA."""

UNITS = {'md': 'mm2/s', 'ad': 'mm2/s', 'rd': 'mm2/s'}
"""Of the maps that have one."""


def choose_engines(
    settings: DwiSettings,
    *,
    has_anat: bool = False,
    has_opposite: bool = False,
    source: str = '',
) -> dict[str, str]:
    """Decide which program does each step, from the settings and what is on PATH.

    Parameters
    ----------
    settings : DwiSettings
    has_anat : bool
        Whether there is a T1w image.
    has_opposite : bool
        Whether there are images of reversed phase encoding with known readout times.
    source : str
        Tool that corrected the series already; then nothing is corrected again.

    Returns
    -------
    dict of str to str
        ``none`` where a step is skipped.

    Raises
    ------
    SettingsError
        If a program was asked for that is not there, or cannot do its work.
    """
    if source:
        steps = ('denoise', 'unringing', 'motion', 'susceptibility', 'bias')
        return {**dict.fromkeys(steps, 'none'), 'tensor_fit': settings.tensor_fit}

    def on_path(program: str, otherwise: str) -> str:
        return 'mrtrix3' if shutil.which(program) else otherwise

    denoise, unringing = settings.denoise, settings.unringing
    return {
        'denoise': on_path('dwidenoise', 'builtin') if denoise == 'auto' else denoise,
        'unringing': on_path('mrdegibbs', 'none') if unringing == 'auto' else unringing,
        'motion': _motion_engine(settings.motion),
        'susceptibility': _susceptibility_engine(
            settings.susceptibility, has_anat=has_anat, has_opposite=has_opposite
        ),
        'bias': settings.bias,
        'tensor_fit': settings.tensor_fit,
    }


def _motion_engine(asked: str) -> str:
    """Refuse eddy where it is not."""
    if asked == 'eddy' and eddy_program() is None:
        raise SettingsError(
            '--dwi-motion eddy: none of eddy_cpu, eddy_openmp and eddy is on PATH; install FSL, '
            'or choose builtin.'
        )
    return asked


def _susceptibility_engine(asked: str, *, has_anat: bool, has_opposite: bool) -> str:
    """Choose how susceptibility distortion is corrected."""
    there = shutil.which('topup') is not None
    if asked == 'auto':
        if has_opposite:
            return 'topup' if there else 'pair'
        return 'registration' if has_anat else 'none'
    if asked == 'topup' and not there:
        raise SettingsError(
            '--dwi-susceptibility topup: topup is not on PATH; install FSL, or choose pair, '
            'which is built in.'
        )
    if asked in ('topup', 'pair') and not has_opposite:
        return 'none'
    return 'none' if asked == 'registration' and not has_anat else asked


def _notes(settings: DwiSettings, engines: Mapping[str, str], source: str) -> list[str]:
    """Say in words what was decided before the graph was built."""
    if source:
        return [f'The series was taken as {source} corrected it; no step was repeated.']
    notes = []
    if engines['susceptibility'] == 'none':
        reason = 'it was switched off.'
        if settings.susceptibility != 'none':
            reason = 'there is neither a T1w image nor one of reversed phase encoding.'
            if settings.susceptibility in ('topup', 'pair'):
                reason = 'there are no images of reversed phase encoding.'
        notes.append(f'Susceptibility distortion was not corrected: {reason}')
    if engines['motion'] == 'eddy':
        notes.append('eddy interpolates the series, so that the maps are interpolated twice.')
    return notes


def engine_versions(engines: Mapping[str, str]) -> dict[str, str]:
    """Name the version of each program that is used."""
    names = set(engines.values())
    versions = {'bids_acc': __version__, 'antspyx': version('antspyx')}
    if names & {'topup', 'eddy'}:
        versions['fsl'] = str(fsl.Info.version() or 'unknown')
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
    has_opposite: bool = False,
    source: str = '',
    noddi_source: str = '',
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
    has_opposite : bool
        Whether there are images of reversed phase encoding with known readout times.
    source : str
        Tool that corrected the series already; empty for raw data.
    noddi_source : str
        Tool that made NODDI maps; empty without any.

    Inputs
    ------
    dwi_files, bval_files, bvec_files
        One of each per run.
    sidecars
        Metadata of each run.
    opposite_files, opposite_sidecars
        Images of reversed phase encoding besides the runs, and their metadata.
    brain_mask
        Brain on the grid of the series, where ``source`` has one.
    noddi_maps
        icvf, isovf and od (only with ``noddi_source``).
    t1w_preproc, t1w_mask, tpms
        T1w image, its brain, and fractions of GM, WM and CSF (only with ``has_anat``).
    white, pial, midthickness, parcellation
        Surfaces, left and right, scanner RAS, and regions (only with ``has_anat``).

    Outputs
    -------
    fa, md, ad, rd, mo
        Maps, in T1w space with ``has_anat``.
    vertex_fa, vertex_md, vertex_mo
        Vertex maps, left and right (only with ``has_anat``).
    qc
        Table of quality measures.
    """
    engines = choose_engines(settings, has_anat=has_anat, has_opposite=has_opposite, source=source)
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
    sinks_wf = init_dwi_sinks_wf(
        **where, engines=engines, settings=settings, has_anat=has_anat, source=source,
        notes=_notes(settings, engines, source),
    )  # fmt: skip
    reports = _step_reports(engines)
    chain = ['series', 'gradients', 'transforms', 'reference', 'mask', 'report', 'slice_axis']
    # with eddy the field is in the series already
    field = ['warp'] if _field_is_left(engines) else []
    workflow.connect([
        (inputnode, prepare_wf, [(n, f'inputnode.{n}') for n in (*SERIES, 'brain_mask')]),
        (prepare_wf, tensor_wf, [(f'outputnode.{n}', f'inputnode.{n}')
                                 for n in (*chain, *field)]),
        (prepare_wf, sinks_wf, [(f'outputnode.{n}', f'inputnode.{n}')
                                for n in ('gradients', 'motion', 'mask', 'report', 'figure',
                                          *reports)]),
        (tensor_wf, sinks_wf, [(f'outputnode.{n}', f'inputnode.{n}') for n in SINK_FIELDS]),
        (sinks_wf, outputnode, [(f'outputnode.{n}', n) for n in (*MAP_NAMES, 'qc')]),
    ])  # fmt: skip
    if not has_anat:
        workflow.connect(prepare_wf, 'outputnode.reference', sinks_wf, 'inputnode.background')
        return workflow

    surface_wf = init_dwi_surface_wf(
        **where, settings=settings, density=density, noddi_source=noddi_source, seed=seed
    )
    if engines['susceptibility'] == 'registration':
        field = ['warp']
        workflow.connect(
            tensor_wf, 'outputnode.distortion_report', sinks_wf, 'inputnode.susceptibility'
        )
    if noddi_source:
        workflow.connect([
            (inputnode, surface_wf, [(n, f'inputnode.{n}')
                                     for n in ('noddi_maps', 't1w_preproc', 't1w_mask')]),
            (prepare_wf, surface_wf, [('outputnode.reference', 'inputnode.reference')]),
        ])  # fmt: skip
    workflow.connect([
        (inputnode, tensor_wf, [(n, f'inputnode.{n}')
                                for n in ('t1w_preproc', 't1w_mask', 'tpms', 'white')]),
        (inputnode, sinks_wf, [('t1w_preproc', 'inputnode.background')]),
        (inputnode, surface_wf, [(n, f'inputnode.{n}')
                                 for n in ('tpms', 'white', 'pial', 'parcellation')]),
        (prepare_wf, surface_wf, [(f'outputnode.{n}', f'inputnode.{n}')
                                  for n in ('series', 'gradients', 'transforms', 'slice_axis')]),
        (tensor_wf, surface_wf, [(f'outputnode.{n}', f'inputnode.{n}')
                                 for n in ('coregistration', 'axes', 'outliers', *field)]),
        (tensor_wf, sinks_wf, [(f'outputnode.{n}', f'inputnode.{n}')
                               for n in ('itk_transform', 'coreg_report', 'coreg_figure')]),
        (surface_wf, sinks_wf, [(f'outputnode.{n}', f'inputnode.surface_{n}')
                                for n in ('reports', 'parcels')]),
        (surface_wf, outputnode, [(f'outputnode.{n}', n) for n in vertex]),
    ])  # fmt: skip
    return workflow


def _field_is_left(engines: Mapping[str, str]) -> bool:
    """Tell whether the preparation found a field that is still to be applied.

    eddy applies topup's field itself.
    """
    found = engines['susceptibility']
    return found == 'pair' or (found == 'topup' and engines['motion'] != 'eddy')


def _step_reports(engines: Mapping[str, str]) -> list[str]:
    """List the steps of the preparation that report something."""
    done = {
        'denoising': engines['denoise'] != 'none',
        'unringing': engines['unringing'] != 'none',
        'susceptibility': engines['susceptibility'] in ('topup', 'pair'),
        'eddy': engines['motion'] == 'eddy',
    }
    return [name for name, really in done.items() if really]


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
    opposite_files, opposite_sidecars
        Images of reversed phase encoding, and their metadata.
    brain_mask
        Brain, where it is known.

    Outputs
    -------
    series, gradients
        All usable volumes, not interpolated (but by eddy), and their gradient table.
    transforms, motion, warp
        Pull matrices that are still to be applied, those of the head's motion, and topup's field.
    reference, mask
        Mean b = 0 image (undistorted where topup was used) and its brain.
    report, denoising, unringing, susceptibility, eddy
        Counts and findings.
    slice_axis, figure
        Voxel axis of the slices, and a picture of the steps.
    """
    workflow = pe.Workflow(name=name)
    inputnode = pe.Node(niu.IdentityInterface([*SERIES, 'brain_mask']), name='inputnode')
    fields = ['series', 'gradients', 'transforms', 'motion', 'warp', 'reference', 'mask',
              'report', 'slice_axis', 'figure', *STEP_REPORTS]  # fmt: skip
    outputnode = pe.Node(niu.IdentityInterface(fields), name='outputnode')
    join = pe.Node(JoinRuns(), name='join', mem_gb=1)
    brain = pe.Node(BrainMask(), name='brain', mem_gb=0.5)
    figure = pe.Node(PlotSteps(), name='figure', mem_gb=1)
    workflow.connect([
        (inputnode, join, [(n, n) for n in SERIES]),
        (inputnode, brain, [('brain_mask', 'given')]),
        (join, brain, [('out_file', 'in_file'), ('gradients', 'gradients')]),
        (join, outputnode, [('report', 'report'), ('slice_axis', 'slice_axis')]),
        (join, figure, [('out_file', 'raw'), ('gradients', 'gradients')]),
        (brain, figure, [('out_file', 'mask')]),
        (figure, outputnode, [('out_file', 'figure')]),
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
            (denoise, figure, [('out_file', 'denoised')]),
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
            (unring, figure, [('out_file', 'unringed')]),
        ])  # fmt: skip
        last = unring
    _add_motion(workflow, engines, last, omp_nthreads=omp_nthreads, seed=seed)
    return workflow


def _add_motion(
    workflow: pe.Workflow,
    engines: Mapping[str, str],
    last: pe.Node,
    *,
    omp_nthreads: int,
    seed: int,
) -> None:
    """Add topup, motion correction, and what follows from them for reference and mask."""
    join, brain, outputnode = (workflow.get_node(n) for n in ('join', 'brain', 'outputnode'))
    with_eddy = engines['motion'] == 'eddy'
    interface = (
        RunEddy(nthreads=omp_nthreads)
        if with_eddy
        else EstimateMotion(engine=engines['motion'], seed=seed + 1)
    )
    motion = pe.Node(interface, name='motion', mem_gb=2)
    workflow.connect([
        (join, motion, [('gradients', 'gradients')]),
        (brain, motion, [('out_file', 'mask')]),
        (last, motion, [('out_file', 'in_file')]),
        (motion, outputnode, [('transforms', 'transforms')]),
    ])  # fmt: skip
    if with_eddy:
        workflow.connect([
            (join, motion, [('acquisition', 'acquisition')]),
            (motion, outputnode, [('out_file', 'series'), ('gradients', 'gradients'),
                                  ('motion', 'motion'), ('report', 'eddy')]),
        ])  # fmt: skip
    else:
        workflow.connect([
            (last, outputnode, [('out_file', 'series')]),
            (join, outputnode, [('gradients', 'gradients')]),
            (motion, outputnode, [('transforms', 'motion')]),
        ])  # fmt: skip
    if engines['susceptibility'] in ('topup', 'pair'):
        field = _add_field(workflow, engines, last, seed=seed)
        if with_eddy and engines['susceptibility'] == 'topup':
            workflow.connect([(field, motion, [('fieldcoef', 'fieldcoef'), ('movpar', 'movpar')])])
    if _field_is_left(engines):
        straight = pe.Node(Undistort(), name='undistort', mem_gb=1)
        workflow.connect([
            (motion, straight, [('reference', 'reference')]),
            (field, straight, [('warp', 'warp')]),
            (join, straight, [('gradients', 'gradients')]),
            (straight, outputnode, [('out_file', 'reference'), ('out_mask', 'mask')]),
        ])  # fmt: skip
        return
    workflow.connect([
        (motion, outputnode, [('reference', 'reference')]),
        (brain, outputnode, [('out_file', 'mask')]),
    ])  # fmt: skip


def _add_field(
    workflow: pe.Workflow, engines: Mapping[str, str], last: pe.Node, *, seed: int
) -> pe.Node:
    """Add the estimate of the field from images of opposite phase encoding."""
    join, brain, outputnode = (workflow.get_node(n) for n in ('join', 'brain', 'outputnode'))
    with_topup = engines['susceptibility'] == 'topup'
    field = pe.Node(
        RunTopup() if with_topup else FieldFromPair(seed=seed + 3), name='field', mem_gb=2
    )
    workflow.connect([
        (last, field, [('out_file', 'in_file')]),
        (join, field, [(n, n) for n in ('gradients', 'opposite', 'acquisition',
                                        'opposite_acquisition')]),
        (field, outputnode, [('report', 'susceptibility'), ('warp', 'warp')]),
    ])  # fmt: skip
    if not with_topup:
        workflow.connect(brain, 'out_file', field, 'mask')
    return field


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
    series, gradients, transforms, reference, mask, report, warp, slice_axis
        From `init_dwi_prepare_wf`; the field only where topup found it.
    t1w_preproc, t1w_mask, tpms, white
        Only with ``has_anat``.

    Outputs
    -------
    fa, md, ad, rd, mo, residual, direction, non_positive
        Maps.
    corrected, corrected_bval, corrected_bvec, corrected_mask
        The series they were fitted to.
    tensor_report, coreg_report, distortion_report
        Quality.
    coregistration, itk_transform, warp, axes
        Transforms.
    outliers
        Slices that were left out of the fit.
    coreg_figure
        Picture of the alignment.
    """
    workflow = pe.Workflow(name=name)
    fields = ['series', 'gradients', 'transforms', 'reference', 'mask', 'report', 'warp',
              'slice_axis', 't1w_preproc', 't1w_mask', 'tpms', 'white']  # fmt: skip
    inputnode = pe.Node(niu.IdentityInterface(fields), name='inputnode')
    outputnode = pe.Node(
        niu.IdentityInterface(
            [
                *SINK_FIELDS,
                'coregistration',
                'itk_transform',
                'axes',
                'warp',
                'outliers',
                'coreg_report',
                'distortion_report',
                'coreg_figure',
            ]
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
                               ('transforms', 'transforms'), ('slice_axis', 'slice_axis')]),
        (resample, fit, [('out_file', 'in_file'), ('out_mask', 'mask'), ('slices', 'slices'),
                         ('seen', 'seen'), ('gradients', 'gradients')]),
        (resample, outputnode, [('out_file', 'corrected'), ('bval', 'corrected_bval'),
                                ('bvec', 'corrected_bvec'), ('out_mask', 'corrected_mask')]),
        (fit, outputnode, [*((n, n) for n in (*MAP_NAMES, 'residual', 'direction')),
                           ('non_positive', 'non_positive'), ('axes', 'axes'),
                           ('outliers', 'outliers'), ('report', 'tensor_report')]),
    ])  # fmt: skip
    if _field_is_left(engines):
        workflow.connect([
            (inputnode, resample, [('warp', 'warp')]),
            (inputnode, outputnode, [('warp', 'warp')]),
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
    picture = pe.Node(PlotAlignment(), name='picture')
    workflow.connect([
        (inputnode, picture, [('reference', 'reference'), ('t1w_preproc', 't1w'),
                              ('tpms', 'tpms'), ('gradients', 'gradients')]),
        (coregister, picture, [('transform', 'coregistration'), ('report', 'report')]),
        (picture, outputnode, [('out_file', 'coreg_figure')]),
    ])  # fmt: skip
    if engines['susceptibility'] == 'registration':
        distortion = pe.Node(RegisterDistortion(), name='distortion', mem_gb=2)
        workflow.connect([
            (inputnode, distortion, [('reference', 'reference'), ('mask', 'mask'),
                                     ('gradients', 'gradients'), ('t1w_preproc', 't1w'),
                                     ('t1w_mask', 't1w_mask'), ('tpms', 'tpms')]),
            (coregister, distortion, [('transform', 'coregistration')]),
            (distortion, resample, [('warp', 'warp')]),
            (distortion, picture, [('warp', 'warp')]),
            (distortion, outputnode, [('warp', 'warp'), ('report', 'distortion_report')]),
        ])  # fmt: skip
    return workflow


def init_dwi_surface_wf(
    *,
    output_dir: Path,
    entities: Mapping[str, Any],
    settings: DwiSettings,
    density: str,
    noddi_source: str = '',
    seed: int = 0,
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
    noddi_source : str
        Tool that made NODDI maps; empty without any.
    seed : int
        Of registration.
    name : str
        Name of the workflow.

    Inputs
    ------
    series, gradients, transforms, coregistration, warp, axes, outliers, slice_axis
        The series, its transforms and its bad slices.
    tpms, white, pial, parcellation
        Tissues, surfaces and regions, left and right.
    noddi_maps, reference, t1w_preproc, t1w_mask
        Only with ``noddi_source``.

    Outputs
    -------
    vertex_fa, vertex_md, vertex_mo
        Vertex maps, left and right.
    reports, parcels
        Coverage of each side and of each region.
    """
    workflow = pe.Workflow(name=name)
    fields = ['series', 'gradients', 'transforms', 'coregistration', 'warp', 'axes', 'outliers',
              'slice_axis', 'tpms', 'white', 'pial', 'parcellation', 'noddi_maps', 'reference',
              't1w_preproc', 't1w_mask']  # fmt: skip
    inputnode = pe.Node(niu.IdentityInterface(fields), name='inputnode')
    merged = ('vertex_fa', 'vertex_md', 'vertex_mo', 'reports', 'parcels')
    outputnode = pe.Node(niu.IdentityInterface(list(merged)), name='outputnode')
    gather = {n: pe.Node(niu.Merge(2), name=f'gather_{n}') for n in merged}
    noddi = _add_noddi(workflow, inputnode, seed) if noddi_source else None
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
                               ('transforms', 'transforms'), ('axes', 'axes'), ('warp', 'warp'),
                               ('outliers', 'outliers'), ('slice_axis', 'slice_axis'),
                               ('coregistration', 'coregistration'), ('tpms', 'tpms'),
                               ('parcellation', 'labels')]),
            (node, gather['reports'], [('report', f'in{number + 1}')]),
            (node, gather['parcels'], [('parcels', f'in{number + 1}')]),
        ])  # fmt: skip
        if noddi is not None:
            _add_noddi_side(
                workflow, noddi, pick, side, noddi_source,
                output_dir=output_dir, entities=entities, density=density,
            )  # fmt: skip
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


def _add_noddi(workflow: pe.Workflow, inputnode: pe.Node, seed: int) -> pe.Node:
    """Add the alignment of a derivative's NODDI maps with the T1w image."""
    align = pe.Node(AlignMaps(seed=seed + 2), name='align_noddi', mem_gb=1)
    workflow.connect([
        (inputnode, align, [('noddi_maps', 'maps'), ('reference', 'reference'),
                            ('coregistration', 'coregistration'), ('t1w_preproc', 't1w'),
                            ('t1w_mask', 't1w_mask')]),
    ])  # fmt: skip
    return align


def _add_noddi_side(
    workflow: pe.Workflow,
    align: pe.Node,
    pick: pe.Node,
    side: str,
    source: str,
    *,
    output_dir: Path,
    entities: Mapping[str, Any],
    density: str,
) -> None:
    """Add the sampling of NODDI maps at the vertices of one side."""
    node = pe.Node(SampleMaps(hemisphere=side), name=f'noddi_{side}', mem_gb=1)
    workflow.connect([
        (workflow.get_node('inputnode'), node, [('noddi_maps', 'maps'), ('tpms', 'tpms')]),
        (align, node, [('transform', 'transform')]),
        (pick, node, [('white', 'white'), ('pial', 'pial')]),
    ])  # fmt: skip
    for what in NODDI_NAMES:
        sink = init_sink(f'dwi_vertex_{what}', output_dir=output_dir, entities=entities,
                         hemisphere=side, density=density, name=f'ds_{what}_{side}')  # fmt: skip
        sink.inputs.metadata = {'GeneratedBy': source}
        workflow.connect([
            (node, sink, [(what, 'in_file')]),
        ])  # fmt: skip


def init_dwi_sinks_wf(
    *,
    output_dir: Path,
    entities: Mapping[str, Any],
    settings: DwiSettings,
    engines: Mapping[str, str],
    has_anat: bool,
    source: str = '',
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
    source : str
        Tool that corrected the series already.
    notes : sequence of str
        What was decided beforehand, in sentences.
    name : str
        Name of the workflow.

    Inputs
    ------
    gradients, motion, mask, report, background, itk_transform, coreg_report, coreg_figure, figure,
    surface_reports, surface_parcels, and the outputs of `init_dwi_tensor_wf`.

    Outputs
    -------
    fa, md, ad, rd, mo, qc
        The kept files.
    """
    where: dict[str, Any] = {'output_dir': output_dir, 'entities': entities}
    suffix = '_t1w' if has_anat else ''
    workflow = pe.Workflow(name=name)
    fields = ['gradients', 'motion', 'mask', 'report', *STEP_REPORTS, 'background', 'figure',
              'itk_transform', 'coreg_report', 'coreg_figure', 'surface_reports',
              'surface_parcels', *SINK_FIELDS]  # fmt: skip
    inputnode = pe.Node(niu.IdentityInterface(fields), name='inputnode')
    outputnode = pe.Node(niu.IdentityInterface([*MAP_NAMES, 'qc']), name='outputnode')
    used = {**dict(engines), 'versions': engine_versions(engines)}
    if source:
        used['preprocessing'] = source
    table = pe.Node(QualityTable(engines=used, notes=list(notes)), name='table')
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
        regions = pe.Node(RegionTable(), name='regions')
        ds_regions = init_sink('dwi_regions', **where, name='ds_regions')
        ds_coreg = init_sink('dwi_figure_coreg', **where, name='ds_coreg')
        workflow.connect([
            (inputnode, regions, [('surface_parcels', 'rows')]),
            (regions, ds_regions, [('out_file', 'in_file')]),
            (inputnode, ds_coreg, [('coreg_figure', 'in_file')]),
        ])  # fmt: skip
    ds_steps = init_sink('dwi_figure_steps', **where, name='ds_steps')
    workflow.connect(inputnode, 'figure', ds_steps, 'in_file')

    reports = pe.Node(GatherReports(), name='reports')
    ds_qc = init_sink('dwi_qc', **where, name='ds_qc')
    ds_motion = init_sink('dwi_motion', **where, name='ds_motion')
    workflow.connect([
        (inputnode, reports, [('report', 'series'), ('tensor_report', 'tensor'),
                              *((n, n) for n in STEP_REPORTS)]),
        (reports, table, [('out', 'reports')]),
        (inputnode, table, [('motion', 'transforms'), ('mask', 'mask')]),
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
