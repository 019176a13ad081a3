"""How images and spectra were processed, over the people of a cohort, in sentences for a paper.

Everything is read from the sidecars of the results, so it is what ran and not what was set; where
sessions differ, each way is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bids_acc.derivatives.outputs import find_outputs, read_sidecar
from bids_acc.derivatives.records import version_of
from bids_acc.exceptions import InputDataError
from bids_acc.report.wording import MODALITY_WORDS, artefact_words

Sidecar = Mapping[str, Any]
Facts = Callable[[Sidecar], Iterator[tuple[str, str]]]
"""Yields what is said (brain mask, tensor ...) and how it was done."""

PROGRAMS: Mapping[str, str] = MappingProxyType(
    {'mrtrix3': 'MRtrix3', 'topup': "FSL's topup", 'eddy': "FSL's eddy", 'builtin': 'bids_acc',
     'n4': 'N4 (Tustison et al. 2010)', 'dipy': 'DIPY', 'antspyx': 'ANTsPy',
     'pair': 'the field from a pair of images of opposite phase encoding',
     'fieldmap': 'a field map measured by gradient echoes',
     'registration': 'registration to the T1w image along the phase encoding', 'none': 'none'}
)  # fmt: skip
"""Names of engines, in words."""
STEPS: Mapping[str, str] = MappingProxyType(
    {'denoise': 'denoising (MP-PCA)', 'unringing': 'removal of Gibbs ringing',
     'motion': 'correction of motion and eddy currents',
     'susceptibility': 'correction of susceptibility distortion', 'bias': 'bias field'}
)  # fmt: skip
"""Steps of diffusion, in their order."""
FITS: Mapping[str, str] = MappingProxyType(
    {'ols': 'ordinary', 'wls': 'weighted', 'iwls': 'iteratively reweighted'}
)
MOST_TOLD = 3
"""Different ways of one step that are told."""


def processing_paragraphs(
    output_dir: Path, sessions: Collection[tuple[str, str | None]]
) -> list[str]:
    """Say how the results of a cohort were made.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.
    sessions : collection of (str, str or None)
        Participants and sessions that count, with prefixes.

    Returns
    -------
    list of str
        A paragraph for each modality with results.
    """
    paragraphs = []
    for name, keys in SOURCES.items():
        told: dict[str, Counter[str]] = {}
        seen: set[tuple[str, str | None]] = set()
        for key, facts in keys:
            for session, sidecar in _sidecars(key, output_dir, sessions):
                seen.add(session)
                for what, how in facts(sidecar):
                    told.setdefault(what, Counter())[how] += 1
        if told:
            ways = '; '.join(f'{what}: {_counted(hows)}' for what, hows in told.items())
            plural = 's'[: len(seen) > 1]
            paragraphs.append(f'{name} ({len(seen)} session{plural}): {ways}.')
    return paragraphs


def mixed_versions(data_dir: Path, sessions: Collection[tuple[str, str | None]]) -> Iterator[str]:
    """Say which modalities were computed by one version of bids_acc in some and another in others.

    A difference between people may then be one between versions.

    Parameters
    ----------
    data_dir : Path
        Root of the derivative data set, or of links to the people of several.
    sessions : collection of (str, str or None)
        Participants and sessions that count, with prefixes.

    Yields
    ------
    str
        A sentence for each such modality.
    """
    for modality, words in MODALITY_WORDS.items():
        found: Counter[str] = Counter()
        for subject, visit in sessions:
            root = (data_dir / subject).resolve().parent  # through the links of several folders
            label = '_'.join(filter(None, (subject, visit, modality)))
            if version := version_of(root, label):
                found[version] += 1
        if len(found) > 1:
            yield (
                f'Results ({words}) come from several versions of bids_acc, sessions in brackets: '
                f'{_counted(found)}. A difference between people may be one between versions; run '
                'the participant level of all of them with one.'
            )


def mixed_function(data_dir: Path, sessions: Collection[tuple[str, str | None]]) -> str:
    """Say in what the treatment of BOLD series differs between people.

    Correlations and amplitudes depend on all of it: on confounds and band by definition, on the
    source by its interpolations, and those of another tool have another unit.

    Parameters
    ----------
    data_dir : Path
        Root of the derivative data set.
    sessions : collection of (str, str or None)
        Participants and sessions that count, with prefixes.

    Returns
    -------
    str
        A sentence or two; empty where all were treated alike.
    """
    told: dict[str, Counter[str]] = {}
    for _, sidecar in _sidecars('func_qc', data_dir, sessions):
        space = _text(sidecar, 'SpatialReference', 'VolumeReference')
        for what, how in (*function_facts(sidecar), *([('space', space)] if space else [])):
            told.setdefault(what, Counter())[how] += 1
    ways = '; '.join(f'{what}: {_counted(hows)}' for what, hows in told.items() if len(hows) > 1)
    if not ways:
        return ''
    return (
        f'BOLD was not treated alike in all sessions (their number in brackets): {ways}. A '
        'difference between people may be one of that: run the participant level of all with the '
        'same settings and the same source.'
    )


def _sidecars(
    key: str, output_dir: Path, sessions: Collection[tuple[str, str | None]]
) -> Iterator[tuple[tuple[str, str | None], Sidecar]]:
    """Yield the sidecars of an output; of two hemispheres the left one's."""
    for found in find_outputs(key, output_dir):
        entities = found.entities
        visit = entities.get('session')
        session = (f'sub-{entities["subject"]}', None if visit is None else f'ses-{visit}')
        # both sides of a session were processed alike, and would be counted twice
        if session in sessions and entities.get('hemisphere') != 'R':
            try:
                sidecar = read_sidecar(found.path)
            except (InputDataError, OSError):  # who has no sidecar is not described
                continue
            if isinstance(sidecar, dict):
                yield session, sidecar


