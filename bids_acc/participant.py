"""The participant level: one graph for each session, which joins the three modalities.

``anat`` comes first; ``dwi`` and ``mrs`` take its outputs where there are any and run without
them where not. A modality whose outputs are still valid is not computed again: its place in the
graph is taken by a node that hands out the stored files.
"""

from __future__ import annotations

import json
import logging
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from nipype.interfaces import utility as niu
from nipype.interfaces.base import (
    Bunch,
    DynamicTraitedSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
)
from nipype.interfaces.io import add_traits
from nipype.pipeline import engine as pe
from nipype.pipeline.engine import Workflow

from . import __version__
from .anat.sources import inspect_surfaces
from .anat.workflow import SurfaceOrigin, init_anat_wf
from .bids.inputs import MODALITIES, DwiInputs, MrsInputs, PlanRow, Session
from .bids.surfaces import SurfaceChoice, choose_surfaces
from .derivatives.outputs import Sink, sidecar_path
from .derivatives.records import (
    Record,
    forget_record,
    hash_files,
    read_record,
    still_valid,
    write_record,
)
from .dwi.workflow import init_dwi_wf
from .exceptions import BidsAccError
from .mrs.failed import init_mrs_failed_wf
from .mrs.workflow import init_mrs_wf
from .settings import Settings, fingerprint

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What is to be done for one session, and what can be taken over."""

    session: Session
    plan: Mapping[str, PlanRow]
    """Modality to its row, with ``reuse`` where nothing has to be computed."""
    records: Mapping[str, Record]
    """Valid records of the modalities that are reused."""
    expected: Mapping[str, Record]
    """What the records of the modalities will hold once they are done, without outputs."""
    surfaces: SurfaceChoice = field(default_factory=SurfaceChoice)
    """Where the surfaces come from."""

    def wants(self, modality: str) -> bool:
        """Tell whether a modality is to be computed."""
        return self.plan[modality].status == 'run'

    def has(self, modality: str) -> bool:
        """Tell whether a modality's outputs are or will be there."""
        return self.plan[modality].status in ('run', 'reuse')


def record_label(session: Session, modality: str) -> str:
    """Name the record of one modality."""
    return f'{session.label}_{modality}'


def without_failed_anat(jobs: Sequence[Job], status: Sequence[Mapping[str, Any]]) -> list[Job]:
    """Return the sessions whose other modalities can still be had without the T1w image.

    Parameters
    ----------
    jobs : sequence of Job
        What was tried.
    status : sequence of mapping
        What became of it, as in ``status.tsv``.

    Returns
    -------
    list of Job
        Sessions whose T1w failed, with the modalities that waited for it. Their records name
        no T1w, so that a later run with a usable one computes them again.
    """
    became = {(r['participant_id'], r['session_id'], r['arm']): r['status'] for r in status}
    again = []
    for job in jobs:
        where = (job.session.participant_id, job.session.session_id)
        waited = [m for m in ('dwi', 'mrs') if job.wants(m) and became[*where, m] == 'failed']
        if not job.wants('anat') or became[*where, 'anat'] != 'failed' or not waited:
            continue
        plan = {
            m: row if m in waited else replace(row, status='skip') for m, row in job.plan.items()
        }
        for m in waited:
            reason = '; '.join(filter(None, [plan[m].reason, 'without T1w, which failed']))
            plan[m] = replace(plan[m], reason=reason)
        expected = {m: replace(r, upstream={}) for m, r in job.expected.items()}
        again.append(replace(job, plan=plan, records={}, expected=expected))
    return again


