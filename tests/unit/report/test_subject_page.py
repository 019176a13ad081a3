"""Sections of a subject's page, from files written under the names of the table of outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_acc.derivatives.outputs import output_path
from bids_acc.derivatives.status import StatusRow
from bids_acc.exceptions import ExitCode
from bids_acc.quality.gate import Criterion, Threshold, Verdict
from bids_acc.report.subject.cohort import cohort_table, percentile_blocks
from bids_acc.report.subject.page import subject_sections, write_subject_report
from bids_acc.report.subject.spectroscopy import gate_rows, levels_table
from bids_acc.report.subject.summary import REMEDIES
from bids_acc.report.subject.view import SubjectView
from bids_acc.tables.writing import write_tsv

LEVELS = pd.DataFrame(
    {
        'metabolite': ['tCr', 'tCr', 'Glu', 'Glu', 'Lac'],
        'unit_scheme': ['ratio_tcr', 'water_raw', 'ratio_tcr', 'water_raw', 'ratio_tcr'],
        'unit': ['1', 'mmol/kg', '1', 'mmol/kg', '1'],
        'value': [1.0, 9.0, 1.25, 11.2, np.nan],
        'value_sd': [np.nan, 0.2, 0.04, 0.3, np.nan],
        'ci_low': [np.nan, np.nan, 1.16, 10.5, np.nan],
        'ci_high': [np.nan, np.nan, 1.34, 11.9, np.nan],
        'crlb_pct': [2.0, 2.0, 4.2, 4.2, 999.0],
        'gate': ['pass', 'pass', 'pass', 'pass', 'fail'],
        'gate_reason': [None, None, None, None, 'crlb <= 20 %: 999 fail'],
    }
)


@pytest.fixture
def view(tmp_path: Path) -> SubjectView:
    """Return a subject with one spectrum that fails its gate, and a modality that failed."""
    quality = pd.DataFrame(
        {
            'engine': ['builtin'], 'snr_lcm': [3.1], 'gate_preset': ['strict'], 'gate': ['fail'],
            'gate_reasons': ['snr >= 5: 3.1 fail'],
            'gate_criteria': ['snr >= 5: 3.1 fail; fwhm <= 0.1 ppm: 0.05 pass'],
            'notes': ['Glu may be off by 20 %; no water reference'],
        }
    )  # fmt: skip
    entities = {'subject': '01', 'session': '1', 'voi': 'acc'}
    write_tsv(output_path('mrs_quality', tmp_path, entities), quality)
    write_tsv(output_path('mrs_quantities', tmp_path, entities), LEVELS)
    rows = [
        StatusRow('sub-01', 'ses-1', 'mrs', 'done'),
        StatusRow('sub-01', 'ses-1', 'dwi', 'failed', 'bad_data', 'a.bval has 3 b-values',
                  'crash-1.txt', ExitCode.BAD_DATA),
    ]  # fmt: skip
    inputs = pd.DataFrame({'modality': ['mrs'], 'file': ['sub-01_svs.nii.gz'], 'TE': ['35 ms']})
    return SubjectView(tmp_path, '01', rows, inputs, {'seed': '7'})


def test_errors_come_first_with_what_to_do_then_warnings(view: SubjectView) -> None:
    summary = subject_sections(view)[0].blocks
    assert [block.title for block in summary] == [
        'Errors', 'Warnings', 'What was done', 'What was read', 'How it was run',
    ]  # fmt: skip
    assert REMEDIES[ExitCode.BAD_DATA] in summary[0].paragraphs[0]
    assert 'crash-1.txt' in summary[0].paragraphs[0]
    warned = [row[1]['text'] for row in summary[1].rows]
    assert warned == [
        'The spectrum does not pass its gate: snr >= 5: 3.1 fail.',
        'Glu may be off by 20 %', 'no water reference',
    ]  # fmt: skip


@pytest.mark.parametrize('code', [c for c in ExitCode if c in (65, 66, 70, 73, 75)])
def test_every_way_in_which_a_session_fails_has_a_remedy(code: ExitCode) -> None:
    assert code in REMEDIES


def test_spectroscopy_has_gate_levels_and_quality(view: SubjectView) -> None:
    section = next(s for s in subject_sections(view) if 'Spectroscopy' in s.title)
    titles = [block.title for block in section.blocks]
    assert titles[0].startswith('Quality gate strict: fail')
    assert titles[1].startswith('Metabolite levels')
    assert any(title.startswith('Quality of the spectrum') for title in titles)


def test_measures_of_quality_have_words_whatever_their_names(view: SubjectView) -> None:
    """A name without underscore is no name of a column to the page as a whole."""
    quality = pd.DataFrame({'verdict': ['usual'], 'cnr': [2.5], 'euler_wm': [-8]})
    write_tsv(output_path('anat_qc', view.output_dir, {'subject': '01', 'session': '1'}), quality)
    blocks = [block for section in subject_sections(view) for block in section.blocks]
    (table,) = (b for b in blocks if b.title.startswith('Quality of the T1w image'))
    names = [row[0]['text'] for row in table.rows]
    assert names == ['verdict', 'contrast to noise', 'Euler number of white matter']


def test_the_gate_is_read_back_as_it_was_written() -> None:
    """The text of a verdict and the rows of the page come from one form."""
    fwhm = Threshold('fwhm', ('builtin_fwhm',), '<=', 0.1, 'ppm')
    crlb = Threshold('crlb', ('builtin_crlb',), '<=', 20.0, '%')
    verdict = Verdict(
        False,
        (
            Criterion(fwhm, 0.0512, 'lcmodel_fwhm', 'pass'),
            Criterion(crlb, 31.0, 'builtin_crlb', 'fail'),
            Criterion(fwhm, float('nan'), '', 'unknown'),
        ),
        extra=('lipid_contamination',),
    )
    rows = gate_rows(verdict.listing)
    assert [row['verdict'] for row in rows] == ['fail', 'pass', 'fail', 'unknown']
    assert rows[0]['criterion'] == 'lipid_contamination'
    assert rows[1]['found'] == '0.0512 (defined as lcmodel_fwhm)'
    assert (rows[2]['asked for'], rows[2]['found']) == ('<= 20 %', '31')


def test_levels_stand_side_by_side_and_missing_ones_are_not_zero() -> None:
    table = levels_table(LEVELS)
    assert list(table['metabolite']) == ['Glu', 'tCr', 'Lac']
    assert table.loc[0, 'ratio_tcr'] == '1.25 [1.16, 1.34]'
    assert table.loc[1, 'water_raw (mmol/kg)'] == '9 (SD 0.2)'
    assert table.loc[2, 'ratio_tcr'] == 'n/a'
    assert table.loc[2, 'water_raw (mmol/kg)'] == ''
    assert table.loc[2, 'why'] == 'crlb <= 20 %: 999 fail'


def test_the_page_is_written_and_escaped(view: SubjectView) -> None:
    page = write_subject_report(view).read_text()
    assert 'snr &gt;= 5: 3.1 fail' in page
    assert 'href="sub-01/ses-1/mrs/' in page


@pytest.mark.parametrize('modality', ['anat', 'dwi', 'mtr'])
def test_flags_of_every_modality_are_warnings(view: SubjectView, modality: str) -> None:
    path = output_path(f'{modality}_qc', view.output_dir, {'subject': '01', 'session': '1'})
    write_tsv(path, pd.DataFrame({'verdict': ['unusual'], 'flags': ['a far off; b as well']}))
    warnings = subject_sections(view)[0].blocks[1]
    told = [tuple(cell['text'] for cell in row) for row in warnings.rows]
    assert (f'ses-1 {modality}', 'a far off') in told
    assert (f'ses-1 {modality}', 'b as well') in told


@pytest.mark.parametrize('key', ['mrs_quality', 'mrs_quantities', 'anat_qc'])
def test_a_header_without_a_row_does_not_stop_the_page(view: SubjectView, key: str) -> None:
    entities = {'subject': '01', 'session': '1'} | ({'voi': 'acc'} if 'mrs' in key else {})
    path = output_path(key, view.output_dir, entities)
    header = path.read_text().partition('\n')[0] if path.is_file() else 'cnr\tflags'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(header + '\n')
    assert write_subject_report(view).is_file()


def test_a_spectrum_is_compared_with_those_of_the_same_voxel(view: SubjectView) -> None:
    for number in range(2, 14):
        for voxel, snr in (('acc', 1.0), ('occ', 50.0)):
            entities = {'subject': f'{number:02d}', 'session': '1', 'voi': voxel}
            path = output_path('mrs_quality', view.output_dir, entities)
            write_tsv(path, pd.DataFrame({'snr_lcm': [snr]}))
    cohort_table.cache_clear()
    (block,) = percentile_blocks(view, '1')
    (row,) = [[cell['text'] for cell in cells] for cells in block.rows]
    assert row[0] == 'S/N of the spectrum (voi-acc)'
    assert row[3:] == ['100', '1', '12']


def test_visits_stand_as_people_count_them(tmp_path: Path) -> None:
    rows = [StatusRow('sub-01', f'ses-{v}', 'mrs', 'done') for v in ('10', '2', 'baseline')]
    assert SubjectView(tmp_path, '01', rows).visits == ['baseline', '2', '10']
