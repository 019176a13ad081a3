"""Settings from dictionaries and TOML files and back, with refusals that say what is allowed."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from pydantic import TypeAdapter, ValidationError

from bids_acc.exceptions import SettingsError
from bids_acc.files.reading import check_depth, read_whole, reads
from bids_acc.settings.option import Option, options
from bids_acc.settings.records import Settings
from bids_acc.settings.request import Request

T = TypeVar('T')

WRONG_KIND: Mapping[str, str] = {
    'bool': 'takes true or false',
    'int': 'takes a whole number',
    'float': 'takes a number',
    'finite': 'takes a finite number',
    'string': 'takes text',
    'tuple': 'takes a list of values',
    'dict': 'takes a table of names and values',
    'path': 'takes a path',
}
"""What a value should have been, by the first word of pydantic's kind of error."""


def update(settings: Settings, values: Mapping[str, object], where: str = '') -> Settings:
    """Return a copy with some values replaced.

    Parameters
    ----------
    settings : Settings
        To start from.
    values : mapping
        New values, nested by section. Those of a configuration file have the types of TOML and
        are held to them; those of the command line (no `where`) are text and are read as what the
        setting takes.
    where : str
        The configuration file, for the message; empty for the command line.

    Returns
    -------
    Settings
        Checked.

    Raises
    ------
    SettingsError
        If a name is unknown, or a value is of the wrong kind or out of range; the message names
        flag or key, the value, and what is allowed.

    Examples
    --------
    >>> update(Settings(), {'dwi': {'b_max': '1200'}}).dwi.b_max
    1200.0
    >>> update(Settings(), {'dwi': {'b_max': '-5'}})
    Traceback (most recent call last):
    bids_acc.exceptions.SettingsError: --dwi-b-max -5: allowed is above 0 s/mm2.
    """
    declared = {(item.section, item.name): item for item in options(Settings)}

    def item_at(place: tuple[object, ...]) -> Option | None:
        return declared.get(
            (str(place[0]), str(place[1])) if len(place) > 1 else ('', str(place[0]))
        )

    def name_of(place: tuple[object, ...], value: object) -> str:
        item = item_at(place)
        if item and not where:
            return f'{item.flag} {_text(value)}'
        return f'{where}: {_path(place)} = {value!r}'

    def allowed(place: tuple[object, ...]) -> str:
        item = item_at(place)
        return item.allowed if item else ''

    merged = dataclasses.asdict(settings)
    for name, value in values.items():
        former = merged.get(name)
        if isinstance(former, dict) and isinstance(value, Mapping):
            merged[name] = {**former, **value}
        else:
            merged[name] = value
    return checked(Settings, merged, name_of, allowed, strict=bool(where))


def checked(
    record: type[T],
    values: Mapping[str, object],
    name_of: Callable[[tuple[object, ...], object], str],
    allowed: Callable[[tuple[object, ...]], str],
    *,
    strict: bool,
) -> T:
    """Make a record of plain values, or refuse the first that is wrong in one sentence.

    Parameters
    ----------
    record : type
        Pydantic dataclass.
    values : mapping
        Nested as the record.
    name_of : callable
        From the place of a value and the value to how the user knows it.
    allowed : callable
        From the place to what may be given, in words.
    strict : bool
        Whether values must have their types already, as JSON and TOML know them.

    Raises
    ------
    SettingsError
        As `update`.
    """
    adapter = TypeAdapter(record)
    try:
        # a file has types, and "4" where 4 is meant is a mistake; a command line has text only
        if strict:  # lists are tuples and whole numbers are numbers, as JSON knows them
            return adapter.validate_json(json.dumps(values, default=str), strict=True)
        return adapter.validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    place, value = first['loc'], first['input']
    if first['type'] == 'unexpected_keyword_argument':
        where, _, _ = name_of(place, value).rpartition(': ')
        known = [f.name for f in dataclasses.fields(_section(record, place[:-1]))]
        raise SettingsError(
            ': '.join(filter(None, [where, f'unknown setting {_path(place)}']))
            + _suggestion(str(place[-1]), known)
        )
    raise SettingsError(f'{name_of(place, value)}: {_complaint(dict(first), allowed(place))}.')


def _section(record: Any, place: tuple[object, ...]) -> Any:
    """Find the record that a section names."""
    for name in place:
        record = record.__pydantic_fields__[name].annotation
    return record


