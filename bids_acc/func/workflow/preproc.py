"""The built-in line: raw BOLD runs to preprocessed runs."""

from __future__ import annotations

from collections.abc import Sequence

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from bids_acc.func.interfaces.facts import GatherFacts
from bids_acc.func.interfaces.prepare import (
    CoregisterBold,
    EstimateBoldMotion,
    EstimateField,
    ReadSeries,
)
from bids_acc.func.interfaces.reportlets import PlotBoldAlignment
from bids_acc.func.interfaces.resampling import ConfoundsTable, ResampleBold
from bids_acc.func.raw import RawRun
from bids_acc.func.run import BUILTIN, RUN_FIELDS, RunFacts

ANAT_INPUTS = ('t1w_preproc', 't1w_mask', 'tpms')

RUN_OUTPUTS = dict(zip(
    (*RUN_FIELDS, 'prepare_reports'),
    ('bold', 'mask', 'confounds', 'confounds_sidecar', 'facts', 'report'),
    strict=True,
))  # fmt: skip
"""Field of a session's runs to that of one run."""

RUN_FIGURES = ('anatomy', 'distortion')
"""Pictures of one run's alignment, where there is a T1w image; nodes ``run_<n>_wf.outputnode``."""


def init_func_preproc_wf(
    *,
    runs: Sequence[RawRun],
    has_anat: bool = True,
    slice_timing: bool = True,
    distortion: bool = True,
    seed: int = 0,
    name: str = 'func_preproc_wf',
) -> pe.Workflow:
    """Prepare the raw BOLD runs of a session, each by itself.

    Parameters
    ----------
    runs : sequence of RawRun
        At least one.
    has_anat : bool
        Whether there is a T1w image to bring the series to; without, they stay on their own grid.
    slice_timing, distortion : bool
        Whether these steps are done where the data allow them.
    seed : int
        Of registration.
    name : str
        Name of the workflow.

    Inputs
    ------
    t1w_preproc, t1w_mask, tpms
        T1w image, its brain, and fractions of GM, WM and CSF (only with ``has_anat``).

    Outputs
    -------
    bold_files, mask_files, confounds_files, confounds_sidecars, run_facts
        One item for each run; see `bids_acc.func.run`.
    prepare_reports
        Measures of each run's preparation: overlap and similarity with the T1w image
        (``coreg_dice``), displacements by the field (``sdc_...``), share of the brain that all
        volumes show (``seen``).
    """
    workflow = pe.Workflow(name=name)
    # Nipype refuses a node without any field
    fields = list(ANAT_INPUTS) if has_anat else ['none']
    inputnode = pe.Node(niu.IdentityInterface(fields), name='inputnode')
    outputnode = pe.Node(niu.IdentityInterface(list(RUN_OUTPUTS)), name='outputnode')
    merges = {
        # a run's value may be a list itself, such as its files
        field: pe.Node(niu.Merge(len(runs), no_flatten=True), name=f'all_{field}')
        for field in RUN_OUTPUTS
    }
    workflow.add_nodes([inputnode])
    for number, run in enumerate(runs, start=1):
        one = init_bold_run_wf(
            run=run, has_anat=has_anat, slice_timing=slice_timing,
            distortion=distortion and bool(run.reversed_pe or run.field_map), seed=seed,
            name=f'run_{number}_wf',
        )  # fmt: skip
        if has_anat:
            workflow.connect([(inputnode, one, [(n, f'inputnode.{n}') for n in ANAT_INPUTS])])
        for field, merge in merges.items():
            workflow.connect(one, f'outputnode.{RUN_OUTPUTS[field]}', merge, f'in{number}')
    workflow.connect([(merge, outputnode, [('out', field)]) for field, merge in merges.items()])
    return workflow