def task_seed(seed: int, label: str) -> int:
    """Derive the seed of one task, the same whichever other subjects are selected.

    Parameters
    ----------
    seed : int
        The run's seed.
    label : str
        Name of the task.

    Examples
    --------
    >>> task_seed(1, 'sub-01_anat') == task_seed(1, 'sub-01_anat')
    True
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(zlib.crc32(label.encode()),))
    return int(sequence.generate_state(1)[0] % (2**31 - 1))


def plan_jobs(
    sessions: Iterable[Session],
    *,
    bids_dir: Path,
    output_dir: Path,
    settings: Settings,
    derivatives: Mapping[str, Path] | None = None,
    force: bool = False,
) -> list[Job]:
    """Tell for each session what has to be computed and what can be reused.

    Parameters
    ----------
    sessions : iterable of Session
        From discovery.
    bids_dir, output_dir : Path
        Roots of the raw and the derivative data set.
    settings : Settings
        Of this run.
    derivatives : mapping, optional
        Name to folder of other tools' results.
    force : bool
        Reuse nothing.
    """
    return [
        _plan_job(
            session,
            bids_dir=bids_dir,
            output_dir=output_dir,
            settings=settings,
            derivatives=derivatives or {},
            force=force,
        )
        for session in sessions
    ]


def _plan_job(
    session: Session,
    *,
    bids_dir: Path,
    output_dir: Path,
    settings: Settings,
    derivatives: Mapping[str, Path],
    force: bool,
) -> Job:
    """Compare one session with the records that earlier runs left."""
    plan: dict[str, PlanRow] = {}
    records: dict[str, Record] = {}
    expected: dict[str, Record] = {}
    upstream: dict[str, str] = {}
    surfaces = SurfaceChoice()
    for modality in MODALITIES:
        row = session.row(modality)
        if modality == 'anat' and row.status == 'run':
            row, surfaces = _with_surfaces(row, session, settings, derivatives)
        plan[modality] = row
        if row.status != 'run':
            continue
        files = [Path(path) for path in row.inputs]
        if modality == 'anat':
            files += surfaces.files
        label = record_label(session, modality)
        now = Record(
            label=label,
            version=__version__,
            settings=settings_fingerprint(settings, modality),
            inputs=hash_files(files, bids_dir),
            upstream=dict(upstream) if modality != 'anat' else {},
        )
        expected[modality] = now
        found = None if force else read_record(output_dir, label)
        if found is not None and still_valid(
            output_dir, found, version=now.version, settings=now.settings, inputs=now.inputs,
            upstream=now.upstream,
        ):  # fmt: skip
            reason = '; '.join(filter(None, ['already done', row.reason]))
            plan[modality] = replace(row, status='reuse', reason=reason)
            records[modality] = found
        if modality == 'anat':
            # What anat will give is known before it is computed: the same inputs, settings and
            # version. So dwi can be compared although anat may run again.
            upstream['anat'] = fingerprint(now.inputs, now.settings, now.version)
    return Job(session, plan, records, expected, surfaces)


def _with_surfaces(
    row: PlanRow, session: Session, settings: Settings, derivatives: Mapping[str, Path]
) -> tuple[PlanRow, SurfaceChoice]:
    """Choose the source of surfaces, and say in the plan which it is or why there is none."""
    asked = settings.anat.surface_source
    try:
        choice = choose_surfaces(
            asked, derivatives, session.subject, session.session, inspect_surfaces
        )
    except BidsAccError as error:
        return replace(
            row, status='fail', reason=str(error), reason_code=error.exit_code.name.lower(),
            exit_code=error.exit_code,
        ), SurfaceChoice()  # fmt: skip
    if derivatives and asked != 'builtin':
        row = replace(row, reason='; '.join(filter(None, [row.reason, choice.describe()])))
    return row, choice


def settings_fingerprint(settings: Settings, modality: str) -> str:
    """Hash the settings of a modality, with the content of every file that they name.

    A basis set or gate that was edited under the same name is another setting.
    """
    own = getattr(settings, modality)
    named = [Path(v) for v in vars(own).values() if isinstance(v, str) and '/' in v]
    files = [f for p in named for f in ([p] if p.is_file() else p.rglob('*')) if f.is_file()]
    content = hash_files(files)
    return fingerprint(own, settings.random_seed, content)


def workflow_name(label: str) -> str:
    """Turn a session label into what Nipype takes as a name.

    Examples
    --------
    >>> workflow_name('sub-01_ses-1')
    'sub_01_ses_1_wf'
    """
    return re.sub(r'\W', '_', label) + '_wf'


def init_participant_wf(
    jobs: Sequence[Job],
    *,
    output_dir: Path,
    work_dir: Path,
    settings: Settings,
) -> Workflow:
    """Join the graphs of all sessions that have something to compute.

    Parameters
    ----------
    jobs : sequence of Job
        From `plan_jobs`.
    output_dir, work_dir : Path
        Root of the derivative data set; where Nipype keeps its files.
    settings : Settings
        Of this run.

    Returns
    -------
    Workflow
        Without nodes if there is nothing to do.
    """
    workflow = Workflow(name='bids_acc_wf', base_dir=str(work_dir))
    for job in jobs:
        if any(job.wants(modality) for modality in MODALITIES):
            session = init_session_wf(
                job,
                output_dir=output_dir,
                settings=settings,
                basis_cache=work_dir / 'mrs_basis',
            )
            workflow.add_nodes([session])
    return workflow


def init_session_wf(
    job: Job, *, output_dir: Path, settings: Settings, basis_cache: Path | None = None
) -> Workflow:
    """Process one session.

    Parameters
    ----------
    job : Job
        What to compute and what to take over.
    output_dir : Path
        Root of the derivative data set.
    settings : Settings
        Of this run.
    basis_cache : Path, optional
        Where simulated basis sets of spectra are kept for the spectra that follow.

    Returns
    -------
    Workflow
        With one sub-workflow for each modality or spectrum that is computed.
    """
    session = job.session
    workflow = Workflow(name=workflow_name(session.label))
    common: dict[str, Any] = {'output_dir': output_dir}
    anat: Any = None
    if job.wants('anat') and session.anat is not None:
        anat = init_anat_wf(
            **common,
            entities=dict(session.anat.entities),
            settings=settings.anat,
            omp_nthreads=settings.resources.omp_nthreads,
            seed=task_seed(settings.random_seed, record_label(session, 'anat')),
            name='anat_wf',
            origin=SurfaceOrigin(
                source=job.surfaces.source,
                own_labels=job.surfaces.own_labels,
                software=job.surfaces.software,
                note=job.surfaces.note,
                smoothing_mm=job.surfaces.smoothing_mm,
            ),
        )
        anat.get_node('inputnode').inputs.t1w_file = str(session.anat.t1w)
        if job.surfaces.folder is not None:
            anat.get_node('inputnode').inputs.surface_dir = str(job.surfaces.folder)
        keep_fields(anat, output_dir, record_label(session, 'anat'))
    elif 'anat' in job.records:
        anat = stored_fields(job.records['anat'], output_dir)
    if job.wants('dwi') and session.dwi is not None:
        dwi = _session_dwi(session, session.dwi, anat is not None, settings, common)
        keep_fields(dwi, output_dir, record_label(session, 'dwi'))
        _join(workflow, anat, dwi)
    if job.wants('mrs'):
        names = spectrum_names(session.mrs)
        for name, spectrum in zip(names, session.mrs, strict=True):
            mrs = _session_mrs(
                session,
                spectrum,
                name,
                anat is not None,
                settings,
                common | {'cache_dir': basis_cache},
            )
            _join(workflow, anat, mrs)
    if job.wants('anat') and anat is not None and anat not in workflow._graph.nodes():
        workflow.add_nodes([anat])
    return workflow


def _session_dwi(
    session: Session,
    inputs: DwiInputs,
    has_anat: bool,
    settings: Settings,
    common: Mapping[str, Any],
) -> Workflow:
    """Build the diffusion graph of a session."""
    workflow = init_dwi_wf(
        **common,
        entities=dict(inputs.entities),
        settings=settings.dwi,
        has_anat=has_anat,
        density=settings.anat.density,
        omp_nthreads=settings.resources.omp_nthreads,
        seed=task_seed(settings.random_seed, record_label(session, 'dwi')),
        name='dwi_wf',
        has_opposite=inputs.has_opposite,
        source=inputs.source,
        noddi_source=inputs.noddi_source if inputs.noddi and has_anat else '',
    )
    node = workflow.get_node('inputnode')
    if inputs.opposite:
        node.inputs.opposite_files = [str(path) for path, _ in inputs.opposite]
        node.inputs.opposite_sidecars = [dict(metadata) for _, metadata in inputs.opposite]
    if inputs.mask is not None:
        node.inputs.brain_mask = str(inputs.mask)
    if inputs.noddi:
        node.inputs.noddi_maps = [str(inputs.noddi[name]) for name in ('icvf', 'isovf', 'od')]
    node.inputs.dwi_files = [str(run.image) for run in inputs.runs]
    node.inputs.bval_files = [str(run.bval) for run in inputs.runs]
    node.inputs.bvec_files = [str(run.bvec) for run in inputs.runs]
    node.inputs.sidecars = [dict(run.metadata) for run in inputs.runs]
    return workflow


def _session_mrs(
    session: Session,
    inputs: MrsInputs,
    name: str,
    has_anat: bool,
    settings: Settings,
    common: Mapping[str, Any],
) -> Workflow:
    """Build the graph of one spectrum."""
    elsewhere = other_space(session, inputs) if has_anat else ''
    workflow = init_mrs_wf(
        **common,
        entities=dict(inputs.entities),
        settings=settings.mrs,
        has_anat=has_anat and not elsewhere,
        note=elsewhere,
        seed=task_seed(settings.random_seed, f'{record_label(session, "mrs")}_{name}'),
        name=name,
    )
    node = workflow.get_node('inputnode')
    node.inputs.svs_file = str(inputs.svs)
    node.inputs.svs_metadata = dict(inputs.metadata)
    if inputs.reference is not None:
        node.inputs.ref_file = str(inputs.reference)
        node.inputs.ref_metadata = dict(inputs.reference_metadata)
    return workflow


@dataclass(frozen=True)
class FailedSpectrum:
    """A spectrum without levels, and why."""

    inputs: MrsInputs
    reason: str
    graph: str = ''
    """Full name of the graph that was tried; empty when none was."""
    ended: frozenset[str] = frozenset()
    """Steps of that graph, without its name, that ended well."""


def failed_spectra(
    jobs: Iterable[Job], status: Sequence[Mapping[str, Any]]
) -> list[FailedSpectrum]:
    """Return the spectra that gave no levels.

    Parameters
    ----------
    jobs : iterable of Job
        What was asked for.
    status : sequence of mapping
        What became of it; ``failed_graphs`` maps the graph of each spectrum that failed to its
        reason and to the steps that ended well.

    Returns
    -------
    list of FailedSpectrum
        Those that could not be read, then those whose graph failed, by session.
    """
    reasons = {
        (row['participant_id'], row['session_id']): row.get('failed_graphs', {})
        for row in status
        if row['arm'] == 'mrs'
    }
    found = []
    for job in jobs:
        session = job.session
        found += [FailedSpectrum(one, one.problem) for one in session.broken_mrs]
        failed = reasons.get((session.participant_id, session.session_id), {})
        graph = f'bids_acc_wf.{workflow_name(session.label)}'
        found += [
            FailedSpectrum(spectrum, failed[name][0], f'{graph}.{name}', failed[name][1])
            for name, spectrum in zip(spectrum_names(session.mrs), session.mrs, strict=True)
            if name in failed
        ]
    return found


def init_failed_spectra_wf(
    failures: Sequence[FailedSpectrum],
    *,
    output_dir: Path,
    work_dir: Path,
    settings: Settings,
    keep_fits: bool = True,
) -> Workflow:
    """Write tables of n/a, with the reason, for the spectra that gave no levels.

    Parameters
    ----------
    failures : sequence of FailedSpectrum
        From `failed_spectra`.
    output_dir, work_dir : Path
        Root of the derivative data set; where Nipype keeps its files.
    settings : Settings
        Of this run.
    keep_fits : bool
        Whether a fit that ended well before a later step failed is tabulated.

    Returns
    -------
    Workflow
        With one sub-workflow for each spectrum.
    """
    workflow = Workflow(name='failed_spectra_wf', base_dir=str(work_dir))
    for failure in failures:
        inputs = failure.inputs
        name = re.sub(r'\W', '_', inputs.svs.name.split('.')[0])
        finished = work_dir.joinpath(*failure.graph.split('.')) if failure.graph else None
        workflow.add_nodes([
            init_mrs_failed_wf(
                output_dir=output_dir,
                entities=dict(inputs.entities),
                settings=settings.mrs,
                metadata=inputs.metadata,
                reason=failure.reason,
                work_dir=work_dir / 'failed_spectra' / name,
                finished=finished,
                ended=failure.ended if keep_fits else failure.ended - {'fit'},
                name=f'{name}_wf',
            )
        ])  # fmt: skip
    return workflow


def other_space(session: Session, inputs: MrsInputs) -> str:
    """Say why the voxel cannot be drawn into the T1w image of the session; empty when it can.

    The voxel is known in the scanner's space of its own session. A T1w image that the sidecar
    names is taken at its word; one of another session is not in that space.
    """
    if session.anat is None:
        return ''
    t1w = session.anat.t1w
    if inputs.anatomical is not None:
        if inputs.anatomical.absolute() == t1w.absolute():
            return ''
        return (
            f'AnatomicalImage is {inputs.anatomical.name}, but {t1w.name} was segmented: the '
            'voxel is not drawn into it (choose the T1w image with --bids-filter-file).'
        )
    if t1w.parent.parent == inputs.svs.parent.parent:
        return ''
    return (
        f'{t1w.name} is of another session than the spectrum: the voxel is not drawn into it; '
        'name it as AnatomicalImage in the sidecar if both share one space.'
    )


def spectrum_names(spectra: Sequence[MrsInputs]) -> list[str]:
    """Name the graph of each spectrum after what tells it from the others.

    Raises
    ------
    ValueError
        If two spectra have the same entities; BIDS allows no such names.
    """
    if len(spectra) == 1:
        return ['mrs_wf']
    same = ('subject', 'session', 'datatype', 'suffix', 'extension')
    names = []
    for spectrum in spectra:
        parts = [v for k, v in sorted(spectrum.entities.items()) if k not in same]
        names.append(re.sub(r'\W', '_', '_'.join(['mrs', *parts, 'wf'])))
    if len(set(names)) < len(names):
        raise ValueError(f'two spectra share the name {names}')
    return names


def _join(workflow: Workflow, anat: Any, other: Workflow) -> None:
    """Connect all fields that have the same name at both ends."""
    if anat is None:
        workflow.add_nodes([other])
        return
    taken = set(other.get_node('inputnode').inputs.copyable_trait_names())
    is_workflow = isinstance(anat, Workflow)
    source = anat.get_node('outputnode') if is_workflow else anat
    prefix = 'outputnode.' if is_workflow else ''
    offered = list(source.inputs.copyable_trait_names())
    if not is_workflow:
        offered = [n for n in offered if isdefined(getattr(source.inputs, n))]
    shared = [name for name in offered if name in taken]
    workflow.connect([(anat, other, [(f'{prefix}{n}', f'inputnode.{n}') for n in shared])])


class _FieldsInputSpec(DynamicTraitedSpec):
    pass


class _FieldsOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='the fields as JSON')


class KeepFields(SimpleInterface):
    """Write down which file answers to which output field, for a later run."""

    input_spec = _FieldsInputSpec
    output_spec = _FieldsOutputSpec

    def __init__(
        self, fields: Sequence[str] = (), out_path: str = '', root: str = '', **inputs: Any
    ) -> None:
        super().__init__(**inputs)
        self._fields, self._out_path, self._root = list(fields), out_path, root
        add_traits(self.inputs, self._fields)

    def _run_interface(self, runtime: Bunch) -> Bunch:
        content = {}
        for name in self._fields:
            value = getattr(self.inputs, name)
            if isdefined(value):
                content[name] = _relative(value, Path(self._root))
        path = Path(self._out_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2, sort_keys=True) + '\n')
        self._results['out_file'] = str(path)
        return runtime


def _relative(value: Any, root: Path) -> Any:
    """Write paths below the output root as relative ones."""
    if isinstance(value, list | tuple):
        return [_relative(item, root) for item in value]
    path = Path(str(value))
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(value)


def fields_path(output_dir: Path, label: str) -> Path:
    """Say where the output fields of a modality are written down."""
    return output_dir / 'logs' / 'records' / f'{label}_fields.json'


def keep_fields(workflow: Workflow, output_dir: Path, label: str) -> None:
    """Add the node that writes down a workflow's output fields."""
    outputnode = workflow.get_node('outputnode')
    names = list(outputnode.inputs.copyable_trait_names())
    node = pe.Node(
        KeepFields(names, str(fields_path(output_dir, label)), str(output_dir)),
        name='keep_fields',
        mem_gb=0.1,
    )
    workflow.connect([(outputnode, node, [(name, name) for name in names])])


