"""Stage 1: runs joined, cleaned, and the head found in each volume; nothing is interpolated."""

from __future__ import annotations

from collections.abc import Mapping

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from bids_acc.dwi.interfaces.cleaning import Denoise, Unring
from bids_acc.dwi.interfaces.distortion import (
    FieldFromPair,
    MeasuredField,
    RunTopup,
    Undistort,
)
from bids_acc.dwi.interfaces.eddy import RunEddy
from bids_acc.dwi.interfaces.motion import EstimateMotion
from bids_acc.dwi.interfaces.reportlets import PlotSteps
from bids_acc.dwi.interfaces.series import JoinRuns, MaskReference
from bids_acc.dwi.workflow.engines import combined_runs, field_is_left
from bids_acc.settings import DwiSettings

SERIES = ('dwi_files', 'bval_files', 'bvec_files', 'sidecars', 'reversed_pe_files',
          'reversed_pe_sidecars', 'imaginary_files')  # fmt: skip
FURTHER_INPUTS = ('brain_mask', 'field_map')
OUTPUTS = ('series', 'gradients', 'transforms', 'motion', 'warp', 'reference', 'references',
           'mask', 'report', 'slice_axis', 'figure', 'denoised_figure')  # fmt: skip
STEP_REPORTS = ('denoising', 'unringing', 'susceptibility', 'eddy')


