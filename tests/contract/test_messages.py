"""Every message of the code has an entry in the documentation, and every entry a message."""

from __future__ import annotations

from tests.contract.messages import Message, all_messages, kinds, messages_in
from tests.contract.messages_page import PAGE, entries, fits, own_words, page, sort_messages


def test_every_message_has_an_entry():
    _, others = sort_messages(all_messages(), entries())
    assert others == [], 'add an entry, or a pattern to one, in docs/messages.yaml'


def test_every_entry_has_a_message_and_says_what_to_do():
    known = entries()
    found, _ = sort_messages(all_messages(), known)
    assert [entry['title'] for entry, own in zip(known, found, strict=True) if not own] == []
    assert all(entry['means'] and entry['do'] for entry in known)


def test_the_page_has_the_words_of_every_message():
    text = page()
    assert PAGE.read_text() == text, 'run python -m tests.contract.messages_page'
    assert [m.text for m in all_messages() if own_words(m.text) not in text] == []


def test_few_messages_are_without_words_of_their_own():
    empty = [m for m in all_messages() if not own_words(m.text)]
    assert len(empty) < 0.05 * len(all_messages())


def test_a_new_message_of_a_new_kind_is_noticed():
    new = Message('group/statistics/study/data.py', 'InputDataError', 'the moon is full')
    assert sort_messages([new], entries())[1] == [new]
    assert not fits({'in': ['group/*'], 'says': 'sun'}, new)


def test_messages_are_found_through_functions_and_names():
    source = """
def words(path):
    return f'{path}: rotten' if path else 'nothing there'

def read(path):
    said = f'{path} is odd'
    if path:
        raise InputDataError(said)
    raise MissingInputError(words(path))
"""
    assert sorted((m.kind, m.text) for m in messages_in({'a.py': source})) == [
        ('InputDataError', '… is odd'),
        ('MissingInputError', 'nothing there'),
        ('MissingInputError', '…: rotten'),
    ]
    assert kinds()['InputDataError'] == 65
