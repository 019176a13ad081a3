"""Where and how a session was measured, kept for the group level.

Groups that were measured on different scanners, with other software or another sequence cannot
be compared whatever the statistics; the sidecars of the raw images know it, and the group level
reads the output folder only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from bids_acc.bids.inputs import Session
from bids_acc.derivatives.links import bids_uris
from bids_acc.derivatives.outputs import (
    output_path,
    read_sidecar,
    sidecar_content,
    sidecar_path,
)
from bids_acc.files.writing import json_bytes, write_once
from bids_acc.modalities import MODALITIES
from bids_acc.participant.acquisition import shells_words, volumes_of, voxel_words
from bids_acc.tables.reading import read_tsv
from bids_acc.tables.writing import tsv_bytes

KEY = 'session_scanner'
FIELDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        'manufacturer': ('Manufacturer',),
        'scanner_model': ('ManufacturersModelName',),
        'scanner': ('DeviceSerialNumber', 'StationName'),
        'field_strength': ('MagneticFieldStrength',),
        'software': ('SoftwareVersions', 'SoftwareVersion'),
        'sequence': ('PulseSequenceType', 'SequenceName', 'ScanningSequence'),
        'coil': ('ReceiveCoilName',),
        'institution': ('InstitutionName',),
    }
)
"""Column, and the fields of BIDS that it is taken from, the first that is there."""
PARAMETERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        'repetition_time': ('RepetitionTime', 'RepetitionTimeExcitation'),
        'echo_time': ('EchoTime',),
        'inversion_time': ('InversionTime',),
        'flip_angle': ('FlipAngle',),
        'phase_encoding': ('PhaseEncodingDirection',),
        'multiband': ('MultibandAccelerationFactor',),
        'parallel_reduction': ('ParallelReductionFactorInPlane',),
        'partial_fourier': ('PartialFourier',),
    }
)
"""Parameters of the sequence, likewise; of images only, since what a spectrum's sidecar says is
judged before it is believed (`bids_acc.mrs.levels.checklist`)."""
MEASURED = ('voxel_size', 'volumes', 'b_values')
"""What the headers and gradient tables tell."""


def scanner_table(session: Session) -> pd.DataFrame:
    """Return one row for each modality of which the sidecars tell anything.

    Several runs or spectra that differ are all told, separated by a semicolon.

    Parameters
    ----------
    session : Session
        From discovery, with the metadata of its inputs.
    """
    rows = []
    for modality, inputs in _inputs(session).items():
        sidecars = [sidecar for one in inputs for sidecar in one.sidecars]
        row = {name: told_by(sidecars, fields) for name, fields in FIELDS.items()}
        if modality != 'mrs':
            row |= {name: told_by(sidecars, fields) for name, fields in PARAMETERS.items()}
            row |= _measured(inputs)
        if any(row.values()):
            rows.append({'modality': modality, **row})
    return pd.DataFrame(rows, columns=['modality', *FIELDS, *PARAMETERS, *MEASURED])


def told_by(sidecars: Iterable[Mapping[str, object]], fields: Sequence[str]) -> str | None:
    """Return what sidecars tell of one thing, such as the scanner's model; None if nothing.

    Parameters
    ----------
    sidecars : iterable of mapping
        Of one modality's files.
    fields : sequence of str
        Names under which it may stand, the first that is there counts.

    Returns
    -------
    str or None
        Different answers are joined by semicolons.

    Examples
    --------
    >>> told_by([{'StationName': 'A'}, {'StationName': 'B'}, {}], ['StationName'])
    'A; B'
    """
    found = dict.fromkeys(_first(sidecar, fields) for sidecar in sidecars)
    return '; '.join(text for text in found if text) or None


def _first(sidecar: Mapping[str, object], fields: Sequence[str]) -> str:
    """Return the first field that is there, as one line of text."""
    for name in fields:
        value = sidecar.get(name)
        parts = value if isinstance(value, list) else [value]
        plain = [p for p in parts if isinstance(p, str | int | float) and not isinstance(p, bool)]
        text = ' '.join(' '.join(_word(part) for part in plain).split())
        if text:
            return text
    return ''


def _word(value: str | float) -> str:
    """Write a value; 3 and 3.0 T are the same."""
    return value if isinstance(value, str) else f'{value:g}'


@dataclass(frozen=True)
class _Input:
    """One input of a session: what its sidecars tell, and where it lies."""

    sidecars: Sequence[Mapping[str, Any]]
    """Of several echoes all."""
    images: Sequence[Path] = ()
    """Whose voxels and volumes are told; of several echoes the first."""
    gradients: tuple[Path, Path] | None = None
    """Tables of b-values and directions."""
    unread: Sequence[Path] = ()
    """Images of which only the sidecars are read."""

    @property
    def files(self) -> list[Path]:
        """What the rows are from."""
        return [*self.images, *self.unread, *(self.gradients or ())]


def _inputs(session: Session) -> dict[str, list[_Input]]:
    """Return the inputs of each modality."""
    anat, dwi, func, mtr = session.anat, session.dwi, session.func, session.mtr
    series: list[_Input] = []
    if func is not None:
        series = [
            *(_Input([run.metadata], [p for p in run.bold[:1] if p.suffix != '.gii'])
              for run in func.runs),
            *(_Input([run.metadata]) for run in func.finished),
            *(_Input(run.metadata, [run.image]) for run in func.raw),
        ]  # fmt: skip
    return {
        'anat': [] if anat is None else [_Input([anat.metadata], [anat.t1w])],
        'dwi': [] if dwi is None else [_Input([run.metadata], [run.image], (run.bval, run.bvec))
                                       for run in dwi.runs],
        'func': series,
        'mtr': [] if mtr is None else [_Input([mtr.metadata], mtr.images)],
        'mrs': [_Input([one.metadata], unread=[one.svs]) for one in session.mrs],
    }  # fmt: skip


def _measured(inputs: Sequence[_Input]) -> dict[str, str | None]:
    """Return voxel, number of volumes and b-values; series that differ stand side by side."""
    images = [path for one in inputs for path in one.images]
    told: tuple[list[str], ...] = (
        [voxel_words(path) for path in images],
        [str(n) for path in images if (n := volumes_of(path)) > 1],
        [shells_words(*one.gradients) for one in inputs if one.gradients],
    )
    return {
        name: '; '.join(dict.fromkeys(filter(None, texts))) or None
        for name, texts in zip(MEASURED, told, strict=True)
    }


def scanner_file(session: Session, output_dir: Path) -> Path:
    """Return where the table of a session lies.

    Parameters
    ----------
    session : Session
        Of a participant.
    output_dir : Path
        Root of the derivatives.
    """
    entities = {'subject': session.subject, 'session': session.session}
    return output_path(KEY, output_dir, entities)


def keep_scanner(
    session: Session, output_dir: Path, datasets: Mapping[str, Path] | None = None
) -> None:
    """Write the table of a session, unless it holds the same already or nothing is known.

    What is known of modalities that this run was not asked for stays.

    Parameters
    ----------
    session : Session
        From discovery.
    output_dir : Path
        Root of the derivative data set.
    datasets : mapping of str to Path, optional
        Name of each data set in BIDS URIs and its root: the sidecar names the images.

    Raises
    ------
    OutputError
        If the system refuses.
    """
    path = scanner_file(session, output_dir)
    table = _with_others(scanner_table(session), session, path)
    if table.empty:
        return
    images = [path for inputs in _inputs(session).values() for one in inputs for path in one.files]
    before = read_sidecar(path).get('Sources', [])
    uris = dict.fromkeys([*before, *bids_uris(images, datasets or {})])
    write_once(path, tsv_bytes(table))
    told = {'Sources': sorted(uris)} if uris else {}
    write_once(sidecar_path(path), json_bytes(sidecar_content(KEY, told)))


def _with_others(table: pd.DataFrame, session: Session, path: Path) -> pd.DataFrame:
    """Add what an earlier run kept of the modalities that this one leaves alone."""
    if not path.is_file():
        return table
    asked = {row.modality for row in session.plan if row.reason_code != 'not_selected'}
    before = read_tsv(path, text=table.columns)
    others = before[~before['modality'].isin(asked)] if 'modality' in before else before[:0]
    joined = pd.concat([others.reindex(columns=table.columns), table], ignore_index=True)
    return joined.sort_values('modality', key=lambda m: m.map(MODALITIES.index), kind='stable')
