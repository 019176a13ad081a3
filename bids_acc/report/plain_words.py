"""Names of columns as words, wherever they stand in a page.

Tables of the output folder have names that programs read (``md_c2_L``, ``mrs_fwhm_hz``); a page
has none of them. The words are looked up here, then in what the data set says of its own columns;
of any other name the underscores become blanks, so that none is left.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from bids_acc.report.html import Block, Section
from bids_acc.report.wording import ENDINGS, QUALITY, name_words

ANALYSES: Mapping[str, str] = MappingProxyType({
    'ancova': 'analysis of covariance', 'bayes_factor': 'Bayes factor',
    'crlb_absolute': 'absolute %SD', 'demographics_exact': 'demographics, exact test',
    'equal_variances': 'equal variances (Brown-Forsythe)', 'gate_alone': 'one criterion alone',
    'gate_off': 'gate off', 'hc3': 'unequal variances (HC3)', 'mrs_adjusted': 'adjusted means',
    'mrs_ancova': 'analysis of covariance', 'mrs_exact': 'exact permutation of labels',
    'mrs_nuisance': 'one nuisance covariate',
    'mrs_permutation': 'permutation of labels', 'mrs_rank': 'ranks (Mann-Whitney)',
    'mrs_t': 't test without covariates', 'mrs_together': 'corrected in a further family',
    'mrs_welch': "Welch's test", 'posthoc': 'adjusted means',
    'posthoc_plain': 't test without covariates', 'quality_exact': 'quality, exact test',
    'quality_passed': 'quality of what passed the gate', 'simple_effect': 'simple effect',
    'zscores': 'z scores',
})  # fmt: skip
"""Analyses, as the column of that name has them."""
SUPPLEMENTS: Mapping[str, str] = MappingProxyType({'_f': ', F test', '_t': ', t test'})
"""How the usual test of an analysis is named that stands beside one for small groups."""
SCHEMES: Mapping[str, str] = MappingProxyType({
    'ratio_tcr': 'ratio to tCr', 'water_raw': 'to water', 'water_csf': 'to water without CSF',
    'water_tissue': 'to water, tissue-corrected',
    'water_tissue_alpha': 'to water, tissue- and alpha-corrected',
})  # fmt: skip
"""Unit schemes of metabolite levels."""
_KNOWN: Mapping[str, str] = MappingProxyType(
    {**ANALYSES, **QUALITY, **SCHEMES, 'bids_acc': 'bids_acc'}
)
SCALES: Mapping[str, str] = MappingProxyType({
    name: name.upper() for name in (
        'panss', 'bprs', 'cgi', 'gaf', 'rbans', 'madrs', 'hamd', 'hdrs', 'qids', 'bdi', 'ymrs',
        'sans', 'saps', 'bacs', 'moca', 'mmse', 'iq',
    )
})  # fmt: skip
"""Clinical scales by their initials."""
ENTITIES: Mapping[str, str] = MappingProxyType(
    {'voi': 'voxel', 'acq': 'acquisition', 'ses': 'session', 'task': 'task', 'run': 'run'}
)
_NAME = re.compile(
    r"""(?<![\w./~\\'"-])[A-Za-z][A-Za-z0-9]*(?:_+[A-Za-z0-9]+)+(?![\w-]*[./=-]?\w)"""
)
_VOXEL = re.compile(
    r'(?<![\w./])((?:acq|voi|task|run)-[A-Za-z0-9]+(?:_(?:voi|run|acq)-[A-Za-z0-9]+)*)(?![\w./-])'
)
_PLACE = re.compile(r'(?P<kind>[a-z]+)-(?P<label>[A-Za-z0-9]+)')


def word_of(name: str, names: Mapping[str, str] | None = None) -> str:
    """Put one name of a column or an analysis into words.

    Parameters
    ----------
    name : str
        As the tables have it.
    names : mapping, optional
        Names that the data set itself explains.

    Examples
    --------
    >>> word_of('md_c2_L'), word_of('mrs_fwhm_hz'), word_of('ancova_f')
    ('MD of parcel 2, left', 'spectrum: line width (Hz)', 'analysis of covariance, F test')
    >>> word_of('panss_total'), word_of('cpz', {'cpz': 'dose'})
    ('PANSS total', 'dose')
    >>> word_of('boundary_contrast_L'), word_of('snr_b2000')
    ('contrast at the white surface, left', 'S/N, b = 2000')
    >>> word_of('gate_Glx'), word_of('bids_acc')
    ('verdict of the gate on Glx', 'bids_acc')
    >>> word_of('acq_press_voi_ACC__ratio_tcr__Glx')
    'Glx in acq press voi ACC, ratio to tCr'
    """
    # what a data set calls its own columns stands above our words for them
    for known in (names or {}, _KNOWN):
        if name in known:
            return known[name]
    if name[-2:] in SUPPLEMENTS and name[:-2] in ANALYSES:
        return ANALYSES[name[:-2]] + SUPPLEMENTS[name[-2:]]
    parts = name.split('__')
    if len(parts) == 3 and parts[1] in SCHEMES:
        return f'{parts[2]} in {parts[0].replace("_", " ")}, {SCHEMES[parts[1]]}'
    if shell := re.fullmatch(r'(snr|cnr)_b(\d+)', name):  # described once for all shells
        return f'{QUALITY[f"{shell[1]}_b1000"].partition(",")[0]}, b = {shell[2]}'
    side = ENDINGS.get(name[-2:], '')
    if side and name[:-2] in QUALITY:
        return QUALITY[name[:-2]] + side
    said = name_words(name)
    if side and said == name:
        said = name[:-2] + side
    return ' '.join(SCALES.get(part, part) for part in said.replace('_', ' ').split())


def voxel_words(entities: str) -> str:
    """Name a spectrum, by the entities of its file name.

    Parameters
    ----------
    entities : str
        Part of a file name with one entity at least; those of `ENTITIES` are put into words.

    Examples
    --------
    >>> voxel_words('acq-press_voi-ACC'), voxel_words('voi-ACC'), voxel_words('acq-steam')
    ('voxel ACC (acquisition press)', 'voxel ACC', 'acquisition steam')
    """
    found = [f'{ENTITIES.get(kind, kind)} {label}' for kind, label in _PLACE.findall(entities)]
    # by its place, which is what people know it by; acquisition and run tell it from others of
    # that place
    first = sorted(found, key=lambda part: not part.startswith('voxel'))
    return first[0] + (f' ({", ".join(first[1:])})' if len(first) > 1 else '')


def spelled_out(text: str, names: Mapping[str, str] | None = None) -> str:
    """Put every name of a column in a text into words.

    Names of files stay, and so does what stands in quotation marks.

    Parameters
    ----------
    text : str
        Any.
    names : mapping, optional
        Names that the data set itself explains; one that stands for itself stays.

    Examples
    --------
    >>> spelled_out('fwhm_hz 10.4 (see qc/participant_flow.tsv, measures_long.tsv)')
    'line width (Hz) 10.4 (see qc/participant_flow.tsv, measures_long.tsv)'
    >>> spelled_out('md_c1 ~ group + my_own', {'my_own': 'my_own'})
    'MD of parcel 1 ~ group + my_own'
    """
    # first, because the underscores between entities would be taken for those of a column
    spoken = _VOXEL.sub(lambda found: voxel_words(found[1]), text)
    return _NAME.sub(lambda found: word_of(found[0], names), spoken)


def plain_sections(
    sections: Sequence[Section], names: Mapping[str, str] | None = None
) -> list[Section]:
    """Put every name in titles, captions, tables and paragraphs of a page into words.

    Parameters
    ----------
    sections : sequence of Section
        Of the page.
    names : mapping, optional
        As in `spelled_out`.

    Returns
    -------
    list of Section
    """
    return [
        replace(section, blocks=[_plain_block(block, names) for block in section.blocks])
        for section in sections
    ]


def _plain_block(block: Block, names: Mapping[str, str] | None) -> Block:
    """Put the names in one block into words."""

    def say(text: object) -> str:
        return spelled_out(str(text), names)

    return replace(
        block, title=say(block.title), caption=say(block.caption),
        columns=[say(column) for column in block.columns],
        rows=[[{**cell, 'text': say(cell['text'])} for cell in row] for row in block.rows],
        paragraphs=[say(text) for text in block.paragraphs],
    )  # fmt: skip
