"""Stage 2: alignment with the T1w image, the one interpolation, the tensor."""

from __future__ import annotations

from collections.abc import Mapping

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from bids_acc.dwi.interfaces.alignment import Coregister
from bids_acc.dwi.interfaces.distortion import RegisterDistortion
from bids_acc.dwi.interfaces.reportlets import PlotAlignment
from bids_acc.dwi.interfaces.resampling import ResampleSeries
from bids_acc.dwi.interfaces.tensor import MAP_NAMES, FitTensor
from bids_acc.settings import DwiSettings

from .engines import field_is_left

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
    if field_is_left(engines):
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
