"""Records of what was finished, and the fields that a later run takes over.

A modality whose outputs are still valid is not computed again: its place in the graph is taken
by a node that hands out the stored files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe
from nipype.pipeline.engine import Workflow

from bids_acc.derivatives.outputs import Sink, sidecar_path
from bids_acc.derivatives.records import (
    Record,
    forget_record,
    hash_files,
    write_record,
)
from bids_acc.modalities import MODALITIES
from bids_acc.participant.plan import Job, record_label


def stored_fields(record: Record, output_dir: Path) -> pe.Node:
    """Hand out the stored output files of a modality that is not computed again.

    Parameters
    ----------
    record : Record
        Of the T1w modality, read back.
    output_dir : Path
        Root of the derivatives, below which recorded paths lie.

    Returns
    -------
    pe.Node
        Stands in the graph where the T1w workflow would.
    """
    values = {name: _absolute(value, output_dir) for name, value in record.fields.items()}
    node = pe.Node(niu.IdentityInterface(fields=sorted(values)), name='stored_anat')
    for name, value in values.items():
        setattr(node.inputs, name, value)
    return node


def _absolute(value: object, root: Path) -> object:
    """Place stored paths below the root; what is no file there stays as it is."""
    if isinstance(value, list):
        return [_absolute(item, root) for item in value]
    path = root / str(value)
    return str(path) if path.exists() else value


def forget_before_run(jobs: Iterable[Job], output_dir: Path) -> None:
    """Remove the records of what will be written anew.

    Parameters
    ----------
    jobs : iterable of Job
        Those modalities that they want lose their records.
    output_dir : Path
        Root of the derivatives.
    """
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
    nodes = [workflow.get_node(n) for n in workflow.list_node_names()
             if n.split('_')[0] == modality]  # fmt: skip
    sinks = [node.interface for node in nodes if isinstance(node.interface, Sink)]
    kept = [Path(sink.inputs.out_path) for sink in sinks]
    outputs = [path for one in kept for path in (one, sidecar_path(one)) if path.exists()]
    record = replace(
        job.expected[modality],
        outputs=hash_files(outputs, output_dir),
        fields=kept_fields(sinks, output_dir),
    )
    write_record(output_dir, record)


def kept_fields(sinks: Iterable[Sink], root: Path) -> dict[str, str | list[str]]:
    """Map each output of a modality to the kept file, or files, for `stored_fields`.

    Parameters
    ----------
    sinks : iterable of Sink
        Of the modality.
    root : Path
        Of the derivative data set, to which paths are relative.
    """
    single: dict[str, str | list[str]] = {}
    listed: dict[str, dict[int, str]] = {}
    for sink in sinks:
        path = Path(sink.inputs.out_path)
        if sink.answers is None or not path.exists():
            continue
        field, place = sink.answers
        if place is None:
            single[field] = str(path.relative_to(root))
        else:
            listed.setdefault(field, {})[place] = str(path.relative_to(root))
    lists = {name: [paths[i] for i in sorted(paths)] for name, paths in listed.items()}
    return dict(sorted((single | lists).items()))
