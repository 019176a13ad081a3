"""What is measured in the prepared runs of one task, as a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from bids_acc.derivatives.outputs import SinkPlace, init_sink, on_mesh
from bids_acc.func.interfaces.measuring import JoinMaps, JoinRest, MeasureRest, PickRun
from bids_acc.func.interfaces.reportlets import PlotCarpet, PlotContrasts, PlotMaps, PlotMatrix
from bids_acc.func.interfaces.task import MESH, FitTask, JoinTask
from bids_acc.func.measuring import VERTEX_MAPS
from bids_acc.func.raw import RawRun
from bids_acc.func.run import RUN_FIELDS
from bids_acc.func.task import ContrastFields
from bids_acc.func.workflow.preproc import ANAT_INPUTS as PREPARE_INPUTS
from bids_acc.func.workflow.preproc import RUN_FIGURES, init_func_preproc_wf
from bids_acc.settings import FuncSettings
from bids_acc.surfaces.template import HEMISPHERES
from bids_acc.typing import Metadata

ANAT_INPUTS = ('white', 'pial', 'tpms', 'parcellation', 'template_to_t1w_xfm', 't1w_mask')
"""What is taken of the T1w image."""
MESH_INPUTS = ('mesh_white', 'mesh_pial', 'mesh_parcellation')
"""What is taken besides where maps are measured on the mesh of a derivative as well."""
PER_RUN = ('bold', 'mask', 'confounds', 'sidecar', 'facts')
"""Names of `RUN_FIELDS` in the shell that measures one run."""


def init_func_measure_wf(
    *,
    output_dir: Path,
    entities: Metadata,
    settings: FuncSettings,
    density: str,
    space: str,
    n_runs: int,
    seeds: Sequence[str] = (),
    contrasts: Sequence[ContrastFields] = (),
    source: str = '',
    own_atlas: str = '',
    mesh: str = '',
    name: str = 'func_wf',
) -> pe.Workflow:
    """Measure function in the prepared runs of one task.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative dataset.
    entities : mapping
        Entities that the runs share.
    settings : FuncSettings
    density : str
        Of the template mesh.
    space : str
        Of the series; with ``T1w`` the surfaces of the T1w image are needed.
    n_runs : int
        Number of runs.
    seeds : sequence of str
        Names of the seeds that get a map.
    contrasts : sequence of mapping
        ``name, words, weights`` of each; empty for a task at rest.
    source : str
        What prepared the series.
    own_atlas : str
        Atlas of the parcellation; empty for DKT.
    mesh : str
        Another mesh on which maps are measured as well; empty for none.
    name : str
        Name of the workflow.

    Inputs
    ------
    bold_files, mask_files, confounds_files, confounds_sidecars, run_facts
        Of each run, see `bids_acc.func.run`.
    white, pial, tpms, parcellation, template_to_t1w_xfm, t1w_mask
        Of the T1w image; only for a series in its space, or with ``mesh``.
    mesh_white, mesh_pial, mesh_parcellation
        Only with ``mesh``.

    Outputs
    -------
    qc
        Table of quality.
    """
    workflow = pe.Workflow(name=name)
    with_anat = space == 'T1w' or bool(mesh)
    # runs in a template's space need nothing of the T1w image, and do not wait for it
    of_anat = (*ANAT_INPUTS, *(MESH_INPUTS if mesh else ())) if with_anat else ()
    fields = [*RUN_FIELDS, *of_anat]
    inputnode = pe.Node(niu.IdentityInterface(fields), name='inputnode')
    outputnode = pe.Node(niu.IdentityInterface(['qc']), name='outputnode')
    where: SinkPlace = {'output_dir': output_dir, 'entities': entities}
    workflow.add_nodes([inputnode, outputnode])
    about = _method(settings, space, source)
    common: dict[str, Any] = {'density': density, 'space': space, 'about': about}
    join = pe.Node(
        JoinTask(
            [str(one['name']) for one in contrasts], on_mesh=bool(mesh), gate='none', **common
        )
        if contrasts
        else JoinRest(seeds, gate=settings.gate, own_atlas=own_atlas, **common),
        name='join',
    )
    gathered = ['measures', 'carpet', *(['mesh_measures'] if mesh and not contrasts else [])]
    gather = _measure_runs(workflow, settings, density, contrasts, n_runs, gathered, of_anat)
    workflow.connect([(gather['measures'], join, [('out', 'measures')])])
    if with_anat:
        workflow.connect([(inputnode, join, [('parcellation', 'parcellation')])])
    if contrasts:
        _keep_task(workflow, join, where, density, contrasts, about)
        if mesh:
            _keep_contrasts(workflow, join, where, contrasts, _there(about, mesh), mesh=mesh)
    else:
        _keep_rest(workflow, join, where, density, seeds, about)
        if mesh:
            there = pe.Node(JoinMaps(seeds), name='join_mesh')
            workflow.connect([(gather['mesh_measures'], there, [('out', 'measures')])])
            _keep_maps(workflow, there, where, seeds, _there(about, mesh), mesh=mesh)
    _keep_quality(workflow, join, gather['carpet'], where)
    return workflow


def _measure_runs(
    workflow: pe.Workflow,
    settings: FuncSettings,
    density: str,
    contrasts: Sequence[ContrastFields],
    n_runs: int,
    gathered: Sequence[str],
    of_anat: Sequence[str],
) -> dict[str, pe.Node]:
    """Add what measures each run by itself; return what gathers each of their results."""
    inputnode = workflow.get_node('inputnode')
    shell = FitTask if contrasts else MeasureRest
    chosen: dict[str, Any] = {
        'strategy': settings.strategy, 'censor_fd': settings.censor_fd, 'band': settings.band,
        'seeds': settings.seeds, 'atlas': settings.atlas, 'density': density,
        **({'contrasts': [dict(one) for one in contrasts]} if contrasts else {}),
    }  # fmt: skip
    gather = {n: pe.Node(niu.Merge(n_runs), name=f'gather_{n}') for n in gathered}
    # each run by itself, and joined as measures: runs have baselines and motion of their own
    for number in range(n_runs):
        pick = pe.Node(PickRun(number=number), name=f'pick_{number + 1}')
        measure = pe.Node(shell(**chosen), name=f'measure_{number + 1}', mem_gb=2)
        workflow.connect([
            (inputnode, pick, [(n, n) for n in RUN_FIELDS]),
            (pick, measure, [(n, n) for n in PER_RUN]),
            *((measure, node, [(n, f'in{number + 1}')]) for n, node in gather.items()),
        ])  # fmt: skip
        if of_anat:
            workflow.connect([(inputnode, measure, [(n, n) for n in of_anat])])
    return gather


def _keep_quality(
    workflow: pe.Workflow, join: pe.Node, carpets: pe.Node, where: SinkPlace
) -> None:
    """Keep the table of quality and the figure of all runs' signal."""
    qc = init_sink('func_qc', **where)
    carpet = pe.Node(PlotCarpet(), name='plot_carpet')
    ds_carpet = init_sink('func_figure_carpet', **where)
    workflow.connect([
        (join, qc, [('qc', 'in_file'), ('metadata', 'metadata')]),
        (join, workflow.get_node('outputnode'), [('qc', 'qc')]),
        (carpets, carpet, [('out', 'carpets')]),
        (join, carpet, [('qc', 'qc')]),
        (carpet, ds_carpet, [('out_file', 'in_file')]),
    ])  # fmt: skip


