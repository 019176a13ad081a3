"""The dataset's words: sidecars, column descriptions, README."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from bids_acc.demo import bold, diffusion, spectrum

_SCANNER: dict[str, Any] = {
    'Manufacturer': 'bids_acc',
    'ManufacturersModelName': 'simulation from the MNI templates',
    'MagneticFieldStrength': 3,
    'InstitutionName': 'none (simulated data)',
}

T1W: dict[str, Any] = {
    **_SCANNER,
    'MRAcquisitionType': '3D',
    'ScanningSequence': 'GR\\IR',
    'SequenceVariant': 'SK\\SP\\MP',
    'PulseSequenceType': 'MPRAGE',
    'EchoTime': 0.003,
    'RepetitionTime': 2.3,
    'InversionTime': 0.9,
    'FlipAngle': 9,
    'NonlinearGradientCorrection': True,
}

DWI: dict[str, Any] = {
    **_SCANNER,
    'MRAcquisitionType': '2D',
    'PulseSequenceType': 'Spin-echo EPI',
    'EchoTime': 0.085,
    'RepetitionTime': 7.5,
    'FlipAngle': 90,
    'PhaseEncodingDirection': 'j-',
    'EffectiveEchoSpacing': 0.0005,
    'TotalReadoutTime': 0.0355,
    'SliceThickness': diffusion.RESOLUTION_MM,
    'MultipartID': 'dwi_1',
}

BOLD: dict[str, Any] = {
    **_SCANNER,
    'MRAcquisitionType': '2D',
    'PulseSequenceType': 'Gradient-echo EPI',
    **bold.DEMO.sidecar(),
}

MRS: dict[str, Any] = {
    **_SCANNER,
    'ResonantNucleus': ['1H'],
    'SpectrometerFrequency': [spectrum.SPECTROMETER_MHZ],
    'SpectralWidth': 1 / spectrum.DWELL_TIME_S,
    'EchoTime': spectrum.ECHO_TIME_S,
    'RepetitionTime': spectrum.REPETITION_TIME_S,
    'NumberOfSpectralPoints': spectrum.N_POINTS,
    'NumberOfTransients': spectrum.N_TRANSIENTS,
    'FlipAngle': 90,
    'PulseSequenceType': 'PRESS',
    'BodyPart': 'BRAIN',
    'BodyPartDetails': 'anterior cingulate cortex',
    'AcquisitionVoxelSize': [20, 20, 20],
    'ReceiveCoilName': 'simulated, combined',
    'WaterSuppression': True,
}

HEADER_KEYS = (
    'SpectrometerFrequency', 'ResonantNucleus', 'EchoTime', 'RepetitionTime', 'SpectralWidth',
)  # fmt: skip
"""Fields that also go into the NIfTI-MRS header extension."""

_PANSS = 'of the Positive and Negative Syndrome Scale; n/a for controls'
CLINICAL_COLUMNS: dict[str, dict[str, object]] = {
    'panss_positive': {'Description': f'Positive subscale {_PANSS}', 'Minimum': 7, 'Maximum': 49},
    'panss_negative': {'Description': f'Negative subscale {_PANSS}', 'Minimum': 7, 'Maximum': 49},
    'panss_general': {
        'Description': f'General psychopathology subscale {_PANSS}', 'Minimum': 16, 'Maximum': 112,
    },
    'panss_total': {'Description': f'Sum {_PANSS}', 'Minimum': 30, 'Maximum': 210},
    'cpz_dose': {
        'Description': 'Antipsychotic dose as chlorpromazine equivalent; n/a for controls',
        'Units': 'mg/d',
    },
}  # fmt: skip

PARTICIPANT_COLUMNS: dict[str, dict[str, object]] = {
    'participant_id': {'Description': 'Unique participant label'},
    'group': {
        'Description': 'Group of the simulated participant',
        'Levels': {
            'HC': 'healthy control',
            'responder': 'patient who responds to treatment',
            'resistant': 'patient whose symptoms resist treatment',
        },
    },
    'age': {'Description': 'Age', 'Units': 'year'},
    'sex': {'Description': 'Sex', 'Levels': {'F': 'female', 'M': 'male'}},
    'site': {
        'Description': 'Simulated site; it has no effect on the images',
        'Levels': {'north': 'first site', 'south': 'second site'},
    },
}

README = MappingProxyType(
    {
        'title': 'Simulated anterior cingulate study',
        'text': """\
Simulated anterior cingulate study
==================================

Every file in this dataset was computed by `bids_acc-demo`; no person was scanned. Heads are
smooth random variants of the MNI ICBM152 template, diffusion images follow tissue-wise tensors,
spectra follow published spin systems, BOLD series hold networks whose correlations are known.

Group differences are planted in the anterior cingulate: cortical thickness (the border between
grey and white matter is moved), mean diffusivity of grey matter, glutamate plus glutamine, and
the coupling of its subgenual part with the default-mode network. One participant moves too much.
`code/truth.json` says how much of what was planted where, for each participant, and `code/truth`
how thick the cortex then is at each vertex. Neither is read by the analysis;
`bids_acc-demo --score OUTPUT_DIR DIR` compares results with them.
""",
    }
)
