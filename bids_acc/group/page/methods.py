"""What was done, in the words of a paper's methods section."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from bids_acc import __version__
from bids_acc.derivatives.outputs import output_spec
from bids_acc.group.cohort.acquisition import acquisition_sentences
from bids_acc.group.formulas.inference import one_sided_level
from bids_acc.group.opnmf.choice import THRESHOLD
from bids_acc.group.page.further_methods import followed_up, further_sentences, rows_with_tests
from bids_acc.group.parcels.files import one_matrix_per_cohort
from bids_acc.group.parcels.measures import SUMMED_METRICS
from bids_acc.group.parcels.parcellation import ParcellationResult
from bids_acc.group.parcels.places import region_words
from bids_acc.group.state import GroupRun
from bids_acc.group.statistics.model.content import FamilyEntry, SessionsEntry
from bids_acc.group.statistics.model.declaration import Covariate, Model
from bids_acc.group.statistics.study.data import KEYS
from bids_acc.report.wording import artefact_words, criterion_words, listed, metric_words

CORRECTIONS: Mapping[str, str] = {
    'bh': 'by the method of Benjamini and Hochberg (1995)',
    'bonferroni': 'by the method of Bonferroni',
    'holm': 'by the method of Holm (1979)',
}
RANK_RULES: Mapping[str, str] = {
    'variation': 'of the numbers whose stability index was at least {threshold:g} in every cohort '
    'and whose gain exceeded that of data exchanged between sessions, the one at which the gain '
    'in the error of the variation between sessions slowed most was taken, or else the one after '
    'which the index dropped most',
    'stability': 'of the numbers whose stability index was at least {threshold:g} in every cohort '
    'and whose gain exceeded that of data exchanged between sessions, the one after which the '
    'index dropped most was taken',
    'published': 'of the numbers whose stability index was at least {threshold:g} in every cohort '
    'the one after which the index dropped most was taken, and compared with the gain in '
    'reconstruction (doi:10.1503/jpn.210113)',
}
"""How each rule of `bids_acc.group.opnmf.choice` picks the number of components."""

SOFTWARE = ('numpy', 'scipy', 'pandas', 'statsmodels', 'formulaic')
"""Packages that the numbers of the group level come from."""


def _starts(number: int) -> str:
    """Say from how many starts each factorization was computed."""
    return 'one start each' if number == 1 else f'the best of {number} starts each'


def _sessions_in_words(result: ParcellationResult) -> str:
    """Count the sessions that were factorized and those left out."""
    everyone, left_out = result.data.values.shape[1], len(result.excluded)
    # a person is factorized once, whatever the number of visits, and measured at each
    used = sum(len(m.rows[KEYS].drop_duplicates()) for m in one_matrix_per_cohort(result))
    said = [f'{used} of {everyone} sessions took part']
    said += [f'{left_out} lacked too many vertices'] * bool(left_out)
    later = everyone - left_out - used
    said += [f'{later} are further visits of the same people, which were measured'] * (later > 0)
    return '; '.join(said) + '.'


def _chosen_in_words(result: ParcellationResult) -> str:
    """Say which number of components was used, and on whose word."""
    choice = result.choice
    if choice.source == 'override':
        other = 'no rule could be applied' if choice.by_rule is None else (
            f'the rule says {choice.by_rule}')  # fmt: skip
        return f'{choice.k} were asked for and used ({other})'
    if choice.source == 'default':
        return f'no cohort was large enough, so the published number, {choice.k}, was used'
    return f'{choice.k} were used'


THRESHOLDS = re.compile(r'\b(\w+ [<>]=? ?[\d.e+-]+(?: (?:Hz|ppm|%))?): ')
"""A criterion of a gate, before its value."""


def methods_text(run: GroupRun) -> list[str]:
    """Describe what was done, ready for a methods section.

    Parameters
    ----------
    run : GroupRun
        A finished run.

    Returns
    -------
    list of str
        Paragraphs.
    """
    acquired = list(acquisition_sentences(run.acquisition()))
    paragraphs = [f'Acquisition, as sidecars and headers tell it. {" ".join(acquired)}'] * bool(
        acquired
    )
    paragraphs += run.processing
    result = run.parcellation
    if result is not None:
        paragraphs.append(_parcels_in_words(run, result))
    if run.model is not None and run.tables:
        further = ' '.join(further_sentences(run.model, run.tables))
        paragraphs += [
            ' '.join(_comparisons_in_words(run.model, run.tables)),
            *[further] * bool(further),
            ' '.join(_inference_in_words(run.model, run.tables)),
        ]
        if 'mrs_group' in run.tables and run.model.content['Mrs']['Gate']:
            gate = run.model.spectra_gate
            artefacts = () if gate is None else gate.artefacts
            paragraphs += _gate_in_words(run.cohort.mrs, run.cohort.flow, artefacts)
    software = ', '.join(f'{name} {version(name)}' for name in SOFTWARE)
    paragraphs.append(f'bids_acc {__version__} with {software}; seed {run.settings.random_seed}.')
    return paragraphs


def _comparisons_in_words(model: Model, tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """Describe the comparisons that were made, sentence by sentence."""
    content = model.content
    names = ', '.join(map(_covariate_in_words, model.covariates))
    groups = f'{", ".join(model.group.levels)}; reference {model.group.reference}'
    # nothing but change or a map may have been compared, which have sentences of their own
    if {'ancova', 'mrs_group'} & tables.keys():
        noun = 'covariate' if len(model.covariates) == 1 else 'covariates'
        how = f'covariance with the {noun} {names} and' if names else 'variance'
        yield (
            f'Groups ({groups}) were compared by analysis of {how} with type {model.ss_type} sums '
            'of squares.'
        )
    else:
        yield f'Groups: {groups}.'
    if 'posthoc' in tables:
        kind = {'adjusted': 't tests of covariate-adjusted means', 'plain': 'two-sample t tests'}
        rule = followed_up(model)
        where = f'where the effect of group was {rule}' if rule else 'for every response'
        yield f'Pairs of groups were compared by {kind[content["PostHoc"]["Report"]]} {where}.'
    asked = content['Vertexwise']
    if asked is not None and len(rows_with_tests(tables, 'vertexwise')):
        parts = {'roi': 'of the region', 'cortex': 'of the whole cortex'}
        yield (
            f'Groups were compared with the same covariates at every vertex '
            f'{parts[asked["Region"]]} by threshold-free cluster enhancement (Smith and Nichols '
            f'2009; E 1, H 2) with {asked["Permutations"]} permutations of residuals (Freedman '
            'and Lane 1983), family-wise over all vertices of both hemispheres.'
        )
    if model.content['PartialVolume']['Covariates']:
        own = ', '.join(model.content['PartialVolume']['Covariates'])
        yield f'Diffusion metrics had the means of {own} in their own parcel as covariates.'
    if 'partialvolume' in tables:
        yield (
            'Differences of FA and MD that were no longer significant at equal share of white '
            'matter and equal noise floor (FA) or share of CSF (MD) of the parcel were not '
            'counted as findings.'
        )
    if 'mrs_group' in tables:
        yield from _levels_in_words(model, names)
    if len(rows_with_tests(tables, 'interactions')):
        yield (
            f'Whether the difference between groups depends on {listed(content["Interactions"])} '
            'was tested by the interaction with group, each in a model of its own beside all main '
            'effects; that with hemisphere is the group effect on the difference of left and '
            'right. Groups were compared within levels, or at the 10th, 50th and 90th percentile, '
            'as a description.'
        )
    yield from _visits_in_words(model, tables)
    if 'clinical' in tables:
        yield (
            'Relations to clinical scores were estimated within groups (one slope, group in the '
            'model) where a sample had several groups; pooled correlations stand beside them.'
        )


def _inference_in_words(model: Model, tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """Say how p values and intervals of all analyses were made."""
    content = model.content
    if _permuted(tables):
        yield (
            f'Comparisons in which a group had fewer than {content["ExactBelow"]} people, and '
            f'relations in fewer than {2 * content["ExactBelow"]} people, were tested by '
            'permutation, exactly where all divisions or orders could be enumerated.'
        )
    yield _corrections_in_words(content['Correction'], content['Families'])
    yield _intervals_in_words(model)


def _levels_in_words(model: Model, names: str) -> Iterator[str]:
    """Say in which unit levels are, what became of those that failed, and how they were compared.

    ``names`` are the covariates in words.
    """
    content = model.content
    levels = output_spec('mrs_quantities').columns['unit_scheme']['Levels']
    scheme = str(levels[content['Mrs']['UnitScheme']])
    gate = 'were left out' if content['Mrs']['Gate'] else 'were kept'
    yield (
        f'Metabolite levels: {scheme[:1].lower()}{scheme[1:]}; spectra and metabolites that '
        f'failed the quality gate{_gate_name(model)} {gate}.'
    )
    if model.covariates:
        yield (
            f'Metabolite levels of pairs of groups were compared adjusted for {names}; tests '
            'without covariates stand beside them and are no findings.'
        )


def _intervals_in_words(model: Model) -> str:
    """Say of which level intervals are, what each row tells, and what a missing value does."""
    return (
        f'Intervals are {100 * model.confidence:g} % confidence intervals; those of partial eta '
        f"squared and Cramer's V, whose tests are one-sided, are "
        f'{100 * one_sided_level(model.confidence):g} % intervals (Steiger 2004). The formula, '
        'degrees of freedom, effect size, confidence interval, family and correction stand in '
        'every row of the tables. A missing value leaves a person out of that analysis only, '
        'and is counted there.'
    )


def _visits_in_words(model: Model, tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """Describe what was done with several sessions."""
    sessions = model.content['Sessions']
    if len(rows_with_tests(tables, 'reliability')):
        yield (
            f'Reliability of {listed(sessions["Reliability"])} was estimated by ICC(2,1), the '
            'standard error of measurement and the smallest detectable change (Shrout and Fleiss '
            '1979; de Vet et al. 2006).'
        )
    if len(rows_with_tests(tables, 'change')) or len(rows_with_tests(tables, 'trial')):
        yield from _trial_in_words(sessions, model.group.reference)


def _trial_in_words(sessions: SessionsEntry, reference: str) -> Iterator[str]:
    """Describe what was done over visits."""
    yield (
        'Visits were compared by linear mixed models with a random intercept of the person (REML, '
        "Satterthwaite's degrees of freedom), in everybody who was seen (intention to treat, "
        'valid where values are missing at random) and, beside it, in those who completed all '
        'visits; groups without later visits took no part.'
    )
    if sessions['Time'] is not None:
        yield (
            'Slopes over time were compared by mixed models with a random intercept and slope '
            '(Laird and Ware 1982), degrees of freedom between people.'
        )
    improvement = sessions['Improvement']
    if improvement is not None:
        cut = improvement['Remission']
        well = '' if cut is None else f'; remission as a score of at most {cut:g}'
        yield (
            f'Response was defined as an improvement of {improvement["Score"]} by at least '
            f"{improvement['Threshold']:g} %{well}. Rates were compared by Fisher's exact test "
            'with the interval of Newcombe (1998); who had no last score counted as not improved.'
        )
    if sessions['Normalisation']:
        yield f'Each followed group was compared at each visit with {reference} at the first.'
    if sessions['Crossover'] is not None:
        yield (
            'The two treatments of the crossover were compared by the t test of within-person '
            'differences between the two orders (Hills and Armitage 1979).'
        )


def _covariate_in_words(covariate: Covariate) -> str:
    """Name a covariate with its shape; the groups that it is asked of are in its name."""
    curve = f' (natural cubic spline, {covariate.spline} df)' if covariate.spline else ''
    return f'{covariate.name}{curve}'


def _permuted(tables: Mapping[str, pd.DataFrame]) -> bool:
    """Tell whether a finding rests on a permutation because a group is small."""
    return any(
        'statistic' in table
        and (
            table['statistic'].isin(['F permuted', 't permuted'])
            & ~table['analysis'].isin(['permutation'])
            | (table['analysis'] == 'mrs_exact')
        ).any()
        for table in tables.values()
    )


def _corrections_in_words(usual: str, families: Mapping[str, FamilyEntry]) -> str:
    """Name the correction for multiple tests, and the families that have another one."""
    methods = {name: family.get('Method', usual) for name, family in families.items()}
    others = [
        f'{name} ({CORRECTIONS.get(method, "not corrected")})'
        for name, method in methods.items()
        if method != usual
    ]
    said = 'P values were not corrected for multiple tests'
    if usual in CORRECTIONS:
        said = f'P values were corrected within families of tests {CORRECTIONS[usual]}'
    return said + (f', except {", ".join(others)}' if others else '') + '.'


def _parcels_in_words(run: GroupRun, result: ParcellationResult) -> str:
    """Describe for a methods section how the parcels were made and measured."""
    group = run.settings.group
    summed = [name for name in result.data.metrics if name in SUMMED_METRICS]
    others = [name for name in result.data.metrics if name not in SUMMED_METRICS]
    measured = ' and '.join(
        f'{", ".join(map(metric_words, names))} {verb} over the vertices of a parcel'
        for names, verb in ((others, 'averaged'), (summed, 'summed'))
        if names
    )
    where = ' and '.join(map(region_words, run.settings.anat.region))
    region = f'{result.data.values.shape[2]} vertices of {where}'
    if not result.data.on_template:
        region += f' on the mesh of {result.data.template}, vertex by vertex as its source has it'
    smoothed = _smoothing_in_words(group.smooth_mm, result.data.on_template)
    if group.atlas is not None:
        name = Path(group.atlas).name
        return f'The parcels of {name} were applied to {region}{smoothed}: {measured}.'
    low, high = group.k_range[0], group.k_range[-1]
    parcel = {
        'variation': 'whose scores its deviations from the mean maps follow most closely over '
        'sessions and metrics',
        'weight': 'with its largest weight',
    }[group.labels]
    return (
        f'Vertex-wise {", ".join(map(metric_words, result.data.metrics))} of {region}{smoothed} '
        'were standardised per metric over the cohort, shifted to be non-negative and factorized '
        'by orthonormal projective non-negative matrix factorization (Yang and Oja 2010, '
        'doi:10.1109/TNN.2010.2041361; Sotiras et al. 2015, '
        f'doi:10.1016/j.neuroimage.2014.11.045), {_starts(group.n_init)}. '
        f'{_sessions_in_words(result)} The number of components was examined from {low} to {high} '
        f'in {group.n_splits} random {"half-split" if group.n_splits == 1 else "split halves"}, '
        'each half standardised by itself: '
        f'{RANK_RULES[group.rule].format(threshold=THRESHOLD)}; {_chosen_in_words(result)}. '
        f'Each vertex belongs to the component {parcel}; {measured}.'
    )


def _smoothing_in_words(smooth_mm: float, on_template: bool = True) -> str:
    """Say how maps were smoothed; empty where they were not."""
    if not smooth_mm:
        return ''
    whose = 'template' if on_template else 'cohort'
    return (
        f' (smoothed along the mid-surface of the {whose} by a heat kernel of {smooth_mm:g} mm '
        'full width at half maximum, cotangent Laplacian and implicit Euler steps, before the '
        'region was cut out)'
    )


def _gate_in_words(
    mrs: pd.DataFrame | None, flow: pd.DataFrame, artefacts: Sequence[str] = ()
) -> Iterator[str]:
    """Say what the gate of spectra asked for, with every threshold, and how many met it.

    Parameters
    ----------
    mrs : DataFrame or None
        Levels with ``gate_criteria``, as `bids_acc.quality.gate.Verdict.listing` writes them.
    flow : DataFrame
        ``modality`` and ``status`` of each session.
    artefacts : sequence of str
        Those that exclude a spectrum by the gate of the model file; what the participant level's
        gate excludes is said with the processing.

    Examples
    --------
    >>> levels = pd.DataFrame({'gate_criteria': ['snr > 10: 8 fail; crlb < 20 %: 9 pass', None]})
    >>> sessions = pd.DataFrame({'modality': ['mrs', 'mrs'], 'status': ['run', 'exclude']})
    >>> text = next(_gate_in_words(levels, sessions))
    >>> text[:74]
    'Gate: S/N > 10 of the spectrum; Cramer-Rao bound < 20 % of the metabolite.'
    >>> text[75:]
    'Spectra of 1 of 2 sessions were used.'
    >>> next(_gate_in_words(levels, sessions, ['missing_naa', 'clipping']))[75:130]
    'Left out besides: spectra with missing NAA or clipping.'
    """
    # from the verdicts and not from the gate's file: what ran may be older than the settings
    told = mrs['gate_criteria'].dropna() if mrs is not None and 'gate_criteria' in mrs else ()
    found = dict.fromkeys(text for cell in told for text in THRESHOLDS.findall(str(cell)))
    parts = [
        f'{listed([criterion_words(text) for text in own])} of the {what}'
        for what, own in (
            ('spectrum', [text for text in found if not text.startswith('crlb')]),
            ('metabolite', [text for text in found if text.startswith('crlb')]),
        ) if own
    ]  # fmt: skip
    if not parts:
        return
    counts = flow[flow['modality'] == 'mrs']['status'].value_counts()
    used, left = counts.get('run', 0), counts.get('exclude', 0)
    signs = ', '.join(map(artefact_words, artefacts[:-1]))
    named = ' or '.join(filter(None, [signs, *map(artefact_words, artefacts[-1:])]))
    besides = f' Left out besides: spectra with {named}.' if named else ''
    yield (
        f'Gate: {"; ".join(parts)}.{besides} '
        f'Spectra of {used} of {used + left} sessions were used.'
    )


def _gate_name(model: Model) -> str:
    """Name the gate of spectra that the model asks for; empty where it asks for none."""
    gate = model.spectra_gate
    return '' if gate is None else f' {gate.name}'
