"""The command ``bids_acc-demo``."""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from bids_acc.demo.dataset import DemoOptions, write_dataset
from bids_acc.demo.output_folder import TRUTH, CohortOptions, write_output_folder
from bids_acc.demo.problems import add_problems
from bids_acc.exceptions import BidsAccError, ExitCode, OutputError, SettingsError
from bids_acc.surfaces.template import DENSITIES


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    defaults = DemoOptions()
    parser = argparse.ArgumentParser(
        prog='bids_acc-demo',
        description='Write a small raw BIDS dataset (T1w, DWI, BOLD, MRS) with known group '
        'differences in the anterior cingulate; code/truth.json in it says what was planted. With '
        '--cohort, write the results of a study of two sites instead, ready for the group level.',
    )
    parser.add_argument(
        'directory', type=Path, metavar='DIR', nargs='?',
        help='folder to write; with --score, the dataset that holds the truth',
    )  # fmt: skip
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
    _add_cohort_options(parser)
    parser.add_argument(
        '--score', type=Path, metavar='OUTPUT_DIR',
        help='write nothing; tell how well the results in OUTPUT_DIR agree with what was planted '
        'in DIR, or in OUTPUT_DIR itself when that was written by --cohort',
    )  # fmt: skip
    return parser


def _add_cohort_options(parser: argparse.ArgumentParser) -> None:
    """Describe the options of a folder of results."""
    defaults = CohortOptions()
    parser.add_argument(
        '--cohort', action='store_true',
        help='write an output folder of the participant level without images: two sites, vertex '
        'maps, metabolite levels, quality and clinical tables, with planted parcels and effects '
        'of the size that doi:10.1503/jpn.210113 reports',
    )  # fmt: skip
    parser.add_argument(
        '--n-people', type=int, default=defaults.n_people, metavar='N',
        help='with --cohort: people at both sites (default: %(default)s, as in the study)',
    )  # fmt: skip
    parser.add_argument(
        '--density', choices=tuple(DENSITIES), default=defaults.density,
        help='with --cohort: mesh of the vertex maps (default: %(default)s)',
    )  # fmt: skip


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


def _cohort_is_there(folder: Path, options: CohortOptions) -> bool:
    """Tell whether the folder holds just this cohort; refuse a folder that holds other things."""
    if options.n_people < 1:
        raise SettingsError(f'--n-people {options.n_people}: at least 1 is needed.')
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    truth = folder / TRUTH
    if truth.is_file() and json.loads(truth.read_text()).get('options') == asdict(options):
        return True
    raise OutputError(
        f'{folder} is not empty and holds something else than this cohort: name another folder or '
        'remove it.'
    )


def _score(results: Path, dataset: Path | None) -> str:
    """Compare results with what was planted in a dataset, or in the folder of results itself."""
    from bids_acc.demo.output_score import format_cohort_score, is_cohort, score_cohort
    from bids_acc.demo.recovery import format_score
    from bids_acc.demo.score import score

    if dataset is None and not is_cohort(results):
        raise SettingsError(
            f'--score {results}: this folder holds no truth, as --cohort would have written; name '
            'the demo dataset too: bids_acc-demo --score OUTPUT_DIR DIR.'
        )
    if dataset is None or is_cohort(dataset):
        return format_cohort_score(score_cohort(results))
    return format_score(*score(results, dataset))


def _write_cohort(folder: Path, options: CohortOptions) -> str:
    """Write the results of two sites; return what to say at the end."""
    if _cohort_is_there(folder, options):
        return 'already there'
    write_output_folder(folder, options, lambda line: print(line, flush=True))
    return (
        f'done; now: bids_acc {folder} {folder} group --model acc-structure; then: bids_acc-demo '
        f'--score {folder}'
    )


def _write_raw(folder: Path, options: DemoOptions) -> str:
    """Write the raw dataset; return what to say at the end."""
    _check(options)
    if _is_there(folder, options):
        return 'already there'
    progress = functools.partial(print, flush=True)
    write_dataset(folder, options, progress)
    if options.with_problems:
        add_problems(folder, options, progress)
    return 'done'


def main(argv: Sequence[str] | None = None) -> int:
    """Write the demo dataset or the demo cohort, or score results.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        Exit code.
    """
    given = build_parser().parse_args(argv)
    folder: Path | None = given.directory
    try:
        if given.score is not None:
            print(_score(given.score, folder))
            return int(ExitCode.OK)
        if folder is None:
            raise SettingsError('name the folder to write: bids_acc-demo DIR.')
        if given.cohort:
            _refuse_raw_options(given)
            said = _write_cohort(folder, CohortOptions(given.n_people, given.seed, given.density))
        else:
            names = [field.name for field in fields(DemoOptions)]
            said = _write_raw(folder, DemoOptions(**{n: getattr(given, n) for n in names}))
    except BidsAccError as error:
        print(f'bids_acc-demo: {error}', file=sys.stderr)
        return int(error.exit_code)
    except OSError as error:
        print(f'bids_acc-demo: cannot write {folder}: {error}', file=sys.stderr)
        return int(ExitCode.CANNOT_WRITE)
    print(f'{folder}: {said}')
    return int(ExitCode.OK)


def _refuse_raw_options(given: argparse.Namespace) -> None:
    """Refuse options of images where there are none: ignoring them would mislead."""
    plain = DemoOptions()
    for name in ('n_per_group', 'sessions', 'resolution', 'with_problems'):
        if getattr(given, name) != getattr(plain, name):
            raise SettingsError(
                f'--{name.replace("_", "-")} is for the raw dataset, not for --cohort; leave one '
                'of the two out.'
            )


if __name__ == '__main__':
    sys.exit(main())
