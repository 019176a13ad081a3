"""The types of a model file's content say what its schema says."""

from __future__ import annotations

import json
from types import NoneType, UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from bids_acc.group.statistics.model.content import ModelContent
from bids_acc.group.statistics.model.declaration import presets, read_model

SCHEMA = json.loads((presets()['prepost'].parent / 'schema.json').read_text())
PLAIN = {'string': str, 'integer': int, 'number': float, 'boolean': bool, 'null': NoneType}


def resolved(node):
    if '$ref' not in node:
        return node
    return SCHEMA['$defs'][node['$ref'].rsplit('/', 1)[-1]] | node


def objects_in(node):
    """Yield the objects with keys of their own that a value is, or is made of."""
    node = resolved(node)
    if 'properties' in node:
        yield node
        return
    for inner in (node.get('items'), node.get('additionalProperties'), *node.get('oneOf', ())):
        if isinstance(inner, dict):
            yield from objects_in(inner)


def classes_in(hint):
    """Yield the typed dictionaries that a hint is, or is made of."""
    if is_typeddict(hint):
        yield hint
    for inner in get_args(hint):
        yield from classes_in(inner)


def plain_types(hint):
    """Return the plain types that a hint allows, those of literals among them."""
    if get_origin(hint) in (Union, UnionType):
        return set().union(*(plain_types(one) for one in get_args(hint)))
    if get_origin(hint) is Literal:
        return {type(one) for one in get_args(hint)}
    return {hint} & set(PLAIN.values())


def literals(hint):
    return set(get_args(hint)) if get_origin(hint) is Literal else None


def differences(node, kind, where=''):
    """Yield where schema and types do not say the same."""
    hints = get_type_hints(kind)
    if set(hints) != set(node['properties']):
        yield f'{where}: {set(hints) ^ set(node["properties"])}'
        return
    for name, described in node['properties'].items():
        entry, place = resolved(described), f'{where}/{name}'
        told = entry.get('type', [])
        asked = {PLAIN[one] for one in ([told] if isinstance(told, str) else told) if one in PLAIN}
        if asked and asked != plain_types(hints[name]):
            yield f'{place}: {asked} and {hints[name]}'
        if literals(hints[name]) not in (None, set(entry.get('enum', ()))):
            yield f'{place}: {entry.get("enum")} and {hints[name]}'
        inner, classes = list(objects_in(entry)), list(classes_in(hints[name]))
        if len(inner) != len(classes):
            yield f'{place}: {len(inner)} objects and {len(classes)} classes'
        for one, own in zip(inner, classes, strict=False):
            yield from differences(one, own, place)


def test_schema_and_types_say_the_same():
    assert list(differences(SCHEMA, ModelContent)) == []


def test_a_key_and_a_type_that_differ_are_found():
    other = json.loads(json.dumps(SCHEMA))
    other['properties']['Alpha']['type'] = 'string'
    other['properties']['More'] = {'type': 'string'}
    assert [*differences(other, ModelContent)] == [": {'More'}"]
    del other['properties']['More']
    assert [one.partition(':')[0] for one in differences(other, ModelContent)] == ['/Alpha']


def test_a_checked_model_has_all_keys():
    content = read_model('acc-structure').content
    assert set(ModelContent.__required_keys__) <= set(content)
    assert set(content) <= set(SCHEMA['properties'])
