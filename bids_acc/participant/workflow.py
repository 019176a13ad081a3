"""One graph for each session, which joins the modalities.

``anat`` comes first; ``dwi``, ``func`` and ``mrs`` take its outputs where there are any and run
without them where not; ``mtr`` needs them.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nipype.interfaces.base import isdefined
from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline import engine as pe
from nipype.pipeline.engine import Workflow

from bids_acc.anat.workflow import SurfaceOrigin, init_anat_wf
from bids_acc.bids.inputs import AnatInputs, DwiInputs, MrsInputs, MtrInputs, Session
from bids_acc.bids.surfaces import SurfaceChoice
from bids_acc.derivatives.links import bids_uris
from bids_acc.derivatives.outputs import Sink
from bids_acc.derivatives.sinks import SINK, sink_name
from bids_acc.dwi.workflow import init_dwi_wf
from bids_acc.execution.graphs import Graph
from bids_acc.execution.progress import Step
from bids_acc.func.workflow.finished import init_func_finished_wf
from bids_acc.func.workflow.measure import init_func_measure_wf, init_func_raw_wf
from bids_acc.mrs.workflow.spectrum import init_mrs_wf
from bids_acc.mtr.workflow import init_mtr_wf
from bids_acc.participant.function import RunSet, run_lists, seed_names, tasks_of
from bids_acc.participant.plan import Job, record_label
from bids_acc.participant.records import stored_fields
from bids_acc.settings import Settings

GRAPHS = 'bids_acc_wf'
"""Folder below the working folder that holds those of the sessions' graphs."""


def build_session(
    job: Job,
    *,
    output_dir: Path,
    work_dir: Path,
    settings: Settings,
    datasets: Mapping[str, Path] | None = None,
) -> Graph:
    """Build the graph of a session, and say of each node what it is.

    Parameters
    ----------
    job : Job
        What to compute and what to take over.
    output_dir, work_dir : Path
        Root of the derivative data set; where Nipype keeps its files.
    settings : Settings
        Of this run.
    datasets : mapping of str to Path, optional
        Name of each data set in BIDS URIs, and its root: where outputs say they come from.
    """
    workflow, modalities = init_session_wf(
        job, output_dir=output_dir, settings=settings, basis_cache=work_dir / 'mrs_basis'
    )
    for part, files in _files_of(job, modalities).items():
        tell_sources(workflow.get_node(part), bids_uris(files, datasets or {}))
    workflow.base_dir = str(work_dir / GRAPHS)
    session = ' '.join(filter(None, [job.session.participant_id, job.session.session_id]))
    steps = {
        f'{workflow.name}.{part}.{name}': Step(session, modality, part, name)
        for part, modality in modalities.items()
        for name in computing_nodes(workflow.get_node(part))
    } | {
        sink_name(workflow.name, part): Step(session, modality, part, SINK)
        for part, modality in modalities.items()
    }
    return Graph(workflow, steps)


def _files_of(job: Job, modalities: Mapping[str, str]) -> dict[str, list[Path]]:
    """List the files that each sub-workflow's outputs are made from."""
    session = job.session
    anat: list[Path] = []
    if session.anat is not None and job.has('anat'):
        mask = [] if job.brain_mask.path is None else [job.brain_mask.path]
        anat = [*session.anat.files, *mask, *job.surfaces.files]
    spectra = dict(zip(spectrum_names(session.mrs), session.mrs, strict=True))
    files = {}
    for part, modality in modalities.items():
        if modality == 'anat':
            files[part] = anat
        elif modality == 'dwi' and session.dwi is not None:
            files[part] = [*session.dwi.files, *anat[:1]]
        elif modality == 'func' and session.func is not None:
            files[part] = [*session.func.files, *anat[:1]]
        elif modality == 'mtr' and session.mtr is not None:
            files[part] = [*session.mtr.files, *anat[:1]]
        elif part in spectra:
            files[part] = [*spectra[part].files, *anat[:1]]
    return files


def tell_sources(workflow: Workflow, uris: list[str]) -> None:
    """Tell each sink of a workflow what its outputs are made from.

    Parameters
    ----------
    workflow : Workflow
        Changed in place.
    uris : list of str
        From `bids_acc.derivatives.links.bids_uris`.
    """
    for name in workflow.list_node_names():
        interface = workflow.get_node(name).interface
        if isinstance(interface, Sink):
            interface.inputs.sources = uris


def computing_nodes(workflow: Workflow) -> list[str]:
    """Name the nodes that will run, besides the one that keeps the files.

    Identity nodes only pass values on; Nipype takes them out of the graph before it runs.

    Parameters
    ----------
    workflow : Workflow
        Of a session, with all that it holds.

    Returns
    -------
    list of str
        Full names, as Nipype gives them.
    """
    names: list[str] = workflow.list_node_names()
    others = IdentityInterface, Sink
    return [n for n in names if not isinstance(workflow.get_node(n).interface, others)]


