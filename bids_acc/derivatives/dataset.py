"""Files that make the output folder a BIDS derivative data set of its own.

They are written before anything is computed: a folder that cannot be written is found in the
first second, not after a night.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd

from bids_acc import __version__
from bids_acc.derivatives.links import link_names, location
from bids_acc.derivatives.outputs import ENTITIES, OutputSpec, load_table, read_sidecar
from bids_acc.derivatives.sources import (
    LINK,
    adopt_earlier,
    keep_source,
    links_of,
    merged_tables,
    source_datasets,
    with_source,
)
from bids_acc.files.reading import LARGEST_TABLE, read_whole
from bids_acc.files.writing import check_space, json_bytes, write_once
from bids_acc.tables.writing import tsv_bytes

LOGGER = logging.getLogger(__name__)

BIDS_VERSION = '1.11.1'

FOLDERS = 'group\nfigures\nsub-*.html\ngroup.html\ntpl-*/**/*_probseg.*\n'
"""What ``.bidsignore`` names besides the outputs of subjects; a folder stands without a slash,
which the validator would not match."""

DENSITIES = ('41k', '10k')
"""Densities of the template mesh."""
UNKNOWN_DATATYPES = frozenset({'mrs', 'func'})
"""Data types for whose derivatives BIDS 1.11 has no names at all."""
UNKNOWN_SUFFIXES = frozenset(
    {'thickness', 'area', 'volume', 'dwimap', 'white', 'pial', 'midthickness', 'xfm', 'scanner'}
)
"""Suffixes of proposals that are not merged (BEP011, BEP014, BEP016)."""
UNKNOWN_DESCRIPTIONS = frozenset(
    {'qualitycontrol', 'motion', 'regions', 'tracts', 'bundles', 'mrsvoxel'}
)
UNKNOWN_EXTENSIONS = frozenset({'.bval', '.bvec'})


def bidsignore() -> str:
    """Return ``.bidsignore``: the names of the table of outputs that BIDS 1.11 does not know.

    Each name is written with all that is fixed in it, so that a file which does not belong here
    is still found by the validator.
    """
    specs = [spec for spec in load_table().values() if spec.level != 'dataset']
    patterns = (pattern for spec in specs if _is_unknown(spec) for pattern in name_patterns(spec))
    return FOLDERS + '\n'.join(dict.fromkeys(patterns)) + '\n'


def _is_unknown(spec: OutputSpec) -> bool:
    """Tell whether BIDS has no rule for an output."""
    names = spec.entities
    return (
        spec.datatype in UNKNOWN_DATATYPES
        or names.get('suffix') in UNKNOWN_SUFFIXES
        or names.get('description') in UNKNOWN_DESCRIPTIONS
        or names.get('extension') in UNKNOWN_EXTENSIONS
        or (names.get('suffix') == 'MTRmap' and names.get('extension') == '.shape.gii')
        or (names.get('label') == 'ACC' and names.get('suffix') == 'dseg')
    )


def name_patterns(spec: OutputSpec) -> list[str]:
    """Return patterns for the names of an output and of its sidecar.

    Of the name, as much is written as is fixed before its end. The validator's patterns know two
    stars, not three.

    Parameters
    ----------
    spec : OutputSpec
        Row of the table of outputs. Entities come in BIDS' order in its names.

    Returns
    -------
    list of str
        For ``.bidsignore``.

    Examples
    --------
    >>> from bids_acc.derivatives.outputs import output_spec
    >>> name_patterns(output_spec('mrs_fit'))
    ['*_desc-fit_svs.*']
    >>> name_patterns(output_spec('anat_thickness'))
    ['*_space-fsaverage_den-41k_thickness.*', '*_space-fsaverage_den-10k_thickness.*']
    >>> name_patterns(output_spec('dwi_map'))
    ['*_model-tensor_param-*']
    >>> name_patterns(output_spec('dwi_preproc_bval'))  # the image itself is known
    ['*_desc-preproc_dwi.bval']
    """
    extension = spec.entities.get('extension', '')
    ends = [f'_{spec.entities.get("suffix", "")}.*']
    for long in reversed([name for name in ENTITIES if name != 'subject']):
        short = ENTITIES[long]
        if long in spec.entities:
            ends = [f'_{short}-{spec.entities[long]}{end}' for end in ends]
        elif long == 'density' and long in spec.free:
            ends = [f'_{short}-{density}{end}' for density in DENSITIES for end in ends]
        elif long in spec.free and ends == [f'_{spec.entities["suffix"]}.*']:
            ends = [f'_{short}-*']
        elif long in spec.free or long in spec.inherit:
            break
    if extension in UNKNOWN_EXTENSIONS:
        ends = [end.removesuffix('.*') + extension for end in ends]
    return [f'*{end}' for end in ends]


README = """\
bids_acc derivatives
====================

