"""Every reader of a file that users give, against noise: one of our errors, or a result.

The corpus is built here: a small sound file of each kind. Each example damages it in one of the
ways in which files are damaged (bytes changed, cut, doubled, words put in), or replaces it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.freesurfer.io import write_annot

from bids_acc.bids.selection import read_filters
from bids_acc.clinical.history import collect_histories, read_table
from bids_acc.derivatives.records import read_record
from bids_acc.exceptions import BidsAccError
from bids_acc.execution.plugins import make_plugin
from bids_acc.func import sampling
from bids_acc.func.denoising import choose_regressors, count_dummies, read_confounds
from bids_acc.func.regions import seed_regions
from bids_acc.func.task import choose_contrasts, read_events
from bids_acc.group.cohort.exclusions import read_verdicts
from bids_acc.group.measures.files import read_measures
from bids_acc.group.statistics.model.declaration import presets, read_model
from bids_acc.images.files import read_image
from bids_acc.mrs.basis.basis_set import write_lcmodel_basis
from bids_acc.mrs.basis.files import read_basis_file
from bids_acc.mrs.engines.importers.fsl import fsl_result
from bids_acc.mrs.engines.importers.lcmodel import parse_coord, parse_csv, parse_table
from bids_acc.mrs.engines.importers.osprey import osprey_result
from bids_acc.mrs.levels.constants import load_relaxation
from bids_acc.mrs.scan.io import read_nifti_mrs, write_nifti_mrs
from bids_acc.quality.gate import load_gate
from bids_acc.settings import Resources
from bids_acc.settings.files import read_toml
from bids_acc.surfaces import gifti
from bids_acc.surfaces.atlases import load_atlas, read_region_names
from bids_acc.surfaces.gifti import read_series
from bids_acc.surfaces.template import DENSITIES
from bids_acc.tables.people import read_people_table
from bids_acc.tables.reading import read_tsv
from tests.faults.tally import damaged
from tests.interfaces.test_mrs_robustness import Case, measure
from tests.synthetic.bids_folder import write_image
from tests.synthetic.fmriprep import components, confound_table
from tests.synthetic.lcmodel import creatine

PACKAGE = Path(__file__).resolve().parents[2] / 'bids_acc'
EXAMPLES = int(os.environ.get('BIDS_ACC_FUZZ', '60'))
"""Examples of each reader; set it to many thousands for a long search."""


TABLE = b""" LCModel (Version 6.3-1N)
 title
 Data of: 32 ms
$$CONC 4 lines in following concentration table = NCONC+1
    Conc.  %SD /Cr+PCr  Metabolite
    5.000   5%   0.500 Cr
    5.000   5%   0.500 PCr
    9.000   4%   0.900 Glu
$$MISC 2 lines in following misc. output table
  FWHM = 0.046 ppm    S/N = 25
  Data shift = 0.012 ppm
$$DIAG 0 lines in following diagnostic table:
$$INPU 3 lines in following table:
 deltat= 5e-4
 hzpppm= 127.75
 wconc= 55510
"""
COORD = b""" LCModel (Version 6.3-1N)
4 points on ppm-axis = NY
 4.0 3.0 2.0 1.0
NY phased data points follow
 1.0 2.0 3.0 4.0
NY points of the fit to the data follow
 1.0 2.0 3.0 4.0
NY background values follow
 0.0 0.0 0.0 0.0
 Cr       Conc. = 5.0
 1.0 2.0 3.0 4.0