def init_session_wf(
    job: Job, *, output_dir: Path, settings: Settings, basis_cache: Path | None = None
) -> tuple[Workflow, dict[str, str]]:
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
    workflow : Workflow
        With one sub-workflow for each modality or spectrum that is computed.
    modalities : dict of str to str
        Name of each sub-workflow to the modality.
    """
    session = job.session
    workflow = Workflow(name=workflow_name(session.label))
    modalities: dict[str, str] = {}
    common: dict[str, Path] = {'output_dir': output_dir}
    anat: Any = None
    if job.wants('anat') and session.anat is not None:
        anat = _session_anat(job, session.anat, settings, common)
        modalities[anat.name] = 'anat'
    elif 'anat' in job.records:
        anat = stored_fields(job.records['anat'], output_dir)
    if job.wants('dwi') and session.dwi is not None:
        dwi = _session_dwi(session, session.dwi, anat is not None, settings, common, job.surfaces)
        modalities[dwi.name] = 'dwi'
        _join(workflow, anat, dwi)
    if job.wants('func') and session.func is not None:
        for task in tasks_of(session.func, settings.func):
            seed = task_seed(settings.random_seed, record_label(session, task.name))
            func = _session_task(
                task, settings, common, seed, job.surfaces, has_anat=anat is not None
            )
            modalities[func.name] = 'func'
            _join(workflow, anat, func)
    if job.wants('mtr') and session.mtr is not None and anat is not None:
        mtr = _session_mtr(session, session.mtr, settings, common, job.surfaces)
        modalities[mtr.name] = 'mtr'
        _join(workflow, anat, mtr)
    if job.wants('mrs'):
        names = spectrum_names(session.mrs)
        for name, spectrum in zip(names, session.mrs, strict=True):
            mrs = _session_mrs(
                session,
                spectrum,
                name,
                anat is not None,
                settings,
                common | ({} if basis_cache is None else {'cache_dir': basis_cache}),
            )
            modalities[mrs.name] = 'mrs'
            _join(workflow, anat, mrs)
    # Alone, or with others that take nothing from it, no connection has brought it into the graph.
    if job.wants('anat') and anat is not None and anat not in workflow._graph.nodes():
        workflow.add_nodes([anat])
    return workflow, modalities


def _session_anat(
    job: Job, inputs: AnatInputs, settings: Settings, common: Mapping[str, Path]
) -> Workflow:
    """Build the graph of the T1w image of a session."""
    surfaces = job.surfaces
    workflow = init_anat_wf(
        **common,
        entities=dict(inputs.entities),
        settings=settings.anat,
        omp_nthreads=settings.resources.omp_nthreads,
        seed=task_seed(settings.random_seed, record_label(job.session, 'anat')),
        name='anat_wf',
        origin=SurfaceOrigin(
            source=surfaces.source,
            own_labels=surfaces.own_labels,
            software=surfaces.software,
            note=surfaces.note,
            smoothing_mm=surfaces.smoothing_mm,
            mesh=surfaces.mesh,
        ),
        further_runs=inputs.averaged,
        image_notes=inputs.notes,
    )
    given = {
        't1w_file': inputs.t1w, 'brain_mask': job.brain_mask.path,
        'surface_dir': surfaces.folder, 'mesh_dir': surfaces.mesh_folder,
    }  # fmt: skip
    node = workflow.get_node('inputnode')
    for name, path in given.items():
        if path is not None:
            setattr(node.inputs, name, str(path))
    return workflow


def _session_dwi(
    session: Session,
    inputs: DwiInputs,
    has_anat: bool,
    settings: Settings,
    common: Mapping[str, Path],
    surfaces: SurfaceChoice,
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
        has_reversed_pe=inputs.has_reversed_pe,
        has_field_map=inputs.field_map is not None,
        source=inputs.source,
        noddi_source=inputs.noddi_source if inputs.noddi and has_anat else '',
        tract_tables=dict(zip(map(str, inputs.tract_tables), inputs.tract_sources, strict=True)),
        notes=inputs.notes,
        left_out=inputs.left_out,
        no_opposite=inputs.no_opposite,
        own_atlas=surfaces.own_labels,
        mesh=surfaces.mesh if has_anat else '',
        atlases=settings.anat.atlas,
    )
    node = workflow.get_node('inputnode')
    if inputs.reversed_pe:
        node.inputs.reversed_pe_files = [str(path) for path, _ in inputs.reversed_pe]
        node.inputs.reversed_pe_sidecars = [dict(metadata) for _, metadata in inputs.reversed_pe]
    if inputs.field_map is not None:
        node.inputs.field_map = inputs.field_map.as_dict()
    if inputs.mask is not None:
        node.inputs.brain_mask = str(inputs.mask)
    if inputs.noddi:
        node.inputs.noddi_maps = [str(inputs.noddi[name]) for name in ('icvf', 'isovf', 'od')]
    node.inputs.dwi_files = [str(run.image) for run in inputs.runs]
    node.inputs.imaginary_files = [str(run.imaginary or '') for run in inputs.runs]
    node.inputs.bval_files = [str(run.bval) for run in inputs.runs]
    node.inputs.bvec_files = [str(run.bvec) for run in inputs.runs]
    node.inputs.sidecars = [dict(run.metadata) for run in inputs.runs]
    return workflow


def _session_task(
    task: RunSet, settings: Settings, common: Mapping[str, Path], seed: int,
    surfaces: SurfaceChoice, *, has_anat: bool,
) -> Workflow:  # fmt: skip
    """Build the graph of one task's BOLD runs: prepared by others, or by the built-in line."""
    measure: dict[str, Any] = {
        **common,
        'entities': task.entities,
        'settings': settings.func,
        'density': settings.anat.density,
        'space': task.space,
        'n_runs': len(task.runs),
        'seeds': seed_names(settings.func),
        'contrasts': task.contrasts,
        'source': task.source,
        'own_atlas': surfaces.own_labels,
        'mesh': surfaces.mesh if has_anat and task.in_volume else '',
    }
    if task.finished:
        runs = task.finished
        names = ('output_dir', 'entities', 'settings', 'density', 'source')
        return init_func_finished_wf(
            **{name: measure[name] for name in names}, runs=runs, name=task.name
        )
    if task.raw:
        return init_func_raw_wf(runs=task.raw, measure=measure, seed=seed, name=task.name)
    workflow = init_func_measure_wf(**measure, name=task.name)
    node = workflow.get_node('inputnode')
    for name, values in run_lists(task.prepared).items():
        setattr(node.inputs, name, values)
    return workflow


