"""What a run was asked to do: frozen records, read from and written to TOML.

Each modality has a record of its own and a workflow builder sees only that one. Settings that
change a *result* live in `AnatSettings`, `DwiSettings`, `MrsSettings` and `GroupSettings`;
settings that change only *how fast* a result comes (processes, memory, plugin) live in
`Resources`. Resuming compares the former and ignores the latter, so that a rerun with more
processes recomputes nothing.

The command line makes one flag from each field that `option` declares, and the configuration
file accepts the same names (``[mrs] engine = "builtin"``), so a setting is described once.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import tomllib
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from bids_acc.exceptions import SettingsError

T = TypeVar('T')


def option(
    default: Any,
    help: str,  # noqa: A002 - the word argparse uses
    *,
    flag: str | None = None,
    choices: tuple[str, ...] | None = None,
    metavar: str | None = None,
    nargs: str | None = None,
    type: Any = None,  # noqa: A002 - the word argparse uses
    folder: bool = False,
) -> Any:
    """Declare a field that the command line offers as a flag.

    Parameters
    ----------
    default : object
        Value when neither the command line nor the configuration file says otherwise.
    help : str
        One line for ``--help``.
    flag : str, optional
        Flag, if it differs from ``--<section>-<field>``.
    choices, metavar, nargs, type
        As for `argparse.ArgumentParser.add_argument`; the type is taken from the default
        when it is not given.
    folder : bool
        Whether any word but the default may name a folder: one without slash or dot, too.
    """
    metadata = {
        'help': help, 'flag': flag, 'choices': choices, 'metavar': metavar, 'nargs': nargs,
        'type': type, 'folder': folder,
    }  # fmt: skip
    return field(default=default, metadata={'option': metadata})


@dataclass(frozen=True)
class AnatSettings:
    """How T1w images become surfaces."""

    surface_source: str = option(
        'auto',
        'where surfaces come from; auto takes the best one that --derivatives offers',
        flag='--surface-source',
        choices=('auto', 'freesurfer', 'gifti', 'civet', 'builtin'),
    )
    roi: tuple[str, ...] = option(
        ('caudalanteriorcingulate', 'rostralanteriorcingulate'),
        'cortical labels that make up the region of interest; cortex for all of them',
        flag='--roi',
        nargs='+',
        metavar='LABEL',
    )
    density: str = option(
        '41k',
        'vertices per hemisphere of the template mesh: 40,962 or 10,242',
        flag='--density',
        choices=('41k', '10k'),
    )
    skull_strip: str = option(
        'auto',
        'extract the brain: auto does unless the background is zero already',
        flag='--skull-strip',
        choices=('auto', 'force', 'skip'),
    )
    average: bool = option(
        False,
        'average the runs of the T1w image that are as good as the best, after rigid alignment',
        flag='--anat-average',
    )


@dataclass(frozen=True)
class DwiSettings:
    """How diffusion images become FA, MD and MO."""

    source: str = option(
        'auto',
        'where the series comes from; auto takes one that --derivatives offers as preprocessed '
        '(desc-preproc_dwi, e.g. of QSIPrep), else the raw one',
        flag='--dwi-source',
        choices=('auto', 'raw', 'derivative'),
    )
    denoise: str = option(
        'auto',
        'denoising by MP-PCA; auto takes dwidenoise when MRtrix3 is on PATH, else the built-in',
        flag='--dwi-denoise',
        choices=('auto', 'builtin', 'mrtrix3', 'dipy', 'none'),
    )
    unringing: str = option(
        'auto',
        'removal of Gibbs ringing; auto takes mrdegibbs when MRtrix3 is on PATH, else skips '
        'it (DIPY takes minutes), and skips it for images acquired with partial Fourier',
        flag='--dwi-unringing',
        choices=('auto', 'mrtrix3', 'dipy', 'none'),
    )
    motion: str = option(
        'builtin',
        'correction of head motion and eddy currents; eddy needs FSL on PATH',
        flag='--dwi-motion',
        choices=('builtin', 'ants', 'eddy', 'none'),
    )
    susceptibility: str = option(
        'auto',
        'correction of susceptibility distortion; auto uses images of reversed phase encoding '
        'where there are any (topup when FSL is on PATH, else pair, which is built in), else '
        'registers to the T1w image when there is one, else skips it',
        flag='--dwi-susceptibility',
        choices=('auto', 'topup', 'pair', 'registration', 'none'),
    )
    bias: str = option(
        'n4', 'correction of the intensity bias field', flag='--dwi-bias', choices=('n4', 'none')
    )
    tensor_fit: str = option(
        'iwls',
        'weights of the tensor fit: ols equal, wls squared signals, iwls squared predictions',
        flag='--dwi-tensor-fit',
        choices=('ols', 'wls', 'iwls'),
    )
    b_max: float = option(
        1500.0, 'largest b-value used for the tensor, s/mm2', flag='--dwi-b-max', metavar='B'
    )
    gradient_fix: bool = option(
        False,
        'swap or flip gradient axes when fibre coherence says that the table is wrong '
        '(it is always checked and reported)',
        flag='--dwi-fix-gradients',
    )
    depths: str = option(
        'ribbon',
        'where the cortex is sampled',
        flag='--dwi-depths',
        choices=('ribbon', 'midthickness'),
    )
    noddi: str = option(
        'auto',
        'NODDI maps (icvf, isovf, od) of --derivatives at the cortex; require fails without '
        'them, they are never fitted here',
        flag='--dwi-noddi',
        choices=('auto', 'require', 'none'),
    )


@dataclass(frozen=True)
class MrsSettings:
    """How spectra become gated metabolite levels."""

    engine: str = option(
        'auto',
        'what fits the spectra; auto imports the fits of --mrs-fits where there are any and '
        'otherwise fits with the engine built in',
        flag='--mrs-engine',
        choices=('auto', 'builtin', 'lcmodel', 'import'),
    )
    second_engine: str = option(
        'none',
        'a second engine, for a table of concordance',
        flag='--mrs-second-engine',
        choices=('none', 'builtin', 'lcmodel', 'import'),
    )
    basis: str = option(
        'simulate',
        'basis set: simulate, an LCModel .BASIS file, or a folder of FSL-MRS or Osprey',
        flag='--mrs-basis',
        metavar='PATH|simulate',
        folder=True,
    )
    fits: str | None = option(
        None,
        'folder with fits made by LCModel, FSL-MRS or Osprey, named by spectrum',
        flag='--mrs-fits',
        metavar='PATH',
        folder=True,
    )
    gate: str = option(
        'acc-structure',
        'thresholds: acc-structure, acc-glutamate or a JSON file',
        flag='--mrs-gate',
        metavar='PRESET|FILE',
    )
    ratios: tuple[str, ...] = option(
        (),
        'ratios besides those to tCr, such as Glx/tNAA',
        flag='--mrs-ratios',
        nargs='+',
        metavar='A/B',
    )
    relaxation: str = option(
        'auto',
        'relaxation constants: auto (by field: wyss-mlynarik at 3 T, xin-marjanska at 7 T, '
        'gasparovic at 1.5 T, none elsewhere), one of these names, fsl (3 and 7 T), or a JSON '
        'file',
        flag='--mrs-relaxation',
        metavar='SET|FILE',
    )
    sequence: str = option(
        'auto',
        'localisation sequence; auto reads it from the metadata',
        flag='--mrs-sequence',
        choices=('auto', 'press', 'steam', 'slaser'),
    )
    te1: float | None = option(
        None,
        'first part of the echo time in seconds; BIDS does not carry it and it moves glutamate '
        'by up to a fifth (default: assumed from the sequence, and said so)',
        flag='--mrs-te1',
        metavar='SECONDS',
        type=float,
    )
    tm: float | None = option(
        None,
        'mixing time of STEAM in seconds (default: MixingTime of the sidecar, else assumed and '
        'said so)',
        flag='--mrs-tm',
        metavar='SECONDS',
        type=float,
    )
    macromolecules: str = option(
        'auto',
        'macromolecules and lipids of the built-in engine: auto (parametrised lines unless the '
        'basis set holds measured ones), parametrised, none, or a measured, metabolite-nulled '
        'spectrum of the same sequence as NIfTI-MRS file',
        flag='--mrs-macromolecules',
        metavar='MODEL|FILE',
    )
    baseline_ed: float | None = option(
        None,
        "flexibility of the built-in engine's baseline, in effective dimensions per ppm (default: "
        '7 with parametrised macromolecules, 1.5 with measured ones); a second fit with another '
        'one tells what depends on it',
        flag='--mrs-baseline-ed',
        metavar='N',
        type=float,
    )
    eddy_current: str = option(
        'auto',
        'eddy-current correction from the water reference; auto leaves it out where the scanner '
        'has done it',
        flag='--mrs-eddy-current',
        choices=('auto', 'on', 'off'),
    )
    edit_index: int = option(
        -1,
        'editing condition to fit, counted from 0 (-1: the one that the header calls OFF)',
        flag='--mrs-edit-index',
        metavar='N',
        type=int,
    )


@dataclass(frozen=True)
class GroupSettings:
    """How the cohort is analysed."""

    model: str | None = option(
        None,
        'model file (*_smdl.json), a shipped preset, or auto to accept the proposed model',
        flag='--model',
        metavar='FILE|PRESET|auto',
    )
    metrics: tuple[str, ...] = option(
        ('thickness', 'area', 'fa', 'md'),
        'vertex metrics that are factorized and compared; those of which there is no map are '
        'left out, and it is said',
        flag='--opnmf-metrics',
        nargs='+',
        metavar='METRIC',
    )
    k_range: tuple[int, ...] = option(
        (2, 10),
        'smallest and largest number of components that is examined',
        flag='--opnmf-k-range',
        nargs='+',
        metavar='K',
        type=int,
    )
    n_components: int | None = option(
        None,
        'number of components to use in place of the one that the rule picks (both are reported)',
        flag='--opnmf-components',
        metavar='K',
        type=int,
    )
    hemispheres: str = option(
        'together',
        'factorize both hemispheres at once, as published, or each by itself',
        flag='--opnmf-hemispheres',
        choices=('together', 'apart'),
    )
    labels: str = option(
        'variation',
        'what a vertex is given to: the component whose scores it follows most closely over '
        'sessions, or, as published, the one with its largest weight (both are written)',
        flag='--opnmf-labels',
        choices=('variation', 'weight'),
    )
    n_splits: int = option(
        10, 'random halves for the stability index', flag='--opnmf-splits', metavar='N', type=int
    )
    strata: tuple[str, ...] = option(
        (),
        'columns of participants.tsv of which both halves get equal shares, the most important '
        "first; without, the model's group and age. Strata of one person are merged, and it is "
        'said',
        flag='--opnmf-strata',
        nargs='+',
        metavar='COLUMN',
    )
    n_init: int = option(
        1,
        'starts of each factorization; 1 is the published practice',
        flag='--opnmf-starts',
        metavar='N',
        type=int,
    )
    n_bootstrap: int = option(
        100,
        'resampled cohorts for the confidence of each vertex',
        flag='--opnmf-bootstraps',
        metavar='N',
        type=int,
    )
    max_missing: float = option(
        0.05,
        'largest share of missing vertices with which a session takes part in the factorization',
        flag='--opnmf-max-missing',
        metavar='SHARE',
        type=float,
    )
    atlas: str | None = option(
        None,
        'parcellation made before (folder with label.gii files); its parcels are measured and '
        'nothing is factorized',
        flag='--opnmf-atlas',
        metavar='PATH',
        folder=True,
    )


@dataclass(frozen=True)
class Resources:
    """What the machine may give; never changes a result."""

    nprocs: int = option(
        1, 'processes that run at the same time', flag='--nprocs', metavar='N', type=int
    )
    omp_nthreads: int = option(
        1, 'threads that one step may use', flag='--omp-nthreads', metavar='N', type=int
    )
    mem_gb: float | None = option(
        None, 'memory to stay below, in GB (default: what the machine or cgroup allows)',
        flag='--mem', metavar='GB', type=float,
    )  # fmt: skip
    plugin: str | None = option(
        None, 'Nipype plug-in (Linear, MultiProc, SLURM, ...) or a YAML/JSON file that names '
        'plugin and plugin_args', flag='--use-plugin', metavar='NAME|FILE',
    )  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """Everything a run was asked to do except which files it reads and writes."""

    anat: AnatSettings = field(default_factory=AnatSettings)
    dwi: DwiSettings = field(default_factory=DwiSettings)
    mrs: MrsSettings = field(default_factory=MrsSettings)
    group: GroupSettings = field(default_factory=GroupSettings)
    resources: Resources = field(default_factory=Resources)
    random_seed: int = option(
        20261121, 'seed of every random step', flag='--random-seed', metavar='N', type=int
    )


def _suggest(name: str, known: list[str]) -> str:
    """Say which known name was probably meant."""
    close = difflib.get_close_matches(name, known, n=1)
    return f'; did you mean {close[0]!r}?' if close else f'; known: {", ".join(sorted(known))}'


def _coerce(value: Any, default: Any, where: str) -> Any:
    """Check a TOML value against the default's type; lists become tuples."""
    if isinstance(value, list):
        value = tuple(value)
    if default is None or value is None:
        return value
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, type(default)) or isinstance(value, bool) != isinstance(
        default, bool
    ):
        raise SettingsError(
            f'{where}: {value!r} is a {type(value).__name__}, but this setting is a '
            f'{type(default).__name__} such as {default!r}.'
        )
    return value


