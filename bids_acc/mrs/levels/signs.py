"""Signs of a spoilt spectrum that only a fit, or the voxel's place, can tell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from bids_acc.mrs.levels.constants import WATER_MOLALITY
from bids_acc.mrs.results.engine_result import EngineResult
from bids_acc.mrs.signal.artefacts import Artefact

NAA_SHARE = 1 / 3
"""NAA is missing in a fit whose bound of tNAA is more than this share of it."""

PHASE1_LIMIT = 15.0
"""First-order phase in degrees per ppm beyond which start and filter of the decay are in doubt:
at 3 T it means a start that is wrong by a third of a millisecond."""

LEAST_IN_IMAGE = 0.95
"""Share of the voxel that must lie in the T1w image for levels to be corrected for tissue."""

LEVELS_MMOL_KG: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        'tNAA': (8.5, 19.3), 'Glu': (6.0, 12.5), 'Glx': (9.0, 18.3), 'Ins': (3.8, 8.1),
        'tCho': (0.9, 2.5), 'tCr': (8.3, 16.1),
    }
)  # fmt: skip
"""Lowest and highest level in the brain of adults, in mmol/kg, sums over their members. A
convention of this package: they are meant as the ranges that Govindaraju, Young and Maudsley
(2000, NMR Biomed 13:129, https://doi.org/10.1002/1099-1492(200005)13:3<129::AID-NBM619>3.0.CO;2-V)
collect, of which only the table of shifts could be checked. Levels that others measured by water
lie in them: tCr 10.6 and 11.6, NAA 16.6 and 17.2, cholines 1.9 and 2.0 in white matter and
thalamus (NMR Biomed 1993 6:89-94, https://doi.org/10.1002/nbm.1940060114), and so does NAA to tCr
by an external reference, 8 to 9 over 5 to 6 (NMR Biomed 1992 5:193-199,
https://doi.org/10.1002/nbm.1940050406). They only raise a remark, twofold beyond (`MARGIN`)."""

MARGIN = 2.0
"""A ratio is remarked upon beyond this factor outside what those levels allow: relaxation, echo
time and disease move ratios."""

LONGEST_TE_S = 0.1
"""Levels are remarked upon at echo times up to this, in s: beyond, relaxation, for which a level
by water alone is not corrected, moves them by more than twofold."""


def ratio_ranges() -> dict[str, tuple[float, float]]:
    """Plausible ranges of ratios to tCr, outside which a fit is remarked upon.

    Examples
    --------
    >>> [round(limit, 2) for limit in ratio_ranges()['Glx']]
    [0.28, 4.41]
    """
    low, high = LEVELS_MMOL_KG['tCr']
    return {
        name: (lowest / high / MARGIN, highest / low * MARGIN)
        for name, (lowest, highest) in LEVELS_MMOL_KG.items()
        if name != 'tCr'
    }


def unstable(result: EngineResult, name: str, below: str = '') -> bool:
    """Whether a level changes by more than its bound when the spectrum hardly does.

    Parameters
    ----------
    result : EngineResult
        With the amplitudes of fits to changed copies.
    name : str
        Metabolite or sum.
    below : str
        Denominator of a ratio; empty for the amount itself.
    """
    bound = result.ratio(name, below)[1] if below else result.amount(name)[1]
    return bool(result.spread(name, below) > bound)


def signs_of_fit(
    result: EngineResult, tissue: Mapping[str, float], echo_time: float = math.nan
) -> list[Artefact]:
    """Check a fit and the voxel's place.

    Parameters
    ----------
    result : EngineResult
        Fit.
    tissue : mapping
        What is known of the voxel's place; empty without T1w image.
    echo_time : float
        In s; NaN where nobody tells it.

    Returns
    -------
    list of Artefact
        In a fixed order, those that were not found too.
    """
    amount, bound = result.amount('tNAA')
    share = bound / amount if amount > 0 else math.inf
    known = 'tNAA' in result.metabolites() and not math.isnan(amount)
    phase = result.number('phase1_deg_per_ppm')
    inside = float(tissue.get('voxel_in_image_fraction', math.nan))
    names = [name for name in result.metabolites() if name not in ('Cr', 'PCr', 'tCr')]
    moved = [name for name in names if unstable(result, name, 'tCr')]
    shown = [name for name in moved if name in LEVELS_MMOL_KG]
    return [
        Artefact(
            'missing_naa', known and share > NAA_SHARE, share,
            f'the bound of the fitted tNAA is more than {100 * NAA_SHARE:.0f} % of it',
        ),
        Artefact(
            'implausible_ratio', bool(strange := _strange(result)), math.nan,
            'ratios to tCr outside those of any brain, twofold: ' + (', '.join(strange) or 'none'),
        ),
        _level_by_water(result, echo_time),
        Artefact(
            'first_order_phase', abs(phase) > PHASE1_LIMIT, phase,
            f'first-order phase beyond {PHASE1_LIMIT:g} degrees/ppm',
        ),
        Artefact(
            'unstable_fit', bool(shown), float(len(moved)),
            'levels that change by more than their bound when the spectrum is moved by a tenth of '
            f'a hertz: {", ".join(moved) or "none"}',
        ),
        Artefact(
            'voxel_outside', inside < LEAST_IN_IMAGE, inside,
            f'less than {100 * LEAST_IN_IMAGE:.0f} % of the voxel lies in the T1w image',
        ),
    ]  # fmt: skip


def _level_by_water(result: EngineResult, echo_time: float) -> Artefact:
    """Creatine by water, which tells a reference that was received or summed otherwise."""
    low, high = LEVELS_MMOL_KG['tCr'][0] / MARGIN, LEVELS_MMOL_KG['tCr'][1] * MARGIN
    value = math.nan
    if 'tCr' in result.metabolites() and echo_time <= LONGEST_TE_S:
        value = result.amount('tCr')[0] * result.water_scale * WATER_MOLALITY
    rule = (
        f'tCr by water is {value:.3g} mmol/kg, outside {low:.3g}-{high:.3g}: spectrum and '
        'reference were received with other gains, or summed differently'
        if value < low or value > high
        else f'tCr by water outside {low:.3g}-{high:.3g} mmol/kg'
    )
    return Artefact('implausible_level', value < low or value > high, value, rule)


def _strange(result: EngineResult) -> list[str]:
    """Ratios that no brain has, with their values."""
    found = []
    for name, (low, high) in ratio_ranges().items():
        value = result.ratio(name, 'tCr')[0] if name in result.metabolites() else math.nan
        if value < low or value > high:
            found.append(f'{name} {value:.2f} ({low:.2f}-{high:.2f})')
    return found