def init_bold_run_wf(
    *,
    run: RawRun,
    has_anat: bool,
    slice_timing: bool,
    distortion: bool,
    seed: int,
    name: str,
) -> pe.Workflow:
    """Prepare one run.

    Parameters
    ----------
    run : RawRun
    has_anat, slice_timing : bool
        As for `init_func_preproc_wf`.
    distortion : bool
        Whether the field is taken from an image of reversed phase encoding or a field map.
    seed : int
    name : str

    Inputs
    ------
    t1w_preproc, t1w_mask, tpms
        Only with ``has_anat``.

    Outputs
    -------
    bold, mask, confounds, confounds_sidecar, facts, report
        Series at its place as a list of one, brain, table with its sidecar, and what is known.
    anatomy, distortion
        Pictures; only with ``has_anat``.
    """
    workflow = pe.Workflow(name=name)
    sidecars = [dict(metadata) for metadata in run.metadata]
    inputnode = pe.Node(niu.IdentityInterface(list(ANAT_INPUTS)), name='inputnode')
    outputnode = pe.Node(
        niu.IdentityInterface([*RUN_OUTPUTS.values(), *RUN_FIGURES]), name='outputnode'
    )
    read = pe.Node(
        ReadSeries(
            in_files=[str(path) for path in run.images], sidecars=sidecars,
            slice_timing=slice_timing,
        ),
        name='read', mem_gb=1.5,
    )  # fmt: skip
    # of the file as it was measured: slice timing interpolates between volumes in which the head
    # lay elsewhere
    motion = pe.Node(EstimateBoldMotion(in_file=str(run.image)), name='motion', mem_gb=1)
    resample = pe.Node(ResampleBold(sidecar=sidecars[0]), name='resample', mem_gb=1.5)
    if len(run.images) > 1:
        resample.inputs.echo_times = [float(m['EchoTime']) for m in run.metadata]
    confounds = pe.Node(
        ConfoundsTable(repetition_time=run.repetition_time), name='confounds', mem_gb=1
    )
    facts = pe.Node(GatherFacts(known=_known(run, has_anat)), name='facts')
    workflow.connect([
        (read, motion, [('n_dummy', 'n_dummy')]),
        (read, resample, [('out_files', 'in_files'), ('n_dummy', 'n_dummy')]),
        (motion, resample, [('transforms', 'transforms')]),
        (resample, confounds, [('out_file', 'in_file'), ('out_mask', 'mask')]),
        (read, confounds, [('n_dummy', 'n_dummy')]),
        (motion, confounds, [('parameters', 'parameters')]),
        (resample, facts, [('out_file', 'bold'), ('seen', 'seen')]),
        (read, facts, [('n_dummy', 'n_dummy'), ('start_time', 'start_time'),
                       ('notes', 'read_notes')]),
        (confounds, facts, [('notes', 'confound_notes')]),
        (resample, outputnode, [('out_mask', 'mask')]),
        (confounds, outputnode, [('out_file', 'confounds'), ('out_json', 'confounds_sidecar')]),
        (facts, outputnode, [('bold', 'bold'), ('facts', 'facts'), ('report', 'report')]),
    ])  # fmt: skip
    # what is aligned with the T1w image is the reference that is straight already
    reference = _add_field(workflow, run, seed) if distortion else motion
    if not has_anat:
        workflow.connect([(reference, resample, [('mask', 'mask')])])
        return workflow
    coregister = pe.Node(CoregisterBold(seed=seed + 1), name='coregister', mem_gb=1)
    figure = pe.Node(PlotBoldAlignment(), name='figure', mem_gb=1)
    workflow.connect([
        (inputnode, coregister, [('t1w_preproc', 't1w'), ('t1w_mask', 't1w_mask')]),
        (inputnode, resample, [('t1w_mask', 'mask')]),
        (inputnode, confounds, [('tpms', 'tpms')]),
        (reference, coregister, [('reference', 'reference'), ('mask', 'mask')]),
        (coregister, resample, [('transform', 'coregistration')]),
        (coregister, facts, [('report', 'coreg_report')]),
        (inputnode, figure, [('t1w_preproc', 't1w'), ('tpms', 'tpms')]),
        (motion, figure, [('reference', 'measured')]),
        (reference, figure, [('reference', 'reference')]),
        (coregister, figure, [('transform', 'coregistration'), ('report', 'coreg_report')]),
        (figure, outputnode, [(n, n) for n in RUN_FIGURES]),
    ])  # fmt: skip
    if distortion:
        workflow.connect([(reference, figure, [('report', 'field_report')])])
    return workflow


def _add_field(workflow: pe.Workflow, run: RawRun, seed: int) -> pe.Node:
    """Add the field of susceptibility between motion and the alignment with the T1w image."""
    field = pe.Node(
        EstimateField(sidecar=dict(run.metadata[0]), seed=seed + 1), name='field', mem_gb=1
    )
    if run.reversed_pe:
        reversed_pe, sidecar = run.reversed_pe[0]
        field.inputs.trait_set(reversed_pe=str(reversed_pe), reversed_pe_sidecar=dict(sidecar))
    elif run.field_map is not None:
        field.inputs.field_map = run.field_map.as_dict()
    if run.alike is not None:
        field.inputs.alike = str(run.alike)
    motion, resample, facts = (workflow.get_node(n) for n in ('motion', 'resample', 'facts'))
    workflow.connect([
        (motion, field, [('reference', 'reference'), ('mask', 'mask')]),
        (field, resample, [('warp', 'warp')]),
        (field, facts, [('notes', 'field_notes'), ('report', 'field_report')]),
    ])  # fmt: skip
    return field


def _known(run: RawRun, has_anat: bool) -> dict[str, object]:
    """Return the facts that are known before anything is computed."""
    return RunFacts(
        name=run.name,
        task=run.task,
        repetition_time=run.repetition_time,
        start_time=0.0,
        space='T1w' if has_anat else 'bold',
        source=BUILTIN,
        entities=dict(run.entities),
        events='' if run.events is None else str(run.events),
        notes=run.notes,
    ).as_dict()
