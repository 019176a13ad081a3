"""The MRSinMRS reporting list, filled from metadata and results.

Lin A, et al. (2021), NMR Biomed 34:e4484, https://doi.org/10.1002/nbm.4484. What BIDS does not
carry is written ``n/a`` and stays visible, so that it can be added by hand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import SupportsFloat

from bids_acc.mrs.signal.measures import GYROMAGNETIC_RATIO_1H
from bids_acc.typing import Metadata


@dataclass(frozen=True)
class ChecklistItem:
    """One item of the MRSinMRS minimum reporting standard."""

    item: str
    """Number, as in the paper's table."""
    name: str
    """What is asked."""
    value: str
    """What is known; ``n/a`` otherwise."""
    source: str
    """Where it was read."""


def _text(value: object) -> str:
    """Write a value as text; missing ones are ``n/a``."""
    if value is None or value in ('', [], ()) or (isinstance(value, float) and math.isnan(value)):
        return 'n/a'
    if isinstance(value, float):
        return f'{value:.6g}'
    if isinstance(value, list | tuple):
        return ' x '.join(_text(part) for part in value)
    return str(value)


def _first(metadata: Metadata, *names: str) -> tuple[object, str]:
    """First field that is there, and its name."""
    for name in names:
        if metadata.get(name) not in (None, '', []):
            return metadata[name], f'sidecar {name}'
    return None, f'sidecar {names[0]} is missing'


def _number(quality: Mapping[str, object], key: str) -> float:
    """Look up the number of a column; NaN when it is missing."""
    value = quality.get(key)
    return float(value) if isinstance(value, SupportsFloat) else math.nan


def _first_known(quality: Mapping[str, object], *keys: str) -> str | None:
    """First column that has a number, as every engine fills one of its own."""
    known = ((key, _number(quality, key)) for key in keys)
    return next((f'{key} {value:.4g}' for key, value in known if math.isfinite(value)), None)


def mrsinmrs(
    metadata: Metadata,
    quality: Mapping[str, object],
    info: Mapping[str, object],
) -> list[ChecklistItem]:
    """Fill the MRSinMRS list from sidecar, quality and what was run.

    Parameters
    ----------
    metadata : mapping
        BIDS metadata of the raw spectrum.
    quality : mapping
        Row of the quality table.
    info : mapping
        ``software``, ``steps``, ``voxel_size_mm``, ``n_points``, ``spectral_width_hz``,
        ``quantification`` and ``basis``, as the tables know them.

    Returns
    -------
    list of ChecklistItem
        In the order of the paper.
    """

    def field(item: str, name: str, *keys: str) -> ChecklistItem:
        value, source = _first(metadata, *keys)
        return ChecklistItem(item, name, _text(value), source)

    def known(item: str, name: str, value: object, source: str) -> ChecklistItem:
        return ChecklistItem(item, name, _text(value), source)

    mhz = _number(quality, 'spectrometer_mhz')
    snr = _first_known(quality, 'snr_lcm', 'snr_lcmodel', 'snr_spectrum')
    width = _first_known(quality, 'fwhm_hz', 'fwhm_lcmodel_hz', 'fwhm_fsl_hz')
    tesla = round(mhz / GYROMAGNETIC_RATIO_1H, 2)
    return [
        known('1a', 'Field strength (T)', tesla, 'spectrometer frequency'),
        field('1b', 'Manufacturer', 'Manufacturer'),
        field('1c', 'Model', 'ManufacturersModelName'),
        field('1c', 'Scanner software', 'SoftwareVersions'),
        field('1d', 'Radio-frequency coils', 'ReceiveCoilName', 'ReceiveCoilActiveElements'),
        known('1d', 'Coils in the file', quality.get('n_coils'), 'data'),
        field('1e', 'Additional hardware', 'AdditionalHardware'),
        field('2a', 'Pulse sequence', 'PulseSequenceType', 'SequenceName', 'ProtocolName'),
        field('2b', 'Volume of interest, location', 'BodyPartDetails', 'BodyPart'),
        known('2b', 'Share of the voxel in the anterior cingulate',
              quality.get('voxel_in_acc_fraction'), 'T1w image'),
        known('2c', 'Nominal size of the volume (mm)', info.get('voxel_size_mm'), 'affine'),
        known('2d', 'Repetition time (s)', quality.get('tr_s'), 'sidecar RepetitionTime'),
        known('2d', 'Echo time (s)', quality.get('te_s'), 'sidecar EchoTime'),
        field('2d', 'Mixing time (s)', 'MixingTime'),
        field('2e', 'Averages', 'NumberOfTransients', 'NumberOfAverages'),
        known('2e', 'Transients in the file', quality.get('n_transients'), 'data'),
        known('2f', 'Spectral width (Hz)', info.get('spectral_width_hz'), 'header'),
        known('2f', 'Points', info.get('n_points'), 'header'),
        field('2f', 'Transmitter offset (ppm)', 'TxOffset'),
        field('2g', 'Water suppression', 'WaterSuppressionTechnique', 'WaterSuppression'),
        field('2h', 'Shimming method', 'Shimming', 'ShimSetting'),
        known('2h', 'Water line width (Hz)', quality.get('fwhm_water_hz'), 'water reference'),
        field('2i', 'Triggering or motion correction', 'MotionCorrection', 'RespiratoryTrigger'),
        known('3a', 'Analysis software', info.get('software'), 'this run'),
        known('3b', 'Processing steps', info.get('steps'), 'this run'),
        known('3c', 'Output measures', info.get('quantification'), 'this run'),
        known('3d', 'Quantification references and fitting model', info.get('basis'), 'this run'),
        known('4a', 'Signal-to-noise ratio', snr, 'fit'),
        known('4a', 'Line width (Hz)', width, 'fit'),
        known('4b', 'Exclusion criteria', quality.get('gate_criteria'), 'gate'),
        known('4c', 'Quality of the fit', 'Cramer-Rao bounds in desc-quantities, residual in '
              'desc-fit', 'this run'),
        known('4d', 'Sample spectrum', 'figure desc-mrsfit', 'this run'),
    ]  # fmt: skip
