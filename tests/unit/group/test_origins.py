"""Sources of the group level's files, of one output folder and of several."""

from __future__ import annotations

import json

from bids_acc.bids.uris import resolve_uri
from bids_acc.group.cohort.reading import plan_group
from bids_acc.group.cohort.several import read_as_one
from bids_acc.group.origins import inputs_of
from tests.synthetic.derivatives import write_spectra
from tests.unit.group.statistics.test_hostile_models import cohort


def written(root, rows, rng):
    people = cohort(rng, 6).iloc[rows]
    write_spectra(root, people, {'HC': 0, 'FL': 0.5, 'TRS': 1})
    people.to_csv(root / 'participants.tsv', sep='\t', index=False, na_rep='n/a')
    (root / 'dataset_description.json').write_text(
        '{"Name": "x", "DatasetLinks": {"raw": "../b"}}'
    )
    return root


def test_people_of_a_further_folder_are_named_by_a_link(tmp_path, rng):
    one, two = (written(tmp_path / n, slice(*r), rng) for n, r in (('a', (0, 3)), ('b', (3, 6))))
    with read_as_one([one, two]) as view:
        found = inputs_of(plan_group(view), view, one)['mrs']
    assert len(found) == 2 * 6
    assert sum(uri.startswith('bids::sub-') for uri in found) == 6
    assert sum(uri.startswith('bids:outputs2:sub-') for uri in found) == 6
    links = json.loads((one / 'dataset_description.json').read_text())['DatasetLinks']
    assert links == {'raw': '../b', 'outputs2': '../b'}
    for uri in found:
        assert resolve_uri(uri, one, one).resolve().is_file(), uri
    assert 'outputs2' not in (two / 'dataset_description.json').read_text()


def test_one_folder_needs_no_link(tmp_path, rng):
    root = written(tmp_path / 'a', slice(0, 3), rng)
    before = (root / 'dataset_description.json').read_text()
    found = inputs_of(plan_group(root), root, root)
    assert set(found) == {'mrs'}
    assert all((root / uri.removeprefix('bids::')).is_file() for uri in found['mrs'])
    assert (root / 'dataset_description.json').read_text() == before
