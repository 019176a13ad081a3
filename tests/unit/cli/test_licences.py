"""The list of licences is that of what is installed."""

from __future__ import annotations

from email.message import Message

import pytest

from bids_acc.cli.licences import licence_of, licence_text, licences


def fields(**given: str) -> Message:
    """Return metadata of a package."""
    message = Message()
    for name, value in given.items():
        message[name.replace('_', '-')] = value
    return message


@pytest.mark.parametrize(
    ('given', 'licence'),
    [
        ({'License_Expression': 'MPL-2.0 AND MIT', 'License': 'x'}, 'MPL-2.0 AND MIT'),
        ({'Classifier': 'License :: OSI Approved :: BSD License'}, 'BSD License'),
        ({'License': 'MIT\n\nCopyright (c) somebody\n'}, 'MIT'),
        ({}, 'not told by its metadata'),
    ],
)
def test_where_a_licence_stands(given, licence):
    assert licence_of(fields(**given)) == licence


def test_the_notice_names_every_package_that_is_not_permissive(repository):
    notice = (repository / 'NOTICE').read_text()
    found = {row.package for row in licences() if row.copyleft}
    assert {'frozendict', 'num2words', 'certifi', 'tqdm'} <= found
    assert [name for name in sorted(found) if name not in notice] == []


def test_the_list_has_everything_and_the_notice():
    text = licence_text()
    assert 'numpy' in text
    assert 'Data in this package that come from others' in text
