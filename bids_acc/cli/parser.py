"""From the command line and the configuration file to settings; no other work."""

from __future__ import annotations

import argparse
import difflib
import itertools
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from bids_acc import __version__
from bids_acc.cli.checks import check_together
from bids_acc.exceptions import SettingsError
from bids_acc.files.reading import read_whole, reading
from bids_acc.modalities import MODALITIES
from bids_acc.settings import Request, Settings, json_schema, read_toml, update
from bids_acc.settings.files import checked
from bids_acc.settings.option import Option, options

DESCRIPTION = """\
From T1w, diffusion, BOLD and single-voxel 1H-MRS to the anterior cingulate cortex: surfaces with
thickness and area, FA, MD and MO at the cortex, local activity and connectivity, fitted and
gated metabolites; at the group level parcels by OPNMF and their statistics.
"""

EPILOG = """\
Exit codes: 0 all done or reused; 16 invalid BIDS; 18 nothing selected; 64 usage; 65 bad data;
66 input missing; 70 internal error; 73 output not writable; 75 out of memory, try again.
With 65, 66, 70 and 75 every other session was finished: logs/<run>/status.tsv tells.
"""


LEVELS = {'participant': 'participant', 'subject': 'participant',
          'group': 'group', 'dataset': 'group'}  # fmt: skip
"""The levels, and the names that other BIDS Apps give them."""

ALIASES = {
    '--nprocs': ('--nthreads', '--n-cpus', '--n_cpus'),
    '--omp-nthreads': ('--omp_nthreads',),
    '--mem': ('--mem-gb', '--mem_gb'),
}
"""Names under which users of fMRIPrep and MRIQC know a flag."""

ADDRESS = re.compile(r'(?:[\w.-]+=)?(?P<how>[a-zA-Z][a-zA-Z0-9+.-]*)://')
"""``https://...``, ``s3://...``, also behind ``NAME=``."""
WHO = {'sub-': 'participant', 'ses-': 'session'}


class _Parser(argparse.ArgumentParser):
    """argparse exits with 2 on a wrong command line; sysexits.h and our table say 64."""

    def error(self, message: str) -> NoReturn:
        """Refuse the call with our own error, whose exit code is 64, not argparse's 2.

        Parameters
        ----------
        message : str
            Of argparse.

        Raises
        ------
        SettingsError
            Always.
        """
        raise SettingsError(f'{message}. See bids_acc --help.')

    def unknown(self, words: Sequence[str]) -> NoReturn:
        """Refuse words that no flag takes, with the flag that was probably meant.

        Parameters
        ----------
        words : sequence of str
            What argparse has left over.

        Raises
        ------
        SettingsError
            Always.
        """
        known = [flag for action in self._actions for flag in action.option_strings]
        hints = [
            f'{word} (did you mean {close[0]}?)'
            if (close := difflib.get_close_matches(word.partition('=')[0], known, n=1))
            else word
            for word in words
        ]
        self.error(f'unrecognized: {" ".join(hints)}')


