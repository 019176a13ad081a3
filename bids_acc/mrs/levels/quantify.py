"""Rows of levels: ratios, and water-scaled levels in each stage of correction."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from bids_acc.exceptions import SettingsError
from bids_acc.mrs.levels.constants import WATER_MOLALITY, RelaxationSet
from bids_acc.mrs.levels.tissue import alpha_share, concentration_factor
from bids_acc.mrs.results.engine_result import COMBINED, EngineResult, members_of

ALPHA: Mapping[str, float] = MappingProxyType(
    {'GABA+': 0.5, 'GABA_edited': 0.5, 'Glx_edited': 0.5, 'GSH_edited': 1.0}
)
"""Level in white matter over that in grey matter that is assumed by ``water_alpha``: GABA 0.5
(Harris, Puts and Edden 2015, J Magn Reson Imaging 42:1431, https://doi.org/10.1002/jmri.24903),
the others as Gannet 3 has them."""


@dataclass(frozen=True)
class Level:
    """One level of one metabolite in one scheme."""

    metabolite: str
    """Metabolite or sum."""
    unit_scheme: str
    """``engine``, ``ratio_<denominator>``, ``water_raw``, ``water_csf``, ``water_tissue``,
    ``water_tissue_molar`` or ``water_alpha``."""
    unit: str
    """``1``, ``mmol/kg``, ``mmol/L`` or ``engine units``."""
    value: float
    """NaN when it cannot be told."""
    value_sd: float
    """Standard deviation of the error over spectra, in the same unit; the bound where the engine
    tells no other."""
    value_crlb: float
    """Cramer-Rao bound in the same unit; NaN when the covariance is not known."""
    ci_low: float
    """Lower limit of the 95 % confidence interval, in the same unit; NaN when not known."""
    ci_high: float
    """Its upper limit."""
    ci_estimate: float
    """The estimate that the interval belongs to, in the same unit; NaN when not known."""
    spread: float
    """Largest change when the spectrum is changed by less than can be measured, in the same
    unit; NaN when not known."""


@dataclass(frozen=True)
class WaterScaling:
    """What water scaling needs besides the amplitudes."""

    fractions: tuple[float, float, float]
    """Volume fractions of GM, WM and CSF; NaN without segmentation."""
    constants: RelaxationSet | None
    """Relaxation times; None when none hold for the field."""
    echo_time: float
    """Of the spectrum, in s."""
    repetition_time: float
    """Of the spectrum, in s."""
    water_echo_time: float
    """Of the water reference, in s."""
    water_repetition_time: float
    """Of the water reference, in s."""


def parse_ratio(text: str) -> tuple[str, str]:
    """Numerator and denominator of a declared ratio; either may be a sum.

    Parameters
    ----------
    text : str
        Two metabolites or sums with a slash; a sum is one with a name (``Glx``) or is written with
        ``+``.

    Returns
    -------
    numerator, denominator : str

    Raises
    ------
    SettingsError
        If the text is not of the form ``Glx/tNAA``.

    Examples
    --------
    >>> parse_ratio('Glx/tNAA'), parse_ratio('Ins+Gly/tCr')
    (('Glx', 'tNAA'), ('Ins+Gly', 'tCr'))
    """
    parts = [part.strip() for part in text.split('/')]
    if len(parts) != 2 or not all(parts):
        raise SettingsError(f'--mrs-ratios {text}: a ratio is written as Glx/tNAA.')
    return parts[0], parts[1]


def ratio_members(ratios: Iterable[str]) -> tuple[str, ...]:
    """Metabolites that declared ratios are made of, each once.

    Parameters
    ----------
    ratios : iterable of str
        As `parse_ratio` reads them.

    Examples
    --------
    >>> ratio_members(['Glx/tCr'])
    ('Glu', 'Gln', 'Cr', 'PCr')
    """
    sides = [side for text in ratios for side in parse_ratio(text)]
    return tuple(dict.fromkeys(member for side in sides for member in members_of(side)))


def _scaled(result: EngineResult, name: str, factor: float = 1.0) -> tuple[float, ...]:
    """Amount, its errors, its interval with the estimate it is of, and its spread, scaled."""
    value, bound = result.amount(name)
    numbers = (value, result.amount_sd(name), bound, *result.amount_interval(name),
               result.unbiased_amount(name), result.spread(name))  # fmt: skip
    return tuple(number * factor for number in numbers)


def _ratio_level(result: EngineResult, above: str, below: str) -> Level:
    """Level of a ratio."""
    value, bound = result.ratio(above, below)
    sd, limits = result.ratio_sd(above, below), result.ratio_interval(above, below)
    others = result.unbiased_amount(above, below), result.spread(above, below)
    return Level(above, f'ratio_{below.lower()}', '1', value, sd, bound, *limits, *others)


def _tissue_factor(result: EngineResult, name: str, scaling: WaterScaling, unit: str) -> float:
    """Concentration factor of a metabolite; for a sum, that of its members by their share."""
    if scaling.constants is None:
        return math.nan
    members = [m for m in members_of(name) if m in result.names]
    factors = [
        concentration_factor(
            member,
            scaling.fractions,
            scaling.constants,
            scaling.echo_time,
            scaling.repetition_time,
            unit,
            scaling.water_echo_time,
            scaling.water_repetition_time,
        )
        for member in members
    ]
    amounts = [max(result.amount(member)[0], 0.0) for member in members]
    total = sum(amounts)
    if not total > 0:
        # Of an amount of zero any factor makes zero.
        return factors[0] if factors else math.nan
    return sum(f * a for f, a in zip(factors, amounts, strict=True)) / total


def _water_levels(result: EngineResult, name: str, scaling: WaterScaling) -> list[Level]:
    """Scale one metabolite by water, in four stages of correction."""
    csf = scaling.fractions[2]
    outside_csf = 1 / (1 - csf) if csf < 1 else math.nan
    schemes: tuple[tuple[str, str, float], ...] = (
        ('water_raw', 'mmol/kg', WATER_MOLALITY),
        ('water_csf', 'mmol/kg', WATER_MOLALITY * outside_csf),
        ('water_tissue', 'mmol/kg', _tissue_factor(result, name, scaling, 'molal')),
        ('water_tissue_molar', 'mmol/L', _tissue_factor(result, name, scaling, 'molar')),
    )
    if name in ALPHA:
        alpha = _tissue_factor(result, name, scaling, 'molar')
        alpha *= alpha_share(scaling.fractions, ALPHA[name])
        schemes = (*schemes, ('water_alpha', 'mmol/L', alpha))
    return [
        Level(name, scheme, unit, *_scaled(result, name, factor * result.water_scale))
        for scheme, unit, factor in schemes
    ]


def quantify(
    result: EngineResult,
    scaling: WaterScaling | None,
    ratios: Sequence[str] = (),
) -> list[Level]:
    """Compute the levels of all metabolites in all schemes: ratios and water-scaled.

    Parameters
    ----------
    result : EngineResult
        Amplitudes.
    scaling : WaterScaling, optional
        Without it there are no water-scaled rows; without a water signal they are NaN.
    ratios : sequence of str
        Ratios besides those to tCr, such as ``Glx/tNAA``.

    Returns
    -------
    list of Level
        In the order of metabolites and schemes.

    Raises
    ------
    SettingsError
        If a declared ratio names what is not in the fit.
    """
    known = result.metabolites()
    declared = [parse_ratio(text) for text in ratios]
    sides = {side for pair in declared for side in pair}
    for name in {p for s in sides for p in ((s,) if s in COMBINED else s.split('+'))}:
        if name not in known:
            raise SettingsError(
                f'--mrs-ratios: {name} is not in the fit; there are {", ".join(known)}.'
            )
    levels = []
    for name in known:
        levels.append(Level(name, 'engine', 'engine units', *_scaled(result, name)))
        levels.append(_ratio_level(result, name, 'tCr'))
        levels += [
            _ratio_level(result, name, below)
            for above, below in declared
            if above == name and below != 'tCr'
        ]
        if scaling is not None:
            levels += _water_levels(result, name, scaling)
    levels += [
        _ratio_level(result, above, below) for above, below in declared if above not in known
    ]
    return levels
