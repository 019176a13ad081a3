"""Sinks of one step gathered into one node.

A session keeps about a hundred files. As many nodes would be most of what the scheduler has to
do, so that the sinks which wait for the same steps become one node. Not one for a whole modality:
what a finished step gave is kept even where a later one fails.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nipype.interfaces.base import Bunch, DynamicTraitedSpec, SimpleInterface, isdefined
from nipype.interfaces.io import add_traits
from nipype.pipeline import engine as pe

from bids_acc.derivatives.outputs import Sink, keep_file, with_sources


class _FilesSpec(DynamicTraitedSpec):
    pass


class Sinks(SimpleInterface):
    """Keep files under their BIDS names, with their sidecars."""

    input_spec = output_spec = _FilesSpec
    _always_run = True

    def __init__(self, kept: Sequence[tuple[str, str, Any]] = (), **inputs: Any) -> None:
        """Take key, place and sources of each file."""
        super().__init__(**inputs)
        self._kept = list(kept)
        numbers = range(len(self._kept))
        names = [f'{name}_{n}' for name in ('in_file', 'metadata') for n in numbers]
        add_traits(self.inputs, names)

    def _outputs(self) -> Any:
        """Return one output for each file."""
        return add_traits(super()._outputs(), [f'out_file_{n}' for n in range(len(self._kept))])

    def _run_interface(self, runtime: Bunch) -> Bunch:
        for number, (key, target, sources) in enumerate(self._kept):
            metadata = getattr(self.inputs, f'metadata_{number}')
            keep_file(
                key, Path(getattr(self.inputs, f'in_file_{number}')), Path(target),
                with_sources(metadata if isdefined(metadata) else {}, sources),
            )  # fmt: skip
            self._results[f'out_file_{number}'] = target
        return runtime


def gather_sinks(graph: Any) -> set[str]:
    """Put the sinks that wait for the same nodes into one, in place.

    Parameters
    ----------
    graph : networkx.DiGraph
        Of Nipype nodes, as a plug-in runs it.

    Returns
    -------
    set of str
        Full names of the nodes that are gone. The first sink of each group gives its name to all.
    """
    groups: dict[frozenset[Any], list[Any]] = defaultdict(list)
    for node in graph.nodes():
        if isinstance(node.interface, Sink):
            groups[frozenset(graph.predecessors(node))].append(node)
    gone: set[str] = set()
    for sinks in groups.values():
        if len(sinks) > 1:
            _gather(graph, sinks)
            gone |= {sink.fullname for sink in sinks[1:]}
    return gone


def _gather(graph: Any, sinks: Sequence[Any]) -> None:
    """Replace sinks by one node."""
    first = sinks[0]
    told = [sink.inputs for sink in sinks]
    kept = [(each.key, each.out_path, each.sources) for each in told]
    node = pe.Node(Sinks(kept), name=first.name, mem_gb=0.1)
    for name in ('_hierarchy', 'base_dir', 'config', 'index'):
        setattr(node, name, getattr(first, name))
    edges: dict[tuple[Any, Any], list[tuple[Any, str]]] = defaultdict(list)
    for number, sink in enumerate(sinks):
        for field in ('in_file', 'metadata'):
            value = getattr(sink.inputs, field)
            if isdefined(value):
                setattr(node.inputs, f'{field}_{number}', value)
        for before, _, data in graph.in_edges(sink, data=True):
            edges[before, node] += [(out, f'{into}_{number}') for out, into in data['connect']]
        for _, after, data in graph.out_edges(sink, data=True):
            edges[node, after] += [(f'{out}_{number}', into) for out, into in data['connect']]
        for field, source in sink.input_source.items():
            node.input_source[f'{field}_{number}'] = source
    graph.remove_nodes_from(sinks)
    result = str(Path(node.output_dir()) / f'result_{node.name}.pklz')
    for (before, after), connect in edges.items():
        graph.add_edge(before, after, connect=connect)
        if before is node:
            for out, into in connect:
                after.input_source[into] = (result, out)
