"""Papers 1 and 2 at their own n: three data sets, two models, one folder.

Tokyo, Toronto and London are data sets of their own, which the participant level brings into one
output folder; each paper's model analyses its own people there, and leaves the other's alone.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from bids_acc.demo.output_folder import CohortOptions, write_output_folder
from bids_acc.demo.output_score import score_cohort
from bids_acc.demo.two_sites import SITES
from bids_acc.derivatives.dataset import write_dataset_files
from bids_acc.tables.reading import read_tsv
from tests.endtoend.test_command import bids_acc
from tests.synthetic.glutamate_cohort import COUNTS, LOST, PLANTED_D, write_glutamate_cohort

pytestmark = pytest.mark.slow

STRUCTURE, GLUTAMATE = 'model-acc-structure', 'model-acc-glutamate'


def raw_dataset(folder: Path, name: str) -> Path:
    """Make a raw data set of tables alone."""
    folder.mkdir()
    content = {'Name': name, 'BIDSVersion': '1.11.1', 'DatasetType': 'raw'}
    (folder / 'dataset_description.json').write_text(json.dumps(content))
    return folder


def split_by_site(folder: Path, root: Path) -> list[Path]:
    """Move the tables of the two-site cohort into a raw data set of each site."""
    people = pd.read_csv(folder / 'participants.tsv', sep='\t', dtype=str, keep_default_na=False)
    clinical = pd.read_csv(
        folder / 'phenotype' / 'clinical.tsv', sep='\t', dtype=str, keep_default_na=False
    )
    found = []
    for site in SITES:
        raw = raw_dataset(root / site.name, site.name)
        (raw / 'phenotype').mkdir()
        own = people[people['cohort'] == site.name]
        own.to_csv(raw / 'participants.tsv', sep='\t', index=False)
        shutil.copy(folder / 'participants.json', raw)
        mine = clinical['participant_id'].isin(own['participant_id'])
        clinical[mine].to_csv(raw / 'phenotype' / 'clinical.tsv', sep='\t', index=False)
        found.append(raw)
    for name in ('participants.tsv', 'participants.json', 'dataset_description.json',
                 'phenotype/clinical.tsv', 'phenotype/clinical.json'):  # fmt: skip
        (folder / name).unlink()
    return found


def digests(folder: Path) -> dict[str, str]:
    """Return a digest of each file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob('*')) if path.is_file()
    }  # fmt: skip


