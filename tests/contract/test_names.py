"""A public class has a name of its own: who reads it in one place knows it in all."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Mapping

from tests.contract.layers import read_sources


def shared_names(sources: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the public classes that more than one file defines, and these files."""
    places = defaultdict(list)
    for place, text in sources.items():
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith('_'):
                places[node.name].append(place)
    return {name: found for name, found in places.items() if len(found) > 1}


def test_no_two_public_classes_share_a_name():
    assert shared_names(read_sources()) == {}


def test_a_second_class_of_a_name_is_found():
    sources = {'a.py': 'class Model: ...', 'b.py': 'class Model: ...\nclass _Own: ...',
               'c.py': 'class _Own: ...'}  # fmt: skip
    assert shared_names(sources) == {'Model': ['a.py', 'b.py']}


def loggers(sources: Mapping[str, str]) -> list[str]:
    """Return the files whose logger has a name of its own."""
    found = []
    for place, text in sources.items():
        for node in ast.parse(text).body:
            if isinstance(node, ast.Assign) and 'getLogger(' in ast.unparse(node.value):
                names = [ast.unparse(target) for target in node.targets]
                found += [f'{place}: {name}' for name in names if not name.endswith('LOGGER')]
    return found


def test_loggers_have_one_name():
    made_up = {'a.py': 'logger = logging.getLogger(__name__)',
               'b.py': 'LOGGER = logging.getLogger(__name__)'}  # fmt: skip
    assert loggers(made_up) == ['a.py: logger']
    own = {p: t for p, t in read_sources().items() if p != 'bids/inputs.py'}  # one that is silent
    assert loggers(own) == []
