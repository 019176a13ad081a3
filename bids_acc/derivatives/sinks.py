"""The files of a modality kept by one node.

A session keeps about a hundred files. As many nodes would be most of what the scheduler has to
do, so that the sinks of each graph of a session (a modality, a task or a spectrum) become one
node. It runs when all of that graph has ended; where a step failed, `keep_finished` keeps what
the others gave.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from nipype.interfaces.base import (
    Bunch,
    DynamicTraitedSpec,
    SimpleInterface,
    TraitedSpec,
    isdefined,
)
from nipype.interfaces.io import add_traits
from nipype.pipeline import engine as pe

from bids_acc.derivatives.outputs import Sink, keep_file, with_sources

LOGGER = logging.getLogger(__name__)

SINK = 'sink'
"""Name of the node in the graph of a modality."""


class Sinks(SimpleInterface):
    """Keep files under their BIDS names, with their sidecars."""

    input_spec = DynamicTraitedSpec
    output_spec = TraitedSpec
    _always_run = True

    def __init__(self, kept: Sequence[tuple[str, str, Sequence[str]]] = (), **inputs: Any) -> None:
        """Take key, place and sources of each file."""
        super().__init__(**inputs)
        self._kept = list(kept)
        numbers = range(len(self._kept))
        names = [f'{name}_{n}' for name in ('in_file', 'metadata') for n in numbers]
        add_traits(self.inputs, names)

    def _run_interface(self, runtime: Bunch) -> Bunch:
        self.keep(range(len(self._kept)))
        return runtime

    def keep(self, numbers: Iterable[int]) -> None:
        """Keep some of the files.

        Parameters
        ----------
        numbers : iterable of int
            Positions in the list of files that was given at the start.
        """
        for number in numbers:
            key, target, sources = self._kept[number]
            metadata = getattr(self.inputs, f'metadata_{number}')
            keep_file(
                key, Path(getattr(self.inputs, f'in_file_{number}')), Path(target),
                with_sources(metadata if isdefined(metadata) else {}, sources),
            )  # fmt: skip


def sink_name(session: str, part: str) -> str:
    """Return the full name of the node that keeps the files of one graph of a session.

    Parameters
    ----------
    session : str
        Name of the session's workflow.
    part : str
        Name of the graph in it, such as ``anat_wf``.
    """
    return f'{session}.{part}.{SINK}'


def gather_sinks(graph: Any) -> None:
    """Put the sinks of each graph of a session into one, in place.

    Parameters
    ----------
    graph : networkx.DiGraph
        Of Nipype nodes, as a plug-in runs it. Nothing waits for a sink.
    """
    parts: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for node in graph.nodes():
        if isinstance(node.interface, Sink):
            session, part, *_ = node.fullname.split('.')
            parts[session, part].append(node)
    for (session, part), sinks in parts.items():
        _gather(graph, f'{session}.{part}', sinks)


def _gather(graph: Any, hierarchy: str, sinks: Sequence[pe.Node]) -> None:
    """Replace sinks by one node."""
    told = [sink.inputs for sink in sinks]
    node = pe.Node(Sinks([(t.key, t.out_path, t.sources) for t in told]), name=SINK, mem_gb=0.1)
    node._hierarchy = hierarchy
    for name in ('base_dir', 'config', 'index'):
        setattr(node, name, getattr(sinks[0], name))
    edges: dict[Any, list[tuple[Any, str]]] = defaultdict(list)
    for number, sink in enumerate(sinks):
        for field in ('in_file', 'metadata'):
            value = getattr(sink.inputs, field)
            if isdefined(value):
                setattr(node.inputs, f'{field}_{number}', value)
        for before, _, data in graph.in_edges(sink, data=True):
            edges[before] += [(out, f'{into}_{number}') for out, into in data['connect']]
        for field, source in sink.input_source.items():
            node.input_source[f'{field}_{number}'] = source
    graph.remove_nodes_from(sinks)
    for before, connect in edges.items():
        graph.add_edge(before, node, connect=connect)


def keep_finished(graph: Any, ended: Collection[str]) -> None:
    """Keep the files of steps that ended well, of modalities in which another failed.

    Parameters
    ----------
    graph : networkx.DiGraph
        That ran, after `gather_sinks`.
    ended : collection of str
        Full names of the nodes that ended well.
    """
    for node in graph.nodes():
        missing = {before for before in graph.predecessors(node) if before.fullname not in ended}
        if not isinstance(node.interface, Sinks) or not missing:
            continue
        waits = {into for before in missing for _, into in graph.edges[before, node]['connect']}
        node.input_source = {k: v for k, v in node.input_source.items() if k not in waits}
        lost = {int(into.rpartition('_')[2]) for into in waits}
        try:
            node._get_inputs()
            node.interface.keep(n for n in range(len(node.interface._kept)) if n not in lost)
        except (OSError, ValueError, RuntimeError) as error:
            LOGGER.warning('%s: not all of what was finished is kept: %s', node.fullname, error)
