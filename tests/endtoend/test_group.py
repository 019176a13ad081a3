"""The group level on an output folder with planted parcels and effects."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest

from tests.endtoend.test_command import bids_acc
from tests.synthetic.browser import check_page, needs_browser, started
from tests.synthetic.derivatives import write_cohort
from tests.synthetic.seen import raw_names, undescribed, visible_texts

FAST = ('--opnmf-k-range', '2', '5', '--opnmf-splits', '4', '--opnmf-bootstraps', '10')
MODEL = 'group/model-proposed'


def parcels_of(root: Path) -> Path:
    """Return the one folder of parcels."""
    (folder,) = (root / 'group').glob('parcels-*')
    return folder


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """Return a derivative folder of 24 people."""
    root = tmp_path_factory.mktemp('group') / 'out'
    write_cohort(root, n_per_group=8)
    for path in root.glob('sub-002/mrs/*quantities*.tsv'):
        table = pd.read_csv(path, sep='\t')
        table['crlb_pct'], table['gate'] = 25.0, 'fail'
        table['gate_reason'] = 'crlb < 20 %: 25 fail'
        table.to_csv(path, sep='\t', index=False, na_rep='n/a')
    return root


@pytest.fixture(scope='module')
def analysed(folder, tmp_path_factory) -> Path:
    """Return the folder after the group level."""
    work = tmp_path_factory.mktemp('work')
    done = bids_acc('none', folder, 'group', '--model', 'auto', '-w', work, *FAST)
    assert done.returncode == 0, done.stderr
    return folder


def test_without_a_model_one_is_proposed_and_nothing_is_guessed(folder, tmp_path):
    copy = tmp_path / 'out'
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns('group*', 'code', 'logs', 'tpl-*'))
    done = bids_acc('none', copy, 'group', *FAST)
    assert done.returncode == 64
    assert '--model auto' in done.stderr
    proposal = json.loads((copy / 'code' / 'model-proposed_smdl.json').read_text())
    assert proposal['Group']['Reference'] == 'HC'
    assert not (copy / 'group.html').exists()


def test_dry_run_writes_nothing(folder, tmp_path):
    before = sorted(folder.rglob('*'))
    done = bids_acc('none', folder, 'group', '--dry-run', 'json')
    plan = json.loads(done.stdout)
    assert sorted(folder.rglob('*')) == before
    assert len(plan) == 24 * 3
    assert {row['status'] for row in plan} == {'run'}


def test_tables_name_the_files_that_they_are_made_of(analysed):
    model, parcels = analysed / MODEL, parcels_of(analysed)

    def sources(path):
        told = json.loads(path.read_text())['Sources']
        assert all(uri.startswith('bids::') for uri in told)
        assert [uri for uri in told if not (analysed / uri.removeprefix('bids::')).is_file()] == []
        return told

    made = [f'bids::{MODEL}/measures.tsv', f'bids::{MODEL}/model_smdl.json']
    for name in ('stats/ancova.json', 'qc/flow.json', 'measures_long.json'):
        assert sources(model / name) == made
    measures = sources(model / 'measures.json')
    assert measures[0] == 'bids::participants.tsv'
    assert f'bids::group/{parcels.name}/opnmf/parcels.tsv' in measures
    assert len([uri for uri in measures if '/mrs/' in uri]) == 2 * 24
    maps = sources(parcels / 'opnmf' / 'observations.json')
    assert len(maps) == 24 * 2 * 4  # hemispheres, and thickness, area, FA, MD
    assert all('/sub-' in uri or '::sub-' in uri for uri in maps)
    for path in (parcels / 'tpl-fsaverage').rglob('*.json'):
        assert sources(path) == [f'bids::group/{parcels.name}/opnmf/observations.tsv']


def test_planted_effect_is_found(analysed):
    table = pd.read_csv(analysed / MODEL / 'stats' / 'ancova.tsv', sep='\t')
    group = table[table['term'] == 'group'].set_index('response')
    thickness = [name for name in group.index if name.startswith('thickness')]
    assert group.loc[thickness, 'p_unc'].min() < 0.01
    assert group['value'].idxmax().startswith('thickness')
    means = pd.read_csv(parcels_of(analysed) / 'opnmf' / 'parcels.tsv', sep='\t')
    assert set(means['metric']) == {'thickness', 'area', 'fa', 'md'}


def test_gated_spectra_are_left_out(analysed):
    excluded = pd.read_csv(analysed / MODEL / 'qc' / 'exclusions.tsv', sep='\t')
    gate = excluded[excluded['modality'] == 'mrs']
    assert set(gate['criterion']) == {'crlb'}
    assert set(gate['threshold']) == {'< 20 %'}
    assert set(gate['value']) == {25}
    failed = gate['participant_id'].nunique()
    assert failed == 1
    table = pd.read_csv(analysed / MODEL / 'stats' / 'mrs_group.tsv', sep='\t')
    assert table.loc[table['analysis'] == 'mrs_ancova', 'n'].max() == 24 - failed


def test_report_is_one_file_and_says_only_corrected_p(analysed):
    page = (analysed / 'group.html').read_text()
    assert not re.search(r'src="(?!data:)', page)
    links = re.findall(r'href="(?!#|data:)([^"]+)"', page)
    assert links
    tables = page.count('<table>')
    opened = page.count('>Open the TSV<') + page.count('>Save as TSV<')
    assert opened == tables, 'each table opens its TSV, or can be saved as one'
    captions = re.findall(r'<figcaption>(.*?)</figcaption>', page, re.DOTALL)
    assert [text for text in captions if text.count('<a ') < 2] == [], 'its file and its rows'
    assert [link for link in links if not (analysed / unquote(link)).exists()] == []
    assert f'{MODEL}/codebook.html' in links
    order = re.findall(r'<h2 id="h\d+">([^<]*)</h2>', page)
    assert order[:3] == ['Summary', 'Quality', 'Findings'], 'quality is read first'
    summary = page.partition('>Summary</h2>')[2].partition('</section>')[0]
    assert 'parcels' in summary
    assert not re.search(r'(?<!corrected )\bp [=<]', summary)


@needs_browser
def test_the_page_can_be_used_by_all_and_asks_for_nothing(analysed):
    with started() as browser:
        check_page(browser, analysed / 'group.html', 400, 'light')
        check_page(browser, analysed / 'group.html', 1280, 'dark')


def test_no_name_of_a_column_is_seen_in_a_page(analysed):
    measures = (analysed / MODEL / 'measures.tsv').read_text().partition('\n')[0].split('\t')
    stats = [
        name for path in (analysed / MODEL / 'stats').glob('*.tsv')
        for name in path.read_text().partition('\n')[0].split('\t')
    ]  # fmt: skip
    raw = {name for name in [*measures, *stats] if '_' in name}
    assert {'md_c1', 'p_unc'} <= raw
    texts = visible_texts((analysed / 'group.html').read_text())
    assert any('MD of parcel 1' in text for text in texts)
    assert raw_names(texts, raw) == []


def test_every_figure_says_how_it_is_read_and_what_it_cannot_tell(analysed):
    page = (analysed / 'group.html').read_text()
    captions = re.findall(r'<figcaption>(.*?)</figcaption>', page, re.DOTALL)
    assert len(captions) > 5
    for words in ('How to read: ', 'What this cannot tell: '):
        assert [text for text in captions if words not in text] == []


def test_the_figures_of_the_page_have_versions_for_papers(analysed):
    for folder in (analysed / MODEL / 'figures', parcels_of(analysed) / 'figures'):
        figures = [path for path in folder.glob('*.*') if path.suffix in ('.svg', '.png')]
        assert figures
        wanted = {f'{path.stem}{kind}' for path in figures for kind in ('.pdf', '.png')}
        assert wanted <= {path.name for path in (folder / 'paper').iterdir()}


def test_reporting_lists_are_filled_from_the_run(analysed):
    lists = {
        name: pd.read_csv(analysed / MODEL / 'checklists' / f'{name}.tsv', sep='\t', dtype=str)
        for name in ('strobe', 'cobidas')
    }
    assert lists['strobe']['item'].tolist() == [str(i) for i in range(1, 23)]
    answers = lists['cobidas'].set_index('asked')['answer']
    assert answers['Number of people, and of each group'].startswith('24 people: ')
    assert answers['Who was left out, and why'] == 'mrs: something of 1 left out'
    assert pd.isna(answers['Ethics and consent']), 'what a run cannot know is left to the authors'
    named = {
        part.strip() for table in lists.values() for text in table['where'].dropna()
        for part in re.findall(r'[\w/]+\.(?:tsv|md|json|html|svg|py)', text)
    }  # fmt: skip
    tables = analysed / MODEL
    missing = [name for name in named if not list(tables.rglob(Path(name).name))]
    assert [
        name for name in missing if 'prediction' not in name and 'confounding' not in name
    ] == []


def test_every_column_of_every_table_is_described(analysed):
    assert undescribed(analysed / 'group') == []


def test_a_second_run_gives_the_same_bytes(analysed, tmp_path):
    def contents(root: Path) -> dict[str, bytes]:
        kept = [p for p in root.rglob('*') if p.is_file() and 'logs' not in p.parts]
        return {str(p.relative_to(root)): p.read_bytes() for p in kept}

    before = contents(analysed)
    done = bids_acc(
        'none', analysed, 'group', '--model', 'auto', '--nprocs', '2', '-w', tmp_path, *FAST
    )
    assert done.returncode == 0, done.stderr
    after = contents(analysed)
    assert set(before) == set(after)
    assert [name for name in before if before[name] != after[name]] == []


def test_without_participants_parcels_are_made_and_nothing_is_compared(folder, tmp_path):
    copy = tmp_path / 'out'
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns('group*', 'code', 'logs', 'tpl-*'))
    (copy / 'participants.tsv').unlink()
    done = bids_acc('none', copy, 'group', '-w', tmp_path / 'w', *FAST)
    assert done.returncode == 0, done.stderr
    assert (parcels_of(copy) / 'opnmf' / 'parcels.tsv').exists()
    assert not list((copy / 'group').glob('model-*/stats'))
    assert 'no participants.tsv' in (copy / 'group.html').read_text()


def test_missing_people_do_not_stop_the_others(folder, tmp_path):
    copy = tmp_path / 'out'
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns('group*', 'code', 'logs', 'tpl-*'))
    shutil.rmtree(copy / 'sub-001')
    shutil.rmtree(copy / 'sub-002' / 'dwi')
    shutil.rmtree(copy / 'sub-003' / 'mrs')
    done = bids_acc('none', copy, 'group', '--model', 'auto', '-w', tmp_path / 'w', *FAST)
    assert done.returncode == 0, done.stderr
    flow = pd.read_csv(copy / MODEL / 'qc' / 'flow.tsv', sep='\t')
    lost = flow[flow['status'] == 'skip'].groupby('participant_id')['modality'].agg(list)
    assert lost.to_dict() == {
        'sub-001': ['anat', 'dwi', 'mrs'], 'sub-002': ['dwi'], 'sub-003': ['mrs'],
    }  # fmt: skip


def _spectra_only(folder, tmp_path):
    """Copy a folder of results without its maps, which take time."""
    copy = tmp_path / 'out'
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns('group*', 'code', 'logs', 'tpl-*'))
    for who in copy.glob('sub-*'):
        shutil.rmtree(who / 'anat')
    return copy


def _in_turn(copy, tmp_path, first, second):
    """Run two models and the first again, which must give the same bytes; return all files."""
    files = {}
    for model in (first, second, first):
        (tmp_path / 'm.json').write_text(json.dumps(model))
        done = bids_acc(
            'none', copy, 'group', '--model', tmp_path / 'm.json', '-w', tmp_path, *FAST
        )
        assert done.returncode == 0, done.stderr
        place = copy / 'group' / f'model-{model["Name"]}'
        here = {str(p.relative_to(place)): p.read_bytes() for p in place.rglob('*.*')}
        assert files.setdefault(model['Name'], here) == here
        assert json.loads((place / 'model_smdl.json').read_text())['Name'] == model['Name']
    return files


def test_two_models_are_complete_side_by_side_and_none_has_tables_of_the_other(folder, tmp_path):
    copy = _spectra_only(folder, tmp_path)
    groups = {'Column': 'group', 'Levels': ['HC', 'TRS', 'non-TRS'], 'Reference': 'HC'}
    groups['Levels'] = sorted(pd.read_csv(copy / 'participants.tsv', sep='\t')['group'].unique())
    first = {'Name': 'first', 'Group': groups, 'Norms': {'Level': 'HC'}}
    second = {'Name': 'second', 'Group': groups, 'Mixture': {'Measures': []}}
    stats = _in_turn(copy, tmp_path, first, second)
    assert 'stats/zscores.tsv' in stats['first']
    assert 'stats/zscores.tsv' not in stats['second']
    assert {'stats/mrs_group.tsv', 'stats/flow.tsv', 'report.html'} < set(stats['second'])
    assert 'model first' in (copy / 'group.html').read_text()
    assert 'model second' in stats['second']['report.html'].decode()
    index = (copy / 'group' / 'index.html').read_text()
    for name in ('first', 'second'):
        assert f'href="model-{name}/report.html"' in index
    assert not [p for p in (copy / 'group').iterdir() if p.name.startswith('.')]


def test_two_models_with_different_gates_exclude_different_spectra(folder, tmp_path):
    copy = _spectra_only(folder, tmp_path)
    levels = sorted(pd.read_csv(copy / 'participants.tsv', sep='\t')['group'].unique())
    bound = {'metric': 'crlb', 'definition': 'builtin_crlb', 'operator': '<', 'value': 30,
             'unit': '%'}  # fmt: skip
    ratio = {'metric': 'snr', 'definition': 'builtin_snr_lcm', 'operator': '>=', 'value': 20,
             'unit': '1'}  # fmt: skip
    (tmp_path / 'loud.json').write_text(json.dumps({'spectrum': [ratio], 'metabolite': [bound]}))
    groups = {'Column': 'group', 'Levels': levels, 'Reference': 'HC'}
    as_processed = {'Name': 'asprocessed', 'Group': groups}
    loud = {'Name': 'loud', 'Group': groups, 'Gate': {'mrs': 'loud.json'}}
    _in_turn(copy, tmp_path, as_processed, loud)
    quality, levels_of = (
        pd.concat([pd.read_csv(path, sep='\t').assign(who=path.name[:7])
                   for path in copy.rglob(f'*_desc-{kind}_svs.tsv')])
        for kind in ('qualitycontrol', 'quantities')
    )  # fmt: skip
    left_out = {}
    for name in ('asprocessed', 'loud'):
        table = pd.read_csv(copy / 'group' / f'model-{name}' / 'qc' / 'exclusions.tsv', sep='\t')
        spectra = table[table['modality'] == 'mrs']
        left_out[name] = {
            criterion: set(rows['participant_id'])
            for criterion, rows in spectra.groupby('criterion')
        }
    assert left_out['asprocessed'] == {
        'crlb': set(levels_of.loc[levels_of['gate'] == 'fail', 'who'])
    }
    assert left_out['loud'] == {'snr': set(quality.loc[quality['snr_lcm'] < 20, 'who'])}


def test_an_edited_table_of_measures_is_analysed_in_place_of_the_results(analysed, tmp_path):
    copy = tmp_path / 'out'
    shutil.copytree(analysed, copy)
    table = pd.read_csv(
        copy / 'group' / 'model-proposed' / 'measures.tsv', sep='\t', na_values='n/a'
    )
    edited = tmp_path / 'edited.tsv'
    table[table['participant_id'] != 'sub-001'].to_csv(edited, sep='\t', index=False, na_rep='NA')
    shutil.copy(copy / 'group' / 'model-proposed' / 'measures.json', edited.with_suffix('.json'))
    model = copy / 'code' / 'model-proposed_smdl.json'
    done = bids_acc('none', copy, 'group', '--model', model, '--measures', edited)
    assert done.returncode == 0, done.stderr
    before, after = (
        pd.read_csv(root / MODEL / 'stats' / 'ancova.tsv', sep='\t') for root in (analysed, copy)
    )
    # a group of seven has a permutation test beside each F, so that there are more rows
    assert set(after['response']) == set(before['response'])
    assert set(before['n']) == {24}
    assert set(after['n']) == {23}
    assert 'sub-001' not in (copy / 'group' / 'model-proposed' / 'measures.tsv').read_text()


def test_what_a_rater_left_out_is_in_no_comparison_and_stands_in_the_report(folder, tmp_path):
    copy = tmp_path / 'out'
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns('group*', 'logs', 'tpl-*'))
    (copy / 'code').mkdir(exist_ok=True)
    (copy / 'code' / 'exclude.tsv').write_text(
        'participant_id\tmodality\treason\trater\n001\tall\tmoved\tAB\n'
    )
    done = bids_acc(
        'none', copy, 'group', '--model', 'auto', '-w', tmp_path / 'w', *FAST,
        '--opnmf-components', '3',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ancova = pd.read_csv(copy / MODEL / 'stats' / 'ancova.tsv', sep='\t')
    assert set(ancova['n']) == {23}
    flow = pd.read_csv(copy / MODEL / 'qc' / 'participant_flow.tsv', sep='\t')
    assert flow['reasons'].str.contains('left out by AB: moved=1').sum() == 3
    assert 'Participant flow' in (copy / 'group.html').read_text()