def _path(place: tuple[object, ...]) -> str:
    """Write the place of a key as in the configuration file."""
    return f'[{place[0]}] {place[1]}' if len(place) > 1 else str(place[0])


def _text(value: object) -> str:
    """Write values as on the command line."""
    return ' '.join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _suggestion(name: str, known: list[str]) -> str:
    """Say which known name was probably meant."""
    close = difflib.get_close_matches(name, known, n=1)
    return f'; did you mean {close[0]}?' if close else f'; known: {", ".join(sorted(known))}.'


def _complaint(error: dict[str, Any], allowed: str) -> str:
    """Say in words what is wrong with a value."""
    kind, context = error['type'], error.get('ctx') or {}
    if kind == 'value_error':
        return str(context['error'])
    if kind in ('too_long', 'too_short', 'missing'):
        return f'it takes {context.get("max_length", "two")} values'.replace(' 2 ', ' two ')
    if kind.startswith('dataclass'):
        return 'it is a section, not a value'
    if kind.partition('_')[0] in WRONG_KIND:
        said = f'it {WRONG_KIND[kind.partition("_")[0]]}'
        return f'{said}, {allowed}' if allowed else said
    close = difflib.get_close_matches(str(error['input']), allowed.split(', '), n=1)
    hint = f'; did you mean {close[0]}?' if kind == 'literal_error' and close else ''
    return f'allowed is {allowed}{hint}' if allowed else str(error['msg'])


@reads('TOML', 'correct it', SettingsError)
def read_toml(path: Path) -> dict[str, Any]:
    """Read a configuration file.

    Parameters
    ----------
    path : Path
        Given by ``--config-file``, in UTF-8; pipes are read too.

    Returns
    -------
    dict
        By section, as written; types and ranges are checked where the settings are made.

    Raises
    ------
    SettingsError
        If the file is absent or no TOML.
    """
    try:
        content = tomllib.loads(read_whole(path, error=SettingsError).decode('utf-8-sig'))
    except FileNotFoundError as error:
        raise SettingsError(f'--config-file {path}: there is no such file.') from error
    except OSError as error:
        raise SettingsError(f'--config-file {path}: {error.strerror}.') from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f'--config-file {path} is no valid TOML: {error}.') from error
    check_depth(content)
    return content


def _plain(value: object) -> Any:
    """Turn into what TOML knows; what is None is left out, because TOML has no null."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def to_toml(record: Settings | Request) -> str:
    """Write settings, or a whole request, so that the command line reads them back.

    Parameters
    ----------
    record : Settings or Request
        Settings alone (``[dwi] b_max = ...``), or a request, whose other arguments go to
        ``[request]``.

    Returns
    -------
    str
        Without keys whose value is None, which TOML cannot write.

    Examples
    --------
    >>> 'nprocs = 1' in to_toml(Settings())
    True
    """
    content = dataclasses.asdict(record)
    if isinstance(record, Request):
        settings = content.pop('settings')
        # one file repeats the whole run, on another machine too
        del content['dry_run']  # a call that writes no file
        content = {**settings, 'request': content}
    return tomli_w.dumps(_plain(content))


def json_schema() -> dict[str, object]:
    """Return the JSON schema of the configuration file."""
    schema = TypeAdapter(Settings).json_schema()
    asked = TypeAdapter(Request).json_schema()
    properties = {
        name: value
        for name, value in asked['properties'].items()
        if name not in ('settings', 'dry_run')
    }
    schema['properties']['request'] = {
        'type': 'object', 'properties': properties, 'additionalProperties': False,
    }  # fmt: skip
    return {'$schema': 'https://json-schema.org/draft/2020-12/schema', **schema}


def fingerprint(*parts: Any) -> str:
    """Return a SHA-256 that changes when any setting in these records changes.

    Parameters
    ----------
    *parts : dataclass instances or plain values
        What a result depends on.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    plain = [
        dataclasses.asdict(p) if dataclasses.is_dataclass(p) and not isinstance(p, type) else p
        for p in parts
    ]
    # sorted: a setting that moved in the file is the same setting
    text = json.dumps(plain, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


__all__ = ['Option', 'checked', 'fingerprint', 'json_schema', 'read_toml', 'to_toml', 'update']
