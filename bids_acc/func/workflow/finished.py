"""Measures that another tool has made of the runs of one task, as a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from bids_acc.derivatives.outputs import SinkPlace, init_sink
from bids_acc.func.finished import FinishedRun
from bids_acc.func.finished_maps import VERTEX_MAPS
from bids_acc.func.interfaces.finished import ImportFinished
from bids_acc.func.interfaces.reportlets import PlotMaps, PlotMatrix
from bids_acc.quality.sessions import finished_gate
from bids_acc.settings import FuncSettings
from bids_acc.surfaces.template import HEMISPHERES
from bids_acc.typing import Metadata

WORDS: Mapping[str, str] = {
    'reho': 'Regional homogeneity',
    'alff': 'Amplitude of low-frequency fluctuations',
    'alffz': 'Amplitude of low-frequency fluctuations as z within the cortex',
    'coverage': 'Whether all maps have a value',
}
"""What each map is; definition and unit are those of the tool that made it."""
TABLES = ('regions', 'markers', 'parcels', 'matrix', 'timeseries')


def init_func_finished_wf(
    *,
    output_dir: Path,
    entities: Metadata,
    settings: FuncSettings,
    density: str,
    runs: Sequence[FinishedRun],
    source: str = '',
    name: str = 'func_wf',
) -> pe.Workflow:
    """Take what another tool has made of the runs of one task.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative dataset.
    entities : mapping
        Entities that the runs share.
    settings : FuncSettings
    density : str
        Of the template mesh.
    runs : sequence of FinishedRun
    source : str
        Who made it.
    name : str
        Name of the workflow.

    Outputs
    -------
    qc
        Table of quality.
    """
    workflow = pe.Workflow(name=name)
    # nothing of the T1w image is waited for: what is taken lies in a template's space
    inputnode = pe.Node(
        niu.IdentityInterface(['nothing'], mandatory_inputs=False), name='inputnode'
    )
    outputnode = pe.Node(niu.IdentityInterface(['qc']), name='outputnode')
    workflow.add_nodes([inputnode])
    about = _about(runs, source)
    maps = _maps_of(runs)
    read = pe.Node(
        ImportFinished(
            maps, runs=[run.as_dict() for run in runs], density=density, about=about,
            gate=finished_gate(settings.gate, on_cortex=bool(maps)),
        ),
        name='read', mem_gb=2,
    )  # fmt: skip
    where: SinkPlace = {'output_dir': output_dir, 'entities': entities}
    for side in HEMISPHERES:
        for one in maps:
            sink = init_sink(f'func_vertex_{one}', **where, hemisphere=side, density=density,
                             name=f'ds_{one}_{side}')  # fmt: skip
            # coverage is yes or no, and a z value has no unit
            unit = {} if one in ('coverage', 'alffz') else {'Units': 'as the tool gives it'}
            sink.inputs.metadata = {
                **about, 'Description': f'{WORDS[one]}, as {source} gives it', **unit,
            }  # fmt: skip
            workflow.connect(read, f'{one}_{side}', sink, 'in_file')
    for key in TABLES:
        sink = init_sink(f'func_{key}', **where)
        workflow.connect([(read, sink, [(key, 'in_file'), ('metadata', 'metadata')])])
    qc = init_sink('func_qc', **where)
    workflow.connect([
        (read, qc, [('qc', 'in_file'), ('metadata', 'metadata')]),
        (read, outputnode, [('qc', 'qc')]),
    ])  # fmt: skip
    _draw(workflow, read, where, runs, with_maps=bool(maps))
    return workflow


def _maps_of(runs: Sequence[FinishedRun]) -> list[str]:
    """List the maps on the template's cortex that all runs have."""
    if not all(run.on_cortex for run in runs):
        return []
    shared = set.intersection(*(set(run.maps) for run in runs))
    # an amplitude in another tool's unit compares between people only as z within the cortex
    there = {'coverage', *shared, *(['alffz'] if 'alff' in shared else [])}
    return [name for name in VERTEX_MAPS if name in there]


def _about(runs: Sequence[FinishedRun], source: str) -> dict[str, object]:
    """Return what the sidecars say of who made it, and how."""
    first = runs[0]
    band = first.metadata.get('band')
    return {
        'SpatialReference': {'VolumeReference': first.space},
        'PreparedBy': source,
        'TakenAsIs': True,
        'Confounds': str(first.metadata.get('nuisance') or 'not told'),
        # an empty list is the tool's word that it did not filter
        'Band': list(band) if band else 'none' if band == [] else 'not told',
        'Atlas': first.atlas or 'none',
        'Software': {'bids_acc': version('bids_acc')},
    }


def _draw(
    workflow: pe.Workflow, read: pe.Node, where: SinkPlace, runs: Sequence[FinishedRun],
    *, with_maps: bool,
) -> None:  # fmt: skip
    """Draw the maps, and the matrix where there is an atlas."""
    figures: dict[str, pe.Node] = {}
    if with_maps:
        figures['activity'] = pe.Node(PlotMaps(kind='activity', unit=''), name='plot_activity')
    if any('matrix' in run.tables for run in runs):
        figures['matrix'] = pe.Node(PlotMatrix(), name='plot_matrix')
        workflow.connect(read, 'regions', figures['matrix'], 'regions')
    for key, node in figures.items():
        sink = init_sink(f'func_figure_{key}', **where)
        workflow.connect([(read, node, [('joined', 'joined')]),
                          (node, sink, [('out_file', 'in_file')])])  # fmt: skip