`sub-*.html` shows each person's images, spectra and quality verdicts; `group.html` the cohort's
results. `participants.tsv` and `phenotype/` are copies of the input (of all data
sets together, kept apart in `code/sources`), so that the group level
needs this folder only. `logs/<run>/status.tsv` tells what was done, reused, skipped or failed,
and why. Names that BIDS does not know yet are listed in `.bidsignore`: surface metrics (BEP011),
diffusion maps named as BEP016 proposes, functional ones named as BEP012 proposes and XCP-D writes
them, and MRS derivatives, for which no proposal exists.
"""


def dataset_description(
    bids_dir: Path | None,
    container: Mapping[str, str] | None = None,
    links: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Describe the derivative data set.

    Parameters
    ----------
    bids_dir : Path, optional
        Root of the raw data set.
    container : mapping, optional
        ``Type``, ``Tag`` and ``URI`` of the image.
    links : mapping, optional
        Name of each data set in BIDS URIs to where it lies.
    """
    generator: dict[str, Any] = {
        'Name': 'bids_acc',
        'Version': __version__,
        'Description': 'Anterior cingulate structure, diffusion, function and 1H-MRS',
    }
    if container:
        generator['Container'] = dict(container)
    description: dict[str, Any] = {
        'Name': 'bids_acc derivatives',
        'BIDSVersion': BIDS_VERSION,
        'DatasetType': 'derivative',
        'License': 'As the source data',
        'GeneratedBy': [generator],
    }
    if bids_dir is not None:
        raw = read_sidecar(bids_dir / 'dataset_description.json')
        source = {'URL': f'file://{bids_dir.resolve()}'}
        if doi := raw.get('DatasetDOI'):
            source['DOI'] = str(doi)
        if authors := _names(raw.get('Authors')):
            description['Authors'] = authors
        description['SourceDatasets'] = [source]
        description['DatasetLinks'] = dict(links or {})
    return description


def _names(value: object) -> list[str]:
    """Return the authors of a list; nothing of anything else."""
    return (
        [a for a in value if isinstance(a, str) and a.strip()] if isinstance(value, list) else []
    )


DIGEST_VARIABLE = 'BIDS_ACC_CONTAINER_DIGEST'
IMAGE_DIGEST = re.compile(r'[a-z0-9][\w./:-]*@sha256:[0-9a-f]{64}')
"""Name and digest of an image, as registries know it."""


def container_from_environment() -> dict[str, str] | None:
    """Tell which image this runs in, if any.

    The image sets ``BIDS_ACC_CONTAINER_TAG``; Apptainer sets ``APPTAINER_CONTAINER``. An image
    cannot know its own digest: whoever starts it hands that in as ``BIDS_ACC_CONTAINER_DIGEST``,
    as ``docker image inspect`` prints it (``NAME@sha256:...``).

    Returns
    -------
    dict of str to str or None
        ``Type``, ``Tag`` and ``URI``, as far as known, for ``Container`` of BIDS' GeneratedBy. A
        digest prevails over the path of an Apptainer image, which tells others nothing.
    """
    tag = os.environ.get('BIDS_ACC_CONTAINER_TAG')
    # Apptainer and the Singularity before it set their own; Docker sets none
    image = os.environ.get('APPTAINER_CONTAINER') or os.environ.get('SINGULARITY_CONTAINER')
    given = os.environ.get(DIGEST_VARIABLE, '').strip().removeprefix('docker://')
    # a tag can be moved to another image, a digest cannot: nothing else is worth recording
    if given and not IMAGE_DIGEST.fullmatch(given):
        LOGGER.warning(
            '%s=%s is not used: it must be NAME@sha256: and 64 hexadecimal digits.',
            DIGEST_VARIABLE, given,
        )  # fmt: skip
        given = ''
    if not (tag or image or given):
        return None
    uri = f'docker://{given}' if given else image
    return {
        'Type': 'apptainer' if image else 'docker',
        **({'Tag': tag} if tag else {}),
        **({'URI': uri} if uri else {}),
    }


