"""Records of what was finished, and the fields that a later run takes over.

A modality whose outputs are still valid is not computed again: its place in the graph is taken
by a node that hands out the stored files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

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

from bids_acc.bids.inputs import MODALITIES
from bids_acc.derivatives.outputs import Sink, sidecar_path
from bids_acc.derivatives.records import (
    Record,
    forget_record,
    hash_files,
    write_record,
)
from bids_acc.files.writing import write_json
from bids_acc.participant.plan import Job, record_label


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
        write_json(path, {name: content[name] for name in sorted(content)})
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