class _Licences(argparse.Action):
    """Print the licences, as ``--version`` prints the version."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from bids_acc.cli.licences import licence_text

        print(licence_text())
        parser.exit()


def build_parser() -> _Parser:
    """Build the parser; settings bring their own flags."""
    parser = _Parser(
        prog='bids_acc',
        usage='bids_acc [-h] bids_dir output_dir {participant,group} [flags]',
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    # Each may come from the configuration file; `parse` asks for what is then still missing.
    parser.add_argument(
        'bids_dir', nargs='?', type=Path, help='BIDS dataset (not read at the group level)'
    )
    parser.add_argument('output_dir', nargs='?', type=Path, help='folder for the derivatives')
    parser.add_argument(
        'level', nargs='?', metavar='{participant,group}',
        help='one subject after the other, or the cohort from the output folder alone',
    )  # fmt: skip
    parser.add_argument('--version', action='version', version=f'bids_acc {__version__}')
    parser.add_argument(
        '--config-schema', action='version', version=json.dumps(json_schema(), indent=2),
        help='print the JSON schema of the configuration file',
    )  # fmt: skip
    parser.add_argument(
        '--licences',
        action=_Licences,
        nargs=0,
        help='list the licence of every package that is needed, and exit',
    )
    parser.add_argument('-v', '--verbose', action='count', help='say more; -vv all')
    parser.add_argument('-q', '--quiet', action='store_true', help='say only what went wrong')
    _add_selection(parser.add_argument_group('which data'))
    _add_run(parser.add_argument_group('how to run'))
    titles = {'anat': 'T1w', 'dwi': 'diffusion', 'func': 'function',
              'mtr': 'magnetization transfer', 'mrs': 'spectroscopy', 'group': 'group level',
              'resources': 'resources', '': 'general'}  # fmt: skip
    groups = {name: parser.add_argument_group(title) for name, title in titles.items()}
    for item in options(Settings):
        _add_option(groups[item.section], item)
    groups['resources'].add_argument(
        '--mem-mb', '--mem_mb', dest='mem_mb', type=float, metavar='MB', help='the same in MB'
    )
    return parser


def _add_selection(group: argparse._ArgumentGroup) -> None:
    """Add the flags that choose data."""
    group.add_argument(
        '--participant-label', '--participant_label', nargs='+', metavar='LABEL',
        help='subjects, with or without sub-, or a text file with one label a line',
    )  # fmt: skip
    group.add_argument(
        '--session-label', '--session_label', nargs='+', metavar='LABEL',
        help='sessions, with or without ses-, or a text file',
    )  # fmt: skip
    group.add_argument(
        '--modalities', nargs='+', metavar='{' + ','.join(MODALITIES) + '}',
        help='process only these (default: all that is there)',
    )  # fmt: skip
    group.add_argument(
        '--bids-filter-file', type=Path, metavar='FILE',
        help="JSON with PyBIDS queries for t1w, dwi, bold, mtr, svs, mrsref",
    )  # fmt: skip
    group.add_argument(
        '--bids-database-dir', type=Path, metavar='DIR', help='PyBIDS index to reuse or make'
    )
    group.add_argument(
        '--skip-bids-validation', '--skip_bids_validation', action='store_true', default=None,
        help='go on although dataset_description.json is absent or incomplete',
    )  # fmt: skip
    group.add_argument(
        '-d', '--derivatives', action='append', nargs='+', metavar='NAME=PATH',
        help="other tools' results to take surfaces or images from",
    )  # fmt: skip
    group.add_argument(
        '--more-outputs', nargs='+', type=Path, metavar='DIR',
        help='group level: further output folders whose participants are analysed together with '
        'those of output_dir, which alone is written to',
    )  # fmt: skip


def _add_run(group: argparse._ArgumentGroup) -> None:
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
        '--stop-on-first-crash',
        action='store_true',
        default=None,
        help='stop all when one step fails',
    )
    group.add_argument(
        '--force', action='store_true', default=None, help='compute anew what is already done'
    )
    group.add_argument(
        '--config-file', type=Path, metavar='TOML',
        help='a call, or settings alone, as config.toml in logs/<run>; flags win over it',
    )  # fmt: skip


def _add_option(group: argparse._ArgumentGroup, item: Option) -> None:
    """Add one setting's flag; None means that the command line does not say."""
    shown = '' if item.default in (None, ()) else f'default: {_shown(item.default)}'
    allowed = '' if item.choices or item.is_flag else item.allowed
    note = '; '.join(filter(None, [allowed, shown]))
    text = f'{item.help} ({note})' if note else item.help
    keywords: dict[str, Any] = {
        'dest': f'{item.section}.{item.name}', 'default': None, 'help': text.replace('%', '%%'),
    }  # fmt: skip
    if item.is_flag:
        keywords['action'] = argparse.BooleanOptionalAction
    else:
        keywords['nargs'] = '+' if item.is_list else None
        # Words are checked by the record, with what is allowed; argparse only lists them.
        keywords['metavar'] = f'{{{",".join(item.choices)}}}' if item.choices else _metavar(item)
    group.add_argument(item.flag, *ALIASES.get(item.flag, ()), **keywords)