def update(settings: T, values: dict[str, Any], where: str = 'settings') -> T:
    """Return a copy with some values replaced, refusing unknown names.

    Parameters
    ----------
    settings : dataclass instance
        `Settings` or one of its parts.
    values : dict
        Nested dictionary of new values, as TOML gives it.
    where : str
        Named in the error message, usually the configuration file.

    Raises
    ------
    SettingsError
        If a name is unknown, a value has the wrong type or is not among the choices.

    Examples
    --------
    >>> update(Settings(), {'resources': {'nprocs': 8}}).resources.nprocs
    8
    """
    known = {f.name: f for f in fields(settings)}  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise SettingsError(f'{where}: unknown setting {name!r}{_suggest(name, list(known))}')
        current = getattr(settings, name)
        if is_dataclass(current) and not isinstance(current, type):
            if not isinstance(value, dict):
                raise SettingsError(f'{where}: [{name}] is a section, not a value.')
            changes[name] = update(current, value, f'{where} [{name}]')
            continue
        checked = _coerce(value, current, f'{where}: {name}')
        choices = known[name].metadata.get('option', {}).get('choices')
        if choices and checked not in choices:
            raise SettingsError(
                f'{where}: {name} = {checked!r} is not one of {", ".join(choices)}.'
            )
        changes[name] = checked
    return dataclasses.replace(settings, **changes)  # type: ignore[type-var]