def init_func_raw_wf(
    *, runs: Sequence[RawRun], measure: Mapping[str, Any], seed: int, name: str
) -> pe.Workflow:
    """Prepare the raw runs of one task, and measure function in them.

    Parameters
    ----------
    runs : sequence of RawRun
    measure : mapping
        Arguments of `init_func_measure_wf`.
    seed : int
        Of registration.
    name : str
        Name of the workflow.

    Inputs
    ------
    t1w_preproc, t1w_mask, tpms, white, pial, parcellation, template_to_t1w_xfm
        Of the T1w image.
    mesh_white, mesh_pial, mesh_parcellation
        Where ``measure`` names a mesh.

    Outputs
    -------
    qc
        Table of quality.
    """
    workflow = pe.Workflow(name=name)
    of_anat = (*ANAT_INPUTS, *(MESH_INPUTS if measure.get('mesh') else ()))
    fields = list(dict.fromkeys([*PREPARE_INPUTS, *of_anat]))
    inputnode = pe.Node(niu.IdentityInterface(fields), name='inputnode')
    outputnode = pe.Node(niu.IdentityInterface(['qc']), name='outputnode')
    prepare_wf = init_func_preproc_wf(runs=runs, has_anat=True, seed=seed, name='prepare_wf')
    measure_wf = init_func_measure_wf(**measure, name='measure_wf')
    workflow.connect([
        (inputnode, prepare_wf, [(n, f'inputnode.{n}') for n in PREPARE_INPUTS]),
        (inputnode, measure_wf, [(n, f'inputnode.{n}') for n in of_anat]),
        (prepare_wf, measure_wf, [(f'outputnode.{n}', f'inputnode.{n}') for n in RUN_FIELDS]),
        (measure_wf, outputnode, [('outputnode.qc', 'qc')]),
    ])  # fmt: skip
    for number, run in enumerate(runs, start=1):
        # each run was aligned by itself
        entities = dict(run.entities) if len(runs) > 1 else measure['entities']
        for what in RUN_FIGURES:
            sink = init_sink(
                f'func_figure_{what}', output_dir=measure['output_dir'], entities=entities,
                name=f'ds_{what}_{number}',
            )  # fmt: skip
            workflow.connect(prepare_wf, f'run_{number}_wf.outputnode.{what}', sink, 'in_file')
    return workflow


