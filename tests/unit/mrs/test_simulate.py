"""The simulator against closed forms, conservation laws and itself."""

import numpy as np
import pytest
from scipy.linalg import expm

from bids_acc.exceptions import SettingsError
from bids_acc.mrs.basis import density_matrix, simulate, spin_systems
from bids_acc.mrs.basis.density_matrix import Timing, group_lines, lines_to_fid
from bids_acc.mrs.basis.spin_systems import SpinGroup

F0 = 123.2
SHORT = Timing(1e-12, te1=5e-13, tm=1e-12)


def weak_pair(coupling):
    """Two protons so far apart that the coupling is weak."""
    return SpinGroup((2.0, 2.0 + 1e5), ((0, 1, coupling),))


@pytest.mark.parametrize('name', spin_systems.available())
@pytest.mark.parametrize('sequence', density_matrix.SEQUENCES)
def test_intensity_at_echo_time_zero_is_the_number_of_protons(name, sequence):
    system = spin_systems.load(name)
    _, amplitudes = group_lines(system.groups, sequence, SHORT, F0)
    assert amplitudes.sum() == pytest.approx(system.n_protons, abs=1e-6)


def test_creatine_singlets_are_three_to_two():
    frequencies, amplitudes = group_lines(
        spin_systems.load('Cr').groups, 'press', Timing(0.144, te1=0.03), F0
    )
    ppm = 4.65 - frequencies / F0
    assert ppm[np.argsort(ppm)] == pytest.approx([3.027, 3.913])
    assert amplitudes[np.argsort(ppm)] == pytest.approx([3, 2], abs=1e-9)


@pytest.mark.parametrize('te1', [0.006, 0.0124, 0.02])
@pytest.mark.parametrize('echo_time', [0.03, 0.0714, 0.144])
def test_weak_doublet_follows_cos_pi_j_te(te1, echo_time):
    frequencies, amplitudes = group_lines(
        (weak_pair(7.0),), 'press', Timing(echo_time, te1=te1), F0
    )
    here = np.abs(frequencies - (4.65 - 2.0) * F0) < 20
    assert amplitudes[here].sum().real == pytest.approx(np.cos(np.pi * 7.0 * echo_time), abs=1e-6)
    lines = np.sort(frequencies[here])
    assert lines[-1] - lines[0] == pytest.approx(7.0, abs=1e-3)


def test_stimulated_echo_of_a_singlet_keeps_its_size():
    frequencies, amplitudes = group_lines(
        (SpinGroup((3.0,)),), 'steam', Timing(0.02, tm=0.013), F0
    )
    assert frequencies == pytest.approx([(4.65 - 3.0) * F0])
    assert amplitudes == pytest.approx([1.0], abs=1e-9)


def test_ab_quartet_has_the_textbook_lines():
    """Frequencies and intensities of AB (Pople, Schneider, Bernstein 1959)."""
    offset, coupling = 10.0, 8.0
    group = SpinGroup((4.65 - offset / 2 / F0, 4.65 + offset / 2 / F0), ((0, 1, coupling),))
    frequencies, amplitudes = group_lines((group,), 'press', SHORT, F0)
    spread = np.hypot(offset, coupling)
    expected = np.array([-spread - coupling, -spread + coupling, spread - coupling, 0]) / 2
    expected[3] = (spread + coupling) / 2
    order = np.argsort(frequencies)
    assert frequencies[order] == pytest.approx(np.sort(expected))
    inner, outer = (1 + coupling / spread) / 2, (1 - coupling / spread) / 2
    assert amplitudes[order].real == pytest.approx([outer, inner, inner, outer], abs=1e-6)


def test_phosphorus_splits_a_proton_and_is_not_refocused_away():
    group = SpinGroup((3.0,), phosphorus_hz=((0, 6.0),))
    frequencies, amplitudes = group_lines((group,), 'press', Timing(0.05, te1=0.02), F0)
    assert np.ptp(frequencies) == pytest.approx(6.0)
    # proton pulses alone refocus the heteronuclear coupling
    assert amplitudes.sum() == pytest.approx(1.0, abs=1e-9)


