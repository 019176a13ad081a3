"""Stage 2: alignment with the T1w image, the one interpolation, the tensor."""

from __future__ import annotations

from collections.abc import Mapping

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from bids_acc.dwi.interfaces.alignment import Coregister
from bids_acc.dwi.interfaces.distortion import RegisterDistortion
from bids_acc.dwi.interfaces.reportlets import PlotAlignment, PlotFields
from bids_acc.dwi.interfaces.resampling import ResampleSeries
from bids_acc.dwi.interfaces.runs import PlaceRuns
from bids_acc.dwi.interfaces.tensor import MAP_NAMES, FitTensor
from bids_acc.dwi.workflow.engines import field_is_left
from bids_acc.settings import DwiSettings

INPUTS = (
    'series', 'gradients', 'transforms', 'reference', 'references', 'mask', 'report', 'warp',
    'slice_axis',
)  # fmt: skip
ANAT_INPUTS = ('t1w_preproc', 't1w_mask', 'tpms', 'white')
SINK_FIELDS = (
    *MAP_NAMES, 'residual', 'direction', 'non_positive', 'corrected', 'corrected_bval',
    'corrected_bvec', 'corrected_mask', 'tensor_report',
)  # fmt: skip
"""What the tensor's workflow hands to the sinks."""
FURTHER_FIELDS = (
    'coregistration', 'itk_transform', 'axes', 'warp', 'outliers', 'coreg_report',
    'distortion_report', 'runs_report', 'coreg_figure', 'anatomy_figure', 'distortion_figure',
    'fields_figure', 'transforms', 'scales',
)  # fmt: skip
"""What else it gives: only with a T1w image, or to other stages."""


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
    series, gradients, transforms, reference, references, mask, report, warp, slice_axis
        From `init_dwi_prepare_wf`; the field only where images of reversed phase encoding gave it.
    t1w_preproc, t1w_mask, tpms, white
        Only with ``has_anat``.

    Outputs
    -------
    fa, md, ad, rd, mo, residual, direction, non_positive
        Maps.
    corrected, corrected_bval, corrected_bvec, corrected_mask
        The series they were fitted to.
    tensor_report, coreg_report, distortion_report, runs_report
        Quality.
    coregistration, itk_transform, warp, axes, transforms
        Transforms.
    scales
        Factor of each volume that makes all runs equally bright.
    outliers
        Slices that were left out of the fit.
    coreg_figure, anatomy_figure, distortion_figure, fields_figure
        Pictures of the alignment, and of the fields that were corrected.
    """
    workflow = pe.Workflow(name=name)
    inputnode = pe.Node(niu.IdentityInterface([*INPUTS, *ANAT_INPUTS]), name='inputnode')
    outputnode = pe.Node(niu.IdentityInterface([*SINK_FIELDS, *FURTHER_FIELDS]), name='outputnode')
    runs = pe.Node(PlaceRuns(seed=seed + 4), name='runs', mem_gb=1)
    resample = pe.Node(ResampleSeries(bias=engines['bias'] == 'n4'), name='resample', mem_gb=3)
    fit = pe.Node(
        FitTensor(
            method=engines['tensor_fit'], b_max=settings.b_max, fix_axes=settings.gradient_fix
        ),
        name='fit', mem_gb=2,
    )  # fmt: skip
    workflow.add_nodes([inputnode, runs, resample, fit, outputnode])
    _join_fit(workflow, with_eddy=engines['motion'] == 'eddy')
    if field_is_left(engines):
        _share_field(workflow, inputnode)
    if draws_fields(engines):
        _add_fields(workflow, engines)
    if not has_anat:
        workflow.connect(inputnode, 'mask', resample, 'mask')
        return workflow
    _add_coregistration(workflow, seed=seed + 1)
    if engines['susceptibility'] == 'registration':
        _add_distortion(workflow)
    return workflow


def _join_fit(workflow: pe.Workflow, *, with_eddy: bool) -> None:
    """Join the runs, the one interpolation and the fit."""
    inputnode, runs, resample, fit, outputnode = (
        workflow.get_node(n) for n in ('inputnode', 'runs', 'resample', 'fit', 'outputnode')
    )
    # eddy has aligned the runs with each other: it gives no reference of each
    references = [] if with_eddy else [('references', 'references')]
    workflow.connect([
        (inputnode, runs, [('series', 'in_file'),
                           *((n, n) for n in ('gradients', 'transforms', 'slice_axis', 'mask')),
                           *references]),
        (inputnode, resample, [('series', 'in_file'), ('gradients', 'gradients'),
                               ('slice_axis', 'slice_axis')]),
        (runs, resample, [('transforms', 'transforms'), ('scales', 'scales')]),
        (runs, outputnode, [('transforms', 'transforms'), ('scales', 'scales'),
                            ('report', 'runs_report')]),
        (resample, fit, [('out_file', 'in_file'), ('out_mask', 'mask'), ('slices', 'slices'),
                         ('seen', 'seen'), ('gradients', 'gradients')]),
        (resample, outputnode, [('out_file', 'corrected'), ('bval', 'corrected_bval'),
                                ('out_mask', 'corrected_mask')]),
        (fit, outputnode, [*((n, n) for n in (*MAP_NAMES, 'residual', 'direction')),
                           ('non_positive', 'non_positive'), ('axes', 'axes'),
                           ('outliers', 'outliers'), ('report', 'tensor_report'),
                           ('bvec', 'corrected_bvec')]),
    ])  # fmt: skip


def _share_field(workflow: pe.Workflow, origin: pe.Node) -> None:
    """Give a field of susceptibility to all that use it."""
    for name in ('resample', 'runs', 'outputnode'):
        workflow.connect(origin, 'warp', workflow.get_node(name), 'warp')


def _add_coregistration(workflow: pe.Workflow, *, seed: int) -> None:
    """Add the alignment with the T1w image, and its figures."""
    inputnode, resample, outputnode = (
        workflow.get_node(n) for n in ('inputnode', 'resample', 'outputnode')
    )
    coregister = pe.Node(Coregister(seed=seed), name='coregister', mem_gb=1)
    figure = pe.Node(PlotAlignment(), name='figure')
    workflow.connect([
        (inputnode, coregister, [('reference', 'reference'), ('mask', 'mask'),
                                 ('t1w_preproc', 't1w'), ('t1w_mask', 't1w_mask')]),
        # the brain of the T1w image: that of b = 0 lacks what susceptibility darkens
        (inputnode, resample, [('t1w_mask', 'mask')]),
        (coregister, resample, [('transform', 'coregistration')]),
        (coregister, outputnode, [('transform', 'coregistration'),
                                  ('itk_transform', 'itk_transform'),
                                  ('report', 'coreg_report')]),
        (inputnode, figure, [('reference', 'reference'), ('t1w_preproc', 't1w'),
                              ('tpms', 'tpms'), ('gradients', 'gradients')]),
        (coregister, figure, [('transform', 'coregistration'), ('report', 'report')]),
        (figure, outputnode, [('out_file', 'coreg_figure'), ('anatomy', 'anatomy_figure'),
                              ('distortion', 'distortion_figure')]),
    ])  # fmt: skip


def _add_distortion(workflow: pe.Workflow) -> None:
    """Add the field that makes the aligned series look like the T1w image."""
    inputnode, coregister, fields, figure, outputnode = (
        workflow.get_node(n) for n in ('inputnode', 'coregister', 'fields', 'figure', 'outputnode')
    )
    distortion = pe.Node(RegisterDistortion(), name='distortion', mem_gb=2)
    workflow.connect([
        (inputnode, distortion, [('reference', 'reference'), ('mask', 'mask'),
                                 ('gradients', 'gradients'), ('t1w_preproc', 't1w'),
                                 ('t1w_mask', 't1w_mask'), ('tpms', 'tpms')]),
        (coregister, distortion, [('transform', 'coregistration')]),
        (distortion, fields, [('warp', 'warp')]),
        (distortion, figure, [('warp', 'warp')]),
        (distortion, outputnode, [('report', 'distortion_report')]),
    ])  # fmt: skip
    _share_field(workflow, distortion)


def draws_fields(engines: Mapping[str, str]) -> bool:
    """Tell whether there is a field to draw.

    Parameters
    ----------
    engines : mapping of str to str
        Step to the program that does it.

    Returns
    -------
    bool
        Whether the bias or the susceptibility field is estimated, and not only its effect undone.
    """
    return (
        engines['bias'] != 'none'
        or field_is_left(engines)
        or engines['susceptibility'] == 'registration'
    )


def _add_fields(workflow: pe.Workflow, engines: Mapping[str, str]) -> None:
    """Add the figure of the fields that are corrected."""
    inputnode, resample, outputnode = (
        workflow.get_node(n) for n in ('inputnode', 'resample', 'outputnode')
    )
    figure = pe.Node(PlotFields(), name='fields')
    workflow.connect([
        (inputnode, figure, [('mask', 'warp_mask')]),
        (resample, figure, [('out_mask', 'bias_mask')]),
        (figure, outputnode, [('out_file', 'fields_figure')]),
    ])  # fmt: skip
    if engines['bias'] != 'none':
        workflow.connect(resample, 'field', figure, 'bias')
    if field_is_left(engines):
        workflow.connect(inputnode, 'warp', figure, 'warp')
