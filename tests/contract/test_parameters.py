"""What a public function takes is told in its docstring: units, shapes, allowed values."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from tests.contract.layers import read_sources

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _public_functions(body: list[ast.stmt]) -> Iterator[Function]:
    """Yield the functions and methods that others may call, in the order of the file."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _public_functions(node.body)
        elif isinstance(node, Function) and not node.name.startswith('_'):
            yield node


def _takes_arguments(function: Function) -> bool:
    taken = function.args
    named = [a.arg for a in (*taken.posonlyargs, *taken.args, *taken.kwonlyargs)]
    return bool({*named} - {'self', 'cls'} or taken.vararg or taken.kwarg)


def functions_without_parameters(text: str) -> list[str]:
    """List the public functions of a module that take arguments and do not tell them."""
    return [
        f.name
        for f in _public_functions(ast.parse(text).body)
        if _takes_arguments(f) and 'Parameters\n---' not in (ast.get_docstring(f) or '')
    ]


def count_by_folder(sources: Mapping[str, str]) -> Counter[str]:
    """Count them for each folder (or module) right below the package."""
    found: Counter[str] = Counter()
    for place, text in sources.items():
        found[PurePosixPath(place).parts[0]] += len(functions_without_parameters(text))
    return found


def test_each_public_function_tells_what_it_takes():
    untold = +count_by_folder(read_sources())
    assert not untold, 'public functions with arguments and without a Parameters section'


def test_a_function_without_parameters_is_found():
    told = '"""Do.\n\n    Parameters\n    ----------\n    a : int\n        Count.\n    """'
    text = f"""
def told(a):
    {told}

def untold(a): ...

def _private(a): ...

def nothing(): ...

class Thing:
    def method(self): ...

    def other(self, *, b):
        \"\"\"Parameters of b are not told.\"\"\"
"""
    assert functions_without_parameters(text) == ['untold', 'other']
    assert count_by_folder({'a/x.py': text, 'a/b/y.py': text, 'c.py': ''})['a'] == 4
