"""Signatures say what is taken and returned; `Any` stays where a library tells no more."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from tests.contract.layers import read_sources

# fmt: off
UNTYPED = {
    'bids': 13,  # JSON of data sets, PyBIDS' filters, rows of a data base

    'cli': 2,

    'clinical': 3,

    'data': 0,

    'demo': 2,

    'derivatives': 9,  # JSON; graphs and traits of Nipype

    'execution': 7,  # Nipype's plug-ins

    'files': 2,

    'participant': 0,

    'quality': 7,  # gate files before they are checked

    'report': 2,

    'settings': 8,  # pydantic's fields, TOML

    'tables': 3,
}
# fmt: on
"""Folder and how many arguments and results of its functions may be `Any`. A number here may only
fall; folders that are not named are not counted yet."""


def _annotations(function: ast.FunctionDef) -> Iterator[ast.expr]:
    """Yield what a function says of its arguments and its result."""
    taken = function.args
    named = [*taken.posonlyargs, *taken.args, *taken.kwonlyargs, taken.vararg, taken.kwarg]
    yield from (a.annotation for a in named if a is not None and a.annotation is not None)
    if function.returns is not None:
        yield function.returns


def untyped(text: str) -> list[str]:
    """List the functions of a module once for each argument or result that is or holds `Any`."""
    return [
        node.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
        for annotation in _annotations(node)
        if any(isinstance(n, ast.Name) and n.id == 'Any' for n in ast.walk(annotation))
    ]


def untyped_by_folder(sources: Mapping[str, str]) -> Counter[str]:
    """Count them for each folder right below the package."""
    found: Counter[str] = Counter()
    for place, text in sources.items():
        found[PurePosixPath(place).parts[0]] += len(untyped(text))
    return found


def test_no_folder_gets_more_arguments_of_any_type():
    found = untyped_by_folder(read_sources())
    more = {f: f'{found[f]} > {n}' for f, n in UNTYPED.items() if found[f] > n}
    assert more == {}, 'a TypedDict, a Protocol, object or a class tells more than Any'


def test_any_is_found_in_arguments_results_and_within_other_types():
    text = """
def all_three(a: Any, *b: list[Any], c: int = 0) -> dict[str, Any]: ...

def none(a: object, b: 'Anything') -> None: ...

class Thing:
    def method(self, **more: Any) -> None: ...
"""
    assert untyped(text) == ['all_three', 'all_three', 'all_three', 'method']
    assert untyped_by_folder({'a/x.py': text, 'a/b/y.py': text})['a'] == 8
