"""The command ``bids_acc-demo``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bids_acc.demo.dataset import DemoOptions, write_dataset
from bids_acc.exceptions import BidsAccError, ExitCode, OutputError, SettingsError


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    defaults = DemoOptions()
    parser = argparse.ArgumentParser(
        prog='bids_acc-demo',
        description='Write a small raw BIDS dataset (T1w, DWI, MRS) with known group differences '
        'in the anterior cingulate; code/truth.json in it says what was planted.',
    )
    parser.add_argument('directory', type=Path, metavar='DIR', help='folder to write')
    parser.add_argument(
        '--n-per-group', type=int, default=defaults.n_per_group, metavar='N',
        help='participants in each of the three groups (default: %(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--sessions', action='store_true', help='two sessions for each participant'
    )
    parser.add_argument(
        '--seed', type=int, default=defaults.seed, metavar='N',
        help='the same seed writes the same bytes (default: %(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--resolution', type=float, default=defaults.resolution, metavar='MM',
        help='voxel size of the T1w images (default: %(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--with-problems', action='store_true',
        help='add participants that are each broken in one way, to try the error handling',
    )  # fmt: skip
    parser.add_argument(
        '--score', type=Path, metavar='OUTPUT_DIR',
        help='write nothing; tell how well the results in OUTPUT_DIR agree with what was planted '
        'in DIR',
    )  # fmt: skip
    return parser


def _check(options: DemoOptions) -> None:
    """Refuse what makes no dataset."""
    if options.n_per_group < 1:
        raise SettingsError(f'--n-per-group {options.n_per_group}: at least 1 is needed.')
    if not 0.7 <= options.resolution <= 4:
        raise SettingsError(f'--resolution {options.resolution:g}: choose 0.7 to 4 mm.')
    if options.seed < 0:
        raise SettingsError(f'--seed {options.seed}: a seed is not negative.')


def _is_there(folder: Path, options: DemoOptions) -> bool:
    """Tell whether the folder holds just this dataset; refuse a folder that holds other things."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    truth = folder / 'code' / 'truth.json'
    content = json.loads(truth.read_text()) if truth.is_file() else {}
    if content.get('options') == asdict(options):
        if all('thickness_file' in visit for visit in content['visits']):
            return True
        raise OutputError(f'{folder} was made by an earlier version: remove it, or name another.')
    raise OutputError(
        f'{folder} is not empty and holds something else than this demo dataset: name another '
        'folder or remove it.'
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Write the demo dataset.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        Exit code.
    """
    arguments = vars(build_parser().parse_args(argv))
    folder: Path = arguments.pop('directory')
    results: Path | None = arguments.pop('score')
    options = DemoOptions(**arguments)
    try:
        if results is not None:
            from bids_acc.demo.recovery import format_score
            from bids_acc.demo.score import score

            print(format_score(*score(results, folder)))
            return int(ExitCode.OK)
        _check(options)
        if _is_there(folder, options):
            print(f'{folder}: already there')
            return int(ExitCode.OK)
        write_dataset(folder, options, lambda line: print(line, flush=True))
    except BidsAccError as error:
        print(f'bids_acc-demo: {error}', file=sys.stderr)
        return int(error.exit_code)
    except OSError as error:
        print(f'bids_acc-demo: cannot write {folder}: {error}', file=sys.stderr)
        return int(ExitCode.CANNOT_WRITE)
    print(f'{folder}: done')
    return int(ExitCode.OK)


if __name__ == '__main__':
    sys.exit(main())