"""
CSV = b'Row, Col, Cr, Cr %SD, Cr/Cr, Glu, Glu %SD, Glu/Cr\n 1, 1, 5.0, 5, 1.0, 9.0, 4, 1.8\n'
FSL = b'Metab,mMol/kg,mMol/kg CRLB,%CRLB,SNR,FWHM\nCr,5.0,0.2,4,30,5\nGlu,9.0,0.3,3,30,5\n'
PLUGIN = b'plugin: MultiProc\nplugin_args:\n  n_procs: 2\n  memory_gb: 4\n'
FILTERS = b'{"t1w": {"run": 1, "acquisition": ["a", null]}, "dwi": {"direction": "AP"}}'
RECORD = b"""{"label": "sub-01_anat", "version": "1", "settings": "a", "inputs": {"a": "b"},
"upstream": {}, "outputs": {"sub-01/a.tsv": "c"}, "fields": {"x": ["sub-01/a.tsv"]}}"""
CONFOUNDS = (
    confound_table(np.random.default_rng(0), 20, 1)
    .to_csv(sep='\t', index=False, na_rep='n/a', float_format='%.3f')
    .encode()
)
EVENTS = b'onset\tduration\ttrial_type\n0\t2\tfaces\n10.5\tn/a\tshapes\n'
SEEDS = b'name\tx\ty\tz\tradius_mm\tsource\nsgACC\t0\t24\t-10\t6\tmine\n'
NAMES = b'index\tname\themisphere\n' + b''.join(
    b'%d\tregion%d\tn/a\n' % (i, i) for i in range(100)
)
VERDICTS = b'participant_id\tmodality\trating\treason\nsub-01\tanat\texclude\tghosts\n'
RATINGS = b'participant_id\tpatient\thistory_complete\nsub-01\ttrue\ttrue\n'
MEASURES = b'participant_id\tsession_id\tgroup\tage\tGlu\nsub-01\tses-1\tHC\t30\t1.25\n'
PEOPLE = b'participant_id\tsession_id\tage\tsex\nsub-01\tses-1\t30\tF\nsub-02\tses-1\t-9\tn/a\n'
COMPONENTS = json.dumps(components()).encode()
HISTORY = b'participant_id\tdrug\tdose\tstart\nsub-01\tclozapine\t300\t2020-01-01\n'


def basis(folder: Path) -> bytes:
    """Return a basis set of LCModel with one metabolite."""
    return write_lcmodel_basis(folder / 'a.basis', creatine()[1]).read_bytes()


def image(folder: Path, shape: tuple[int, ...], dtype: str) -> bytes:
    """Return a small NIfTI image."""
    return write_image(folder / 'a.nii', shape, dtype).read_bytes()


def spectrum(folder: Path) -> bytes:
    """Return a spectrum as NIfTI-MRS with its header extension."""
    return Path(measure(Case(points=64), folder)[0]).read_bytes()


def edited(folder: Path) -> bytes:
    """Return a MEGA-edited spectrum as NIfTI-MRS: transients of OFF and ON."""
    data = read_nifti_mrs(measure(Case(points=64), folder)[0])
    fid = data.fids.ravel()[:64]
    pair = data.with_conditions({'OFF': fid, 'ON': 0.5 * fid})
    return write_nifti_mrs(pair, folder / 'edited.nii.gz').read_bytes()


def annotation(folder: Path) -> bytes:
    """Return a FreeSurfer annotation of the template's mesh; all of one region."""
    path = folder / 'lh.sound.annot'
    table = np.array([[25, 5, 25, 0, 0]])
    write_annot(path, np.zeros(DENSITIES['41k'], dtype=int), table, ['cingulate'], fill_ctab=True)
    return path.read_bytes()


def surface_series(folder: Path) -> bytes:
    """Return a series on four vertices."""
    return gifti.map_image(np.eye(4), 'L', list('abcd')).to_bytes()


def _beside(path: Path, name: str, content: bytes) -> Path:
    """Write a sound file beside the one that is searched."""
    other = path.with_name(name)
    other.write_bytes(content)
    return other


def own_atlas(path: Path, name: str, content: bytes) -> Any:
    """Read what ``--atlas`` names, with a sound file beside it."""
    _beside(path, name, content)
    return load_atlas.__wrapped__(f'A={path}')


def read_bold(path: Path) -> Any:
    """Read a BOLD series as the run does: vertices and voxels."""
    points = np.full((1, 2, 3), 4.0)
    return sampling.read_volume_run(path, None, 0, points, np.ones((1, 2)))


