"""From the command line and the configuration file to settings; no other work."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

from bids_acc import __version__
from bids_acc.bids.inputs import MODALITIES
from bids_acc.exceptions import SettingsError
from bids_acc.settings import Settings, read_toml, update

DESCRIPTION = """\
From T1w, diffusion and single-voxel 1H-MRS to the anterior cingulate cortex: surfaces with
thickness and area, FA, MD and MO at the cortex, fitted and gated metabolites; at the group
level parcels by OPNMF and their statistics.
"""

EPILOG = """\
Exit codes: 0 all done or reused; 16 invalid BIDS; 18 nothing selected; 64 usage; 65 bad data;
66 input missing; 70 internal error; 73 output not writable; 75 out of memory, try again.
With 65, 66, 70 and 75 every other session was finished: logs/<run>/status.tsv tells.
"""


@dataclass(frozen=True)
class Request:
    """Everything the command line asked for."""

    bids_dir: Path
    output_dir: Path
    level: Literal['participant', 'group']
    settings: Settings
    participant_labels: tuple[str, ...] = ()
    session_labels: tuple[str, ...] = ()
    modalities: tuple[str, ...] = MODALITIES
    bids_filter_file: Path | None = None
    bids_database_dir: Path | None = None
    skip_bids_validation: bool = False
    derivatives: dict[str, Path] = field(default_factory=dict)
    work_dir: Path | None = None
    dry_run: Literal['text', 'json'] | None = None
    stop_on_first_crash: bool = False
    force: bool = False
    verbosity: int = 0


class _Parser(argparse.ArgumentParser):
    """argparse exits with 2 on a wrong command line; sysexits.h and our table say 64."""

    def error(self, message: str) -> NoReturn:
        raise SettingsError(f'{message}. See bids_acc --help.')


def build_parser() -> argparse.ArgumentParser:
    """Build the parser; settings bring their own flags."""
    parser = _Parser(
        prog='bids_acc',
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument('bids_dir', type=Path, help='BIDS dataset (not read at the group level)')
    parser.add_argument('output_dir', type=Path, help='folder for the derivatives')
    parser.add_argument(
        'analysis_level', choices=('participant', 'group'), help='one subject after the other, '
        'or the cohort from the output folder alone',
    )  # fmt: skip
    parser.add_argument('--version', action='version', version=f'bids_acc {__version__}')
    parser.add_argument('-v', '--verbose', action='count', default=0, help='say more; -vv all')
    _add_selection(parser.add_argument_group('which data'))
    _add_run(parser.add_argument_group('how to run'))
    titles = {'anat': 'T1w', 'dwi': 'diffusion', 'mrs': 'spectroscopy', 'group': 'group level',
              'resources': 'resources', '': 'general'}  # fmt: skip
    groups = {name: parser.add_argument_group(title) for name, title in titles.items()}
    for section, item in _options(Settings()):
        _add_option(groups[section], section, item)
    return parser


def _add_selection(group: Any) -> None:
    """Add the flags that choose data."""
    group.add_argument(
        '--participant-label', '--participant_label', nargs='+', metavar='LABEL', default=[],
        help='subjects, with or without sub-, or a text file with one label a line',
    )  # fmt: skip
    group.add_argument(
        '--session-label', '--session_label', nargs='+', metavar='LABEL', default=[],
        help='sessions, with or without ses-, or a text file',
    )  # fmt: skip
    group.add_argument(
        '--modalities', nargs='+', choices=MODALITIES, default=list(MODALITIES),
        help='process only these (default: all)',
    )  # fmt: skip
    group.add_argument(
        '--bids-filter-file', type=Path, metavar='FILE',
        help='JSON with PyBIDS queries for t1w, dwi, svs, mrsref',
    )  # fmt: skip
    group.add_argument(
        '--bids-database-dir', type=Path, metavar='DIR', help='PyBIDS index to reuse or make'
    )
    group.add_argument(
        '--skip-bids-validation', action='store_true',
        help='go on although dataset_description.json is absent or incomplete',
    )  # fmt: skip
    group.add_argument(
        '-d', '--derivatives', action='append', nargs='+', metavar='NAME=PATH', default=[],
        help="other tools' results to take surfaces or images from",
    )  # fmt: skip


def _add_run(group: Any) -> None:
    """Add the flags that say how to run."""
    group.add_argument(
        '-w', '--work-dir', type=Path, metavar='DIR',
        help='where intermediate files are kept (default: a folder under the temporary one, '
        'removed when all is done)',
    )  # fmt: skip
    group.add_argument(
        '--dry-run', nargs='?', const='text', choices=('text', 'json'),
        help='print the plan and write nothing',
    )  # fmt: skip
    group.add_argument(
        '--stop-on-first-crash', action='store_true', help='stop all when one step fails'
    )
    group.add_argument('--force', action='store_true', help='compute anew what is already done')
    group.add_argument(
        '--config-file', type=Path, metavar='TOML',
        help='settings, as config.toml in logs/<run>; flags win over it',
    )  # fmt: skip


def _options(settings: Settings) -> Iterator[tuple[str, Any]]:
    """Walk over all fields that declare a flag."""
    for item in dataclasses.fields(settings):
        value = getattr(settings, item.name)
        if dataclasses.is_dataclass(value):
            for inner in dataclasses.fields(value):
                if 'option' in inner.metadata:
                    yield item.name, inner
        elif 'option' in item.metadata:
            yield '', item


def _flag(section: str, item: Any) -> str:
    """Name the flag of a setting."""
    given = item.metadata['option']['flag']
    name = f'{section}-{item.name}' if section else item.name
    return str(given or '--' + name.replace('_', '-'))


def _add_option(group: Any, section: str, item: Any) -> None:
    """Add one setting's flag; None means that the command line does not say."""
    meta, default = item.metadata['option'], item.default
    keywords: dict[str, Any] = {'dest': f'{section}.{item.name}', 'default': None}
    shown = '' if default in (None, ()) else f' (default: {_shown(default)})'
    keywords['help'] = (meta['help'] + shown).replace('%', '%%')
    if isinstance(default, bool):
        keywords['action'] = argparse.BooleanOptionalAction
    else:
        keywords['type'] = meta['type'] or (type(default) if _is_plain(default) else str)
        keywords.update({k: meta[k] for k in ('choices', 'metavar', 'nargs') if meta[k]})
    group.add_argument(_flag(section, item), **keywords)


