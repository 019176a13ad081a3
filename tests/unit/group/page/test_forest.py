"""Forest plots: which rows are drawn, and where."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bids_acc.group.page.forest_figures import forest_figure, forest_rows


def table(*rows: tuple) -> pd.DataFrame:
    names = ['cohort', 'response', 'metric', 'component', 'contrast', 'effect_name', 'effect']
    frame = pd.DataFrame(rows, columns=names)
    return frame.assign(ci_low=frame['effect'] - 0.5, ci_high=frame['effect'] + 0.5)


TABLES = {
    'posthoc': table(
        ('Toronto', 'md_c1', 'md', 1, 'TRS - HC', 'hedges_g_adjusted', 0.6),
        ('Toronto', 'md_c1', 'md', 1, 'TRS - HC', 'hedges_g', 0.5),
        ('Tokyo', 'md_c1', 'md', 1, 'TRS - HC', 'hedges_g_adjusted', -0.2),
        ('Tokyo', 'md_c1', 'md', 1, 'TRS - HC', 'hedges_g_adjusted', -0.2),
        ('Tokyo', 'md_c2', 'md', 2, 'TRS - HC', 'hedges_g_adjusted', np.nan),
        ('Tokyo', 'md_c1', 'md', 1, None, 'partial_eta2', 0.1),
    ),
    'meta': table(('all', 'md_c1', 'md', 1, 'TRS - HC', 'mean_hedges_g', 0.3)),
}  # fmt: skip


def test_only_standardised_differences_with_an_interval_are_collected_once() -> None:
    rows = forest_rows(TABLES)
    assert rows['effect'].tolist() == [0.6, 0.5, -0.2, 0.3]
    assert set(rows['response']) == {'MD of parcel 1'}
    assert forest_rows({}).empty


def test_each_interval_stands_at_its_effect_with_the_colour_of_its_cohort() -> None:
    figure = forest_figure(forest_rows(TABLES), 'MD')
    (axes,) = figure.axes
    spans = [line for line in axes.lines if len(line.get_xdata()) == 2 and line.get_lw() == 1.3]
    ends = [tuple(np.round(line.get_xdata(), 6)) for line in spans]
    assert ends == [(0.1, 1.1), (0.0, 1.0), (-0.7, 0.3), (-0.2, 0.8)]
    colours = [line.get_color() for line in spans]
    assert colours[0] == colours[1] != colours[2] != colours[3]
    heights = [line.get_ydata()[0] for line in spans]
    assert len(set(heights)) == 4
    assert [t.get_text() for t in axes.get_yticklabels()] == ['MD of parcel 1: TRS - HC']


def test_markers_of_one_functional_metric_share_a_figure():
    names = ['fc__Seitzman__sgACC_DMN__both', 'fc__Seitzman__within_DMN__both', 'reho_c1']
    table = pd.DataFrame(
        {'metric': names, 'response': names, 'contrast': 'TRS - HC', 'cohort': 'all',
         'effect_name': 'hedges_g', 'effect': 0.5, 'ci_low': 0.1, 'ci_high': 0.9,
         'component': None}
    )  # fmt: skip
    assert forest_rows({'posthoc': table})['metric'].tolist() == ['fc', 'fc', 'reho_c1']
