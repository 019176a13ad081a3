"""Run LCModel where its binary is on PATH: files in, control file, table out.

LCModel ends with exit code 0 after fatal errors too, so success is judged by the table. A fit
that it gives up says so in a table; a program that dies, hangs or leaves half a table is another
matter, which a later run may correct. It is free software since 2021 (BSD-3); binaries are not
shipped here.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_acc.exceptions import ComputationError, InputDataError, ProgramError
from bids_acc.mrs.basis.basis_set import write_lcmodel_basis
from bids_acc.mrs.engines.importers.lcmodel import lcmodel_result
from bids_acc.mrs.lcm.options import ANALYSIS_PPM
from bids_acc.mrs.results.engine_result import EngineResult
from bids_acc.mrs.spectrum import Basis, Spectrum
from bids_acc.programs import run_program

PROGRAM = 'lcmodel'
"""Name of the binary on PATH."""

KEY = 210387309
"""Key of the free release."""

WATER_CONCENTRATION = 55510.0
"""Given as WCONC with ATTH2O = ATTMET = 1, so that the importer's undoing is exact."""


LONGEST_S = 1800
"""Seconds after which a run is ended; usual ones take a few."""

_GRACE_S = 5
"""Seconds to end by itself when told to, before it is killed."""


def _complete_files(folder: Path) -> tuple[Path, Path]:
    """Return LCModel's table and curves, or say what is missing."""
    table, coord = folder / 'table', folder / 'coord'
    text = table.read_text(errors='replace') if table.exists() else ''
    if '$$CONC' not in text:
        tail = ' '.join(text[-300:].split())
        # a diagnosis is LCModel's own word that it gave up; without one the program died, and may
        # do better another time
        if '$$DIAG' not in text:
            raise ProgramError(f'LCModel wrote no complete table ({tail or "none at all"}).')
        raise ComputationError(f'LCModel gave no concentrations ({tail}).')
    if not coord.exists():
        raise ProgramError('LCModel wrote a table and no curves.')
    return table, coord


def write_raw(fid: npt.ArrayLike, path: Path, spectrum: Spectrum) -> Path:
    """Write a decay in LCModel's .RAW form; the sign of NIfTI-MRS is LCModel's.

    Parameters
    ----------
    fid : (n_points,) array_like of complex
        Decay.
    path : Path
        File to write.
    spectrum : Spectrum
        For frequency, echo time and sequence.

    Returns
    -------
    Path
        The file written.
    """
    fid = np.asarray(fid, dtype=complex)
    sequence = (spectrum.sequence or 'press').upper()[:5]
    echo_time = 0.0 if np.isnan(spectrum.echo_time) else 1e3 * spectrum.echo_time
    head = (
        f' $SEQPAR\n hzpppm={spectrum.spectrometer_frequency:.6f}\n'
        f" echot={echo_time:.2f}\n seq='{sequence}'\n $END\n"
        f" $NMID\n id='bids_acc', fmtdat='(2E16.8)'\n volume=1.\n tramp=1.\n $END\n"
    )
    body = ''.join(f'{value.real:16.8E}{value.imag:16.8E}\n' for value in fid)
    path.write_text(head + body)
    return path


