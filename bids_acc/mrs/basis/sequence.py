"""Which localisation sequence a spectrum was measured with, from its metadata."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from types import MappingProxyType

from bids_acc.typing import Metadata

SEQUENCES = ('press', 'steam', 'slaser')
"""Sequences that can be simulated."""

SHORTEST_TE = MappingProxyType({'press': 0.010, 'steam': 0.004, 'slaser': 0.018})
"""Echo time in s below which a sequence does not fit on a scanner for people: what is shorter is
the time of a part of the sequence. The shortest semi-LASER on a clinical system has 20.1 ms
(Landheer, Gajdosik and Juchem 2020, NMR Biomed 33:e4324, https://doi.org/10.1002/nbm.4324). Those
of PRESS (one excitation, two refocusing pulses, their spoilers) and STEAM are conventions of this
package, set well below the usual 30 and 6 ms."""

SHORTEST_EDITED_TE = 0.050
"""The same for spectra edited by two selective pulses within the echo time, each some 15 ms long:
a convention, below the usual 68 ms."""

SHORTEST_PART = 0.008
"""What the second part of the echo time takes at least, in s: a refocusing pulse of some 5 ms and
its spoilers. A convention."""

_PATTERNS = (
    ('slaser', re.compile(r's(emi)?[-_ ]?laser', re.IGNORECASE)),
    ('steam', re.compile(r'steam|svs_st(?![a-z])|probe[-_ ]?s(?![a-z])', re.IGNORECASE)),
    ('press', re.compile(r'press|svs_se|probe[-_ ]?p(?![a-z])', re.IGNORECASE)),
)
# svs_* are sequences of Siemens, PROBE-P and PROBE-S (PRESS, STEAM) those of GE

_OTHER = re.compile(r'(?<![a-z])(special|isis|laser|fid|hise|cosy)(?![a-z])', re.IGNORECASE)

_FIELDS = ('PulseSequenceType', 'SequenceName', 'PulseSequenceDetails', 'ProtocolName',
           'SeriesDescription')  # fmt: skip


def sequence_of(metadata: Metadata, acquisition: str = '') -> tuple[str, str]:
    """Sequence and where it was read.

    Parameters
    ----------
    metadata : mapping
        Sidecar.
    acquisition : str
        Label of the ``acq`` entity, the last place that is looked at.

    Returns
    -------
    sequence : str
        One of :data:`SEQUENCES`, or empty when nothing names one.
    origin : str
        Field that named it.

    Examples
    --------
    >>> sequence_of({'ProtocolName': 'PRESS PAR 35'})
    ('press', 'ProtocolName')
    >>> sequence_of({}, 'sLASER')
    ('slaser', 'acq entity')
    >>> sequence_of({})
    ('', '')
    """
    places = [(name, str(metadata[name])) for name in _FIELDS if name in metadata]
    for name, text in [*places, ('acq entity', acquisition)]:
        for sequence, pattern in _PATTERNS:
            if pattern.search(text):
                return sequence, name
    return '', ''


def other_sequence(metadata: Metadata, acquisition: str = '') -> str:
    """Field that names a sequence that cannot be simulated, with its name; empty where none does.

    Only asked where :func:`sequence_of` finds none.

    Parameters
    ----------
    metadata : mapping
        BIDS metadata.
    acquisition : str
        Label of the ``acq`` entity, asked after all fields.

    Returns
    -------
    str
        The beginning of a sentence, such as ``PulseSequenceType names 'SPECIAL', which is not
        simulated``.

    Examples
    --------
    >>> other_sequence({'PulseSequenceType': 'SPECIAL'})
    "PulseSequenceType names 'SPECIAL', which is not simulated"
    >>> other_sequence({'ProtocolName': 'ACC'})
    ''
    """
    places = [(name, str(metadata[name])) for name in _FIELDS if name in metadata]
    for name, text in [*places, ('acq entity', acquisition)]:
        if _OTHER.search(text):
            return f'{name} names {text!r}, which is not simulated'
    return ''


@dataclass(frozen=True)
class UsualSplit:
    """How a manufacturer's PRESS usually divides the echo time."""

    manufacturer: str
    te1: float
    """First part in s."""

    @property
    def sentence(self) -> str:
        """Sentence that offers the usual TE1 and says that it must be checked."""
        return (
            f'PRESS of {self.manufacturer} usually has TE1 {1e3 * self.te1:.1f} ms (Hui et al. '
            f'2022): check it against the protocol and say --mrs-te1 {self.te1:.4f}.'
        )


USUAL_TE1 = MappingProxyType({'Philips': 0.0163, 'Siemens': 0.0164, 'GE': 0.0147})
"""First part of the echo time of unedited PRESS in s by manufacturer, as MRSCloud 2022 simulates
it with the manufacturers' pulses (Hui et al. 2022, Magn Reson Med 88:1994-2004,
https://doi.org/10.1002/mrm.29370; its functions/load_parameters.m, which had 14.8 ms for Philips
before). It depends on pulses and software, so that it is offered and not assumed."""


TIMING_TOLERANCE_S = 5e-4
"""How far an echo time may be from what the times of the pulses make of it."""


def told_split(metadata: Metadata, sequence: str, echo_time: float) -> tuple[float, str]:
    """First part of the echo time of PRESS, or the mixing time of STEAM, by the pulses' times.

    BIDS has them in ``PulseSequenceTiming``, in s after the excitation. PRESS refocuses at TE1/2
    and TE1/2 + TE/2; STEAM has its second pulse at TE/2 and its third a mixing time later.

    Parameters
    ----------
    metadata : mapping
        Sidecar.
    sequence : str
        One of :data:`SEQUENCES`.
    echo_time : float
        In s.

    Returns
    -------
    seconds : float
        NaN where nothing tells it, or the times contradict the echo time.
    problem : str
        Why times that are there are not used; empty otherwise.

    Examples
    --------
    >>> times = {'PulseSequenceTiming': [0, 0.008, 0.0255]}
    >>> told_split(times, 'press', 0.035)[0], told_split({}, 'press', 0.035)
    (0.016, (nan, ''))
    >>> told_split(times, 'press', 0.030)[1]
    'PulseSequenceTiming [0, 0.008, 0.0255] does not fit press with EchoTime 0.03 s: not used.'
    """
    told = metadata.get('PulseSequenceTiming')
    # edited sequences list their editing pulses too, and are left to --mrs-te1
    if sequence not in ('press', 'steam') or not isinstance(told, list | tuple) or len(told) != 3:
        return math.nan, ''
    times = [float(t) for t in told if isinstance(t, int | float) and not isinstance(t, bool)]
    if len(times) == 3:
        first, second = times[1] - times[0], times[2] - times[1]
        echo, split = (2 * second, 2 * first) if sequence == 'press' else (2 * first, second)
        fits = abs(echo - echo_time) <= TIMING_TOLERANCE_S and split > 0
        if fits and (sequence == 'steam' or split < echo_time):
            return split, ''
    problem = f'PulseSequenceTiming {list(told)} does not fit {sequence} with EchoTime'
    return math.nan, f'{problem} {echo_time:g} s: not used.'


def usual_te1(metadata: Metadata, echo_time: float) -> UsualSplit | None:
    """First part of the echo time that the manufacturer's PRESS usually has.

    Parameters
    ----------
    metadata : mapping
        Sidecar with ``Manufacturer``.
    echo_time : float
        In s.

    Returns
    -------
    UsualSplit or None
        None where the manufacturer is not known, or the echo time cannot hold it.

    Examples
    --------
    >>> usual_te1({'Manufacturer': 'SIEMENS'}, 0.03).te1
    0.0164
    >>> usual_te1({'Manufacturer': 'GE MEDICAL SYSTEMS'}, 0.035).manufacturer
    'GE'
    >>> usual_te1({}, 0.03) is None, usual_te1({'Manufacturer': 'Philips'}, 0.02) is None
    (True, True)
    """
    told = str(metadata.get('Manufacturer', '')).lower()
    for name, te1 in USUAL_TE1.items():
        here = re.search(rf'(?<![a-z]){name.lower()}(?![a-z])', told)
        if here and te1 + SHORTEST_PART < echo_time:
            return UsualSplit(name, te1)
    return None


def too_short(sequence: str, echo_time: float, edited: bool = False) -> str:
    """Say that an echo time is too short for a sequence; empty when it is not, or not known.

    Parameters
    ----------
    sequence : str
        One of :data:`SEQUENCES`.
    echo_time : float
        In s.
    edited : bool
        Whether two editing pulses must fit as well.

    Examples
    --------
    >>> too_short('slaser', 0.008)
    'EchoTime 8 ms is too short for slaser, which takes 18 ms or more'
    >>> too_short('slaser', 0.028), too_short('press', float('nan'))
    ('', '')
    """
    shortest = SHORTEST_EDITED_TE if edited else SHORTEST_TE.get(sequence, 0.0)
    if not echo_time < shortest - 1e-9:
        return ''
    what = f'edited {sequence}' if edited else sequence
    return (
        f'EchoTime {1e3 * echo_time:g} ms is too short for {what}, which takes '
        f'{1e3 * shortest:g} ms or more'
    )
