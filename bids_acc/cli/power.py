"""The command ``bids_acc-power``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bids_acc import __version__
from bids_acc.exceptions import BidsAccError, ExitCode, SettingsError


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog='bids_acc-power',
        description='Simulate studies of several sizes and count how often the analysis that a '
        'model file declares (covariates, correction, replication rule, post hoc tests, '
        'contrasts) finds an assumed effect.',
    )
    parser.add_argument('model', metavar='MODEL', help='a model file, or the name of a preset')
    parser.add_argument(
        '--n', type=int, nargs='+', required=True, metavar='N', help='people in each group'
    )
    parser.add_argument(
        '--effect', nargs='+', required=True, metavar='GROUP=SD',
        help='difference of a group from the reference, in standard deviations within groups at '
        'equal covariates; groups that are not named do not differ',
    )  # fmt: skip
    parser.add_argument(
        '--tests', type=int, default=16, metavar='N',
        help='measures that are tested together (default: %(default)s, four metrics of four '
        'parcels)',
    )  # fmt: skip
    parser.add_argument(
        '--affected', type=int, default=1, metavar='N',
        help='measures in which the groups differ (default: %(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--correlation', type=float, default=0.3, metavar='R',
        help='between measures, within groups (default: %(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--cohorts', type=int, default=1, metavar='N',
        help='cohorts of this size, for the replication rule (default: %(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--studies', type=int, default=1000, metavar='N',
        help='simulated studies of each size (default: %(default)s)',
    )  # fmt: skip
    parser.add_argument('--seed', type=int, default=1, metavar='N', help='default: %(default)s')
    parser.add_argument(
        '--out', type=Path, metavar='DIR', help='also write power.tsv, power.json and power.svg'
    )
    parser.add_argument('--version', action='version', version=f'%(prog)s {__version__}')
    return parser


def effects_of(texts: Sequence[str]) -> dict[str, float]:
    """Read ``GROUP=SD``.

    Parameters
    ----------
    texts : sequence of str
        Such as ``TRS=-0.8``; the number is a standardised difference from controls.

    Returns
    -------
    dict of str to float
        Standard deviations by group.

    Raises
    ------
    SettingsError
        If a text is something else.

    Examples
    --------
    >>> effects_of(['TRS=-0.8', 'FL=0.2'])
    {'TRS': -0.8, 'FL': 0.2}
    """
    found = {}
    for text in texts:
        level, equals, number = text.rpartition('=')
        try:
            found[level] = float(number)
        except ValueError:
            equals = ''
        if not equals or not level:
            raise SettingsError(f'--effect {text}: write GROUP=SD, such as TRS=-0.8.')
    return found


def _run(options: argparse.Namespace) -> str:
    """Simulate, write what was asked for, and return the table as text."""
    from bids_acc.group.power.files import write_power
    from bids_acc.group.power.simulation import Assumptions, power_table, smallest_sizes
    from bids_acc.group.statistics.model.declaration import read_model

    if min(options.n) < 3:
        raise SettingsError(f'--n {min(options.n)}: at least 3 people in each group are needed.')
    if options.studies < 20 or options.seed < 0:
        raise SettingsError('--studies and --seed: at least 20 studies, and no negative seed.')
    model = read_model(options.model)
    given = Assumptions(
        effects_of(options.effect), options.tests, options.affected, options.correlation,
        options.cohorts,
    )  # fmt: skip
    table = power_table(model, given, sorted(set(options.n)), options.studies, options.seed)
    if options.out is not None:
        write_power(table, model.name, given, options.seed, options.out)
    shown = table.pivot_table(index='n_per_group', columns='test', values='power', sort=False)
    lines = [shown.round(3).to_string()]
    for test, size in smallest_sizes(table).items():
        lines.append(f'{test}: power of 0.8 ' + (
            f'from {size} people in each group' if size else f'needs more than {max(options.n)}'
        ))  # fmt: skip
    return '\n'.join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command line, by default that of the process.

    Returns
    -------
    int
        Exit code, see `bids_acc.exceptions.ExitCode`.
    """
    parser = build_parser()
    try:
        options = parser.parse_args(arguments)
    except SystemExit as error:
        return int(ExitCode.OK if not error.code else ExitCode.USAGE)
    try:
        print(_run(options))
    except BidsAccError as error:
        print(f'bids_acc-power: {error}', file=sys.stderr)
        return int(error.exit_code)
    return int(ExitCode.OK)


if __name__ == '__main__':
    sys.exit(main())
