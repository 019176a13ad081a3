"""LCModel's .BASIS files: read and write.

Such a file holds, as text, the discrete Fourier transform of each metabolite's FID zero-filled
to twice its length (``NDATAB`` is that doubled length), in the order of the plain transform
and with the sign of NIfTI-MRS, not yet scaled by ``TRAMP/(VOLUME CONC)`` nor moved by ``ISHIFT``
points. Stated by Provencher's manual for version 6.3, by the comments of LCModel's source, and
found true for the files of three producers.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bids_acc.exceptions import InputDataError
from bids_acc.files.reading import reads
from bids_acc.mrs.spectrum import Basis
from bids_acc.typing import ComplexArray

_BLOCK = re.compile(
    r'^\s*[$&](SEQPAR|BASIS1|NMUSED|BASIS)\b(.*?)(?:[$&]END\b|^\s*/\s*$)',
    re.MULTILINE | re.DOTALL | re.IGNORECASE,
)
_FIELD = re.compile(r"([A-Za-z]\w*)\s*=\s*('(?:[^']|'')*'|[^\s,'$]+)")


@dataclass(frozen=True)
class RawBasis:
    """Content of a .BASIS file, on its own sampling grid."""

    names: tuple[str, ...]
    fids: ComplexArray
    dwell_time: float
    spectrometer_frequency: float
    echo_time: float
    sequence: str
    linewidth_hz: float
    flags: tuple[str, ...]
    sha256: str


@reads('basis set of LCModel', 'make or fetch it again')
def read_lcmodel_basis(path: Path | str) -> RawBasis:
    """Read a .BASIS file.

    Parameters
    ----------
    path : Path or str
        The file.

    Returns
    -------
    RawBasis
        Echo time in s and line width in Hz are NaN, the sequence empty, when the file does
        not say.

    Raises
    ------
    InputDataError
        If the file has no spectra, or fewer numbers than it announces.
    """
    path = Path(path)
    content = path.read_bytes()
    text = content.decode('latin-1')
    blocks = list(_BLOCK.finditer(text))
    header: dict[str, str] = {}
    spectra: dict[str, ComplexArray] = {}
    for index, block in enumerate(blocks):
        fields = {key.upper(): value for key, value in _FIELD.findall(block.group(2))}
        kind = block.group(1).upper()
        if kind != 'BASIS':
            header.update(fields if kind != 'NMUSED' else {})
            continue
        end = blocks[index + 1].start() if index + 1 < len(blocks) else len(text)
        name = _unquote(fields.get('METABO', fields.get('ID', '')))
        stored = _numbers(text[block.end() : end], header, path, name)
        spectra[name] = _as_used(stored, fields, path, name)
    if not spectra:
        raise InputDataError(f'{path}: no $BASIS block found; is this an LCModel .BASIS file?')
    fids = np.fft.ifft(np.array(list(spectra.values())), axis=-1)
    n_points, flags = _used_points(fids)
    frequency = _number(header, 'HZPPPM', path)
    return RawBasis(
        names=tuple(spectra),
        fids=fids[:, :n_points],
        dwell_time=_number(header, 'BADELT', path),
        spectrometer_frequency=frequency,
        echo_time=_positive(header.get('ECHOT')) / 1e3,
        sequence=_unquote(header.get('SEQ', '')).strip().lower(),
        linewidth_hz=_positive(header.get('FWHMBA')) * frequency,
        flags=flags,
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _used_points(fids: ComplexArray) -> tuple[int, tuple[str, ...]]:
    """Count the samples of the FIDs before their zero filling, which some writers leave out."""
    n_half = fids.shape[-1] // 2
    power = np.abs(fids) ** 2
    if power[:, n_half:].sum() > 0.01 * power.sum():
        return fids.shape[-1], ('its spectra were written without zero filling',)
    return n_half, ()


def _as_used(
    spectrum: ComplexArray, fields: dict[str, str], path: Path, name: str
) -> ComplexArray:
    """Scale by TRAMP/(VOLUME CONC) and move by ISHIFT points to larger ppm, as LCModel does.

    MakeBasis writes spectra as they were measured, with the shift that puts their reference peak
    in its place beside them.
    """
    tramp, volume, conc = (_positive(fields.get(key, '1')) for key in ('TRAMP', 'VOLUME', 'CONC'))
    scale = tramp / (volume * conc)
    try:
        shift = round(float(fields.get('ISHIFT', '0')))
    except ValueError:
        scale, shift = float('nan'), 0
    if not np.isfinite(scale):
        raise InputDataError(
            f'{path}: {name}: TRAMP, VOLUME and CONC must be above zero and ISHIFT a number'
        )
    return np.roll(spectrum, -shift) * scale


def _numbers(text: str, header: dict[str, str], path: Path, name: str) -> ComplexArray:
    """Complex spectrum behind a $BASIS block."""
    n_complex = int(_number(header, 'NDATAB', path))
    # Fortran's fixed columns leave no blank before a minus sign: "0.123-4.56" are two numbers.
    words = re.sub(r'(?<=\d)-(?=\d*\.)', ' -', re.split(r'[$&]', text, maxsplit=1)[0]).split()
    if len(words) < 2 * n_complex:
        raise InputDataError(
            f'{path}: {name} has {len(words) // 2} points, NDATAB says {n_complex}'
        )
    return np.array(words[: 2 * n_complex], dtype=float).view(complex)


def _unquote(value: str) -> str:
    """Fortran string without its quotes and padding."""
    return value.replace("'", '').strip()


def _number(header: dict[str, str], key: str, path: Path) -> float:
    """Read a number of the header that must be there."""
    try:
        return float(header[key])
    except (KeyError, ValueError) as error:
        raise InputDataError(f'{path}: field {key} is missing or not a number') from error


def _positive(value: str | None) -> float:
    """Positive number, or NaN: LCModel writes -1 for what it does not know."""
    try:
        number = float(value) if value is not None else float('nan')
    except ValueError:
        return float('nan')
    return number if number > 0 else float('nan')


def write_lcmodel_basis(path: Path | str, basis: Basis, *, title: str = 'bids_acc') -> Path:
    """Write a basis set in LCModel's format.

    Parameters
    ----------
    path : Path or str
        File to write.
    basis : Basis
        Model spectra.
    title : str
        Shown by LCModel beside its result; single quotes are left out.

    Returns
    -------
    Path
        The file.
    """
    path = Path(path)
    n_doubled = 2 * basis.n_points
    # LCModel's own word for what is not known.
    echo_time = -1.0 if np.isnan(basis.echo_time) else basis.echo_time * 1e3
    width = (
        -1.0
        if np.isnan(basis.linewidth_hz)
        else (basis.linewidth_hz / basis.spectrometer_frequency)
    )
    lines = [
        ' $SEQPAR',
        f' FWHMBA = {width:.6f},',
        f' HZPPPM = {basis.spectrometer_frequency:.6f},',
        f' ECHOT = {echo_time:.2f},',
        f" SEQ = '{basis.sequence[:5]}'",
        ' $END',
        ' $BASIS1',
        f" IDBASI = '{title.replace(chr(39), '')[:60]}',",
        " FMTBAS = '(2E15.6)',",
        f' BADELT = {basis.dwell_time:.9f},',
        f' NDATAB = {n_doubled}',
        ' $END',
    ]
    spectra = np.fft.fft(basis.fids, n=n_doubled, axis=-1)
    for name, spectrum in zip(basis.names, spectra, strict=True):
        lines += [
            ' $NMUSED',
            ' XTRASH = 0.00',
            ' $END',
            ' $BASIS',
            f" ID = '{name}',",
            f" METABO = '{name}',",
            ' CONC = 1.,',
            ' TRAMP = 1.,',
            ' VOLUME = 1.,',
            ' ISHIFT = 0',
            ' $END',
        ]
        lines += [f'{point.real:15.6E}{point.imag:15.6E}' for point in spectrum]
    path.write_text('\n'.join(lines) + '\n', encoding='ascii')
    return path