def cells(text: str) -> dict[str, int]:
    """Read a cell such as ``HC=3;TRS=4``."""
    return {name: int(n) for name, n in (part.split('=') for part in text.split(';'))}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Return the output folder after both models, what the first had written before the second."""
    root = tmp_path_factory.mktemp('papers')
    output = root / 'out'
    write_output_folder(output, CohortOptions(density='10k'), lambda _: None)
    raws = split_by_site(output, root)
    london = raw_dataset(root / 'London', 'London')
    write_glutamate_cohort(london, output)
    for raw in (*raws, london):
        write_dataset_files(raw, output)
    first = bids_acc(
        'none', output, 'group', '--model', 'acc-structure', '--opnmf-k-range', '3', '5',
        '--opnmf-splits', '4', '--opnmf-bootstraps', '5', '-w', root / 'work',
    )  # fmt: skip
    assert first.returncode == 0, first.stderr
    before = digests(output / 'group' / STRUCTURE)
    second = bids_acc('none', output, 'group', '--model', 'acc-glutamate', '-w', root / 'work',
                      '--opnmf-k-range', '3', '5', '--opnmf-splits', '4',
                      '--opnmf-bootstraps', '5')  # fmt: skip
    assert second.returncode == 0, second.stderr
    return output, before


def stats(output: Path, model: str) -> dict[str, pd.DataFrame]:
    """Return all tables of a model."""
    return {p.stem: read_tsv(p) for p in (output / 'group' / model / 'stats').glob('*.tsv')}


def test_three_data_sets_are_one_table_with_their_names(folder):
    people = read_tsv(folder[0] / 'participants.tsv')
    assert Counter(people['dataset']) == {'Tokyo': 73, 'Toronto': 79, 'London': 41}
    listed = json.loads((folder[0] / 'dataset_description.json').read_text())['SourceDatasets']
    assert [entry['URL'].rpartition('/')[2] for entry in listed] == ['London', 'Tokyo', 'Toronto']


def test_the_second_model_changes_nothing_of_the_first(folder):
    output, before = folder
    assert digests(output / 'group' / STRUCTURE) == before
    index = (output / 'group' / 'index.html').read_text()
    assert 'acc-structure' in index
    assert 'acc-glutamate' in index


def test_no_table_has_people_of_the_other(folder):
    groups = {STRUCTURE: {g for site in SITES for g in site.counts}, GLUTAMATE: set(COUNTS)}
    cohorts = {STRUCTURE: {'Tokyo', 'Toronto'}, GLUTAMATE: {'all'}}
    for model, levels in groups.items():
        tables = stats(folder[0], model)
        assert {'mrs_group', 'demographics', 'qc_by_group', 'flow', 'sensitivity'} <= set(tables)
        for name, table in tables.items():
            if 'n_per_group' in table:
                found = {g for cell in table['n_per_group'].dropna() for g in cells(cell)}
                assert found <= levels, (model, name, found - levels)
            if 'cohort' in table:
                assert set(table['cohort'].dropna()) <= cohorts[model] | {'n/a', 'all', 'both'}, (
                    name
                )


def test_paper_1_has_its_own_numbers_of_people(folder):
    tables = stats(folder[0], STRUCTURE)
    for site in SITES:
        own = tables['ancova'].query("term == 'group' and cohort == @site.name")
        assert len(own) == 16
        assert all(cells(cell) == dict(site.counts) for cell in own['n_per_group'])
        glx = tables['mrs_group'].query("response == 'Glx' and cohort == @site.name")
        left = {g: n - site.lost_spectra.get(g, 0) for g, n in site.counts.items()}
        assert any(cells(cell) == left for cell in glx['n_per_group'].dropna())


def test_paper_1_finds_what_was_planted(folder):
    score = score_cohort(folder[0])
    assert min(score.agreement.values()) > 0.9
    assert set(score.n_parcels.values()) == {4}
    outside = [one for one in score.effects if not one.low <= one.planted <= one.high]
    assert len(score.effects) >= 10
    assert len(outside) <= 1, outside


def test_paper_2_has_its_own_numbers_and_the_planted_difference(folder):
    tables = stats(folder[0], GLUTAMATE)
    test = tables['mrs_group'].query("response == 'Glu' and analysis == 'mrs_t'").iloc[0]
    assert cells(test['n_per_group']) == {g: n - LOST for g, n in COUNTS.items()}
    assert test['df1'] == 35 or test['df2'] == 35
    assert test['contrast'] == 'resistant - responsive'
    assert test['ci_low'] <= PLANTED_D <= test['ci_high']
    mixture = tables['mixture']
    assert set(mixture['n'].dropna()) == {37}


def test_flow_counts_the_people_of_the_other_paper_as_in_no_group(folder):
    for model, n_own in ((STRUCTURE, 152), (GLUTAMATE, 41)):
        flow = read_tsv(folder[0] / 'group' / model / 'qc' / 'participant_flow.tsv')
        own = flow[flow['modality'] == 'mrs'].groupby('step')['n'].sum()
        assert own['listed'] == 193
        assert own['in_groups'] == n_own
        assert own['analysed'] == n_own - (8 if model == STRUCTURE else 2 * LOST)


def test_the_page_of_152_people_can_be_mailed(folder):
    page = folder[0] / 'group' / STRUCTURE / 'report.html'
    assert page.stat().st_size < 2.2e6
    text = page.read_text()
    assert 'Quality measures compared between groups, Tokyo' in text
    assert 'missing NAA' in text, 'artefacts that exclude a spectrum, in the methods'