def write_dataset_files(
    bids_dir: Path, output_dir: Path, derivatives: Mapping[str, Path] | None = None
) -> dict[str, Path]:
    """Write the description, ``.bidsignore``, the README and the tables of people.

    A folder may be made from several data sets, one after the other: all are listed, and their
    tables are merged by participant (`bids_acc.derivatives.sources`).

    Parameters
    ----------
    bids_dir, output_dir : Path
        Root of the raw and of the derivative data set.
    derivatives : mapping of str to Path, optional
        Further data sets that are read.

    Returns
    -------
    dict of str to Path
        Name of each data set in BIDS URIs, and its root.

    Raises
    ------
    InputDataError
        If two data sets say different things of one person.
    OutputError
        If the folder cannot be written.
    """
    check_space(output_dir)
    adopt_earlier(output_dir, bids_dir)
    sources, mine = with_source(
        bids_dir, output_dir, read_sidecar(bids_dir / 'dataset_description.json')
    )
    tables = merged_tables(sources)  # contradictions are refused before anything is written
    names = link_names(str(mine.record[LINK]), bids_dir, derivatives or {})
    # sidecars of earlier runs may name a data set that this one does not read
    before = read_sidecar(output_dir / 'dataset_description.json')
    earlier = before.get('DatasetLinks') or {}
    found = {name: location(root, output_dir) for name, root in names.items()}
    links = {**earlier, **links_of(sources), **found}
    description = dataset_description(bids_dir, container_from_environment(), links)
    if len(sources) > 1:
        description['SourceDatasets'] = source_datasets(sources)
        everybody = [*_names(before.get('Authors')), *description.get('Authors', [])]
        if everybody:
            description['Authors'] = list(dict.fromkeys(everybody))
    # the description first: from then on the folder is known to be ours
    write_once(output_dir / 'dataset_description.json', json_bytes(description))
    write_once(output_dir / '.bidsignore', bidsignore().encode())
    write_once(output_dir / 'README.md', README.encode())
    _write_descriptions(output_dir)
    keep_source(bids_dir, mine)
    for table, content in tables.items():
        write_once(output_dir / table, content)
    return names


def copy_sessions_file(bids_dir: Path, output_dir: Path, subject: str) -> None:
    """Copy a subject's ``sub-<label>_sessions.tsv`` and its sidecar, if they are there.

    Parameters
    ----------
    bids_dir : Path
        Raw data set.
    output_dir : Path
        Root of the derivatives, where the group level reads ages and scores of visits.
    subject : str
        Label without prefix.
    """
    for suffix in ('.tsv', '.json'):
        source = bids_dir / f'sub-{subject}' / f'sub-{subject}_sessions{suffix}'
        if source.is_file():
            write_once(
                output_dir / f'sub-{subject}' / source.name, read_whole(source, LARGEST_TABLE)
            )


def _write_descriptions(output_dir: Path) -> None:
    """Explain each ``desc-`` label that the table of outputs uses."""
    used: dict[str, str] = {}
    for spec in load_table().values():
        label = spec.entities.get('description')
        if label and spec.datatype != 'figures' and spec.level != 'dataset':
            used.setdefault(f'desc-{label}', str(spec.metadata.get('Description', spec.key)))
    if used:
        table = pd.DataFrame({'desc_id': sorted(used)})
        table['description'] = [used[name] for name in table['desc_id']]
        write_once(output_dir / 'descriptions.tsv', tsv_bytes(table))


def new_run_folder(output_dir: Path) -> Path:
    """Make the folder of one run's logs; two runs at the same time never share one.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives.

    Returns
    -------
    Path
        ``logs/<UTC date>-<time>_<random>`` below it.
    """
    # jobs of an array start in the same second
    stamp = datetime.now(UTC).strftime('%Y%m%d-%H%M%S')
    folder = output_dir / 'logs' / f'{stamp}_{uuid4().hex[:8]}'
    folder.mkdir(parents=True)
    return folder
