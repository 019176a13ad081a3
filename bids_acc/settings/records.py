"""The settings of each part of a run, each described once: type, range, unit, default and help.

Each modality has a record of its own and a workflow builder sees only that one. Settings that
change a *result* live in `AnatSettings`, `DwiSettings`, `FuncSettings`, `MtrSettings`,
`MrsSettings` and `GroupSettings`; settings that change only *how fast* a result comes (processes,
memory, plugin) live in `Resources`. Resuming compares the former and ignores the latter, so that a
rerun with more processes recomputes nothing.

The command line makes one flag from each field, the configuration file accepts the same names
(``[mrs] engine = "builtin"``), and pydantic holds every value to what the field says.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from annotated_types import Ge, Gt
from pydantic import ConfigDict, field_validator
from pydantic.dataclasses import dataclass

from bids_acc.files.meshes import TEMPLATE_MESH
from bids_acc.settings.option import option

STRICT = ConfigDict(extra='forbid', allow_inf_nan=False)
"""No unknown names; infinity and NaN are no settings."""
MOST_WORKERS = 4096
"""Processes or threads above which a number is a slip (own convention)."""

AtLeastTwo = Annotated[int, Ge(2)]
PositiveHz = Annotated[float, Gt(0)]


@dataclass(frozen=True, config=STRICT)
class AnatSettings:
    """How T1w images become surfaces."""

    surface_source: Literal['auto', 'freesurfer', 'gifti', 'civet', 'builtin'] = option(
        'auto',
        'where surfaces come from; auto takes the best one that --derivatives offers',
        flag='--surface-source',
    )
    roi: tuple[str, ...] = option(
        ('caudalanteriorcingulate', 'rostralanteriorcingulate'),
        'cortical labels that make up the region of interest: of DKT, of any atlas of --atlas, '
        'areas of HCP-MMP1.0 and their groups subgenualACC, pregenualACC and dorsalACC, or of '
        'Desikan-Killiany, where ATLAS:LABEL names one; cortex for all of DKT',
        flag='--roi',
        metavar='LABEL',
    )
    atlas: tuple[str, ...] = option(
        (),
        'atlases of which regions are measured besides DKT and the cingulate areas of HCP-MMP1.0 '
        '(cortex) and CerebrA (volumes): NAME=PATH of a file or BIDS atlas folder (.nii.gz with '
        'a table index, name or a look-up table, in MNI152 space; .label.gii or .annot on '
        'fsaverage), or HCPMMP1 or Desikan',
        flag='--atlas',
        metavar='NAME=PATH',
    )
    density: Literal['41k', '10k'] = option(
        '41k',
        'vertices per hemisphere of the template mesh: 40,962 or 10,242',
        flag='--density',
    )
    mesh: Literal['fsaverage', 'civet', 'fsLR'] = option(
        'fsaverage',
        'mesh that vertex maps are factorized and compared on; civet and fsLR: maps are measured '
        'on the mesh of a derivative as well (CIVET 2.x with its resampled files; fsLR 32k of '
        'fMRIPrep, sMRIPrep or the HCP pipelines), vertex by vertex as they are, and the group '
        'level takes those',
        flag='--mesh',
    )
    mesh_labels: tuple[str, ...] = option(
        (),
        'labels at the vertices of --mesh, L=FILE and R=FILE (.label.gii, .annot, or text with a '
        "number a vertex, as CIVET's models have it); without, DKT labels of CerebrA by place in "
        'the T1w image',
        flag='--mesh-labels',
        metavar='L=FILE',
    )
    mesh_roi: tuple[str, ...] = option(
        (),
        'labels of --mesh that make up the region of interest there, by default those of --roi; '
        'of a text file the numbers',
        flag='--mesh-roi',
        metavar='LABEL',
    )
    skull_strip: Literal['auto', 'force', 'skip'] = option(
        'auto',
        'extract the brain: auto does unless the background is zero already',
        flag='--skull-strip',
    )
    brain_mask: str = option(
        '',
        'brain mask in the space of the T1w image, in whose name {subject} and {session} stand '
        'for the labels, e.g. masks/sub-{subject}_mask.nii.gz; without it, a desc-brain_mask of '
        '--derivatives is taken, or the brain is extracted',
        flag='--anat-brain-mask',
        metavar='FILE',
    )
    average: bool = option(
        False,
        'average the runs of the T1w image that are as good as the best, after rigid alignment',
        flag='--anat-average',
    )

    @property
    def region(self) -> tuple[str, ...]:
        """Labels of the region on the mesh that maps are factorized on."""
        return self.mesh_roi if self.mesh != TEMPLATE_MESH and self.mesh_roi else self.roi


@dataclass(frozen=True, config=STRICT)
class DwiSettings:
    """How diffusion images become FA, MD and MO."""

    source: Literal['auto', 'raw', 'derivative'] = option(
        'auto',
        'where the series comes from; auto takes one that --derivatives offers as preprocessed '
        '(desc-preproc_dwi, e.g. of QSIPrep), else the raw one',
        flag='--dwi-source',
    )
    denoise: Literal['auto', 'builtin', 'mrtrix3', 'none'] = option(
        'auto',
        'denoising by MP-PCA; auto takes dwidenoise when MRtrix3 is on PATH, else the built-in',
        flag='--dwi-denoise',
    )
    unringing: Literal['auto', 'mrtrix3', 'dipy', 'none'] = option(
        'auto',
        'removal of Gibbs ringing; auto takes mrdegibbs when MRtrix3 is on PATH, else skips '
        'it (DIPY takes minutes), and skips it for images acquired with partial Fourier',
        flag='--dwi-unringing',
    )
    motion: Literal['builtin', 'ants', 'eddy', 'none'] = option(
        'builtin',
        'correction of head motion and eddy currents; eddy needs FSL on PATH',
        flag='--dwi-motion',
    )
    susceptibility: Literal['auto', 'topup', 'pair', 'fieldmap', 'registration', 'none'] = option(
        'auto',
        'correction of susceptibility distortion; auto uses images of reversed phase encoding '
        'where there are any (topup when FSL is on PATH, else pair, which is built in), else a '
        'field map measured by gradient echoes (fieldmap), else '
        'registers to the T1w image when there is one, else skips it',
        flag='--dwi-susceptibility',
    )
    bias: Literal['n4', 'none'] = option(
        'n4', 'correction of the intensity bias field', flag='--dwi-bias'
    )
    tensor_fit: Literal['ols', 'wls', 'iwls'] = option(
        'iwls',
        'weights of the tensor fit: ols equal, wls squared signals, iwls squared predictions',
        flag='--dwi-tensor-fit',
    )
    b_max: float = option(
        1500.0,
        'largest b-value used for the tensor',
        flag='--dwi-b-max',
        metavar='B',
        gt=0,
        unit='s/mm2',
    )
    b0_threshold: float = option(
        50.0,
        'largest b-value that counts as b = 0',
        flag='--dwi-b0-threshold',
        metavar='B',
        ge=50,
        lt=1000,
        unit='s/mm2',
    )
    bvalue_scaling: Literal['auto', 'yes', 'no'] = option(
        'auto',
        'multiply b-values by the squared length of directions; auto does where all b-values are '
        'one and lengths form levels, as some scanners write shells',
        flag='--dwi-bvalue-scaling',
    )
    gradient_fix: bool = option(
        False,
        'swap or flip gradient axes when fibre coherence says that the table is wrong '
        '(it is always checked and reported)',
        flag='--dwi-fix-gradients',
    )
    depths: Literal['ribbon', 'midthickness'] = option(
        'ribbon',
        'where the cortex is sampled',
        flag='--dwi-depths',
    )
    tract_atlas: str | None = option(
        None,
        'atlas of white matter tracts (NAME=PATH of a .nii.gz of codes or probabilities in MNI152 '
        'space, with a table index, name beside it): means of the tensor maps over each tract; '
        'needs a T1w image',
        flag='--tract-atlas',
        metavar='NAME=PATH',
    )
    noddi: Literal['auto', 'require', 'none'] = option(
        'auto',
        'NODDI maps (icvf, isovf, od) of --derivatives at the cortex; require fails without '
        'them, they are never fitted here',
        flag='--dwi-noddi',
    )


@dataclass(frozen=True, config=STRICT)
class FuncSettings:
    """How BOLD series become activity, connectivity and task response."""

    source: Literal['auto', 'raw', 'derivative', 'finished'] = option(
        'auto',
        'where the series comes from; auto takes one that --derivatives offers as prepared '
        '(desc-preproc_bold of fMRIPrep), else finished measures of it (maps and tables of XCP-D, '
        'taken as they are), else the raw one',
        flag='--func-source',
    )
    finished_atlas: str = option(
        '',
        'atlas whose tables of connectivity are taken where --derivatives offers finished '
        'measures (default: 4S156Parcels where it is there, else another)',
        flag='--func-finished-atlas',
        metavar='NAME',
    )
    space: Literal[
        'auto', 'T1w', 'MNI152NLin2009cAsym', 'MNI152NLin6Asym', 'MNI152NLin2009aSym',
        'fsaverage', 'fsaverage6', 'fsaverage5',
    ] = option(
        'auto',
        'space of the prepared series that is taken from --derivatives; auto takes T1w where '
        'there is a T1w image, else MNI152, else fsaverage',
        flag='--func-space',
    )  # fmt: skip
    strategy: Literal[
        'compcor', 'compcor24', 'simple', '36p', 'compcor+gsr', 'compcor24+gsr', 'simple+gsr',
    ] = option(
        'compcor',
        'confounds that are regressed out: compcor 12 motion parameters, 5 components of white '
        'matter and 5 of CSF; compcor24 with squares too; simple 24 motion parameters, white '
        'matter and CSF; 36p with the global signal and all squares; +gsr adds the global signal',
        flag='--func-strategy',
    )  # fmt: skip
    censor_fd: float | None = option(
        None,
        'framewise displacement above which a volume and the one after it are left out '
        '(default: none is left out; their number is reported)',
        flag='--func-censor-fd',
        metavar='MM',
        gt=0,
        le=5,
        unit='mm',
    )
    band: tuple[PositiveHz, PositiveHz] = option(
        (0.01, 0.1),
        'lowest and highest frequency of connectivity, ReHo, ALFF and fALFF',
        flag='--func-band',
        metavar=('LOW', 'HIGH'),
        unit='Hz',
    )
    seeds: str = option(
        '',
        'table of seeds (name, x, y, z, radius_mm in MNI152, source) besides those of the package',
        flag='--func-seeds',
        metavar='FILE',
    )
    atlas: str = option(
        '',
        'labelled image in MNI152 whose regions are measured besides; a TSV of the same name '
        'with index and name (and hemisphere) beside it gives their names',
        flag='--func-atlas',
        metavar='FILE',
    )
    contrasts: tuple[str, ...] = option(
        (),
        'contrasts of the conditions of a task, such as faces-shapes (default: each condition '
        'against rest)',
        flag='--func-contrasts',
        metavar='A-B',
    )
    gate: str = option(
        'rest',
        'thresholds for a resting series: rest, rest-strict, none or a JSON file; the verdict '
        'stands in the table of quality',
        flag='--func-gate',
        metavar='PRESET|FILE',
    )

    @field_validator('band')
    @classmethod
    def _lowest_first(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] >= value[1]:
            raise ValueError('the lowest frequency comes first')
        return value


@dataclass(frozen=True, config=STRICT)
class MtrSettings:
    """How magnetization transfer images become a ratio."""

    source: Literal['auto', 'pair', 'map'] = option(
        'auto',
        'what the ratio is taken from: a pair of images with and without saturation (mt-on and '
        'mt-off), or a ready MTRmap, also of --derivatives; auto prefers the pair',
        flag='--mtr-source',
    )
    noise_floor: float = option(
        5.0,
        'signal without saturation below which there is no ratio, as a multiple of the noise',
        flag='--mtr-noise-floor',
        metavar='N',
        ge=0,
        le=50,
    )


@dataclass(frozen=True, config=STRICT)
class MrsSettings:
    """How spectra become gated metabolite levels."""

    engine: Literal['auto', 'builtin', 'lcmodel', 'import'] = option(
        'auto',
        'what fits the spectra; auto imports the fits of --mrs-fits where there are any and '
        'otherwise fits with the engine built in',
        flag='--mrs-engine',
    )
    second_engine: Literal['none', 'builtin', 'lcmodel', 'import'] = option(
        'none',
        'a second engine, for a table of concordance',
        flag='--mrs-second-engine',
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
        'thresholds: acc-structure, acc-glutamate, mega-press or a JSON file',
        flag='--mrs-gate',
        metavar='PRESET|FILE',
    )
    ratios: tuple[str, ...] = option(
        (),
        'ratios besides those to tCr, such as Glx/tNAA',
        flag='--mrs-ratios',
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
    sequence: Literal['auto', 'press', 'steam', 'slaser'] = option(
        'auto',
        'localisation sequence; auto reads it from the metadata',
        flag='--mrs-sequence',
    )
    te1: float | None = option(
        None,
        'first part of the echo time, which moves glutamate by up to 30 percent (default: by '
        'PulseSequenceTiming of the sidecar, else assumed from the sequence, and said so)',
        flag='--mrs-te1',
        metavar='SECONDS',
        gt=0,
        lt=1,
        unit='s',
    )
    tm: float | None = option(
        None,
        'mixing time of STEAM (default: MixingTime of the sidecar, else assumed and said so)',
        flag='--mrs-tm',
        metavar='SECONDS',
        gt=0,
        lt=5,
        unit='s',
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
        '8 with parametrised macromolecules, 1.5 with measured ones); a second fit with another '
        'one tells what depends on it',
        flag='--mrs-baseline-ed',
        metavar='N',
        gt=0,
        le=50,
    )
    ppm_max: float = option(
        4.2,
        'upper end of the range that is fitted, in ppm; 4.0 is the default of LCModel, for ratios '
        'that are compared with its own',
        flag='--mrs-ppm-max',
        metavar='PPM',
        ge=3.6,
        le=4.3,
    )
    eddy_current: Literal['auto', 'on', 'off'] = option(
        'auto',
        'eddy-current correction from the water reference; auto leaves it out where the scanner '
        'has done it',
        flag='--mrs-eddy-current',
    )
    blocks: str | None = option(
        None,
        'time course: fit the averages of this many equal blocks of transients, or those of the '
        'types of events in *_events.tsv beside the spectrum',
        flag='--mrs-blocks',
        metavar='N|events',
    )
    edit_index: int = option(
        -1,
        'editing condition to fit, counted from 0 (-1: edit-OFF, by header or data)',
        flag='--mrs-edit-index',
        metavar='N',
        ge=-1,
    )


@dataclass(frozen=True, config=STRICT)
class GroupSettings:
    """How the cohort is analysed."""

    model: str | None = option(
        None,
        'model file (*_smdl.json), a shipped preset, or auto to accept the proposed model',
        flag='--model',
        metavar='FILE|PRESET|auto',
    )
    exclude: str | None = option(
        None,
        'table of what raters left out (participant_id, session_id, modality, reason, rater); '
        'without it code/exclude.tsv and code/*_exclude.tsv in the output folder, if there',
        flag='--exclude',
        metavar='FILE',
    )
    measures: str | None = option(
        None,
        'table of measures (group/measures.tsv, edited or extended) that is analysed in place of '
        'the results in the output folder',
        flag='--measures',
        metavar='FILE',
    )
    metrics: tuple[str, ...] = option(
        ('thickness', 'area', 'fa', 'md'),
        'vertex metrics that are factorized and compared; those of which there is no map are '
        'left out, and it is said',
        flag='--opnmf-metrics',
        metavar='METRIC',
    )
    smooth_mm: float = option(
        0.0,
        'full width at half maximum of the kernel with which maps are smoothed along the cortex '
        'before they are factorized and measured in parcels; 0 for none (users of CIVET take 20 '
        'to 30, and their maps may be smoothed already)',
        flag='--opnmf-smooth-mm',
        metavar='MM',
        ge=0,
        le=60,
        unit='mm',
    )
    k_range: tuple[AtLeastTwo, AtLeastTwo] = option(
        (2, 10),
        'smallest and largest number of components that is examined',
        flag='--opnmf-k-range',
        metavar=('SMALLEST', 'LARGEST'),
    )
    n_components: int | None = option(
        None,
        'number of components to use in place of the one that the rule picks (both are reported)',
        flag='--opnmf-components',
        metavar='K',
        ge=2,
    )
    rule: Literal['variation', 'stability', 'published'] = option(
        'variation',
        'what picks the number of components: the elbow of the variation error among stable '
        'numbers, the largest drop of stability, or the published reading of the curves',
        flag='--opnmf-rule',
    )
    hemispheres: Literal['together', 'apart'] = option(
        'together',
        'factorize both hemispheres at once, as published, or each by itself',
        flag='--opnmf-hemispheres',
    )
    labels: Literal['variation', 'weight'] = option(
        'variation',
        'what a vertex is given to: the component whose scores it follows most closely over '
        'sessions, or, as published, the one with its largest weight (both are written)',
        flag='--opnmf-labels',
    )
    n_splits: int = option(
        10,
        'random halves for the stability index',
        flag='--opnmf-splits',
        metavar='N',
        ge=1,
    )
    strata: tuple[str, ...] = option(
        (),
        'columns of participants.tsv of which both halves get equal shares, the most important '
        "first; without, the model's group and age. Strata of one person are merged, and it is "
        'said',
        flag='--opnmf-strata',
        metavar='COLUMN',
    )
    n_init: int = option(
        1,
        'starts of each factorization; 1 is the published practice',
        flag='--opnmf-starts',
        metavar='N',
        ge=1,
    )
    n_bootstrap: int = option(
        100,
        'resampled cohorts for the confidence of each vertex',
        flag='--opnmf-bootstraps',
        metavar='N',
        ge=0,
    )
    max_missing: float = option(
        0.05,
        'largest share of missing vertices with which a session takes part in the factorization',
        flag='--opnmf-max-missing',
        metavar='SHARE',
        ge=0,
        lt=1,
    )
    atlas: str | None = option(
        None,
        'parcellation made before (folder with label.gii files); its parcels are measured and '
        'nothing is factorized',
        flag='--opnmf-atlas',
        metavar='PATH',
        folder=True,
    )

    @field_validator('k_range')
    @classmethod
    def _smallest_first(cls, value: tuple[int, int]) -> tuple[int, int]:
        if value[0] > value[1]:
            raise ValueError('the smallest number comes first')
        return value


@dataclass(frozen=True, config=STRICT)
class Resources:
    """What the machine may give; never changes a result."""

    nprocs: int = option(
        1,
        'processes that run at the same time',
        flag='--nprocs',
        metavar='N',
        ge=1,
        le=MOST_WORKERS,
    )
    omp_nthreads: int = option(
        1,
        'threads that one step may use',
        flag='--omp-nthreads',
        metavar='N',
        ge=1,
        le=MOST_WORKERS,
    )
    mem_gb: float | None = option(
        None, 'memory to stay below, in GB (default: what the machine or cgroup allows)',
        flag='--mem', metavar='GB',
        gt=0, unit='GB',
    )  # fmt: skip
    plugin: str | None = option(
        None, 'Nipype plug-in (Linear, MultiProc, SLURM, ...) or a YAML/JSON file that names '
        'plugin and plugin_args', flag='--use-plugin', metavar='NAME|FILE',
    )  # fmt: skip


@dataclass(frozen=True, config=STRICT)
class Settings:
    """Everything a run was asked to do except which files it reads and writes."""

    anat: AnatSettings = dataclasses.field(default_factory=AnatSettings)
    dwi: DwiSettings = dataclasses.field(default_factory=DwiSettings)
    func: FuncSettings = dataclasses.field(default_factory=FuncSettings)
    mtr: MtrSettings = dataclasses.field(default_factory=MtrSettings)
    mrs: MrsSettings = dataclasses.field(default_factory=MrsSettings)
    group: GroupSettings = dataclasses.field(default_factory=GroupSettings)
    resources: Resources = dataclasses.field(default_factory=Resources)
    random_seed: int = option(
        20261121,
        'seed of every random step',
        flag='--random-seed',
        metavar='N',
        ge=0,
    )