def _metavar(item: Option) -> object:
    """Name the values of a setting in ``--help``."""
    return item.metavar[0] if isinstance(item.metavar, tuple) else item.metavar


def _shown(value: object) -> str:
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
    _refuse_addresses(sys.argv[1:] if argv is None else argv)
    parser = build_parser()
    given, unknown = parser.parse_known_args(argv)
    if unknown:
        parser.unknown(unknown)
    settings, asked = Settings(), dict[str, Any]()
    where = f'--config-file {given.config_file}'
    if given.config_file is not None:
        content = read_toml(given.config_file)
        asked = _section_request(content.pop('request', {}), where)
        settings = update(settings, content, where)
    settings = update(settings, _given_options(given))
    asked |= _given_request(given)
    if missing := [n for n in ('bids_dir', 'output_dir', 'level') if asked.get(n) is None]:
        parser.error(f'missing: {" ".join(missing)}{_swallowed(given)}')
    return _finished(asked, settings, where)


def _refuse_addresses(words: Sequence[str]) -> None:
    """Refuse addresses of the network where folders and files are meant.

    As paths they would be folders of such names, made here or missed.
    """
    for word in words:
        if found := ADDRESS.match(word):
            raise SettingsError(
                f'{word} is an address, and only folders and files of this machine are read and '
                f'written: fetch it first, or mount it ({found["how"]} is not known here).'
            )


def _swallowed(given: argparse.Namespace) -> str:
    """Say which flag probably took the folders for its own values."""
    several = {
        '--participant-label': given.participant_label,
        '--session-label': given.session_label,
        '--modalities': given.modalities,
        '--derivatives': given.derivatives,
        '--more-outputs': given.more_outputs,
    }
    taken = [flag for flag, values in several.items() if values]
    if not taken:
        return ''
    return (
        f'; {" and ".join(taken)} takes every word up to the next flag: '
        'write bids_dir, output_dir and level first'
    )


def _section_request(content: object, where: str) -> dict[str, object]:
    """Take the section ``[request]`` of a configuration file."""
    if not isinstance(content, Mapping):
        raise SettingsError(f'{where}: request = {content!r}: it is a section, not a value.')
    if 'settings' in content or 'dry_run' in content:
        raise SettingsError(f'{where}: [request] holds neither settings nor dry_run.')
    return dict(content)


def _given_options(given: argparse.Namespace) -> dict[str, Any]:
    """Collect the settings that the command line names, nested as in the configuration file."""
    values: dict[str, Any] = {}
    for item in options(Settings):
        value = getattr(given, f'{item.section}.{item.name}')
        if value is None:
            continue
        target = values.setdefault(item.section, {}) if item.section else values
        target[item.name] = (
            tuple(_absolute_pair(v) for v in value) if isinstance(value, list)
            else _absolute(value, item)
        )  # fmt: skip
    if given.mem_mb is not None:
        values.setdefault('resources', {}).setdefault('mem_gb', given.mem_mb / 1000)
    return values


def _level(word: str | None) -> str | None:
    """Read the name of a level.

    Raises
    ------
    SettingsError
        If it is none, with what was probably meant.
    """
    if word is None or word in LEVELS:
        return word and LEVELS[word]
    close = difflib.get_close_matches(word.lower(), LEVELS, n=1)
    meant = f' (did you mean {close[0]}?)' if close else ''
    raise SettingsError(
        f'{word}{meant} is no level: bids_dir, output_dir and then participant or group, in this '
        'order. See bids_acc --help.'
    )