def _counted(hows: Counter[str]) -> str:
    """Write one way as it is, and several with their number."""
    if len(hows) == 1:
        return next(iter(hows))
    # ties by name, not by who was processed first
    ordered = sorted(hows.items(), key=lambda one: (-one[1], one[0]))
    told = ', '.join(f'{how} ({n})' for how, n in ordered[:MOST_TOLD])
    more = len(ordered) - MOST_TOLD
    return told + (f', {more} other{"s"[: more > 1]}' if more > 0 else '')


def _text(sidecar: Sidecar, *names: str) -> str:
    """Return a text of a sidecar as a part of a sentence; empty where there is none."""
    value: Any = sidecar
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    if not isinstance(value, str | float | int):
        return ''
    # semicolons part the ways of one step in the paragraph
    text = ' '.join(str(value).split()).rstrip('.').replace(';', ',')
    first = text.partition(' ')[0]
    sentence = text != first and first.isalpha() and first[1:].islower()
    return text[:1].lower() + text[1:] if sentence else text


def brain_facts(sidecar: Sidecar) -> Iterator[tuple[str, str]]:
    """Yield how the brain was extracted, from the mask's sidecar.

    Parameters
    ----------
    sidecar : mapping
        JSON beside the brain mask.

    Yields
    ------
    (str, str)
        What is said and how it was done; nothing where the sidecar does not tell.
    """
    if method := _text(sidecar, 'Method'):
        weights = [_text(sidecar, 'Weights', name) for name in ('Name', 'Version', 'Reference')]
        named = [part for part in (' '.join(filter(None, weights[:2])), weights[2]) if part]
        yield 'brain extraction', f'{method} ({", ".join(named)})' if named else method


def surface_facts(sidecar: Sidecar) -> Iterator[tuple[str, str]]:
    """Yield where surfaces come from and how thickness was measured.

    Parameters
    ----------
    sidecar : mapping
        JSON beside the map of thickness.

    Yields
    ------
    (str, str)
        What is said and how it was done: surfaces, vertices, mesh, thickness.
    """
    source = _text(sidecar, 'SurfaceSource')
    software = _text(sidecar, 'Software', 'antspyx')
    words = f'built in (registration by ANTsPy {software})' if source == 'builtin' else source
    if source:
        yield 'cortical surfaces', words
    for what, name in (('correspondence of vertices', 'Correspondence'), ('mesh', 'Density'),
                       ('thickness', 'Method')):  # fmt: skip
        if text := _text(sidecar, name):
            yield what, text


def atlas_facts(sidecar: Sidecar) -> Iterator[tuple[str, str]]:
    """Yield the atlas that the regional labels come from.

    Parameters
    ----------
    sidecar : mapping
        JSON beside the labels of the cortex.

    Yields
    ------
    (str, str)
        ``labels`` and the name of the atlas.
    """
    if atlas := _text(sidecar, 'Atlas'):
        yield 'labels', atlas


def diffusion_facts(sidecar: Sidecar) -> Iterator[tuple[str, str]]:
    """Yield what was done to a diffusion series.

    Parameters
    ----------
    sidecar : mapping
        JSON beside the tensor maps; ``Engines`` names the program of each step.

    Yields
    ------
    (str, str)
        Each step of `STEPS` that was done and its program, or the pipeline that had prepared
        the series; then the fit of the tensor.
    """
    engines = sidecar.get('Engines')
    if not isinstance(engines, Mapping):
        return
    if done := _text(engines, 'preprocessing'):
        yield 'preprocessing', done
    else:
        for step, words in STEPS.items():
            if engine := _text(engines, step):
                yield words, _program(engine, engines)
    if fit := _text(engines, 'tensor_fit'):
        yield 'tensor', f'{FITS.get(fit, fit)} least squares of the log signal'


def _program(engine: str, engines: Mapping[str, object]) -> str:
    """Name a program with its version, where it is known."""
    version = _text(engines, 'versions', engine) if engine != 'builtin' else ''
    return f'{PROGRAMS.get(engine, engine)} {version}'.strip()