def _is_plain(value: Any) -> bool:
    """Tell whether argparse can convert text to the value's type."""
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    """Write a default as the command line takes it."""
    return ' '.join(map(str, value)) if isinstance(value, tuple) else str(value)


def parse(argv: Sequence[str] | None = None) -> Request:
    """Read the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process by default.

    Raises
    ------
    SettingsError
        If something is unknown, contradictory or has the wrong type.
    """
    given = build_parser().parse_args(argv)
    settings = Settings()
    if given.config_file is not None:
        settings = update(
            settings, read_toml(given.config_file), f'--config-file {given.config_file}'
        )
    settings = update(settings, _given_options(given), 'command line')
    if settings.resources.nprocs < 1 or settings.resources.omp_nthreads < 1:
        raise SettingsError('--nprocs and --omp-nthreads take a number of at least 1.')
    return Request(
        bids_dir=given.bids_dir.absolute(),
        output_dir=given.output_dir.absolute(),
        level=given.analysis_level,
        settings=settings,
        participant_labels=read_labels(given.participant_label, 'sub-'),
        session_labels=read_labels(given.session_label, 'ses-'),
        modalities=tuple(name for name in MODALITIES if name in given.modalities),
        bids_filter_file=given.bids_filter_file,
        bids_database_dir=given.bids_database_dir,
        skip_bids_validation=given.skip_bids_validation,
        derivatives=_derivatives([item for items in given.derivatives for item in items]),
        work_dir=None if given.work_dir is None else given.work_dir.absolute(),
        dry_run=given.dry_run,
        stop_on_first_crash=given.stop_on_first_crash,
        force=given.force,
        verbosity=given.verbose,
    )


def _given_options(given: argparse.Namespace) -> dict[str, Any]:
    """Collect the settings that the command line names, nested as in the configuration file."""
    values: dict[str, Any] = {}
    for section, item in _options(Settings()):
        value = getattr(given, f'{section}.{item.name}')
        if value is None:
            continue
        target = values.setdefault(section, {}) if section else values
        target[item.name] = tuple(value) if isinstance(value, list) else _absolute(value, item)
    return values


def _absolute(value: Any, item: Any) -> Any:
    """Make the name of an existing file absolute: steps run in folders of their own."""
    named = isinstance(value, str) and ('/' in value or '.' in value)
    named = named or (item.metadata['option']['folder'] and value != item.default)
    return str(Path(value).absolute()) if named and Path(value).exists() else value


def read_labels(given: Sequence[str], prefix: str) -> tuple[str, ...]:
    """Read labels with or without prefix, separated by blanks or commas, or from files.

    Parameters
    ----------
    given : sequence of str
        As on the command line.
    prefix : str
        ``sub-`` or ``ses-``.

    Raises
    ------
    SettingsError
        If a file is named that does not exist, or a label holds other than letters and digits.

    Examples
    --------
    >>> read_labels(['sub-01', '02,03'], 'sub-')
    ('01', '02', '03')
    """
    labels: list[str] = []
    for item in given:
        path = Path(item)
        if path.suffix in ('.txt', '.tsv', '.csv') or '/' in item:
            if not path.is_file():
                raise SettingsError(f'{item}: there is no such file with labels.')
            words = [line.split()[0] for line in path.read_text().splitlines() if line.split()]
            words = [w for w in words if w not in ('participant_id', 'session_id')]
        else:
            words = [word for word in item.split(',') if word]
        labels += [word.removeprefix(prefix) for word in words]
    for label in labels:
        if not label.replace('+', '').isalnum():
            raise SettingsError(
                f'{prefix}{label} is no BIDS label; labels hold letters and digits only.'
            )
    return tuple(dict.fromkeys(labels))


def _derivatives(given: Sequence[str]) -> dict[str, Path]:
    """Read NAME=PATH pairs; a bare path takes its folder's name.

    Raises
    ------
    SettingsError
        If a folder does not exist.
    """
    found = {}
    for item in given:
        name, equals, path = item.partition('=')
        folder = Path(path if equals else item).absolute()
        if not folder.is_dir():
            raise SettingsError(f'--derivatives {item}: {folder} is no folder.')
        found[name if equals else folder.name] = folder
    return found
