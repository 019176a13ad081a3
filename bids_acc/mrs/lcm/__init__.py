"""Linear-combination model: a spectrum as a sum of known ones on a smooth baseline.

The modules in the order of the data: :mod:`options` (prior knowledge), :mod:`lineshape` and
:mod:`baseline` (what surrounds the basis set), :mod:`prepare` (the columns of this fit),
:mod:`model` (amplitudes at given shifts and widths), :mod:`search` (finding those),
:mod:`uncertainty` (how well they are known), :mod:`result`, and :mod:`fit`, which runs them.
"""

from bids_acc.mrs.lcm.fit import fit_spectrum
from bids_acc.mrs.lcm.options import FitOptions, RatioPrior
from bids_acc.mrs.lcm.result import NOT_DETECTED, FitResult

__all__ = ['NOT_DETECTED', 'FitOptions', 'FitResult', 'RatioPrior', 'fit_spectrum']