def test_equivalent_protons_do_not_split_each_other():
    group = SpinGroup((3.0, 3.0), ((0, 1, -12.0),))
    frequencies, amplitudes = group_lines((group,), 'press', Timing(0.05, te1=0.02), F0)
    strong = np.abs(amplitudes) > 1e-6
    assert np.ptp(frequencies[strong]) < 1e-6


def test_te_split_moves_glutamate_but_not_creatine():
    def area(te1, name):
        model = simulate.basis(
            spectrometer_frequency=127.7,
            dwell_time=5e-4,
            n_points=2048,
            echo_time=0.035,
            te1=te1,
            metabolites=[name],
        )
        spectrum = np.fft.fft(model.fids[0]).real
        ppm = 4.65 - np.fft.fftfreq(2048, 5e-4) / 127.7
        return spectrum[(ppm > 1.9) & (ppm < 2.6)].sum()

    assert area(0.0175, 'Glu') > 1.1 * area(0.0124, 'Glu')
    assert area(0.0175, 'Cr') == pytest.approx(area(0.0124, 'Cr'), rel=1e-6)


def brute_force(sequence, name, dwell, n):
    """Matrix exponentials in the product basis; spoilers as averages over dephasing angles."""
    (group,) = spin_systems.load(name).groups
    size = len(group.shifts_ppm)
    pauli = (
        np.array([[0, 1], [1, 0]]) / 2,
        np.array([[0, -1j], [1j, 0]]) / 2,
        np.diag([0.5, -0.5]),
    )
    spins = [
        [np.kron(np.kron(np.eye(2**k), op), np.eye(2 ** (size - k - 1))) for k in range(size)]
        for op in pauli
    ]
    fx, fy, fz = (sum(ops) for ops in spins)
    energy = sum((4.65 - ppm) * F0 * spins[2][k] for k, ppm in enumerate(group.shifts_ppm))
    for i, j, value in group.couplings_hz:
        energy = energy + value * sum(ops[i] @ ops[j] for ops in spins)

    def turn(operator, angle, rho):
        u = expm(-1j * angle * operator)
        return u @ rho @ u.conj().T

    def wait(duration, rho):
        return turn(energy, 2 * np.pi * duration, rho)

    echo, te1, tm = 0.03, 0.011, 0.017
    total = np.zeros_like(fx, dtype=complex)
    if sequence == 'steam':
        angles = 2 * np.pi * np.arange(8) / 8
        for first in angles:
            for middle in angles:
                rho = turn(fz, first, wait(echo / 2, fx.astype(complex)))
                rho = turn(fz, middle, wait(tm, turn(fy, np.pi / 2, rho)))
                rho = turn(fz, first, wait(echo / 2, turn(fy, np.pi / 2, rho)))
                total -= 2 * rho / 64
    else:
        delays = {
            'press': (te1 / 2, echo / 2, (echo - te1) / 2),
            'slaser': tuple(echo / 8 * np.array([1, 2, 2, 2, 1])),
        }[sequence]
        total = wait(delays[0], fx.astype(complex))
        for delay in delays[1:]:
            total = wait(delay, turn(fy, np.pi, total))
    scale = 4 / 2**size
    return np.array([scale * np.trace(wait(k * dwell, total) @ (fx + 1j * fy)) for k in range(n)])


@pytest.mark.parametrize('sequence', density_matrix.SEQUENCES)
@pytest.mark.parametrize('name', ['Asp', 'Tau'])
def test_agrees_with_brute_force(sequence, name):
    own = simulate.basis(
        spectrometer_frequency=F0,
        dwell_time=1e-3,
        n_points=16,
        echo_time=0.03,
        te1=0.011 if sequence == 'press' else None,
        tm=0.017,
        sequence=sequence,
        metabolites=[name],
        linewidth_hz=0.0,
    ).fids[0]
    assert np.allclose(own, brute_force(sequence, name, 1e-3, 16), atol=1e-9)


