"""A table's cells stay in their rows and columns, or the line that is wrong is named."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bids_acc.exceptions import InputDataError, MissingInputError
from bids_acc.tables.reading import INVISIBLE, OURS, number, read_raw, read_tsv

TEXT = 'participant_id\tgroup\tage\nsub-01\tHC\t30\nsub-02\tTRS\t41.5\n'


def write(tmp_path, content: str | bytes):
    """Write a table and return its path."""
    path = tmp_path / 'participants.tsv'
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    'content',
    [
        TEXT, TEXT.replace('\n', '\r\n'), TEXT.replace('\n', '\r'), '\ufeff' + TEXT,
        TEXT.encode('utf-16'), TEXT.encode('utf-16-le'), TEXT.encode('utf-16-be'),
        TEXT.encode('utf-32'), TEXT.replace('\n', '\t\n'), TEXT.replace('\n', '\n\n'),
        TEXT + '\t\t\n', TEXT.replace('age', 'age '), TEXT.replace('HC', '"HC"'),
        TEXT.replace('30\n', '30\t\t\n'), TEXT.rstrip('\n'),
    ],
)  # fmt: skip
def test_what_spreadsheets_make_of_a_table_is_the_same_table(tmp_path, content):
    raw = read_raw(write(tmp_path, content))
    assert raw.header == ('participant_id', 'group', 'age')
    assert raw.rows == (('sub-01', 'HC', '30'), ('sub-02', 'TRS', '41.5'))


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (TEXT + 'sub-03\tHC\n', 'line 4: 2 cells where the header has 3'),
        (TEXT + 'sub-03\tHC\t3\t9\n', 'line 4: 4 cells'),
        (TEXT.replace('\t', ','), 'separated by commas'),
        (TEXT.replace('\t', ';'), 'separated by semicolons'),
        (TEXT.replace('\t', '|'), 'separated by bars'),
        ('# exported\n' + TEXT, 'line 1 must hold'),
        (TEXT.replace('\nsub', '\n1\tsub'), 'names or numbers of rows in front'),
        (TEXT.replace('group', 'age'), "'age' stands twice"),
        (TEXT.replace('group', ''), 'column 2 has no name'),
        ('', 'empty'), (b'PK\x03\x04abc', 'spreadsheet'),
    ],
)  # fmt: skip
def test_other_tables_are_refused_by_name_and_line(tmp_path, content, words):
    with pytest.raises(InputDataError, match=words) as caught:
        read_raw(write(tmp_path, content))
    assert 'participants.tsv' in str(caught.value)


def test_a_longer_first_column_never_shifts_the_others(tmp_path):
    """Pandas takes a first cell too many for an index and moves every value by one column."""
    with pytest.raises(InputDataError, match=r'line 2: 4 cells .* and so do 1 other'):
        read_tsv(write(tmp_path, 'a\tb\tc\n1\t2\t3\t4\n5\t6\t7\t8\n'))


def test_latin_letters_are_read_and_an_absent_file_is_missing(tmp_path):
    raw = read_raw(write(tmp_path, 'participant_id\tsite\nsub-01\tKöln\n'.encode('latin-1')))
    assert raw.rows[0][1] == 'Köln'
    assert 'Windows-1252' in raw.notes[0]
    with pytest.raises(MissingInputError):
        read_raw(tmp_path / 'other.tsv')


cells = st.one_of(
    st.integers(-(10**6), 10**6), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(['HC', 'a b', 'true', None]),
)  # fmt: skip


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=6))
def test_own_tables_come_back_as_they_were_written(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp('own')
    table = pd.DataFrame(rows, columns=['x', 'y'], dtype=object)
    path = folder / 'own.tsv'
    table.to_csv(path, sep='\t', index=False, na_rep='n/a')
    back = read_tsv(path)
    for name in table:
        for before, after in zip(table[name], back[name], strict=True):
            if before is None or before != before:
                assert pd.isna(after)
            elif isinstance(before, str):
                assert str(after).lower() == before.lower()
            else:
                assert float(after) == pytest.approx(float(before), rel=1e-12)


CELLS = (
    '1', ' 3', '+4', '-5', '007', '1.5', '1e5', 'inf', '-0', '9' * 25, '1_0', '²', '٣', '+-3',
    'nan', 'n/a', '', '\u00a07', '8\u200b', 'true', 'False', 'x', '"4"',
)  # fmt: skip


@given(st.lists(st.sampled_from(CELLS), min_size=1, max_size=4))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_column_is_what_its_cells_are_one_by_one(tmp_path, cells):
    path = tmp_path / 'a.tsv'
    path.write_text('\n'.join(['k\tv', *(f'x\t{cell}' for cell in cells)]))
    found = read_tsv(path)['v'].tolist()
    bare = [cell.strip(INVISIBLE).strip('"') for cell in cells]
    known = [cell for cell in bare if cell not in OURS]
    words = {'true': True, 'False': False}
    if known and all(cell in words for cell in known):
        expected = [words.get(cell) for cell in bare]
    elif any(number(cell) is None for cell in known):
        expected = [cell if cell in known else None for cell in bare]
    else:
        expected = [None if cell not in known else number(cell) for cell in bare]
    for one, wanted in zip(found, expected, strict=True):
        assert pd.isna(one) if wanted is None else one == wanted


def test_whole_numbers_stay_whole(tmp_path):
    path = tmp_path / 'a.tsv'
    path.write_text('a\tb\tc\td\n1\t 2\t3\t9007199254740993\n+4\t-5\tn/a\t1\n')
    frame = read_tsv(path)
    assert list(map(str, frame.dtypes)) == ['int64', 'int64', 'float64', 'int64']
    assert frame['d'][0] == 9007199254740993


def test_a_last_column_without_a_name_is_named_and_an_empty_one_is_left_out(tmp_path):
    path = tmp_path / 'a.tsv'
    path.write_text('participant_id\tage\t\nsub-01\t30\tnote\n')
    with pytest.raises(InputDataError, match='column 3 has no name'):
        read_raw(path)
    path.write_text('participant_id\tage\t\t\nsub-01\t30\t \nsub-02\t31\n')
    assert read_raw(path).header == ('participant_id', 'age')