def _given_request(given: argparse.Namespace) -> dict[str, object]:
    """Collect what else the command line names, as fields of `Request`."""
    values = {
        'bids_dir': given.bids_dir, 'output_dir': given.output_dir,
        'level': _level(given.level), 'participant_labels': given.participant_label,
        'session_labels': given.session_label, 'modalities': given.modalities,
        'bids_filter_file': given.bids_filter_file, 'bids_database_dir': given.bids_database_dir,
        'skip_bids_validation': given.skip_bids_validation, 'work_dir': given.work_dir,
        'derivatives': given.derivatives and _derivatives(given.derivatives),
        'more_outputs': given.more_outputs,
        'dry_run': given.dry_run, 'stop_on_first_crash': given.stop_on_first_crash,
        'force': given.force, 'verbosity': -1 if given.quiet else given.verbose,
    }  # fmt: skip
    return {name: value for name, value in values.items() if value is not None}


def _finished(asked: Mapping[str, object], settings: Settings, where: str) -> Request:
    """Check what was asked for as a whole; folders become absolute, labels lose their prefix."""

    def name_of(place: tuple[object, ...], value: object) -> str:
        flag = f'--{str(place[0]).replace("_", "-")}'
        given = f'{where}: [request] {place[0]}' if where else flag
        return f'{given} = {value!r}' if where else f'{given} {value}'

    def allowed(place: tuple[object, ...]) -> str:
        return f'one of {", ".join(MODALITIES)}' if place[0] == 'modalities' else ''

    request = checked(Request, {**asked, 'settings': settings}, name_of, allowed, strict=False)
    request = replace(
        request,
        bids_dir=_from_root(request.bids_dir),
        output_dir=_from_root(request.output_dir),
        more_outputs=tuple(_from_root(path) for path in request.more_outputs),
        work_dir=request.work_dir and _from_root(request.work_dir),
        bids_filter_file=request.bids_filter_file and _from_root(request.bids_filter_file),
        bids_database_dir=request.bids_database_dir and _from_root(request.bids_database_dir),
        participant_labels=read_labels(request.participant_labels, 'sub-'),
        session_labels=read_labels(request.session_labels, 'ses-'),
        modalities=tuple(name for name in MODALITIES if name in request.modalities),
    )
    check_together(request)
    return request


def _from_root(path: Path) -> Path:
    """Write a path from the root on, without ``..`` where that leads to the same place.

    Behind a link to a folder ``..`` is the parent of the link's target; there it stays.
    """
    whole = path.absolute()
    short = Path(os.path.normpath(whole))
    return short if os.path.realpath(short) == os.path.realpath(whole) else whole


def _absolute(value: object, item: Option) -> object:
    """Make the name of an existing file absolute: steps run in folders of their own."""
    if item.metavar == 'NAME=PATH':
        return _absolute_pair(str(value))
    named = isinstance(value, str) and ('/' in value or '.' in value)
    named = named or (item.folder and value != item.default)
    return str(_from_root(Path(str(value)))) if named and Path(str(value)).exists() else value


def _absolute_pair(word: str) -> str:
    """Make the path of a NAME=PATH absolute."""
    name, equals, path = str(word).partition('=')
    return f'{name}={_from_root(Path(path))}' if equals and Path(path).exists() else word


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
            with reading(path, 'list of labels', 'write one label a line', SettingsError):
                lines = read_whole(path, error=SettingsError).decode('utf-8-sig').splitlines()
            words = [line.split()[0] for line in lines if line.split()]
            words = [w for w in words if w not in ('participant_id', 'session_id')]
        else:
            words = [word for word in item.split(',') if word.strip()]
        if not words:
            raise SettingsError(f'{item!r} names no {WHO[prefix]}; leave the flag out for all.')
        labels += [word.removeprefix(prefix) for word in words]
    for label in labels:
        if not label.replace('+', '').isalnum():
            raise SettingsError(
                f'{prefix}{label} is no BIDS label; labels hold letters and digits only.'
            )
    return tuple(dict.fromkeys(labels))


def _derivatives(given: Sequence[Sequence[str]]) -> dict[str, Path]:
    """Read NAME=PATH pairs of all flags; a bare path takes its folder's name."""
    found = {}
    for item in itertools.chain.from_iterable(given):
        name, equals, path = item.partition('=')
        folder = _from_root(Path(path if equals else item))
        found[name if equals else folder.name] = folder
    return found
