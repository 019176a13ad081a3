"""The command ``bids_acc-check``: what the fit will find in converted spectra, and will lack."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from bids_acc.bids.references import Candidate, choose_reference
from bids_acc.bids.sidecars import inherited_metadata
from bids_acc.bids.spectra import named_references
from bids_acc.derivatives.outputs import parse_entities
from bids_acc.exceptions import BidsAccError, ExitCode, MissingInputError
from bids_acc.mrs.basis.sequence import SEQUENCES
from bids_acc.mrs.scan.check import Remark, as_rows, by_weight, check_file, verdict
from bids_acc.typing import Metadata

MARKS = {'good': 'there   ', 'note': 'note    ', 'lacks': 'LACKS   ', 'refused': 'REFUSED '}
"""How a remark begins in the terminal."""


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog='bids_acc-check',
        description='Say of converted spectra (NIfTI-MRS) what the fit will find and what it will '
        'lack: water reference, division of the echo time, transients, sequence, place of the '
        'voxel. Exit code 0 when all can be fitted, 65 when one cannot, 66 when one is missing.',
    )
    parser.add_argument(
        'file', type=Path, nargs='+', metavar='FILE',
        help='a spectrum, or a folder, in which each *_svs.nii.gz is taken',
    )  # fmt: skip
    parser.add_argument(
        '--reference',
        type=Path,
        metavar='FILE',
        help='water reference; by default _mrsref beside the spectrum, of the same voxel and run',
    )
    parser.add_argument('--mrs-sequence', choices=SEQUENCES, default='', help='sequence')
    parser.add_argument('--mrs-te1', type=float, metavar='S', help='first part of the echo time')
    parser.add_argument(
        '--mrs-edit-index', type=int, default=-1, metavar='N', help='editing condition'
    )
    parser.add_argument('--json', action='store_true', help='write JSON instead of sentences')
    return parser


def _entities(path: Path) -> dict[str, str]:
    """Entities of a file name, as the index of a data set calls them."""
    found = parse_entities(path.name)
    if 'voi' in found:
        found['volume'] = found.pop('voi')
    return found


def _root(path: Path) -> Path:
    """Root of the data set of a file: the nearest folder above it that describes one."""
    folder = path.absolute().parent
    above = (folder, *folder.parents)
    return next((up for up in above if (up / 'dataset_description.json').is_file()), folder)


def _metadata(path: Path) -> Metadata:
    """Metadata of a file, those of the folders above it too, as BIDS has them inherited."""
    return inherited_metadata(path.absolute(), _root(path))


def _readable(path: Path) -> Metadata:
    """Return the same; nothing where they cannot be read."""
    try:
        return _metadata(path)
    except BidsAccError:
        return {}


def find_reference(spectrum: Path) -> tuple[Path | None, list[Remark]]:
    """Choose the water reference beside a spectrum, as the participant level does.

    Parameters
    ----------
    spectrum : Path
        Spectrum with a BIDS name.

    Returns
    -------
    path : Path or None
    remarks : list of Remark
        Why those that are there are not taken.
    """
    there = sorted({
        *spectrum.parent.glob('*_mrsref.nii*'), *spectrum.parent.glob('*_ref.nii*')
    })  # fmt: skip
    own, metadata = _entities(spectrum), _readable(spectrum)
    mine = [path for path in there if _entities(path).get('subject') == own.get('subject')]
    candidates = [Candidate(path, _entities(path), _readable(path)) for path in mine]
    named, notes = named_references(_root(spectrum), spectrum, metadata, candidates)
    said = [Remark('note', f'{note}.') for note in notes]
    if len(named) == 1:
        return named[0].path, said
    choice = choose_reference(named or candidates, own, metadata)
    said += [Remark('note', f'{choice.note}.')] if choice.note else []
    said += [
        Remark('note', f'{path.name} is there and not taken: {why}.')
        for path, why in choice.reasons.items()
    ]
    return choice.path, said


def spectra_of(files: Sequence[Path]) -> list[Path]:
    """List the spectra that are asked for, those of folders by name.

    Parameters
    ----------
    files : sequence of Path
        Spectra, or folders that are searched for ``*_svs.nii*`` at any depth; inversion-nulled
        ones (``inv-``) are left out.

    Returns
    -------
    list of Path
        In the order given, those of a folder sorted.

    Raises
    ------
    MissingInputError
        If a file is not there, or a folder holds no spectrum.
    """
    found: list[Path] = []
    for path in files:
        if path.is_dir():
            inside = sorted(p for p in path.rglob('*_svs.nii*') if '_inv-' not in p.name)
            if not inside:
                raise MissingInputError(f'{path}: no *_svs.nii.gz in it.')
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise MissingInputError(f'{path}: no such file.')
    return found


def check(path: Path, options: argparse.Namespace) -> list[Remark]:
    """Check one spectrum with its water reference.

    Parameters
    ----------
    path : Path
        Spectrum; without ``--reference`` the water reference is looked for beside it.
    options : argparse.Namespace
        As `build_parser` makes them: ``reference``, ``mrs_sequence``, ``mrs_te1`` (s),
        ``mrs_edit_index``.

    Returns
    -------
    list of Remark
        What stops an analysis first.

    Raises
    ------
    MissingInputError
        If the named reference is not there.
    """
    reference, said = options.reference, list[Remark]()
    if reference is None:
        reference, said = find_reference(path)
    elif not reference.exists():
        raise MissingInputError(f'--reference {reference}: no such file.')
    try:
        sidecar = _metadata(path)
    except BidsAccError as error:
        return [Remark('refused', str(error))]
    remarks = check_file(
        path, reference, sidecar,
        reference_sidecar=None if reference is None else _readable(reference),
        acquisition=_entities(path).get('acquisition', ''), sequence=options.mrs_sequence,
        te1=options.mrs_te1, edit_index=options.mrs_edit_index,
    )  # fmt: skip
    return by_weight([*remarks, *said])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Parameters
    ----------
    arguments : sequence of str or None
        Words after the command's name; those of the process by default.

    Returns
    -------
    int
        0 if all spectra can be used, else the code of `bids_acc.exceptions.ExitCode`.
    """
    parser = build_parser()
    try:
        options = parser.parse_args(arguments)
    except SystemExit as stop:
        return int(ExitCode.USAGE) if stop.code else 0
    logging.getLogger('bids_acc').addHandler(logging.NullHandler())
    logging.getLogger('bids_acc').propagate = False  # its warnings are among the remarks
    code, rows = ExitCode.OK, []
    try:
        for path in spectra_of(options.file):
            remarks = check(path, options)
            if any(remark.kind == 'refused' for remark in remarks):
                code = ExitCode.BAD_DATA
            rows += as_rows(str(path), remarks)
            if not options.json:
                print(f'{path}: {verdict(remarks)}')
                for remark in remarks:
                    print(f'  {MARKS[remark.kind]} {remark.text}')
    except BidsAccError as error:
        print(f'bids_acc-check: {error}', file=sys.stderr)
        return int(error.exit_code)
    if options.json:
        print(json.dumps(rows, indent=1))
    return int(code)


if __name__ == '__main__':
    sys.exit(main())
