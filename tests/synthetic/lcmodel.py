"""A stand-in for LCModel, and the smallest spectrum to give it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bids_acc.mrs.basis.simulate import basis as simulate_basis
from bids_acc.mrs.spectrum import Basis, Spectrum


def install_stand_in(body: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a shell script of that body on PATH as ``lcmodel``."""
    program = folder / 'bin' / 'lcmodel'
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n{body}')
    program.chmod(0o755)
    monkeypatch.setenv('PATH', f'{program.parent}{os.pathsep}{os.environ["PATH"]}')


def creatine() -> tuple[Spectrum, Basis]:
    """Return a spectrum of creatine alone and its basis set."""
    basis = simulate_basis(
        spectrometer_frequency=127.75, dwell_time=5e-4, n_points=256, echo_time=0.035,
        sequence='press', metabolites=['Cr'],
    )  # fmt: skip
    spectrum = Spectrum(basis.fids[0], 5e-4, 127.75, echo_time=0.035, sequence='press')
    return spectrum, basis
