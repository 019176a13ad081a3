"""How a setting is declared, and what the command line, messages and tables read of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import Field
from pydantic.fields import FieldInfo

SIGNS = {Ge: ('at least', 'ge'), Gt: ('above', 'gt'), Le: ('at most', 'le'), Lt: ('below', 'lt')}
"""Bounds in words, and the attribute that holds them."""


def option(
    default: object,
    help: str,  # noqa: A002 - the word argparse uses
    *,
    flag: str,
    metavar: str | tuple[str, ...] | None = None,
    unit: str = '',
    folder: bool = False,
    **bounds: float,
) -> Any:
    """Declare a setting: a field of a pydantic dataclass that the command line offers as a flag.

    Parameters
    ----------
    default : object
        Value when neither the command line nor the configuration file says otherwise.
    help : str
        One line for ``--help`` and the tables.
    flag : str
        Its name on the command line.
    metavar : str or tuple of str, optional
        What ``--help`` shows in place of the value; one for each of several values.
    unit : str
        Of a number.
    folder : bool
        Whether any word but the default may name a folder: one without slash or dot, too.
    **bounds : float
        ``ge``, ``gt``, ``le``, ``lt`` as in `pydantic.Field`.
    """
    shown = {'flag': flag, 'metavar': metavar, 'unit': unit, 'folder': folder}
    return Field(default=default, description=help, json_schema_extra=shown, **bounds)  # type: ignore[call-overload]


@dataclasses.dataclass(frozen=True)
class Option:
    """One setting as it was declared."""

    section: str
    """Name of the record that holds it; empty at the top."""
    name: str
    default: Any
    help: str
    flag: str
    metavar: Any
    unit: str
    folder: bool
    annotation: Any
    bounds: tuple[Any, ...]
    """Of the value, as `annotated_types`."""

    @property
    def choices(self) -> tuple[str, ...]:
        """All allowed words; empty where others are allowed."""
        literal = get_origin(self.annotation) is Literal
        return get_args(self.annotation) if literal else ()

    @property
    def is_flag(self) -> bool:
        """Whether it is switched on and off and takes no value."""
        return self.annotation is bool

    @property
    def is_list(self) -> bool:
        """Whether it takes several values."""
        return get_origin(self.annotation) is tuple

    @property
    def allowed(self) -> str:
        """What may be given, in words; empty where anything may.

        Examples
        --------
        >>> import bids_acc.settings as settings
        >>> {item.flag: item.allowed for item in options(settings.Settings)}['--dwi-b-max']
        'above 0 s/mm2'
        """
        if self.choices:
            return f'one of {", ".join(self.choices)}'
        words = [
            f'{SIGNS[type(bound)][0]} {getattr(bound, SIGNS[type(bound)][1]):g}'
            for bound in self.bounds
        ]
        return ' '.join(filter(None, [' and '.join(words), self.unit]))

    @property
    def key(self) -> str:
        """Where it stands in the configuration file, such as ``[dwi] b_max``."""
        return f'[{self.section}] {self.name}' if self.section else self.name


def options(record: object) -> Iterator[Option]:
    """List the settings of a pydantic dataclass and of the records in it, as declared.

    Parameters
    ----------
    record : object
        The class, or an instance of it.

    Yields
    ------
    iterator of Option
        With flag, type, bounds, unit and sentence of each.
    """
    yield from _options(record, '')


def _options(record: Any, section: str) -> Iterator[Option]:
    """Walk through one record, and down into its sections."""
    for name, info in record.__pydantic_fields__.items():
        if isinstance(info.annotation, type) and dataclasses.is_dataclass(info.annotation):
            yield from _options(info.annotation, name)
        elif 'flag' in (info.json_schema_extra or {}):
            yield _as_option(section, name, info)


def _as_option(section: str, name: str, info: FieldInfo) -> Option:
    """Read what `option` declared."""
    extra: Any = info.json_schema_extra
    # an optional setting is declared as X or None; flags and messages speak of X
    inner = [a for a in get_args(info.annotation) if a is not type(None)]
    optional = type(None) in get_args(info.annotation)
    bounds = (
        info.metadata
        or [bound for a in get_args(info.annotation) for bound in getattr(a, '__metadata__', ())][
            :1
        ]
    )
    return Option(
        section, name, info.default, info.description or '', extra['flag'], extra['metavar'],
        extra['unit'], extra['folder'], inner[0] if optional else info.annotation, tuple(bounds),
    )  # fmt: skip
