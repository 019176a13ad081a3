"""The printed numbers of the first two papers, through the installed command.

The papers' single values are not public: people are drawn whose groups have exactly the printed
means, standard deviations and numbers, or exactly the differences and correlations that printed
statistics imply, so that the tests must come out as printed but for rounding.

Of the structure paper (doi:10.1503/jpn.210113) the text has the pairwise t with their corrected p,
the partial correlations with Glx and the numbers of people; its tables of demographics and of the
analyses of covariance are in a supplement that is not at hand, and of Glx it prints corrected p
alone. Its p of the partial correlations do not belong to the printed r and n.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bids_acc.derivatives.outputs import output_path
from bids_acc.tables.writing import write_tsv
from tests.endtoend.test_command import bids_acc
from tests.endtoend.test_group_models import table
from tests.unit.group.statistics.test_statistics import PRINTED, exact_sample

pytestmark = pytest.mark.slow

SIZES = {'responsive': (20, 18), 'resistant': (21, 19)}
"""People of each group, and those whose spectra passed."""
SCORES = {
    'age': ((39.2, 8), (41.2, 13)), 'cpz_dose': ((315.6, 246.1), (682.5, 459.1)),
    'illness_duration': ((14.4, 6.7), (14.6, 11.3)), 'panss_positive': ((10, 5), (18, 6)),
    'panss_negative': ((11, 4), (13, 4)), 'panss_general': ((22, 8), (33, 9)),
    'panss_total': ((43, 13), (65, 18)),
}  # fmt: skip
"""Table 1 of doi:10.1093/schbul/sbv151: mean and standard deviation of 20 and 21 people."""
QUALITY = {
    'Glu': ((10.1, 2.6), (10.6, 2.5)), 'Glx': ((10.8, 2.9), (10.2, 2.8)),
    'tNAA': ((6.5, 1.7), (5.7, 2.6)), 'tCho': ((7.2, 2.4), (6.8, 3.2)),
    'Ins': ((10.8, 4.3), (10.1, 3.3)), 'snr_lcm': ((17.1, 2.4), (16.6, 3.3)),
    'fwhm_ppm': ((0.053, 0.014), (0.051, 0.016)),
}  # fmt: skip
"""Table 2: Cramer-Rao bounds (%), S/N and line width of 18 and 19 spectra."""


def passing(rng, n, mean, sd, low, high):
    """Draw values of a mean and a standard deviation that all lie between two limits."""
    for _ in range(10_000):
        values = exact_sample(rng, n, mean, sd)
        if low < values.min() and values.max() < high:
            return values
    raise AssertionError('no such sample')


def write_study(root, rng):
    """Write the people of the paper with their levels."""
    people = []
    for i, (group, (n, n_used)) in enumerate(SIZES.items()):
        scores = {name: exact_sample(rng, n, *told[i]) for name, told in SCORES.items()}
        limits = dict.fromkeys(QUALITY, (0, 20)) | {'snr_lcm': (8, 99), 'fwhm_ppm': (0, 0.1)}
        seen = {
            name: passing(rng, n_used, *told[i], *limits[name]) for name, told in QUALITY.items()
        }
        levels = {
            name: np.append(exact_sample(rng, n_used, *printed[i]), np.ones(n - n_used))
            for name, printed in PRINTED.items()
        }
        for j in range(n):
            label = f'{group}{j:02d}'
            people.append({
                'participant_id': f'sub-{label}', 'group': group,
                'sex': 'M' if j < (12, 14)[i] else 'F', 'smoking': 'yes' if j < 11 else 'no',
                **{name: values[j] for name, values in scores.items()},
            })  # fmt: skip
            gate = 'pass' if j < n_used else 'fail'
            rows = [
                {'metabolite': name, 'unit_scheme': 'ratio_tcr', 'unit': '1', 'value': values[j],
                 'crlb_pct': seen[name][j] if gate == 'pass' else 25.0, 'detected': True,
                 'engine': 'builtin', 'gate': gate,
                 'gate_reason': '' if gate == 'pass' else 'crlb < 20 %: 25 fail'}
                for name, values in levels.items()
            ]  # fmt: skip
            entities = {'subject': label, 'voi': 'ACC'}
            write_tsv(output_path('mrs_quantities', root, entities), pd.DataFrame(rows))
            snr, width = (seen[name][min(j, n_used - 1)] for name in ('snr_lcm', 'fwhm_ppm'))
            quality = [{'engine': 'builtin', 'snr_lcm': snr if gate == 'pass' else 7.0,
                        'fwhm_hz': width * 127.7, 'fwhm_ppm': width, 'spectrometer_mhz': 127.7,
                        'gate': gate}]  # fmt: skip
            write_tsv(output_path('mrs_quality', root, entities), pd.DataFrame(quality))
    # the sidecar wins over the scales' own ranges, which samples of these moments may leave
    ranges = {name: {'Minimum': -999, 'Maximum': 9999} for name in SCORES}
    write_tsv(root / 'participants.tsv', pd.DataFrame(people))
    (root / 'participants.json').write_text(json.dumps(ranges))


def test_table_3_of_the_glutamate_paper_comes_out_of_the_command(tmp_path):
    write_study(tmp_path, np.random.default_rng(3))
    done = bids_acc('none', tmp_path, 'group', '--model', 'acc-glutamate')
    assert done.returncode == 0, done.stderr
    rows = table(tmp_path, 'mrs_group').query("analysis == 'mrs_t'").set_index('response')
    for metabolite, (_, _, t, tolerance) in PRINTED.items():
        row = rows.loc[metabolite]
        assert row['contrast'] == 'resistant - responsive'
        assert row['value'] == pytest.approx(t, abs=tolerance)
        assert row['df2'] == 35
        assert row['n_per_group'] == 'resistant=19;responsive=18'
    assert rows.loc['Glu', 'effect'] == pytest.approx(0.76, abs=0.06)
    assert rows.loc['Glu', 'correction'] == 'none'
    assert set(rows.drop(index='Glu')['family_size']) == {4}
    dose = table(tmp_path, 'mrs_group').query(
        "analysis == 'mrs_nuisance' and response == 'Glu' and nuisance == 'cpz_dose'"
    )
    assert dose['df2'].tolist() == [34]  # printed: T(34)
    folder = tmp_path / 'group' / 'model-acc-glutamate' / 'tables'
    text = (folder / 'desc-mrsgroup_table.md').read_text()
    glu = next(line for line in text.splitlines() if line.startswith('|') and '| Glu |' in line)
    assert '*t*(35) = ' in glu
    supplement = pd.read_csv(folder / 'desc-mrsgroup_table.csv').set_index('response')
    assert supplement.loc['Glu', 'value'] == pytest.approx(rows.loc['Glu', 'value'], rel=1e-5)
    check_table_1(table(tmp_path, 'demographics'))
    check_table_2(table(tmp_path, 'qc_by_group'))


def check_table_1(rows):
    """Sex, age, smoking and duration do not differ, dose and symptoms do.

    The text prints t(35) = 2.50 for the dose, of the 37 with spectra; the printed means of all 41
    imply t(39) = 3.16. It calls PANSS scores both higher and not different (P > .1): of the
    printed means only those of the negative scale are not.
    """
    rows = rows.set_index('response')
    n = np.array([20, 21])
    for name, ((m0, s0), (m1, s1)) in SCORES.items():
        pooled = ((n - 1) * np.array([s0, s1]) ** 2).sum() / (n.sum() - 2)
        t = (m1 - m0) / np.sqrt(pooled * (1 / n).sum())
        assert abs(rows.loc[name, 'value']) == pytest.approx(abs(t), rel=2e-3), name
    differ = set(rows.index[rows['p_unc'] < 0.05])
    assert differ == {'cpz_dose', 'panss_positive', 'panss_general', 'panss_total'}
    sex = stats.chi2_contingency([[12, 8], [14, 7]], correction=False)
    assert rows.loc['sex', 'value'] == pytest.approx(sex.statistic, rel=1e-4)
    smoking = stats.chi2_contingency([[9, 11], [10, 11]], correction=False)
    assert rows.loc['smoking', 'value'] == pytest.approx(smoking.statistic, rel=1e-4)


def check_table_2(rows):
    """Printed: no significant differences across any of the measures, all P > .1."""
    mine = rows[rows['response'].isin(['mrs_snr_lcm', 'mrs_fwhm_ppm', *QUALITY])]
    assert len(mine) >= 2
    assert (mine['p_unc'] > 0.1).all()


# -- the structure paper --------------------------------------------------------------------------

PEOPLE = {
    'tokyo': {'HC': 26, 'FL-Resp': 24, 'TRS': 23},
    'toronto': {'HC': 26, 'FL-Resp': 17, 'CLZ-Resp': 15, 'URS': 21},
}
LOST = {'tokyo': {'HC': 1, 'FL-Resp': 4, 'TRS': 3}, 'toronto': {}}
"""Spectra that did not pass."""
PAIRS = {
    ('tokyo', 'thickness_c1'): {('TRS', 'HC'): (-4.18, 0), ('FL-Resp', 'HC'): (-3.83, 0)},
    ('tokyo', 'thickness_c2'): {('TRS', 'HC'): (-5.10, 0), ('FL-Resp', 'HC'): (-4.29, 0)},
    ('tokyo', 'md_c1'): {('TRS', 'HC'): (3.55, 0.003), ('FL-Resp', 'HC'): (2.58, 0.02)},
    ('tokyo', 'md_c2'): {('TRS', 'HC'): (3.05, 0.011)},
    ('toronto', 'thickness_c1'): {
        ('URS', 'HC'): (-3.58, 0.003), ('CLZ-Resp', 'HC'): (-3.57, 0.003),
    },
    ('toronto', 'thickness_c2'): {('URS', 'HC'): (-4.11, 0), ('CLZ-Resp', 'HC'): (-4.36, 0)},
    ('toronto', 'md_c1'): {('URS', 'HC'): (2.75, 0.039), ('URS', 'CLZ-Resp'): (2.64, 0.039)},
    ('toronto', 'md_c2'): {('URS', 'HC'): (2.97, 0.018), ('URS', 'CLZ-Resp'): (2.93, 0.018)},
}  # fmt: skip
"""Every printed pair: t of the first minus the second, and corrected p (0: below .001)."""
UNPRINTED = {
    ('tokyo', 'md_c2'): {'FL-Resp': 1.0}, ('toronto', 'thickness_c1'): {'FL-Resp': -2.0},
    ('toronto', 'thickness_c2'): {'FL-Resp': -2.0}, ('toronto', 'md_c1'): {'FL-Resp': 0.6},
    ('toronto', 'md_c2'): {'FL-Resp': 0.6},
    **{('tokyo', f'{metric}_c{k}'): {'TRS': 3.5, 'FL-Resp': 3.0}
       for metric in ('thickness', 'md') for k in (3, 4)},
}  # fmt: skip
"""Groups whose t from controls is not printed, only that it is not significant (or, of the third
and fourth component in Tokyo, that the groups differ)."""
CORRELATIONS = {
    'tokyo': {'thickness_c1': -0.396, 'thickness_c2': -0.474, 'md_c1': 0.217, 'md_c2': 0.202},
    'toronto': {'thickness_c1': -0.212, 'thickness_c2': -0.281, 'md_c1': 0.233, 'md_c2': 0.244},
}
"""Partial correlations with Glx, age and sex partialled out."""
BY_AGE = 0.4
"""Share of the variance within groups that age explains. Without any, the printed t of md_c1 in
Toronto imply F(3, 75) <= 3.6, whose p over 16 tests is above .05: the paper's step from the
analysis of covariance to pairs can only be made with covariates that explain something."""


def means_of(site, name):
    """Return the mean of each group, in standard deviations, that the printed t imply."""
    sizes = PEOPLE[site]
    told = {**PAIRS.get((site, name), {})}
    told |= {(group, 'HC'): (t, 1) for group, t in UNPRINTED.get((site, name), {}).items()}
    means = dict.fromkeys(sizes, 0.0)
    for (a, b), (t, _) in told.items():
        step = t * np.sqrt(1 / sizes[a] + 1 / sizes[b])
        if b == 'HC':
            means[a] = step
        else:
            means[b] = means[a] - step
    return means


def orthogonal(rng, basis):
    """Draw values of mean 0 and standard deviation 1 that correlate with no column."""
    x = rng.standard_normal(len(basis))
    x -= basis @ np.linalg.lstsq(basis, x, rcond=None)[0]
    return x / x.std(ddof=1)


def people_of(site, rng):
    """Draw the people of one site with their parcels and the Glx of those whose spectra pass."""
    names = [f'{m}_c{k}' for m in ('thickness', 'area', 'md', 'fa') for k in (1, 2, 3, 4)]
    parts = []
    for group, n in PEOPLE[site].items():
        z = exact_sample(rng, n, 0, 1)
        sex = rng.permutation(np.resize(['M', 'F'], n))
        basis = np.column_stack([np.ones(n), z, sex == 'M'])
        values = {
            name: means_of(site, name)[group]
            + np.sqrt(BY_AGE) * z + np.sqrt(1 - BY_AGE) * orthogonal(rng, basis)
            for name in names
        }  # fmt: skip
        lost = np.arange(n) < LOST[site].get(group, 0)
        parts.append(pd.DataFrame({
            'participant_id': [f'sub-{site}{group.replace("-", "")}{i:02d}' for i in range(n)],
            'group': group, 'cohort': site, 'age': 40 + 9 * z, 'sex': sex, 'lost': lost, **values,
        }))  # fmt: skip
    people = pd.concat(parts, ignore_index=True)
    people['Glx'] = np.nan
    used = people[~people['lost']]
    people.loc[used.index, 'Glx'] = 12 + 1.5 * correlated(used, CORRELATIONS[site], rng)
    return people


def correlated(people, wanted, rng):
    """Draw values with exactly these partial correlations, age and sex partialled out."""
    basis = np.column_stack([np.ones(len(people)), people['age'], people['sex'] == 'M'])
    y = people[list(wanted)].to_numpy()
    y = y - basis @ np.linalg.lstsq(basis, y, rcond=None)[0]
    y /= y.std(axis=0, ddof=1)
    r = np.array(list(wanted.values()))
    weights = np.linalg.solve(np.corrcoef(y, rowvar=False), r)
    rest = 1 - r @ weights
    assert rest > 0
    return y @ weights + np.sqrt(rest) * orthogonal(rng, np.column_stack([basis, y]))


FAULTS = {'TRS': {'snr_lcm': 10.0}, 'FL-Resp': {'fwhm_hz': 10.0}, 'HC': {'crlb_pct': 20.0}}
"""Why spectra do not pass here; nothing at a boundary does."""


def write_structure_study(root, people):
    """Write people and spectra; parcels come by the table of measures."""
    for row in people.to_dict('records'):
        fault = FAULTS[row['group']] if row['lost'] else {}
        entities = {'subject': row['participant_id'][4:], 'voi': 'ACC'}
        level = {
            'metabolite': 'Glx', 'unit_scheme': 'water_tissue', 'unit': 'mmol/kg',
            'value': 12.0 if row['lost'] else row['Glx'], 'detected': True, 'engine': 'builtin',
            'crlb_pct': 8.0, 'gate': 'pass', 'gate_reason': '',
        } | {k: v for k, v in fault.items() if k == 'crlb_pct'}  # fmt: skip
        write_tsv(output_path('mrs_quantities', root, entities), pd.DataFrame([level]))
        quality = {
            'engine': 'builtin', 'snr_lcm': 20.0, 'fwhm_hz': 6.0, 'spectrometer_mhz': 127.7,
            'gate': 'pass',
        } | {k: v for k, v in fault.items() if k != 'crlb_pct'}  # fmt: skip
        write_tsv(output_path('mrs_quality', root, entities), pd.DataFrame([quality]))
    write_tsv(root / 'participants.tsv',
              people[['participant_id', 'group', 'cohort', 'age', 'sex']])  # fmt: skip


def with_parcels(measures: Path, people) -> Path:
    """Write the parcels into the table of measures, with all digits."""
    parcels = people.set_index('participant_id').filter(regex=r'_c\d$')
    head, *rows = (line.split('\t') for line in measures.read_text().splitlines())
    lines = [[*head, *parcels.columns]]
    lines += [[*row, *map(repr, map(float, parcels.loc[row[0]]))] for row in rows]
    path = measures.with_name('edited.tsv')
    path.write_text('\n'.join('\t'.join(line) for line in lines) + '\n')
    return path


def test_the_printed_statistics_of_the_structure_paper_come_out_of_the_command(tmp_path):
    rng = np.random.default_rng(113)
    people = pd.concat([people_of(site, rng) for site in PEOPLE], ignore_index=True)
    write_structure_study(tmp_path, people)
    done = bids_acc('none', tmp_path, 'group', '--model', 'acc-structure')
    assert done.returncode == 0, done.stderr
    glx = table(tmp_path, 'mrs_group').query("analysis == 'mrs_ancova'").set_index('cohort')
    assert glx.loc['tokyo', 'n_per_group'] == 'HC=25;FL-Resp=20;TRS=20'
    assert glx.loc['tokyo', 'excluded'] == 'Glx failed quality gate=8'
    assert glx.loc['toronto', 'n_per_group'] == 'HC=26;FL-Resp=17;CLZ-Resp=15;URS=21'
    edited = with_parcels(tmp_path / 'group' / 'model-acc-structure' / 'measures.tsv', people)
    edited = edited.replace(tmp_path / 'edited.tsv')
    done = bids_acc('none', tmp_path, 'group', '--model', 'acc-structure', '--measures', edited)
    assert done.returncode == 0, done.stderr
    check_pairs(tmp_path)
    check_correlations(tmp_path)


def check_pairs(root):
    """The four indices of both cohorts are followed up, each printed pair with its t and p."""
    gate = table(root, 'gate')
    wanted = {name for _, name in PAIRS}
    assert set(gate.loc[gate['retained'], 'response']) == wanted
    ancova = table(root, 'ancova').query("term == 'group'").set_index(['cohort', 'response'])
    assert (ancova['family_size'] == 16).all()
    also = {(c, r) for c, r in ancova.index[ancova['p_corrected'] <= 0.05]} - set(PAIRS)
    assert also == {('tokyo', f'{metric}_c{k}') for metric in ('thickness', 'md') for k in (3, 4)}
    plain = table(root, 'posthoc').query("analysis == 'posthoc_plain'")
    rows = plain.set_index(['cohort', 'response', 'contrast'])
    for (site, name), pairs in PAIRS.items():
        for (a, b), (t, p) in pairs.items():
            row = rows.loc[(site, name, f'{a} - {b}')]
            assert row['value'] == pytest.approx(t, abs=0.005)
            assert row['df2'] == PEOPLE[site][a] + PEOPLE[site][b] - 2
            # .039 is printed for what the rounded t make .037
            assert row['p_corrected'] == pytest.approx(p, abs=0.0021 if p == 0.039 else 0.001)
    printed = {(s, n, f'{a} - {b}') for (s, n), pairs in PAIRS.items() for a, b in pairs}
    assert set(rows.index[rows['p_corrected'] <= 0.05]) == printed


def check_correlations(root):
    """Each r that is followed up is the printed one, of the printed number of people.

    Which are followed up hangs on the effect of Glx beside the groups, which is not printed.
    """
    rows = table(root, 'partialcorr').query("analysis == 'partialcorr'")
    assert len(rows) >= 2
    for row in rows.to_dict('records'):
        wanted = CORRELATIONS[row['cohort']][row['response']]
        assert row['effect'] == pytest.approx(wanted, abs=5e-4)
        assert row['df2'] == row['n'] - 4
        assert row['n'] == {'tokyo': 65, 'toronto': 79}[row['cohort']]
    relation = table(root, 'relation').query("term == 'Glx'")
    followed = set(rows[['cohort', 'response']].itertuples(index=False, name=None))
    significant = relation[relation['p_corrected'] <= 0.05]
    assert followed == set(significant[['cohort', 'response']].itertuples(index=False, name=None))
    interaction = table(root, 'relation').query("term == 'group:Glx'")
    assert len(interaction) == 8