def read_toml(path: Path) -> dict[str, Any]:
    """Read a configuration file.

    Raises
    ------
    SettingsError
        If the file is absent or no TOML.
    """
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise SettingsError(f'--config-file {path}: there is no such file.') from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f'--config-file {path} is no valid TOML: {error}') from error


def _toml_value(value: Any) -> str:
    """Write one TOML value; JSON strings, numbers and arrays are TOML too."""
    if isinstance(value, tuple | list):
        return '[' + ', '.join(_toml_value(item) for item in value) + ']'
    if isinstance(value, Path):
        value = str(value)
    return json.dumps(value)


def to_toml(settings: Settings) -> str:
    """Write the settings so that `read_toml` and `update` give them back.

    Values that are ``None`` are left out: TOML has no null, and they are the defaults.

    Examples
    --------
    >>> 'nprocs = 1' in to_toml(Settings())
    True
    """
    plain, sections = [], []
    for item in fields(settings):
        value = getattr(settings, item.name)
        if not is_dataclass(value):
            plain.append(f'{item.name} = {_toml_value(value)}')
            continue
        lines = [
            f'{f.name} = {_toml_value(getattr(value, f.name))}'
            for f in fields(value)
            if getattr(value, f.name) is not None
        ]
        sections.append('\n'.join([f'[{item.name}]', *lines]))
    return '\n'.join(plain) + '\n\n' + '\n\n'.join(sections) + '\n'


def fingerprint(*parts: Any) -> str:
    """Return a SHA-256 that changes when any setting in these records changes.

    Parameters
    ----------
    *parts : dataclass instances or plain values
        What a result depends on.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    plain = [
        dataclasses.asdict(p) if is_dataclass(p) and not isinstance(p, type) else p for p in parts
    ]
    text = json.dumps(plain, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
