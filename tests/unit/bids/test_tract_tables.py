"""Tables of tracts are found in the folders of their tools, and what is broken is named."""

from __future__ import annotations

import json
from pathlib import Path

from bids_acc.bids.discovery import discover
from bids_acc.bids.index import ImageIndex
from bids_acc.bids.selection import Selection
from bids_acc.bids.tract_tables import find_tracts
from bids_acc.group.measures.region_tables import read_regions
from tests.synthetic.bids_folder import write_dataset, write_dwi
from tests.unit.dwi.test_tract_tables import BUNDLES, NAMES, PROFILES, SCALARS, STAT, write


def qsirecon(
    root: Path, below: str = 'derivatives/qsirecon-DSIStudio', who: str = 'sub-01'
) -> Path:
    """Write the two tables of QSIRecon; return the folder that holds them."""
    place = root / below
    folder = place / who / 'dwi'
    write(folder, 'scalarstats', SCALARS)
    write(folder, 'bundlestats', BUNDLES)
    made = {'Name': 'q', 'GeneratedBy': [{'Name': 'QSIRecon', 'Version': '1.1.0'}]}
    (place / 'dataset_description.json').write_text(json.dumps(made))
    return folder


def test_workflows_of_qsirecon_are_data_sets_of_their_own(tmp_path):
    qsirecon(tmp_path / 'new')
    found = find_tracts({'qsirecon': tmp_path / 'new'}, '01', None)
    assert [p.name for p in found.files] == [NAMES['scalarstats'][0], NAMES['bundlestats'][0]]
    assert found.sources == ('QSIRecon 1.1.0',) * 2
    assert found.notes == ('2 tracts of QSIRecon 1.1.0',)
    qsirecon(tmp_path / 'old', 'qsirecon-DSIStudio')
    assert len(find_tracts({'old': tmp_path / 'old'}, '01', None).files) == 2


def test_each_session_has_its_own(tmp_path):
    qsirecon(tmp_path, who='sub-01/ses-a')
    at = {'q': tmp_path}
    assert len(find_tracts(at, '01', 'a').files) == 2
    assert not find_tracts(at, '01', 'b').files
    assert not find_tracts(at, '01', None).files
    assert not find_tracts(at, '02', None).files


def test_other_tools_and_what_is_broken(tmp_path):
    roots = {name: tmp_path / name for name in ('afq', 'tractseg', 'dsi')}
    write(roots['afq'] / 'sub-01' / 'dwi' / 'sub-01_dwimap', 'profiles', PROFILES)
    write(roots['tractseg'] / 'sub-01', 'tractometry', name='Tractometry_subject1.csv')
    write(roots['dsi'] / 'sub-01', 'stat', STAT)
    write(roots['dsi'] / 'sub-01', 'stat', STAT, 'Fornix_L/sub-01.fib.gz.Fornix_L.stat.txt')
    found = find_tracts(roots, '01', None)
    assert [p.name for p in found.files] == [
        'sub-01_desc-profiles_tractography.csv', 'sub-01.fib.gz.Fornix_L.stat.txt',
        'sub-01.fib.gz.Fornix_R.stat.txt',
    ]  # fmt: skip
    assert found.notes[0] == '4 tracts of pyAFQ (afq), DSI Studio (dsi)'
    assert found.notes[1].startswith('tables of tracts not used: Tractometry_subject1.csv: does')


def test_a_second_run_adds_nothing_and_is_named(tmp_path):
    folder = qsirecon(tmp_path)
    write(folder, 'scalarstats', SCALARS, 'sub-01_run-2_bundles-DSIStudio_scalarstats.tsv')
    found = find_tracts({'q': tmp_path}, '01', None)
    assert len(found.files) == 2
    assert 'another table has the same already' in found.notes[1]


def test_the_plan_tells_and_the_series_holds_them(tmp_path):
    root = write_dataset(tmp_path / 'bids')
    write_dwi(root, '01')
    qsirecon(tmp_path / 'q')
    selection = Selection(derivatives={'q': tmp_path / 'q'}, modalities=('dwi',))
    (session,) = discover(ImageIndex(root), selection)
    assert session.dwi is not None
    assert len(session.dwi.tract_tables) == 2
    assert set(session.dwi.tract_tables) <= set(session.dwi.files)
    row = next(r for r in session.plan if r.modality == 'dwi')
    assert '2 tracts of QSIRecon 1.1.0' in row.reason


def test_the_group_reads_them_as_regions(tmp_path):
    folder = tmp_path / 'sub-01' / 'dwi'
    folder.mkdir(parents=True)
    (folder / 'sub-01_desc-bundles_dwi.tsv').write_text(
        'atlas\tregion\themisphere\tsource\tfa\trd\ticvf\npyAFQ\tcst\tL\tpyAFQ 1\t.6\t4e-4\tn/a\n'
    )
    found = read_regions(tmp_path)
    assert found is not None
    assert dict(zip(found['metric'], found['value'], strict=True)) == {'fa': 0.6, 'rd': 4e-4}
    assert set(found['modality']) == {'dwi'}