def control_file(
    spectrum: Spectrum,
    has_water: bool,
    no_simulated_mm: bool = False,
    ppm_max: float = ANALYSIS_PPM[1],
) -> str:
    """Write the text of the control file; all names are relative, because LCModel cuts long ones.

    Parameters
    ----------
    spectrum : Spectrum
        For number of points, sampling interval and frequency.
    has_water : bool
        Whether a water reference lies beside, by which LCModel is to scale.
    no_simulated_mm : bool
        Whether to leave out the macromolecules and lipids that LCModel makes up by itself
        (NSIMUL).
    ppm_max : float
        Upper end of the range that is fitted, in ppm.

    Returns
    -------
    str
        A Fortran namelist, as the LCModel manual describes it.

    Examples
    --------
    >>> spectrum = Spectrum(np.ones(64, complex), 5e-4, 127.75, echo_time=0.035)
    >>> 'nunfil=64' in control_file(spectrum, False)
    True
    >>> 'nsimul=0' in control_file(spectrum, False, no_simulated_mm=True)
    True
    """
    values = {
        'title': "'bids_acc'", 'key': KEY, 'ppmst': ppm_max, 'ppmend': ANALYSIS_PPM[0],
        'neach': 99,
        'nunfil': spectrum.n_points, 'hzpppm': f'{spectrum.spectrometer_frequency:.6f}',
        'deltat': f'{spectrum.dwell_time:.6e}', 'filbas': "'basis.basis'", 'filraw': "'data.raw'",
        'filps': "'ps'", 'filtab': "'table'", 'ltable': 7, 'filcoo': "'coord'", 'lcoord': 9,
        'filcsv': "'spreadsheet.csv'", 'lcsv': 11, 'doecc': 'F',
    }  # fmt: skip
    if has_water:
        values |= {
            'dows': 'T', 'filh2o': "'water.raw'", 'wconc': WATER_CONCENTRATION, 'atth2o': 1.0,
            'attmet': 1.0,
        }  # fmt: skip
    if no_simulated_mm:
        values['nsimul'] = 0  # the basis set brings its own macromolecules, or none are wanted
    lines = [f' {key}={value}' for key, value in values.items()]
    return '\n'.join([' $LCMODL', *lines, ' $END', ''])


def run_lcmodel(
    spectrum: Spectrum,
    basis: Basis,
    water: npt.ArrayLike | None,
    work_dir: Path,
    macromolecules: str = 'auto',
    ppm_max: float = ANALYSIS_PPM[1],
) -> EngineResult:
    """Fit with LCModel.

    Parameters
    ----------
    spectrum : Spectrum
        Preprocessed decay.
    basis : Basis
        Basis set, which is written as .BASIS.
    water : (n_points,) array_like of complex, optional
        Water of the same voxel.
    work_dir : Path
        Folder for all files.
    macromolecules : str
        ``none`` and ``auto`` with a basis set that holds measured ones switch off those that
        LCModel simulates.
    ppm_max : float
        Upper end of the range that is fitted, in ppm.

    Returns
    -------
    EngineResult
        Read from LCModel's table.

    Raises
    ------
    ComputationError
        If LCModel gives no concentrations and says why.
    ProgramError
        If it cannot be started, dies, hangs, or leaves files that are not complete.
    ResourceError
        If it was killed.
    """
    write_lcmodel_basis(work_dir / 'basis.basis', basis)
    write_raw(spectrum.fid, work_dir / 'data.raw', spectrum)
    if water is not None:
        # LCModel reads as many points of water as of the spectrum, whatever the file holds.
        decay = np.zeros(spectrum.n_points, dtype=complex)
        used = np.asarray(water, dtype=complex)[: spectrum.n_points]
        # too few are filled with zeros, to which a decay has fallen
        decay[: used.size] = used
        write_raw(decay, work_dir / 'water.raw', spectrum)
    control = work_dir / 'control'
    # LCModel would fit them twice: once from the basis set and once as its own broad lines
    own = bool(basis.mm_names) and macromolecules != 'parametrised'
    control.write_text(
        control_file(spectrum, water is not None, own or macromolecules == 'none', ppm_max)
    )
    run_program(
        [PROGRAM], cwd=work_dir, name='LCModel', stdin=control, longest_s=LONGEST_S,
        grace_s=_GRACE_S,
    )  # fmt: skip
    table, coord = _complete_files(work_dir)
    try:
        result = lcmodel_result(str(table), str(coord))
    # the reader's words are for a file that somebody gave; this one was written a moment ago
    except InputDataError as error:
        raise ProgramError(f'LCModel left what cannot be read: {error}') from error
    return replace(result, basis_sha256=basis.sha256)