def _session_mtr(
    session: Session,
    inputs: MtrInputs,
    settings: Settings,
    common: Mapping[str, Path],
    surfaces: SurfaceChoice,
) -> Workflow:
    """Build the graph of magnetization transfer."""
    workflow = init_mtr_wf(
        **common,
        entities=dict(inputs.entities),
        settings=settings.mtr,
        density=settings.anat.density,
        is_map=inputs.is_map,
        factor=inputs.factor,
        own_atlas=surfaces.own_labels,
        atlases=settings.anat.atlas,
        tract_atlas=settings.dwi.tract_atlas or '',
        mesh=surfaces.mesh,
        about={
            **({'GeneratedBy': inputs.source} if inputs.source else {}),
            **({'Notes': list(inputs.notes)} if inputs.notes else {}),
        },
        seed=task_seed(settings.random_seed, record_label(session, 'mtr')),
        name='mtr_wf',
    )
    workflow.get_node('inputnode').inputs.images = [str(path) for path in inputs.images]
    return workflow


def _session_mrs(
    session: Session,
    inputs: MrsInputs,
    name: str,
    has_anat: bool,
    settings: Settings,
    common: Mapping[str, Path],
) -> Workflow:
    """Build the graph of one spectrum."""
    elsewhere = other_space(session, inputs) if has_anat else ''
    workflow = init_mrs_wf(
        **common,
        entities=dict(inputs.entities),
        settings=settings.mrs,
        has_anat=has_anat and not elsewhere,
        density=settings.anat.density,
        note=elsewhere,
        seed=task_seed(settings.random_seed, f'{record_label(session, "mrs")}_{name}'),
        name=name,
    )
    node = workflow.get_node('inputnode')
    node.inputs.svs_file = str(inputs.svs)
    node.inputs.svs_metadata = dict(inputs.metadata)
    if inputs.events is not None and settings.mrs.blocks == 'events':
        node.inputs.events_file = str(inputs.events)
    if inputs.reference is not None:
        node.inputs.ref_file = str(inputs.reference)
        node.inputs.ref_metadata = dict(inputs.reference_metadata)
    return workflow


def _join(workflow: Workflow, anat: Workflow | pe.Node | None, other: Workflow) -> None:
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
    if not shared:
        workflow.add_nodes([other])
        return
    workflow.connect([(anat, other, [(f'{prefix}{n}', f'inputnode.{n}') for n in shared])])


def workflow_name(label: str) -> str:
    """Turn a session label into what Nipype takes as a name.

    Parameters
    ----------
    label : str
        Such as ``sub-01_ses-1``.

    Examples
    --------
    >>> workflow_name('sub-01_ses-1')
    'sub_01_ses_1_wf'
    """
    return re.sub(r'\W', '_', label) + '_wf'


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
    # crc32 and not hash(), which Python salts anew in every process.
    sequence = np.random.SeedSequence(seed, spawn_key=(zlib.crc32(label.encode()),))
    return int(sequence.generate_state(1)[0] % (2**31 - 1))


def spectrum_names(spectra: Sequence[MrsInputs]) -> list[str]:
    """Name the graph of each spectrum after what tells it from the others.

    Parameters
    ----------
    spectra : sequence of MrsInputs
        Of one session.

    Returns
    -------
    list of str
        ``mrs_wf`` for a single one; else with acquisition, voxel and so on, such as
        ``mrs_acc_wf``.

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


def other_space(session: Session, inputs: MrsInputs) -> str:
    """Say why the voxel cannot be drawn into the T1w image of the session; empty when it can.

    The voxel is known in the scanner's space of its own session. A T1w image that the sidecar
    names is taken at its word; one of another session is not in that space.

    Parameters
    ----------
    session : Session
        With the T1w image that is segmented, if any.
    inputs : MrsInputs
        Spectrum, and the T1w image that its sidecar names.
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
