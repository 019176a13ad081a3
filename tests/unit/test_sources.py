"""Two data sets in one output folder: nobody is lost, nothing contradicts in silence."""

from __future__ import annotations

import json

import pytest

from bids_acc.derivatives.dataset import write_dataset_files
from bids_acc.exceptions import InputDataError, MissingInputError
from bids_acc.group.cohort.several import read_as_one
from bids_acc.tables.people import read_people_table


def dataset(folder, rows: str, name: str, sidecar=None, bprs: str = ''):
    """Write the tables of a data set."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'dataset_description.json').write_text(json.dumps({'Name': name}))
    (folder / 'participants.tsv').write_text(rows)
    if sidecar:
        (folder / 'participants.json').write_text(json.dumps(sidecar))
    if bprs:
        (folder / 'phenotype').mkdir(exist_ok=True)
        (folder / 'phenotype' / 'bprs.tsv').write_text(bprs)
    return folder


ONE = 'participant_id\tgroup\tage\nsub-01\tHC\t30\nsub-02\tTRS\t31\n'
TWO = 'participant_id\tage\tgroup\tsex\n11\t40\tHC\tF\n12\t41\tTRS\tM\n'


def people(out):
    """Read the merged table by participant."""
    return read_people_table(out / 'participants.tsv').frame.set_index('participant_id')


def test_both_data_sets_stay_and_each_row_tells_its_own(tmp_path):
    out = tmp_path / 'out'
    one = dataset(tmp_path / 'a', ONE, 'Tokyo', bprs='participant_id\tbprs\nsub-01\t20\n')
    two = dataset(tmp_path / 'b', TWO, 'Toronto', bprs='participant_id\tbprs\n11\t25\n')
    write_dataset_files(one, out)
    assert (out / 'participants.tsv').read_text() == ONE
    for source in (two, one, two):
        write_dataset_files(source, out)
        frame = people(out)
        assert frame['age'].to_dict() == {'sub-01': 30, 'sub-02': 31, 'sub-11': 40, 'sub-12': 41}
        assert frame['dataset'].tolist() == ['Tokyo'] * 2 + ['Toronto'] * 2
        assert frame['sex'].fillna('-').tolist() == ['-', '-', 'F', 'M']
    description = json.loads((out / 'dataset_description.json').read_text())
    assert [s['URL'] for s in description['SourceDatasets']] == [f'file://{one}', f'file://{two}']
    bprs = read_people_table(out / 'phenotype' / 'bprs.tsv').frame
    assert bprs.values.tolist() == [['sub-01', 20], ['sub-11', 25]]


def test_a_data_set_is_the_same_through_a_link(tmp_path):
    one, out = dataset(tmp_path / 'a', ONE, None), tmp_path / 'out'
    link = tmp_path / 'elsewhere' / 'link'
    link.parent.mkdir()
    link.symlink_to(one)
    write_dataset_files(one, out)

    def files():
        return {p.relative_to(out): p.read_bytes() for p in out.rglob('*') if p.is_file()}

    before = files()
    assert write_dataset_files(link, out) == {'raw': link}
    assert files() == before


def test_a_corrected_table_counts_and_the_other_data_set_stays(tmp_path):
    out = tmp_path / 'out'
    one, two = dataset(tmp_path / 'a', ONE, 'x'), dataset(tmp_path / 'b', TWO, 'x')
    write_dataset_files(one, out)
    write_dataset_files(two, out)
    dataset(one, ONE.replace('31', '33'), 'x')
    write_dataset_files(one, out)
    assert people(out)['age'].tolist() == [30, 33, 40, 41]
    assert people(out)['dataset'].tolist() == ['a', 'a', 'b', 'b']


def test_contradictions_are_refused_with_both_values_and_nothing_is_changed(tmp_path):
    out = tmp_path / 'out'
    one = dataset(tmp_path / 'a', ONE, 'Tokyo')
    two = dataset(tmp_path / 'b', 'participant_id\tage\n01\t44\n', 'Toronto')
    write_dataset_files(one, out)
    before = {p: p.read_bytes() for p in out.rglob('*') if p.is_file()}
    with pytest.raises(InputDataError, match='sub-01 has age 30 in Tokyo and 44 in Toronto'):
        write_dataset_files(two, out)
    assert {p: p.read_bytes() for p in out.rglob('*') if p.is_file()} == before
    write_dataset_files(one, out)


def test_the_same_person_in_two_data_sets_is_one_row(tmp_path):
    out = tmp_path / 'out'
    write_dataset_files(dataset(tmp_path / 'a', ONE, 'A'), out)
    second = 'participant_id\tage\tiq\nsub-01\t30.0\t110\n'
    write_dataset_files(dataset(tmp_path / 'b', second, 'B'), out)
    row = people(out).loc['sub-01']
    assert (row['iq'], row['dataset'], len(people(out))) == (110, 'A, B', 2)


def test_codes_that_mean_different_things_are_refused(tmp_path):
    out = tmp_path / 'out'
    levels = [{'group': {'Levels': {'0': words}}} for words in ('control', 'patient')]
    write_dataset_files(dataset(tmp_path / 'a', ONE, 'A', levels[0]), out)
    with pytest.raises(InputDataError, match=r'0 means control .* and patient in B'):
        write_dataset_files(dataset(tmp_path / 'b', TWO, 'B', levels[1]), out)


def test_two_data_sets_at_one_path_of_a_container_are_two(tmp_path):
    out, mount = tmp_path / 'out', tmp_path / 'data'
    write_dataset_files(dataset(mount, ONE, 'study'), out)
    write_dataset_files(dataset(mount, TWO, 'study'), out)
    assert len(people(out)) == 4


def test_a_folder_made_without_copies_keeps_its_people(tmp_path):
    out = dataset(tmp_path / 'out', ONE, 'bids_acc derivatives')
    (out / 'dataset_description.json').write_text(
        json.dumps({'Name': 'd', 'SourceDatasets': [{'URL': 'file:///archive/Tokyo'}]})
    )
    write_dataset_files(dataset(tmp_path / 'b', TWO, 'Toronto'), out)
    assert people(out)['dataset'].sort_index().tolist() == ['Tokyo'] * 2 + ['Toronto'] * 2


def test_several_output_folders_are_read_as_one(tmp_path):
    folders = [dataset(tmp_path / 'a', ONE, 'A'), dataset(tmp_path / 'b', TWO, 'B')]
    for folder, labels in zip(folders, (('01', '02'), ('11', '12')), strict=True):
        for label in labels:
            (folder / f'sub-{label}' / 'mrs').mkdir(parents=True)
            (folder / f'sub-{label}' / 'mrs' / 'x.tsv').write_text(label)
    with read_as_one(folders) as view:
        assert people(view)['dataset'].tolist() == ['a', 'a', 'b', 'b']
        found = sorted(view.glob('sub-*/**/*.tsv'))
        assert [path.read_text() for path in found] == ['01', '02', '11', '12']
    assert not view.exists()
    (folders[1] / 'sub-01').mkdir()
    with (
        pytest.raises(InputDataError, match='sub-01 has results in'), read_as_one(folders) as view,
    ):  # fmt: skip
        pass
    with pytest.raises(MissingInputError), read_as_one([tmp_path / 'none']) as view:
        pass


@pytest.mark.parametrize('place', [f'place{i}' for i in range(6)])
def test_the_order_of_data_sets_is_that_of_their_names_wherever_they_lie(tmp_path, place):
    out = tmp_path / 'out'
    for name, rows in (('b', TWO), ('a', ONE)):
        write_dataset_files(dataset(tmp_path / place / name, rows, 'x'), out)
    assert people(out)['dataset'].tolist() == ['a', 'a', 'b', 'b']


def test_the_name_of_a_data_set_in_uris_stays_whatever_is_added(tmp_path):
    """A sidecar that was written before must not come to mean another data set."""
    out = tmp_path / 'out'
    late, early = dataset(tmp_path / 'z', ONE, 'z'), dataset(tmp_path / 'a', TWO, 'a')
    assert write_dataset_files(late, out) == {'raw': late}
    surfaces = {'free-surfer': tmp_path / 'fs'}
    assert write_dataset_files(early, out, surfaces) == {
        'raw2': early, 'freesurfer': tmp_path / 'fs',
    }  # fmt: skip
    links = json.loads((out / 'dataset_description.json').read_text())['DatasetLinks']
    assert links == {'raw': f'file://{late}', 'raw2': '../a', 'freesurfer': '../fs'}
    assert write_dataset_files(late, out) == {'raw': late}
    links = json.loads((out / 'dataset_description.json').read_text())['DatasetLinks']
    assert links == {'raw': '../z', 'raw2': f'file://{early}', 'freesurfer': '../fs'}