def init_dwi_prepare_wf(
    *,
    engines: Mapping[str, str],
    settings: DwiSettings | None = None,
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
    settings : DwiSettings, optional
        Rules for gradient tables.
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
    reversed_pe_files, reversed_pe_sidecars
        Images of reversed phase encoding, and their metadata.
    imaginary_files
        Imaginary part of each run that is a real part.
    brain_mask
        Brain, where it is known.
    field_map
        Field map that gradient echoes measured (``bids_acc.images.phase.FieldMap.as_dict``), where
        the engine is ``fieldmap``.

    Outputs
    -------
    series, gradients
        All usable volumes, not interpolated (but by eddy), and their gradient table.
    transforms, motion, warp
        Pull matrices that are still to be applied, within each group of runs that are distorted
        alike; those of the head's motion (only with eddy); field from images of reversed phase
        encoding.
    reference, references, mask
        Mean b = 0 image (undistorted where the field is known), those of all groups (distorted),
        and the brain in the first.
    report, denoising, unringing, susceptibility, eddy
        Counts and findings.
    slice_axis, figure, denoised_figure
        Voxel axis of the slices, a figure of the steps, and one of before and after.
    """
    workflow = pe.Workflow(name=name)
    inputnode = pe.Node(niu.IdentityInterface([*SERIES, *FURTHER_INPUTS]), name='inputnode')
    outputnode = pe.Node(niu.IdentityInterface([*OUTPUTS, *STEP_REPORTS]), name='outputnode')
    workflow.add_nodes([inputnode, outputnode])
    last = _add_joined(workflow, engines, settings or DwiSettings())
    # noise first: interpolating, as the removal of Gibbs ringing does, makes it depend on its
    # neighbours, and random matrix theory needs it independent
    if engines['denoise'] != 'none':
        last = _add_denoising(workflow, engines['denoise'], last, min_volumes, omp_nthreads)
    if engines['unringing'] != 'none':
        last = _add_unringing(workflow, engines['unringing'], last, omp_nthreads)
    _add_motion(workflow, engines, last, omp_nthreads=omp_nthreads, seed=seed)
    return workflow


def _add_joined(workflow: pe.Workflow, engines: Mapping[str, str], rules: DwiSettings) -> pe.Node:
    """Add the joining of runs, the brain in the first b = 0 image, and the figure of the steps."""
    inputnode, outputnode = (workflow.get_node(n) for n in ('inputnode', 'outputnode'))
    join = pe.Node(
        JoinRuns(
            combine=combined_runs(engines),
            b_max=rules.b_max,
            b0_threshold=rules.b0_threshold,
            scaling=rules.bvalue_scaling,
        ),
        name='join', mem_gb=1,
    )  # fmt: skip
    brain = pe.Node(MaskReference(), name='brain', mem_gb=0.5)
    figure = pe.Node(PlotSteps(), name='figure', mem_gb=1)
    workflow.connect([
        (inputnode, join, [(n, n) for n in SERIES]),
        (inputnode, brain, [('brain_mask', 'given')]),
        (join, brain, [('out_file', 'in_file'), ('gradients', 'gradients')]),
        (join, outputnode, [('report', 'report'), ('slice_axis', 'slice_axis')]),
        (join, figure, [('out_file', 'raw'), ('gradients', 'gradients')]),
        (brain, figure, [('out_file', 'mask')]),
        (figure, outputnode, [('out_file', 'figure'), ('before_after', 'denoised_figure')]),
    ])  # fmt: skip
    return join


def _add_denoising(
    workflow: pe.Workflow, engine: str, last: pe.Node, min_volumes: int, nthreads: int
) -> pe.Node:
    """Add the removal of noise; return what holds the series now."""
    brain, figure, outputnode = (workflow.get_node(n) for n in ('brain', 'figure', 'outputnode'))
    denoise = pe.Node(
        Denoise(engine=engine, min_volumes=min_volumes, nthreads=nthreads),
        name='denoise', mem_gb=2, n_procs=nthreads,
    )  # fmt: skip
    workflow.connect([
        (last, denoise, [('out_file', 'in_file')]),
        (brain, denoise, [('out_file', 'mask')]),
        (denoise, outputnode, [('report', 'denoising')]),
        (denoise, figure, [('out_file', 'denoised')]),
    ])  # fmt: skip
    return denoise


def _add_unringing(workflow: pe.Workflow, engine: str, last: pe.Node, nthreads: int) -> pe.Node:
    """Add the removal of Gibbs ringing; return what holds the series now."""
    join, figure, outputnode = (workflow.get_node(n) for n in ('join', 'figure', 'outputnode'))
    unring = pe.Node(Unring(engine=engine, nthreads=nthreads),
                     name='unring', mem_gb=2, n_procs=nthreads)  # fmt: skip
    workflow.connect([
        (last, unring, [('out_file', 'in_file')]),
        (join, unring, [('partial_fourier', 'partial_fourier'), ('slice_axis', 'slice_axis')]),
        (unring, outputnode, [('report', 'unringing')]),
        (unring, figure, [('out_file', 'unringed')]),
    ])  # fmt: skip
    return unring


def _add_motion(
    workflow: pe.Workflow,
    engines: Mapping[str, str],
    last: pe.Node,
    *,
    omp_nthreads: int,
    seed: int,
) -> None:
    """Add topup, motion correction, and what follows from them for reference and mask."""
    with_eddy = engines['motion'] == 'eddy'
    motion = (
        _add_eddy(workflow, last, nthreads=omp_nthreads)
        if with_eddy
        else _add_alignment(workflow, engines['motion'], last, seed=seed + 1)
    )
    brain, outputnode = (workflow.get_node(n) for n in ('brain', 'outputnode'))
    mask, field = (brain, 'out_file'), None
    if engines['susceptibility'] in ('topup', 'pair', 'fieldmap'):
        field = (
            _add_measured_field(workflow, last, seed=seed)
            if engines['susceptibility'] == 'fieldmap'
            else _add_field(workflow, engines, last, seed=seed)
        )
        if with_eddy and engines['susceptibility'] == 'topup':
            mask = (field, 'mask')  # eddy's mask is that of the undistorted brain
            workflow.connect([(field, motion, [('fieldcoef', 'fieldcoef'), ('movpar', 'movpar')])])
    workflow.connect(*mask, motion, 'mask')
    # without eddy no volume is interpolated here: the field joins the one interpolation of stage 2
    if field_is_left(engines):
        _add_straight_reference(workflow, motion, field)
        return
    workflow.connect(motion, 'reference', outputnode, 'reference')
    workflow.connect(*mask, outputnode, 'mask')


def _add_eddy(workflow: pe.Workflow, last: pe.Node, *, nthreads: int) -> pe.Node:
    """Add FSL's eddy, which interpolates the series and turns its gradients itself."""
    join, outputnode = (workflow.get_node(n) for n in ('join', 'outputnode'))
    motion = pe.Node(RunEddy(nthreads=nthreads), name='motion', mem_gb=2)
    workflow.connect([
        (join, motion, [('gradients', 'gradients'), ('acquisition', 'acquisition')]),
        (last, motion, [('out_file', 'in_file')]),
        (motion, outputnode, [('transforms', 'transforms'), ('out_file', 'series'),
                              ('gradients', 'gradients'), ('motion', 'motion'),
                              ('report', 'eddy')]),
    ])  # fmt: skip
    return motion


def _add_alignment(workflow: pe.Workflow, engine: str, last: pe.Node, *, seed: int) -> pe.Node:
    """Add the estimate of the head's place in each volume, which leaves the series as it is."""
    join, outputnode = (workflow.get_node(n) for n in ('join', 'outputnode'))
    motion = pe.Node(EstimateMotion(engine=engine, seed=seed), name='motion', mem_gb=2)
    workflow.connect([
        (join, motion, [('gradients', 'gradients')]),
        (last, motion, [('out_file', 'in_file')]),
        (motion, outputnode, [('transforms', 'transforms'), ('references', 'references')]),
        (last, outputnode, [('out_file', 'series')]),
        (join, outputnode, [('gradients', 'gradients')]),
    ])  # fmt: skip
    return motion


def _add_straight_reference(workflow: pe.Workflow, motion: pe.Node, field: pe.Node) -> None:
    """Add the reference without distortion, and the brain in it."""
    join, outputnode = (workflow.get_node(n) for n in ('join', 'outputnode'))
    straight = pe.Node(Undistort(), name='undistort', mem_gb=1)
    workflow.connect([
        (motion, straight, [('reference', 'reference')]),
        (field, straight, [('warp', 'warp')]),
        (join, straight, [('gradients', 'gradients')]),
        (straight, outputnode, [('out_file', 'reference'), ('out_mask', 'mask')]),
    ])  # fmt: skip


def _add_field(
    workflow: pe.Workflow, engines: Mapping[str, str], last: pe.Node, *, seed: int
) -> pe.Node:
    """Add the estimate of the field from images of reversed phase encoding."""
    join, brain, outputnode = (workflow.get_node(n) for n in ('join', 'brain', 'outputnode'))
    with_topup = engines['susceptibility'] == 'topup'
    field = pe.Node(
        RunTopup() if with_topup else FieldFromPair(seed=seed + 3), name='field', mem_gb=2
    )
    workflow.connect([
        (last, field, [('out_file', 'in_file')]),
        (join, field, [(n, n) for n in ('gradients', 'reversed_pe', 'acquisition',
                                        'reversed_pe_acquisition')]),
        (field, outputnode, [('report', 'susceptibility'), ('warp', 'warp')]),
    ])  # fmt: skip
    if not with_topup:
        workflow.connect(brain, 'out_file', field, 'mask')
    return field


def _add_measured_field(workflow: pe.Workflow, last: pe.Node, *, seed: int) -> pe.Node:
    """Add the field that gradient echoes measured."""
    inputnode, join, brain, outputnode = (
        workflow.get_node(n) for n in ('inputnode', 'join', 'brain', 'outputnode')
    )
    field = pe.Node(MeasuredField(seed=seed + 3), name='field', mem_gb=2)
    workflow.connect([
        (inputnode, field, [('field_map', 'field_map')]),
        (last, field, [('out_file', 'in_file')]),
        (join, field, [('gradients', 'gradients'), ('acquisition', 'acquisition')]),
        (brain, field, [('out_file', 'mask')]),
        (field, outputnode, [('report', 'susceptibility'), ('warp', 'warp')]),
    ])  # fmt: skip
    return field