def _method(settings: FuncSettings, space: str, source: str) -> dict[str, object]:
    """Return what the sidecars say of how it was measured."""
    return {
        'SpatialReference': {'VolumeReference': space},
        'PreparedBy': source,
        'Confounds': settings.strategy,
        'CensoringThreshold': settings.censor_fd if settings.censor_fd is not None else 'none',
        'Band': list(settings.band),
        'Software': {'bids_acc': version('bids_acc'), 'nilearn': version('nilearn')},
    }


def _there(about: Metadata, mesh: str) -> dict[str, object]:
    """Return what the sidecars of maps on the mesh of a derivative say."""
    return {**about, 'SpatialReference': mesh, 'SampledIn': about['SpatialReference']}


def _keep_rest(
    workflow: pe.Workflow,
    join: pe.Node,
    where: SinkPlace,
    density: str,
    seeds: Sequence[str],
    about: Metadata,
) -> None:
    """Keep maps, tables and figures of a task at rest."""
    _keep_maps(workflow, join, where, seeds, about, density=density)
    for key in ('timeseries', 'matrix', 'partial', 'regions', 'markers', 'parcels'):
        sink = init_sink(f'func_{key}', **where)
        workflow.connect([(join, sink, [(key, 'in_file'), ('metadata', 'metadata')])])
    matrix = pe.Node(PlotMatrix(), name='plot_matrix')
    workflow.connect(join, 'regions', matrix, 'regions')
    figures = {'matrix': matrix, 'signal': pe.Node(PlotMaps(kind='signal'), name='plot_signal'),
               'activity': pe.Node(PlotMaps(kind='activity'), name='plot_activity'),
               'seed': pe.Node(PlotMaps(kind='seed'), name='plot_seed')}  # fmt: skip
    for key, node in figures.items():
        sink = init_sink(f'func_figure_{key}', **where)
        workflow.connect([(join, node, [('joined', 'joined')]),
                          (node, sink, [('out_file', 'in_file')])])  # fmt: skip


def _keep_maps(
    workflow: pe.Workflow, join: pe.Node, where: SinkPlace, seeds: Sequence[str],
    about: Metadata, *, density: str = '', mesh: str = '',
) -> None:  # fmt: skip
    """Keep the maps of a task at rest on one mesh."""
    kinds: list[tuple[str, str, dict[str, Any]]]
    kinds = [(name, f'func_vertex_{name}', {}) for name in VERTEX_MAPS]
    kinds += [(f'seed_{seed}', 'func_vertex_seed', {'label': seed}) for seed in seeds]
    at: dict[str, Any] = {'density': density} if density else {}
    for side in HEMISPHERES:
        for name, key, more in kinds:
            sink = init_sink(on_mesh(key, mesh), **where, hemisphere=side, **at, **more,
                             name=f'ds_{name}_{mesh}{side}')  # fmt: skip
            sink.inputs.metadata = dict(about)
            workflow.connect(join, f'{name}_{side}', sink, 'in_file')


def _keep_task(
    workflow: pe.Workflow,
    join: pe.Node,
    where: SinkPlace,
    density: str,
    contrasts: Sequence[ContrastFields],
    about: Metadata,
) -> None:
    """Keep maps, table and figure of a task with events."""
    _keep_contrasts(workflow, join, where, contrasts, about, density=density)
    table = init_sink('func_contrasts', **where)
    figure = pe.Node(PlotContrasts(), name='plot_contrasts')
    ds_figure = init_sink('func_figure_contrasts', **where)
    workflow.connect([
        (join, table, [('table', 'in_file'), ('metadata', 'metadata')]),
        (join, figure, [('joined', 'joined')]),
        (figure, ds_figure, [('out_file', 'in_file')]),
    ])  # fmt: skip


def _keep_contrasts(
    workflow: pe.Workflow, join: pe.Node, where: SinkPlace,
    contrasts: Sequence[ContrastFields], about: Metadata,
    *, density: str = '', mesh: str = '',
) -> None:  # fmt: skip
    """Keep the maps of a task's contrasts on one mesh."""
    at: dict[str, Any] = {'density': density} if density else {}
    # one node gives maps of both meshes, told apart by how their names begin
    start = MESH if mesh else ''
    for side in HEMISPHERES:
        for one in contrasts:
            for part in ('effect', 'z'):
                sink = init_sink(
                    on_mesh(f'func_contrast_{part}', mesh), **where, hemisphere=side, **at,
                    contrast=one['name'], name=f'ds_{one["name"]}_{part}_{mesh}{side}',
                )  # fmt: skip
                sink.inputs.metadata = {
                    'Contrast': one['words'], 'Weights': dict(one['weights']),
                    'Model': 'canonical response of SPM, noise AR(1), confounds in the design',
                    **about,
                }  # fmt: skip
                workflow.connect(join, f'{start}{one["name"]}_{part}_{side}', sink, 'in_file')
