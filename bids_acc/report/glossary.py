"""Abbreviations and terms of the field, explained at the end of each page that uses them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import pandas as pd

from bids_acc.report.html import Block, Section, table_block


class Term(NamedTuple):
    """A word of the field."""

    word: str
    meaning: str


TERMS: Mapping[str, Term] = MappingProxyType(
    {
        # pattern: word, meaning
        r'S/N|snr|SNR': Term(
            'S/N (snr)',
            'signal over noise; each measure says of what, and by which '
            'definition: programs differ, so that only numbers of one definition compare',
        ),
        r'tSNR|temporal S/N': Term(
            'temporal S/N (tSNR)', 'mean of a BOLD series over its standard deviation in time'
        ),
        r'line width|fwhm|FWHM': Term(
            'line width (fwhm)',
            'full width of a line of the spectrum at half of its height: narrower is better',
        ),
        r'crlb|CRLB|%SD|Cramer-Rao': Term(
            'Cramer-Rao bound (crlb, %SD)',
            'smallest standard deviation '
            'that the fit of a metabolite can have, in percent of its '
            'level; it rises where the level is low, too',
        ),
        r'degrees of freedom|dof': Term(
            'degrees of freedom (dof)',
            'numbers that are left to estimate an '
            'error after all others of a model were estimated; in brackets '
            'behind t and F',
        ),
        r'framewise displacement|\bFD\b|mean head motion': Term(
            'framewise displacement (FD)', 'how far the head moved from one volume to the next, mm'
        ),
        r'DVARS': Term('DVARS', 'change of the whole image from one volume to the next'),
        r'\bb ?= ?0\b|b-value': Term(
            'b-value (b)', 'strength of the diffusion weighting, s/mm²; b = 0 is without'
        ),
        r'\bFA\b': Term(
            'FA',
            'fractional anisotropy: 0 where water diffuses alike in all directions, 1 '
            'where along one line only',
        ),
        r'\bMD\b': Term(
            'MD', 'mean diffusivity, 10⁻³ mm²/s: how far water diffuses, over all directions'
        ),
        r'\bMO\b': Term('MO', 'mode of anisotropy: -1 flat, 1 like a line'),
        r'\bReHo\b|regional homogeneity': Term(
            'ReHo', 'how alike the series of a place and of its neighbours are, 0 to 1'
        ),
        r'\bALFF\b': Term(
            'ALFF, fALFF',
            'amplitude of slow fluctuations of the BOLD signal, and its share '
            'of those of all frequencies',
        ),
        r'Euler number': Term(
            'Euler number',
            '2 for a surface without holes; lower by 2 for each hole or '
            'handle that had to be closed',
        ),
        r'\bDice\b|\bdice\b|overlap': Term(
            'Dice overlap', 'twice what two regions share over their sum: 0 none, 1 the same'
        ),
        r'adjusted Rand': Term(
            'adjusted Rand index',
            'agreement of two divisions into parcels: 1 the same, 0 as by chance',
        ),
        r'\bGlx\b': Term('Glx', 'glutamate and glutamine together'),
        r'\btCr\b': Term('tCr', 'creatine and phosphocreatine together'),
        r'\btNAA\b': Term('tNAA', 'N-acetylaspartate and N-acetylaspartylglutamate together'),
        r'\btCho\b': Term('tCho', 'glycerophosphocholine and phosphocholine together'),
        r'partial η²': Term(
            'partial η²',
            'share of the variance that is left after the other terms of the '
            'model and that the term explains: 0 to 1',
        ),
        r"Hedges' g|Cohen's d": Term(
            "Hedges' g, Cohen's d",
            'difference of two means in standard deviations; g is corrected for small groups',
        ),
        r"Cramér's V": Term(
            "Cramér's V", 'strength of the relation of two sets of categories: 0 to 1'
        ),
        r'partial r\b|partial correlation': Term(
            'partial r', 'correlation at equal values of the covariates: -1 to 1'
        ),
        r'BF10|Bayes factor': Term(
            'BF10',
            'how many times more likely the data are under an effect than '
            'under none, given the prior of the methods',
        ),
        r'p corrected|corrected p': Term(
            'corrected p', 'p with the number of comparisons of its family taken into account'
        ),
        r'\[CI\]|interval': Term(
            'interval (CI)',
            'confidence interval: the method that made it holds the '
            'true value in so many of a hundred studies',
        ),
        r'HC3': Term('HC3', 'standard errors that allow for unequal variances'),
        r'OPNMF|factorization': Term(
            'OPNMF',
            'orthonormal projective non-negative matrix factorization: '
            'parts the region into what varies together over people',
        ),
        r'ICC\(': Term(
            'ICC(2,1)',
            'intraclass correlation: agreement of two measurements of the same '
            'people; 1 is perfect',
        ),
    }
)
"""Pattern by which a page is searched: word, and what it means."""


def with_glossary(sections: Sequence[Section]) -> list[Section]:
    """Add what the abbreviations and terms of a page mean, as its last section.

    Parameters
    ----------
    sections : sequence of Section
        Of the page, in words.

    Returns
    -------
    list of Section
        The same where none of `TERMS` is used.

    Examples
    --------
    >>> page = [Section('Quality', [Block(paragraphs=['The FWHM is 6 Hz.'])])]
    >>> [section.title for section in with_glossary(page)]
    ['Quality', 'Words']
    """
    # after names were put into words, and of what is read: a term in a picture is explained by its
    # caption
    text = '\n'.join(_text(block) for section in sections for block in section.blocks)
    rows = [meant for pattern, meant in TERMS.items() if re.search(pattern, text)]
    if not rows:
        return list(sections)
    table = pd.DataFrame(rows, columns=['word', 'meaning'])
    return [*sections, Section('Words', [table_block(table)])]


def _text(block: Block) -> str:
    """Return what a reader sees of a block, but for its pictures."""
    cells = (cell['text'] for row in block.rows for cell in row)
    return '\n'.join([block.title, block.caption, *block.paragraphs, *block.columns, *cells])
