"""Tables as files: fixed float format, ``n/a`` for missing, a data dictionary beside each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from bids_acc.files.writing import write_bytes, write_json
from bids_acc.group.statistics.rows.row import COLUMNS
from bids_acc.tables.cells import as_text

TITLES: Mapping[str, str] = MappingProxyType(
    {
        'demographics': 'Demographic and clinical characteristics by group',
        'qc_by_group': 'Data quality by group, looked at before any result',
        'flow': 'Participants per cohort and group, and how many have which data',
        'confounding': 'Groups that were measured in different places or ways',
        'asked': 'Asked for in the model file and not done, with the reason',
        'voxels': 'Which spectra are analysed, where people have several',
        'ancova': 'Group differences in structure at equal covariates',
        'gate': 'Which responses passed the replication rule',
        'posthoc': 'Pairwise comparisons of the responses that passed the replication rule',
        'contrasts': 'Planned contrasts',
        'partialvolume': 'Differences of FA and MD at equal partial volume and noise',
        'vertexwise': 'Groups compared at every vertex',
        'vertexwise_clusters': 'Connected vertices at which groups differ',
        'mrs_group': 'Metabolites by group, with and without nuisance covariates',
        'interactions': 'What the difference between groups depends on',
        'relation': 'Relation of structure to the metabolite, and its interaction with group',
        'partialcorr': 'Partial correlations of structure and metabolite',
        'clinical': 'Relation of structure and metabolites to clinical scores',
        'zscores': 'Distance of the groups from the norm, and shares beyond its centiles',
        'zscores_participants': 'Distance and centile of each participant from the norm',
        'diagnostics': 'Assumptions, influence and robustness of the group effects',
        'sensitivity': 'What the quality gate does to the results',
        'evidence': 'Evidence for the absence of differences and relations',
        'mixture': 'Mixtures of one to three Gaussians',
        'change': 'Change between sessions',
        'trial': 'Slopes, rates of response, normalisation and crossover',
        'reliability': 'Agreement of sessions without treatment between them',
        'dropouts': 'Who was not seen at every visit',
        'meta': 'Cohorts or sites side by side, pooled, and their random-effects summary',
        'prediction': 'Prediction of unseen participants, cross-validated',
        'prediction_participants': 'What was predicted of each participant, unseen',
        'treatment': 'Groups by treatment history',
    }
)
"""Heading of each table that `bids_acc.group.statistics.run` makes."""

DESCRIPTIONS: Mapping[str, str] = MappingProxyType(
    {
        'scheme': 'How unseen people were made: random folds, or one site left out at a time',
        'positive': 'Level of the outcome whose probability is predicted',
        'observed': 'Outcome of the participant',
        'decision': 'Predicted logit of the positive level, mean over repeats, never of a model '
        'that has seen the participant',
        'probability': 'The same as a probability',
        'called': "Whether Youden's cut-off of the training folds calls the participant positive "
        '(most of the repeats)',
        'column': 'Column that tells where or how people were measured',
        'fully': 'Whether no value of the column has both groups',
        'n_comparable': 'People where both groups were measured',
        'analysed': 'Whether its values are in the analyses',
        'labels': 'Labels of the spectra that are this voxel, as in their file names',
        'n_usable': 'Participants with a value that passed its gate',
        'voxel': 'Name of the voxel; ending of its measures where several are analysed',
        'aic': "Akaike's information criterion",
        'aicc': "Akaike's information criterion for small samples",
        'akaike_weight_aicc': 'Akaike weight from AICc',
        'bf01': 'Bayes factor for no effect against an effect; 1 / BF10',
        'bic': "Schwarz' information criterion",
        'change_ci_high': 'Upper limit of the mean change',
        'change_ci_low': 'Lower limit of the mean change',
        'common_effect': 'Mean of the common-effect model, beside the random-effects mean',
        'common_high': 'Upper limit of the common effect',
        'common_low': 'Lower limit of the common effect',
        'conclusion_changes': 'yes if p_original and p_unc lie on different sides of alpha',
        'cooks_max': "Largest Cook's distance in the sample",
        'criterion': 'The criterion of the gate that alone left values out',
        'description': 'Mean (standard deviation) and n, or counts, of each group',
        'detected_rate': 'Share of the spectra in which the metabolite was found at all',
        'estimate': 'Difference or contrast of means, in the unit of the response',
        'effect_without': 'Effect in the same people without partial volume and noise',
        'evidence_ratio': 'Akaike weight of this model over that with one component less',
        'explained': 'yes if p_without is at most alpha and p_unc above it',
        'fold_max': 'Highest score of a fold',
        'fold_min': 'Lowest score of a fold',
        'group': "Group, as the model's levels name it",
        'hedges_g': "Hedges' g: Cohen's d with the small-sample factor",
        'hedges_g_high': "Upper limit of Hedges' g",
        'hedges_g_low': "Lower limit of Hedges' g",
        'i2_pct': 'Share of the variance that lies between sites, per cent',
        'influential': "Participants whose Cook's distance exceeds 4/n",
        'label': 'Longer name of the group',
        'largest_change_by': 'Participant whose leaving out changes the effect most',
        'log_likelihood': 'Natural logarithm of the likelihood',
        'mean_change': 'Mean change, in the unit of the response',
        'lost_without': 'Participants without any one of whom the effect is no longer significant',
        'means': 'Means of the components',
        'measure': 'Measure that is scored',
        'members': 'Participants by the component they most probably belong to',
        'n_folds': 'Folds of the cross-validation',
        'n_influential': "Number of participants whose Cook's distance exceeds 4/n",
        'n_measured': 'Participants with a value, whether or not it passed the gate',
        'n_parameters': 'Free parameters of the mixture',
        'n_partialled': 'Number of columns partialled out (q in df = n - 2 - q)',
        'n_participants': 'Participants of the group in the cohort',
        'n_repeats': 'Repeats of the cross-validation',
        'n_resamples': 'Random permutations or tables; the smallest possible p is 1/(n + 1)',
        'n_sites': 'Sites in the summary',
        'n_used': 'Participants with a value that passed the gate',
        'centile': 'Share of the norm population with a smaller value, per cent; a member of '
        'the norm group is judged by the norm without that member',
        'norm': 'Norm group, or where the table of norms is from',
        'norm_n': 'Participants of the norm group; n/a for a table of norms',
        'outside_norm': 'Whether a covariate lies outside those of the norm',
        'nuisance': 'Covariate that the group comparison is corrected for',
        'p_by_cohort': 'The p values that the replication rule looked at',
        'last_session': 'Last session at which the participant was seen',
        'missing_sessions': 'Sessions at which the participant was not seen',
        'needed_to_treat': 'One over the difference of the rates, where its interval has no zero',
        'share_left': 'Difference at this visit over that at the first visit',
        'p_equivalence': 'p that the difference is smaller than Evidence/SmallestDifference',
        'area_mm2': 'Area on the mid-cortical surface of the template',
        'hemisphere': 'L or R',
        'n_significant': 'Vertices whose corrected p is at most alpha',
        'n_vertices': 'Vertices that were analysed, or that are in the cluster',
        'peak_hemisphere': 'Hemisphere of the vertex with the largest enhancement',
        'peak_region': 'Desikan-Killiany region of the peak',
        'peak_t': 't at the peak',
        'peak_vertex': 'Number of the peak on the mesh, from 0',
        'region': 'Desikan-Killiany region of the peak',
        'share_of_area': 'Share of the analysed surface whose corrected p is at most alpha',
        'peak_x': 'Place of the peak in MNI152NLin2009aSym, mm to the right',
        'peak_y': 'Place of the peak in MNI152NLin2009aSym, mm to the front',
        'peak_z': 'Place of the peak in MNI152NLin2009aSym, mm upwards',
        'bias': 'Mean of the last session minus that of the first',
        'cv_pct': 'Coefficient of variation within people, root mean square, per cent',
        'sdc': 'Smallest detectable change of one person (95 %), in the unit of the response',
        'sem': 'Standard error of measurement, in the unit of the response',
        'treat_all': 'Net benefit of treating everybody',
        'p_original': 'p_unc of the main analysis',
        'p_q': 'p value of Q',
        'p_wilcoxon': "p value of Wilcoxon's signed-rank test",
        'participant_id': 'Participant',
        'p_without': 'p value in the same people without partial volume and noise',
        'partial_r': 'Partial correlation of response and metabolite, group and covariates equal',
        'partial_r_high': 'Upper limit of the partial correlation',
        'partial_r_low': 'Lower limit of the partial correlation',
        'percent_change': 'Mean change in per cent of the first session',
        'prediction_high': 'Upper limit of the effect expected in a new site',
        'prediction_low': 'Lower limit of the effect expected in a new site',
        'q': "Cochran's Q of heterogeneity",
        'random_high': 'Upper limit of the random-effects interval (modified Hartung-Knapp)',
        'random_low': 'Lower limit of the random-effects interval (modified Hartung-Knapp)',
        'reason': 'Why: the response was retained or not, the spectra are analysed or not',
        'retained': 'Whether further tests are done on the response',
        'sd_residual': 'Standard deviation that the effect was divided by',
        'sds': 'Standard deviations of the components',
        'se': 'Standard error of the estimate',
        'session_id': 'Session; empty without sessions',
        'slope': 'Coefficient of the term, in units of the response per unit of the term',
        'slope_se': 'Standard error of the slope',
        'smaller_dim': 'The smaller of rows and columns of the table of counts, minus one',
        'tau2': 'Variance of the true effect between sites',
        'weights': 'Shares of the components',
        'z': 'Standard deviations from what the norm expects',
    }
)
"""Columns that only some tables have."""

EFFECTS: Mapping[str, str] = MappingProxyType(
    {
        'cohen_d': 'Difference of means over the pooled standard deviation; limits by the '
        'noncentral t',
        'hedges_g': "Cohen's d times J = gamma(df/2) / (sqrt(df/2) gamma((df - 1)/2)), which both "
        'limits are multiplied by too',
        'hedges_g_adjusted': 'J times estimate over sd_residual, the residual standard deviation '
        "of the model; limits by the noncentral t with the model's df2, times se / sd_residual",
        'cohen_dz': 'Mean change over the standard deviation of the changes; limits by the '
        'noncentral t',
        'mean_difference': 'Difference of means in the unit of the response; limits by t',
        'difference_of_differences': 'Change of one group minus that of the other, in the unit of '
        'the response; limits by t',
        'difference_in_sd': 'Difference of adjusted means over the residual standard deviation, '
        'without J; limits by t',
        'r': 'Pearson correlation, t / sqrt(t^2 + df2); limits by Fisher, with standard error '
        '1 / sqrt(df2 - 1)',
        'partial_r': 'Partial correlation, covariates equal, t / sqrt(t^2 + df2); limits by '
        'Fisher, with standard error 1 / sqrt(df2 - 1)',
        'partial_correlation': 'The same as r or partial_r of the relation that the row is of',
        'partial_eta2': 'F df1 / (F df1 + df2); limits by the noncentral F as '
        'lambda / (lambda + df2)',
        'cramers_v': 'sqrt(chi squared / (n smaller_dim)); limits by the noncentral chi squared',
        'rank_biserial': '2 U / (n_a n_b) - 1; limits of Newcombe 2006, method 5',
        'risk_difference': 'Difference of two shares; limits of Newcombe 1998, method 10',
        'mean_hedges_g': 'Mean of the cohorts, g = J t sqrt(1/n_a + 1/n_b) of the adjusted t with '
        'df2 in J, weighted by one over 1/n_a + 1/n_b + g^2 / (2 n) (plus tau2)',
    }
)
"""What the effect sizes are, with their intervals; others are told by ``method``."""


def _cell(value: object, exact: bool) -> str:
    """Write one cell; an exact number has the fewest digits that give it back."""
    if value is None or value is pd.NA:
        return 'n/a'
    if isinstance(value, bool | np.bool_):
        return 'true' if value else 'false'
    if isinstance(value, float | np.floating):
        if not np.isfinite(value):
            return 'n/a'
        # six digits are the same with any library of linear algebra, which the last ones are not
        return repr(float(value)) if exact else f'{value:.6g}'
    # a tab or line break inside a cell would be another cell to every reader
    text = str(value).replace('\t', ' ').replace('\n', ' ')
    return text or 'n/a'


def table_text(table: pd.DataFrame, *, exact: bool = False) -> str:
    r"""Write a table as tab-separated text, the same bytes for the same numbers.

    Parameters
    ----------
    table : DataFrame
        Any.
    exact : bool
        Write numbers with all their digits, not with six.

    Examples
    --------
    >>> table_text(pd.DataFrame({'n': [3], 'p': [float('nan')], 'note': ['']}))
    'n\tp\tnote\n3\tn/a\tn/a\n'
    """
    table = as_text(table)
    lines = ['\t'.join(map(str, table.columns))]
    rows = table.itertuples(index=False, name=None)
    lines += ['\t'.join(_cell(value, exact) for value in row) for row in rows]
    return '\n'.join(lines) + '\n'


def data_dictionary(
    table: pd.DataFrame, title: str = '', extra: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Describe each column of a table, for its JSON sidecar.

    Parameters
    ----------
    table : DataFrame
        Finished table.
    title : str
        What the table holds.
    extra : mapping of str to str, optional
        Descriptions of columns that are not in `DESCRIPTIONS`.
    """
    known = {**DESCRIPTIONS, **(extra or {}), **COLUMNS}
    head = {'Description': title} if title else {}
    columns: dict[str, dict[str, Any]] = {
        str(c): {'Description': known.get(str(c), str(c))} for c in table.columns
    }
    if 'effect_name' in columns:
        used = sorted(set(table['effect_name'].dropna().astype(str)) & set(EFFECTS))
        columns['effect_name']['Levels'] = {name: EFFECTS[name] for name in used}
    return {**head, **columns}


def write_tables(tables: Mapping[str, pd.DataFrame], folder: Path) -> list[Path]:
    """Write all tables with their sidecars into a folder.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Result of `bids_acc.group.statistics.run.run_statistics`.
    folder : Path
        For example ``group/model-<name>/stats``.

    Returns
    -------
    list of Path
        The tab-separated files, sorted by name.
    """
    written = []
    for name in sorted(tables):
        path = folder / f'{name}.tsv'
        write_bytes(path, table_text(tables[name]).encode())
        dictionary = data_dictionary(tables[name], TITLES.get(name, name))
        write_json(path.with_suffix('.json'), dictionary)
        written.append(path)
    return written