Reader = Callable[[Path], Any]
READERS: dict[str, tuple[str, bytes | Callable[[Path], bytes], Reader]] = {
    'LCModel table': ('a.table', TABLE, parse_table),
    'LCModel curves': ('a.coord', COORD, parse_coord),
    'LCModel spreadsheet': ('a.csv', CSV, parse_csv),
    'LCModel basis': ('a.basis', basis, read_basis_file),
    'fsl_mrs': ('summary.csv', FSL, fsl_result),
    'history': ('trials.tsv', HISTORY, read_table),
    'table': ('a.tsv', HISTORY, read_tsv),
    'plug-in': ('a.yml', PLUGIN, lambda p: make_plugin(Resources(plugin=str(p)))),
    'NIfTI-MRS': ('a.nii.gz', spectrum, read_nifti_mrs),
    'image': ('a.nii', lambda f: image(f, (3, 3, 3), 'int16'), read_image),
    'gate': ('a.json', (PACKAGE / 'data/mrs/gates/acc-glutamate.json').read_bytes(), load_gate),
    'relaxation': (
        'a.json', (PACKAGE / 'data/mrs/relaxation-3T.json').read_bytes(),
        lambda p: load_relaxation(str(p)),
    ),
    'settings': ('a.toml', b'random_seed = 1\n[dwi]\nb_max = 1500.0\n', read_toml),
    'filters': ('a.json', FILTERS, read_filters),
    'model': ('a.json', next(iter(presets().values())).read_bytes(), read_model),
    'confounds': (
        'a.tsv', CONFOUNDS, lambda p: choose_regressors(read_confounds(p, None, 20, 1), 'simple')
    ),
    'components': (
        'a.json', COMPONENTS, lambda p: choose_regressors(
            read_confounds(_beside(p, 'a.tsv', CONFOUNDS), p, 20, 1), 'compcor'
        ),
    ),
    'dummies': ('a.tsv', CONFOUNDS, count_dummies),
    'events': ('a.tsv', EVENTS, lambda p: read_events(p, 100.0)),
    'contrasts': (
        'a.tsv', EVENTS,
        lambda p: choose_contrasts(sorted(set(read_events(p, 100.0)['trial_type'])), []),
    ),
    'seeds': ('a.tsv', SEEDS, seed_regions),
    'volume atlas': (
        'tpl-MNI152NLin2009cAsym_a.nii',
        lambda f: image(f, (3, 3, 3), 'uint8'),
        lambda p: own_atlas(p, f'{p.stem}.tsv', NAMES),
    ),
    'names of regions': (
        'a.tsv', NAMES, lambda p: read_region_names(p.with_name('a.nii.gz')),
    ),
    'annotation': (
        'lh.a.annot', annotation, lambda p: own_atlas(p, 'rh.a.annot', p.read_bytes()),
    ),
    'series on a surface': ('a.func.gii', surface_series, read_series),
    'BOLD': ('a.nii', lambda f: image(f, (4, 4, 4, 4), 'int16'), read_bold),
    'edited spectrum': ('a.nii.gz', edited, read_nifti_mrs),
    'verdicts': (
        'a.tsv', VERDICTS, lambda p: read_verdicts(p, p.parent, [('sub-01', None)]),
    ),
    'histories': ('trials.tsv', HISTORY, lambda p: collect_histories(
        read_table(p), read_table(_beside(p, 'ratings.tsv', RATINGS)))),
    'measures': ('measures.tsv', MEASURES, read_measures),
    'people': ('participants.tsv', PEOPLE, lambda p: read_people_table(p).frame),
    'description of people': (
        'participants.json', b'{"age": {"Units": "years", "Minimum": 18, "Levels": {"a": "b"}}}',
        lambda p: read_people_table(_beside(p, 'participants.tsv', PEOPLE)).frame,
    ),
    'record': (
        'logs/records/sub-01_anat.json', RECORD,
        lambda p: read_record(p.parents[2], 'sub-01_anat'),
    ),
}  # fmt: skip

WORDS = [b'', b'\x00', b'\xff\xfe', b'\xef\xbb\xbf', b'9' * 400, b'1e999', b'nan', b'-1', b'{',
         b'[', b'"', b'\t', b'\n', b'null', b'true', b'\\ud800', b'$', b'%', b',', b'= ',
         b'99999999999', b'[' * 5000, 'é'.encode('latin-1')]  # fmt: skip


@st.composite
def damage(draw: st.DrawFn, sound: bytes) -> bytes:
    """Damage a file in a few places."""
    content = sound
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        length = draw(st.sampled_from([0, 1, 3, 10, 100, len(content)]))
        new = draw(st.sampled_from(WORDS) | st.binary(max_size=8))
        content = content[:start] + new + content[start + length :]
    return content


@pytest.mark.parametrize('kind', READERS)
def test_no_file_raises_what_is_not_ours(kind, tmp_path):
    name, sound, reader = READERS[kind]
    if not isinstance(sound, bytes):
        sound = sound(tmp_path)
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)

    @settings(max_examples=EXAMPLES)
    @given(damage(sound) | st.binary(max_size=200))
    def search(content: bytes) -> None:
        path.write_bytes(content)
        with damaged(kind):
            said = ''
            try:
                reader(path)
            except BidsAccError as error:
                said = str(error)
            assert len(said.encode()) < 2000  # can be printed

    search()


@pytest.mark.parametrize('kind', READERS)
def test_the_corpus_is_sound(kind, tmp_path):
    """Noise on files that are refused anyway would find nothing."""
    name, sound, reader = READERS[kind]
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(sound if isinstance(sound, bytes) else sound(tmp_path))
    found = reader(path)
    assert found is not None
    assert not (isinstance(found, np.ndarray) and found.size == 0)


@settings(max_examples=EXAMPLES)
@given(st.binary(max_size=300), st.binary(max_size=300))
def test_osprey_folders(tmp_path_factory, amounts, ratios):
    root = tmp_path_factory.mktemp('osprey')
    folder = root / 'QuantifyResults'
    folder.mkdir()
    for quantity, content in (('amplMets', amounts), ('tCr', ratios)):
        (folder / f'A_{quantity}_Voxel_1_Basis_1.tsv').write_bytes(content)
    with damaged('Osprey folder'), pytest.raises(BidsAccError):
        osprey_result(root)
