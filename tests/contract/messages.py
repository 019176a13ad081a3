"""What the code says when it refuses, read from its source: every message, with its holes.

A message is the first argument wherever one of `bids_acc.exceptions` is made. What is filled in
at run time is a hole, written `…`; a message that a function of the package returns is looked up
there. `tests/contract/messages_page.py` sorts them for the documentation.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import NamedTuple

from bids_acc import exceptions
from tests.contract.layers import read_sources

HOLE = '…'
DEEP = 4
"""How many functions a message is followed through."""


class Message(NamedTuple):
    """One way of refusing."""

    place: str
    """Module, below the package."""
    kind: str
    """Class of the error."""
    text: str
    """What it says, with holes."""


def kinds() -> dict[str, int]:
    """Return the errors of the package with their exit codes."""
    found = {name: getattr(exceptions, name) for name in dir(exceptions)}
    return {
        name: int(one.exit_code)
        for name, one in found.items()
        if isinstance(one, type) and issubclass(one, exceptions.BidsAccError)
    }


@cache
def all_messages() -> tuple[Message, ...]:
    """List every message of the package once, by place."""
    return messages_in(read_sources())


def messages_in(sources: Mapping[str, str]) -> tuple[Message, ...]:
    """List the messages of modules, given by place."""
    trees = {place: ast.parse(text) for place, text in sources.items()}
    known = _functions(trees)
    return tuple(
        dict.fromkeys(
            Message(place, kind, text)
            for place, tree in trees.items()
            for kind, call, around in _made(tree)
            for text in _texts(call.args[0], around, known, DEEP)
        )
    )


def _functions(trees: Mapping[str, ast.Module]) -> dict[str, ast.FunctionDef]:
    """Return the functions whose name is theirs alone."""
    all_of_them = [n for tree in trees.values() for n in ast.walk(tree)
                   if isinstance(n, ast.FunctionDef)]  # fmt: skip
    counts = Counter(one.name for one in all_of_them)
    return {one.name: one for one in all_of_them if counts[one.name] == 1}


def _made(tree: ast.Module) -> Iterator[tuple[str, ast.Call, ast.AST]]:
    """Yield each error that is made, with the function around it."""
    wanted = kinds()
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and _name(node.func) in wanted:
            inside = [f for f in functions if f.lineno <= node.lineno <= (f.end_lineno or 0)]
            yield _name(node.func), node, max(inside, key=lambda f: f.lineno, default=tree)


def _name(node: ast.expr) -> str:
    """Return the last part of a name."""
    return getattr(node, 'attr', getattr(node, 'id', ''))


def _texts(
    node: ast.expr, around: ast.AST, known: Mapping[str, ast.FunctionDef], deep: int
) -> list[str]:
    """Return what an expression can say."""
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.JoinedStr):
        parts = [v.value if isinstance(v, ast.Constant) else HOLE for v in node.values]
        if any(len(part) > 2 for part in map(str, parts)) or len(parts) > 1:
            return [''.join(map(str, parts))]
    if isinstance(node, ast.BinOp):
        right = _texts(node.right, around, known, deep)
        return [a + b for a in _texts(node.left, around, known, deep) for b in right]
    if isinstance(node, ast.IfExp):
        return [*_texts(node.body, around, known, deep), *_texts(node.orelse, around, known, deep)]
    if isinstance(node, ast.BoolOp):
        return [text for value in node.values for text in _texts(value, around, known, deep)]
    if deep and isinstance(node, ast.Name):
        given = _assigned(around, node.id)
        return [t for value in given for t in _texts(value, around, known, deep - 1)] or [HOLE]
    if deep and isinstance(node, ast.Call) and _name(node.func) in known:
        called = known[_name(node.func)]
        said = [n.value for n in ast.walk(called) if isinstance(n, ast.Return) and n.value]
        return [t for value in said for t in _texts(value, called, known, deep - 1)] or [HOLE]
    return [HOLE]


def _assigned(around: ast.AST, name: str) -> list[ast.expr]:
    """Return what a name is given within a function."""
    return [
        n.value for n in ast.walk(around) if isinstance(n, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == name for target in n.targets)
    ]  # fmt: skip
