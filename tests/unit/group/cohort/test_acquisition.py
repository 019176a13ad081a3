"""How people were measured becomes a table and sentences, and only what is known is said."""

from __future__ import annotations

import pandas as pd
import pytest

from bids_acc.group.cohort.acquisition import (
    acquisition_sentences,
    acquisition_table,
    data_dictionary,
    kind_of_protocol,
    protocol_words,
    scanners_of,
)

PRISMA = {'modality': 'anat', 'manufacturer': 'Siemens', 'scanner_model': 'Prisma',
          'field_strength': '3', 'sequence': "'=tfl", 'repetition_time': '2.3',
          'echo_time': '0.00298', 'inversion_time': '0.9', 'flip_angle': '9',
          'voxel_size': '1 x 1 x 1 mm'}  # fmt: skip
SERIES = {'modality': 'dwi', 'echo_time': '0.08', 'repetition_time': '7.4', 'volumes': '31',
          'b_values': '1 x b 0, 30 x b 1000'}  # fmt: skip


@pytest.fixture
def told():
    """Return five people of two sites; one of them was measured otherwise, one is unknown."""
    rows = [('sub-1', [PRISMA, SERIES]), ('sub-2', [PRISMA, SERIES | {'repetition_time': '7.5'}]),
            ('sub-3', [PRISMA | {'echo_time': '0.003'}]), ('sub-9', [PRISMA])]  # fmt: skip
    return scanners_of([(who, None, '', pd.DataFrame(each)) for who, each in rows])


@pytest.fixture
def people():
    return pd.DataFrame({
        'participant_id': ['sub-1', 'sub-2', 'sub-3', 'sub-4'], 'session_id': [None] * 4,
        'site': ['A', 'A', 'A', 'B'],
    })  # fmt: skip


def test_ways_are_counted_most_frequent_first_and_only_of_the_cohort(told, people):
    table = acquisition_table(told, people, 'site')
    assert table[['cohort', 'modality', 'n_sessions']].to_numpy().tolist() == [
        ['A', 'anat', 2], ['A', 'anat', 1], ['A', 'dwi', 1], ['A', 'dwi', 1],
    ]  # fmt: skip
    assert table['echo_time'].tolist()[:2] == ['0.00298', '0.003']
    assert 'coil' not in table
    assert set(table.columns) <= set(data_dictionary(table))


def test_sentences_say_the_parameters_with_units_and_how_many(told, people):
    one, other = acquisition_sentences(acquisition_table(told, people, 'site'))
    assert one == (
        'T1w: Siemens Prisma, 3 T, sequence =tfl, TR 2.3 s, TE 2.98 ms, TI 900 ms, flip angle 9°, '
        'voxels of 1 x 1 x 1 mm (2 sessions); Siemens Prisma, 3 T, sequence =tfl, TR 2.3 s, '
        'TE 3 ms, TI 900 ms, flip angle 9°, voxels of 1 x 1 x 1 mm (1 session).'
    )
    assert other.startswith(
        'diffusion: TR 7.4 s, TE 80 ms, 31 volumes, 1 x b 0, 30 x b 1000 s/mm²'
    )


def test_cohorts_are_named_where_there_are_several_and_one_way_is_not_counted(told, people):
    frame = people.assign(site=['A', 'B', 'B', 'B'])
    said = list(acquisition_sentences(acquisition_table(told, frame, 'site')))
    assert said[0].startswith('T1w, A: Siemens Prisma')
    assert 'session' not in said[0]
    assert said[1].startswith('T1w, B: ')
    assert '(1 session)' in said[1]


def test_cohorts_that_were_measured_alike_are_told_once(told, people):
    frame = people.assign(site=['A', 'B', 'A', 'B']).drop(index=2)
    said = list(acquisition_sentences(acquisition_table(told, frame, 'site')))
    assert said[0].startswith('T1w: Siemens Prisma')
    assert [text.partition(':')[0] for text in said[1:]] == ['diffusion, A', 'diffusion, B']


def test_many_ways_are_cut_and_the_rest_is_counted():
    rows = [(f'sub-{n}', None, '', pd.DataFrame([PRISMA | {'software': f'E{n}'}]))
            for n in range(6)]  # fmt: skip
    frame = pd.DataFrame({'participant_id': [row[0] for row in rows], 'session_id': [None] * 6})
    (said,) = acquisition_sentences(acquisition_table(scanners_of(rows), frame, None))
    assert said.count('software') == 3
    assert said.endswith('; 3 others, see qc/acquisition.tsv.')


def test_nothing_known_says_nothing(people):
    assert acquisition_table(scanners_of([]), people, 'site').empty
    assert list(acquisition_sentences(pd.DataFrame())) == []
    assert protocol_words({'echo_time': None, 'flip_angle': float('nan'), 'voxel_size': ''}) == ''


@pytest.mark.parametrize(
    ('cell', 'words'),
    [
        ('0.03', 'TE 30 ms'),
        ('0.014; 0.03; 0.046', 'TE 14, 30 and 46 ms'),
        ('short', 'TE short ms'),
    ],
)
def test_cells_of_any_kind(cell, words):
    assert protocol_words({'echo_time': cell}) == words


def test_what_differs_between_people_of_one_protocol_tells_none_apart():
    assert kind_of_protocol(SERIES) == kind_of_protocol(
        SERIES | {'repetition_time': '7.9', 'volumes': '30', 'echo_time': '0.0801'}
    )
    assert kind_of_protocol(SERIES) != kind_of_protocol(SERIES | {'echo_time': '0.09'})