def test_lines_to_fid_is_the_plain_sum():
    frequencies = np.array([12.3, -250.0, 600.1])
    amplitudes = np.array([1.0, 0.5j, -2.0 + 1j])
    time = np.arange(150) * 4e-4
    plain = (amplitudes[:, None] * np.exp(2j * np.pi * frequencies[:, None] * time)).sum(axis=0)
    assert np.allclose(lines_to_fid(frequencies, amplitudes, 150, 4e-4), plain)


def test_all_sources_are_named():
    for name in spin_systems.available():
        assert any(year in spin_systems.load(name).source for year in ('2000', '2006', '2013'))


COMMON = {'spectrometer_frequency': F0, 'dwell_time': 5e-4, 'n_points': 256, 'metabolites': ['Cr']}


def test_assumed_split_is_declared():
    assumed = simulate.basis(echo_time=0.03, **COMMON)
    assert assumed.te_split_assumed
    assert 'TE1 assumed' in assumed.flags[0]
    told = simulate.basis(echo_time=0.03, te2=0.02, **COMMON)
    assert (told.te_split_assumed, told.flags) == (False, ())
    assert told.te1 == pytest.approx(0.01)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'echo_time': 0.03, 'te1': 0.01, 'te2': 0.03}, 'do not add up'),
        ({'echo_time': 0.03, 'te1': 0.04}, 'does not lie between'),
        ({'echo_time': float('nan')}, 'positive echo time'),
        ({'echo_time': 0.03, 'sequence': 'mega'}, 'no simulation'),
        ({'echo_time': 0.03, 'metabolites': ['Xyz']}, 'no spin system for Xyz'),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(SettingsError, match=message):
        simulate.basis(**(COMMON | arguments))


def test_cache_returns_the_same_and_survives_damage(tmp_path):
    first = simulate.basis(echo_time=0.03, cache_dir=tmp_path, **COMMON)
    (file,) = tmp_path.glob('basis-*.npy')
    again = simulate.basis(echo_time=0.03, cache_dir=tmp_path, **COMMON)
    assert np.array_equal(first.fids, again.fids)
    file.write_bytes(b'damaged')
    corrected = simulate.basis(echo_time=0.03, cache_dir=tmp_path, **COMMON)
    assert np.array_equal(first.fids, corrected.fids)
    simulate.basis(echo_time=0.031, cache_dir=tmp_path, **COMMON)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    'change',
    [
        {'dwell_time': 4e-4},
        {'spectrometer_frequency': 127.7},
        {'n_points': 128},
        {'metabolites': ['NAA']},
        {'linewidth_hz': 2.0},
        {'te1': 0.011},
        {'sequence': 'slaser'},
        {'sequence': 'steam', 'tm': 0.02},
    ],
)
def test_whatever_matters_is_in_the_digest(change):
    plain = simulate.basis(echo_time=0.03, **COMMON)
    assert simulate.basis(echo_time=0.03, **(COMMON | change)).sha256 != plain.sha256


def test_synthetic_fid_noise_phase_and_shift(rng):
    model = simulate.basis(echo_time=0.03, **COMMON)
    clean = simulate.synthetic_fid(model, {'Cr': 2.0}, lorentz_hz=0, gauss_hz=0)
    assert np.allclose(clean, 2 * model.fid('Cr'))
    turned = simulate.synthetic_fid(model, {'Cr': 2.0}, lorentz_hz=0, gauss_hz=0, phase=np.pi)
    assert np.allclose(turned, -clean)
    noisy = simulate.synthetic_fid(model, {}, noise_sd=0.3, rng=rng)
    assert np.std(noisy.real) == pytest.approx(0.3, rel=0.15)
    with pytest.raises(SettingsError, match='random generator'):
        simulate.synthetic_fid(model, {}, noise_sd=0.3)
