"""What a subject's page says of its inputs and of the run that wrote it."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd

from bids_acc import __version__
from bids_acc.bids.inputs import (
    AnatInputs,
    DwiRun,
    MrsInputs,
    MtrInputs,
)
from bids_acc.derivatives.dataset import container_from_environment
from bids_acc.mrs.scan.io import read_affine
from bids_acc.participant.acquisition import edges_words, number, shells_words, voxel_words
from bids_acc.participant.plan import Job
from bids_acc.settings import Request

COLUMNS = ('session', 'modality', 'file', 'sequence', 'TE', 'TR', 'voxel', 'more')
SHOWN_PACKAGES = ('nipype', 'nibabel', 'antspyx', 'dipy', 'numpy', 'scipy')
"""Whose versions may change a number."""
SEQUENCE_FIELDS = ('PulseSequenceType', 'PulseSequenceDetails', 'SequenceName', 'ScanningSequence')
"""Fields of a BIDS sidecar that name the sequence; the first that is there counts."""


def inputs_table(jobs: Iterable[Job]) -> pd.DataFrame:
    """List what was read, with sequence, times, b-values and size of the voxel.

    Parameters
    ----------
    jobs : iterable of Job
        Of one subject.

    Returns
    -------
    DataFrame
        `COLUMNS`, all text; empty where neither sidecar nor header tells.
    """
    rows = [
        {'session': job.session.session_id or '', **row} for job in jobs for row in _rows_of(job)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).fillna('')


def _rows_of(job: Job) -> Iterator[dict[str, str]]:
    """Yield a row for each image or spectrum of a session that can be read."""
    session = job.session
    if session.anat is not None:
        yield _anat_row(job, session.anat)
    if session.dwi is not None:
        for run in session.dwi.runs:
            yield _dwi_row(run, session.dwi.source)
    if session.func is not None:
        for prepared in session.func.runs:
            yield _func_row(prepared.files[0], prepared.metadata, session.func.source)
        for done in session.func.finished:
            yield _func_row(done.files[0], done.metadata, session.func.source)
        for raw in session.func.raw:
            yield _func_row(raw.image, raw.metadata_of_image, session.func.source)
    if session.mtr is not None:
        yield from _mtr_rows(session.mtr)
    for spectrum in session.mrs:
        yield _mrs_row(spectrum)


def _anat_row(job: Job, inputs: AnatInputs) -> dict[str, str]:
    """Describe a T1w image and where its surfaces come from."""
    more = [job.surfaces.describe()]
    if inputs.averaged:
        more.append(f'averaged with {len(inputs.averaged)} further runs')
    if (field := number(inputs.metadata, 'MagneticFieldStrength')) is not None:
        more.append(f'{field:g} T')
    return {
        'modality': 'anat', 'file': inputs.t1w.name, 'voxel': voxel_words(inputs.t1w),
        'more': '; '.join(more), **_timing(inputs.metadata),
    }  # fmt: skip


def _dwi_row(run: DwiRun, source: str) -> dict[str, str]:
    """Describe a diffusion series."""
    more = [shells_words(run.bval, run.bvec)]
    if run.direction:
        more.append(f'phase encoding {run.direction}')
    if source:
        more.append(f'corrected by {source}')
    return {
        'modality': 'dwi', 'file': run.image.name, 'voxel': voxel_words(run.image),
        'more': '; '.join(filter(None, more)), **_timing(run.metadata),
    }  # fmt: skip


def _func_row(path: Path, metadata: Mapping[str, object], source: str) -> dict[str, str]:
    """Describe a BOLD series."""
    told = [f'prepared by {source}'] if source else []
    if direction := metadata.get('PhaseEncodingDirection'):
        told.append(f'phase encoding {direction}')
    return {
        'modality': 'func', 'file': path.name, 'more': '; '.join(told),
        'voxel': voxel_words(path) if _is_volume(path) else '', **_timing(metadata),
    }  # fmt: skip


def _is_volume(path: Path) -> bool:
    """Tell an image of voxels from a surface, a CIFTI file or a table."""
    return path.name.endswith(('.nii', '.nii.gz')) and '.dscalar.' not in path.name


def _mtr_rows(inputs: MtrInputs) -> Iterator[dict[str, str]]:
    """Describe the images of a pair, or a ready map."""
    told = (inputs.source and f'made by {inputs.source}') if inputs.is_map else ''
    words = (told or 'ready map',) if inputs.is_map else ('with saturation', 'without saturation')
    for path, more in zip(inputs.images, words, strict=True):
        yield {
            'modality': 'mtr', 'file': path.name, 'voxel': voxel_words(path), 'more': more,
            **_timing(inputs.metadata),
        }  # fmt: skip


def _mrs_row(inputs: MrsInputs) -> dict[str, str]:
    """Describe a spectrum."""
    told = [f'water: {inputs.reference.name}' if inputs.reference else 'no water reference']
    if (transients := number(inputs.metadata, 'NumberOfTransients')) is not None:
        told.append(f'{transients:g} transients')
    try:
        edges = np.linalg.norm(np.asarray(read_affine(inputs.svs))[:3, :3], axis=0)
        voxel = edges_words(edges)
    except (OSError, ValueError):  # the table of quality says what is wrong with it
        voxel = ''
    return {
        'modality': 'mrs', 'file': inputs.svs.name, 'voxel': voxel, 'more': '; '.join(told),
        **_timing(inputs.metadata),
    }  # fmt: skip


def _timing(metadata: Mapping[str, object]) -> dict[str, str]:
    """Name the sequence and its times, as far as a sidecar tells."""
    names = (metadata.get(key) for key in SEQUENCE_FIELDS)
    times = {}
    for name, key in (('TE', 'EchoTime'), ('TR', 'RepetitionTime')):
        seconds = number(metadata, key)
        times[name] = '' if seconds is None else f'{1e3 * seconds:g} ms'
    return {'sequence': next((str(name) for name in names if name), ''), **times}


def run_facts(request: Request, logs: Path, started: datetime) -> dict[str, str]:
    """Tell how the run was called, by which versions, when and for how long.

    Parameters
    ----------
    request : Request
        What was asked for.
    logs : Path
        Folder of the run.
    started : datetime
        When it began, with its time zone.

    Returns
    -------
    dict of str to str
    """
    command = logs / 'command.txt'
    container = container_from_environment()
    took = int((datetime.now(UTC) - started).total_seconds())
    facts = {
        'command': command.read_text('utf-8', 'replace').strip() if command.is_file() else '',
        'bids_acc': __version__,
        'container': ' '.join(container.values()) if container else '',
        'Python and packages': ', '.join([f'Python {platform.python_version()}', *_packages()]),
        'date': f'{started:%Y-%m-%d %H:%M} UTC',
        'run time': f'{took // 60} min {took % 60} s (all participants of this run)',
        'seed': str(request.settings.random_seed),
        'settings, log and status': f'logs/{logs.name}',
    }
    return {name: value for name, value in facts.items() if value}


def _packages() -> Iterator[str]:
    """Yield name and version of the packages that compute."""
    for name in SHOWN_PACKAGES:
        try:
            yield f'{name} {version(name)}'
        except PackageNotFoundError:
            continue