def sampling_facts(sidecar: Sidecar) -> Iterator[tuple[str, str]]:
    """Yield how a map was sampled on the surface.

    Parameters
    ----------
    sidecar : mapping
        JSON beside a map at the vertices.

    Yields
    ------
    (str, str)
        Depths in the cortical ribbon and the weights of the voxels, as one text.
    """
    depths, weights = _text(sidecar, 'SamplingDepths'), _text(sidecar, 'Weights')
    if depths:
        where = 'across the cortical ribbon' if depths == 'ribbon' else f'at depths {depths}'
        yield 'sampling at vertices', f'{where}, weights: {weights}' if weights else where


def function_facts(sidecar: Sidecar) -> Iterator[tuple[str, str]]:
    """Yield how a BOLD series was prepared and denoised.

    Parameters
    ----------
    sidecar : mapping
        JSON beside the denoised results of a BOLD series.

    Yields
    ------
    (str, str)
        What is said and how it was done; the pass band in Hz.
    """
    for what, name in (('preprocessing', 'PreparedBy'), ('confounds', 'Confounds'),
                       ('censoring', 'CensoringThreshold')):  # fmt: skip
        if text := _text(sidecar, name):
            yield what, f'strategy {text}' if name == 'Confounds' else text
    band = sidecar.get('Band')
    if isinstance(band, list) and len(band) == 2:
        low, high = band
        yield 'band', f'{low} to {high} Hz'


def spectrum_facts(sidecar: Sidecar) -> Iterator[tuple[str, str]]:
    """Yield how a spectrum was processed and fitted.

    Parameters
    ----------
    sidecar : mapping
        JSON beside the metabolite levels.

    Yields
    ------
    (str, str)
        Steps in the order in which they were applied, the program and version of the fit, the
        basis set, the relaxation constants, the quality gate and the artefacts that it excludes.
    """
    steps = [
        str(step['step']).replace('_', ' ')
        for step in sidecar.get('Preprocessing') or ()
        if isinstance(step, Mapping) and step.get('applied') and step.get('step')
    ]
    if steps:
        yield 'steps', ', '.join(steps)
    if engine := _text(sidecar, 'Engine'):
        version = _text(sidecar, 'EngineVersion')
        named = 'bids_acc, linear combination' if engine == 'builtin' else engine
        yield 'fit', f'{named} {version}'.strip()
    if basis := _basis(sidecar):
        yield 'basis set', basis
    if constants := _text(sidecar, 'RelaxationConstants', 'Set'):
        yield 'relaxation times and water contents', f'set {constants}'
    if gate := _text(sidecar, 'Gate', 'name'):
        yield 'quality gate', f'{gate} {_text(sidecar, "Gate", "version")}'.strip()
    if signs := _excluding_signs(sidecar):
        yield 'artefacts that exclude a spectrum', ', '.join(signs)


def _excluding_signs(sidecar: Sidecar) -> list[str]:
    """Name the artefacts that the gate does not accept, each with its rule where it is told."""
    gate, found = sidecar.get('Gate'), sidecar.get('Artefacts')
    wanted = gate.get('artefacts') if isinstance(gate, Mapping) else None
    entries = [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []
    rules = {entry.get('name'): _text(entry, 'rule') for entry in entries}
    return [
        f'{artefact_words(name)} ({rule})' if (rule := rules.get(name)) else artefact_words(name)
        for name in (wanted if isinstance(wanted, list) else ())
        if isinstance(name, str)
    ]


def _basis(sidecar: Sidecar) -> str:
    """Say what the basis set is made of and for."""
    sequence, seconds = _text(sidecar, 'BasisSequence'), sidecar.get('BasisEchoTime')
    if not sequence or not isinstance(seconds, int | float):
        return ''
    names = sidecar.get('BasisNames')
    n = f'{len(names)} metabolites, ' if isinstance(names, list) else ''
    first = sidecar.get('BasisTE1')
    assumed = ' assumed' if sidecar.get('BasisTESplitAssumed') else ''
    split = f', TE1 {1e3 * first:.4g} ms{assumed}' if isinstance(first, int | float) else ''
    model = _text(sidecar, 'BasisProvenance', 'model')
    return f'{n}{sequence.upper()}, TE {1e3 * seconds:.4g} ms{split}' + (
        f', by {model}' if model else ''
    )


SOURCES: Mapping[str, tuple[tuple[str, Facts], ...]] = MappingProxyType(
    {
        'T1w': (('anat_brain_mask', brain_facts), ('anat_thickness', surface_facts),
                ('anat_parcellation', atlas_facts)),
        'Diffusion': (('dwi_qc', diffusion_facts), ('dwi_vertex_fa', sampling_facts)),
        'BOLD': (('func_qc', function_facts),),
        'Spectroscopy': (('mrs_quality', spectrum_facts),),
    }
)  # fmt: skip
"""Paragraph, and the outputs whose sidecars tell."""
