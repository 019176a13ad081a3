"""What a fit may be told, and the prior knowledge it uses otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

DETERMINED_SUMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        'tNAA': ('NAA', 'NAAG'),
        'tCr': ('Cr', 'PCr'),
        'tCho': ('GPC', 'PCh'),
        'Glx': ('Glu', 'Gln'),
        'Ins+Gly': ('Ins', 'Gly'),
    }
)
"""Sums that short echo times at 3 T determine better than their parts."""


ANALYSIS_PPM = (0.2, 4.2)
"""Range that is fitted, in ppm. LCModel's default ends at 4.0, without myo-inositol's lines at
4.06, and mI/tCr of two real spectra is 18 and 36 % higher there. In spectra of known levels whose
macromolecules the basis set lacks it is 16 % too high with a range to 4.0 and 10 % too low with
one to 4.2, and the fit moves more under changes that no measurement could tell. In twins of both
real spectra with LCModel's levels as truth mI is right to 4 % with either."""


@dataclass(frozen=True)
class RatioPrior:
    """Expected ratio of one component to a weighted sum of others."""

    numerator: tuple[str, ...]
    denominator: tuple[tuple[str, float], ...]
    mean: float
    sd: float


_BIG3 = (
    ('NAA', 1.0),
    ('NAAG', 1.0),
    ('Cr', 1.0),
    ('PCr', 1.0),
    ('GPC', 3.0),
    ('PCh', 3.0),
)
_LIP13 = (('Lip13a', 1.0), ('Lip13b', 1.0))
_MM09 = (('MM09', 1.0),)

RATIO_PRIORS = (
    RatioPrior(('Lip09',), _LIP13, 0.267, 0.1),
    RatioPrior(('Lip20',), _LIP13, 0.15, 0.07),
    RatioPrior(('MM20',), _MM09, 1.5, 0.375),
    RatioPrior(('MM12',), _MM09, 0.3, 0.1),
    RatioPrior(('MM14',), _MM09, 0.75, 0.45),
    RatioPrior(('MM17',), _MM09, 0.375, 0.24),
    RatioPrior(('Asp',), _BIG3, 0.05, 0.05),
    RatioPrior(('GABA',), _BIG3, 0.04, 0.04),
    RatioPrior(('Glc',), _BIG3, 0.1, 0.1),
    RatioPrior(('Scyllo',), _BIG3, 0.02, 0.02),
    RatioPrior(('Tau',), _BIG3, 0.04, 0.04),
)
"""Soft ratios of LCModel 6.3 (manual, CHRATO). They touch no metabolite that the presets gate."""


@dataclass(frozen=True)
class KnownPhase:
    """Phase and shift that are known beforehand, and how well; no others are looked for."""

    phase0_deg: float
    """Zero-order phase of the data, at ``pivot_ppm``."""
    phase1_deg_per_ppm: float
    """First-order phase; its SD is ``FitOptions.phase1_sd_deg``."""
    shift_ppm: float
    """Common shift of the data against the basis; positive: towards lower ppm."""
    pivot_ppm: float
    """Where the zero-order phase holds."""
    phase0_sd_deg: float = 2.0
    """SD of the zero-order phase."""
    shift_sd_hz: float = 0.3
    """SD of the common shift."""


@dataclass(frozen=True)
class FitOptions:
    """Settings of a linear-combination fit; the defaults follow LCModel where it has one."""

    ppm_range: tuple[float, float] = ANALYSIS_PPM
    """Analysis window in ppm."""
    ed_per_ppm: float | None = None
    """Effective dimension of the baseline per ppm; by default 8 with parametrised and 1.5
    with measured macromolecules (see ``prepare.ED_PARAMETRISED``)."""
    second_ed_per_ppm: float | None = None
    """That of the second fit; by default half with parametrised, double with measured."""
    baseline_sensitivity: bool = True
    """Fit a second time with the other stiffness."""
    macromolecules: Literal['auto', 'parametrised', 'none'] = 'auto'
    """``auto``: parametrised lines unless the basis set holds its own."""
    reference: tuple[str, ...] = ('Cr', 'PCr')
    """Denominator of the ratios in the baseline sensitivity."""
    combined: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: DETERMINED_SUMS)
    """Named sums for which that is given as well."""
    lorentz_prior_hz: tuple[float, float] = (1.0, 20.0)
    """Mean and SD of the shared Lorentzian width. Weak: ratios are least biased when the
    macromolecules are unknown; (2, 0.5) favours absolute values."""
    shift_sd_ppm: float = 0.004
    """How far each metabolite may move by itself (LCModel's DESDSH)."""
    width_sd_hz: float = 0.13
    """How far each metabolite may widen by itself (LCModel's DESDT2, 0.4 /s)."""
    phase1_sd_deg: float = 20.0
    """SD of the first-order phase per ppm (LCModel's SDDEGP)."""
    known_phase: KnownPhase | None = None
    """Phase and shift where another fit has told them."""
    gauss_prior_hz: tuple[float, float] | None = None
    """Mean and SD of the shared Gaussian width for data that hardly tell it; None: a weak one."""
    singlets_dominate: bool = True
    """Whether NAA, creatine and cholines must be the highest lines, as in brain without
    editing."""
    max_shift_ppm: float = 0.15
    """Range of the search for the common shift."""
    ratio_priors: tuple[RatioPrior, ...] = RATIO_PRIORS
    """Soft ratios; an empty tuple switches them off."""
    max_iterations: int = 60
    """Of the final stage."""
