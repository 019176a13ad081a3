"""Transitions of sixteen metabolites after PRESS, computed by GAMMA.

    python3.9 make_pygamma_lines.py > pygamma_lines.json

Needs pygamma 4.3.4, which has wheels up to Python 3.9 only, so that the package's own tests read
the stored lines instead. Shifts and couplings are those of ``bids_acc/data/mrs/spins``;
propagation, pulses and detection are GAMMA's. Phosphorus is coupled weakly (``HJwh``): ``HJ``
would couple it as strongly as a proton.
"""

from __future__ import annotations

import json
import math
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pygamma as pg

SPINS = Path(__file__).resolve().parents[3] / 'bids_acc' / 'data' / 'mrs' / 'spins'
NAMES = ('Ala', 'Asp', 'Cr', 'GABA', 'GPC', 'GSH', 'Glc', 'Gln', 'Glu', 'Ins', 'Lac', 'NAA',
         'NAAG', 'PCh', 'PE', 'Tau')  # fmt: skip
FIELD_MHZ, WATER_PPM, TE1_S, TE2_S = 123.2, 4.65, 0.011, 0.019
FLOOR = 1e-6
"""Smallest line kept, in protons."""


def spin_system(group: dict[str, Any]) -> pg.spin_system:
    """GAMMA's spin system of one coupled group, phosphorus last; zero offset at water."""
    shifts, phosphorus = group['shifts_ppm'], group.get('phosphorus_hz', [])
    system = pg.spin_system(len(shifts) + bool(phosphorus))
    system.Omega(FIELD_MHZ)
    for spin, ppm in enumerate(shifts):
        system.isotope(spin, '1H')
        system.PPM(spin, ppm - WATER_PPM)
    if phosphorus:
        system.isotope(len(shifts), '31P')
        system.PPM(len(shifts), 0.0)
    for first, second, value in group.get('couplings_hz', []):
        system.J(int(first), int(second), value)
    for proton, value in phosphorus:
        system.J(int(proton), len(shifts), value)
    return system


def transitions(group: dict[str, Any]) -> list[tuple[float, complex]]:
    """Frequencies in Hz (positive: towards lower ppm) and amplitudes in protons."""
    system = spin_system(group)
    hamiltonian = pg.Hcs(system) + pg.HJwh(system)
    sigma = pg.gen_op(pg.Fx(system, '1H'))
    for delay, refocused in ((TE1_S / 2, True), ((TE1_S + TE2_S) / 2, True), (TE2_S / 2, False)):
        propagator = pg.prop(hamiltonian, delay)
        sigma = pg.evolve(sigma, propagator)
        if refocused:
            sigma = pg.Iypuls(system, sigma, '1H', 180.0)
    # every object keeps a name: GAMMA's tables point into what made them
    detector = pg.gen_op(pg.Fm(system, '1H'))
    acquisition = pg.acquire1D(detector, hamiltonian, 1e-12)
    table = acquisition.table(sigma)
    # one proton at time 0 gives tr(F- Ix) = 2**n / 4 per spin operator
    scale = group.get('protons_each', 1) * group.get('weight', 1.0) / 2 ** (system.spins() - 2)
    lines = []
    for k in range(table.size()):
        amplitude = table.I(k)
        value = complex(amplitude.real(), amplitude.imag()) * scale
        lines.append((table.Fr(k) / (2 * math.pi), value))
    return lines


def merged(lines: list[tuple[float, complex]]) -> list[list[float]]:
    """Add up lines at the same frequency to within 1e-5 Hz, drop those that vanish."""
    sums: defaultdict[int, complex] = defaultdict(complex)
    for frequency, amplitude in lines:
        sums[round(frequency * 1e5)] += amplitude
    return [
        [key / 1e5, round(value.real, 7), round(value.imag, 7)]
        for key, value in sorted(sums.items())
        if abs(value) > FLOOR
    ]


def main() -> None:
    """Write the lines of all metabolites."""
    record: dict[str, Any] = {
        'program': 'pygamma 4.3.4', 'sequence': 'press, ideal pulses', 'te1_s': TE1_S,
        'te2_s': TE2_S, 'spectrometer_mhz': FIELD_MHZ, 'water_ppm': WATER_PPM,
        'columns': ['Hz from water, positive towards lower ppm', 'real', 'imaginary'],
        'lines': {},
    }  # fmt: skip
    for name in NAMES:
        groups = json.loads((SPINS / f'{name}.json').read_text())['groups']
        lines = [line for group in groups for line in transitions(group)]
        record['lines'][name] = merged(lines)
        total = sum(amplitude for _, amplitude in lines)
        print(f'{name}: {len(record["lines"][name])} lines, sum {total:.3f}', file=sys.stderr)
    json.dump(record, sys.stdout, separators=(',', ':'))


if __name__ == '__main__':
    main()