def stored_fields(record: Record, output_dir: Path) -> pe.Node:
    """Hand out the stored output files of a modality that is not computed again."""
    values = {name: _absolute(value, output_dir) for name, value in record.fields.items()}
    node = pe.Node(niu.IdentityInterface(fields=sorted(values)), name='stored_anat')
    for name, value in values.items():
        setattr(node.inputs, name, value)
    return node


def _absolute(value: Any, root: Path) -> Any:
    """Undo `_relative`."""
    if isinstance(value, list):
        return [_absolute(item, root) for item in value]
    path = root / str(value)
    return str(path) if path.exists() else value


def modality_of(node_name: str) -> str:
    """Tell the modality from the full name of a node.

    Examples
    --------
    >>> modality_of('bids_acc_wf.sub_01_wf.mrs_acq_press_wf.fit')
    'mrs'
    """
    return node_name.split('.')[2].split('_', 1)[0]


def forget_before_run(jobs: Iterable[Job], output_dir: Path) -> None:
    """Remove the records of what will be written anew."""
    for job in jobs:
        for modality in MODALITIES:
            if job.wants(modality):
                forget_record(output_dir, record_label(job.session, modality))


def keep_record(job: Job, modality: str, workflow: Workflow, output_dir: Path) -> None:
    """Write the record of a modality that was finished.

    Parameters
    ----------
    job : Job
        The session.
    modality : str
        What was finished.
    workflow : Workflow
        The session's graph, whose sinks tell the outputs.
    output_dir : Path
        Root of the derivative data set.
    """
    label = record_label(job.session, modality)
    outputs = [
        path
        for name in workflow.list_node_names()
        if name.split('_')[0] == modality
        for path in _sink_paths(workflow.get_node(name).interface)
        if path.exists()
    ]
    listed = fields_path(output_dir, label)
    fields = json.loads(listed.read_text()) if listed.exists() else {}
    record = replace(
        job.expected[modality], outputs=hash_files(outputs, output_dir), fields=fields
    )
    write_record(output_dir, record)
    listed.unlink(missing_ok=True)


def _sink_paths(interface: Any) -> list[Path]:
    """List what one node keeps, if it is a sink."""
    if not isinstance(interface, Sink):
        return []
    path = Path(interface.inputs.out_path)
    return [path, sidecar_path(path)]
