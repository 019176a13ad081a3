"""Extra participants, each broken in one way that real datasets are broken in.

`sub-sound` is what they were before. They test that one bad participant stops neither the others
nor the command. The dataset is then no longer valid BIDS, on purpose.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from bids_acc.demo.cohort import draw_cohort
from bids_acc.demo.dataset import DemoOptions, append_participants, make_scene, write_participant
from bids_acc.demo.files import write_json

LOGGER = logging.getLogger(__name__)

ANNEX_TARGET = '../../.git/annex/objects/Xx/Yy/MD5E-s1--0/MD5E-s1--0.nii.gz'
"""Where the link of a file goes whose content git-annex has not fetched."""


def _find(folder: Path, pattern: str) -> Path:
    """Return the one file that matches, link or not."""
    return next(path for path in sorted(folder.rglob(pattern)))


def missing_t1w(folder: Path) -> None:
    """Remove the T1w image: diffusion and spectroscopy run without anatomy.

    Parameters
    ----------
    folder : Path
        Of one participant.
    """
    shutil.rmtree(_find(folder, '*_T1w.nii.gz').parent)


def empty_t1w(folder: Path) -> None:
    """Leave a T1w image of zero bytes.

    Parameters
    ----------
    folder : Path
        Of one participant.
    """
    _find(folder, '*_T1w.nii.gz').write_bytes(b'')


def unfetched_dwi(folder: Path) -> None:
    """Leave a diffusion image that is a dangling git-annex link.

    Parameters
    ----------
    folder : Path
        Of one participant; the link leads to `ANNEX_TARGET`.
    """
    path = _find(folder, '*_dwi.nii.gz')
    path.unlink()
    path.symlink_to(ANNEX_TARGET)


def missing_bval(folder: Path) -> None:
    """Leave no b-values, neither here nor further up.

    Parameters
    ----------
    folder : Path
        Of one participant.
    """
    _find(folder, '*_dwi.bval').unlink()


def short_bvec(folder: Path) -> None:
    """Leave one gradient direction too few.

    Parameters
    ----------
    folder : Path
        Of one participant; the last column of each row goes.
    """
    path = _find(folder, '*_dwi.bvec')
    rows = [line.split()[:-1] for line in path.read_text().splitlines()]
    path.write_text(''.join(' '.join(row) + '\n' for row in rows))


def truncated_dwi(folder: Path) -> None:
    """Leave a diffusion image cut off in the middle, as by a full disk.

    Parameters
    ----------
    folder : Path
        Of one participant; half of the packed bytes stay.
    """
    path = _find(folder, '*_dwi.nii.gz')
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def missing_reference(folder: Path) -> None:
    """Leave no water reference, and no sidecar that promises one.

    Parameters
    ----------
    folder : Path
        Of one participant.
    """
    for path in sorted(folder.rglob('*_mrsref.*')):
        path.unlink()
    sidecar = _find(folder, '*_svs.json')
    content = json.loads(sidecar.read_text())
    del content['ReferenceSignal']
    write_json(sidecar, content)


def legacy_reference(folder: Path) -> None:
    """Leave a water reference under the name from before BIDS 1.10.

    Parameters
    ----------
    folder : Path
        Of one participant; ``_mrsref`` becomes ``_ref`` in names and sidecar.
    """
    for path in sorted(folder.rglob('*_mrsref.*')):
        path.rename(path.with_name(path.name.replace('_mrsref', '_ref')))
    sidecar = _find(folder, '*_svs.json')
    sidecar.write_text(sidecar.read_text().replace('_mrsref.nii.gz', '_ref.nii.gz'))


def milliseconds(folder: Path) -> None:
    """Give the echo time in milliseconds where seconds are meant.

    Parameters
    ----------
    folder : Path
        Of one participant; 35 instead of 0.035.
    """
    sidecar = _find(folder, '*_svs.json')
    sidecar.write_text(sidecar.read_text().replace('"EchoTime": 0.035', '"EchoTime": 35'))


def text_for_image(folder: Path) -> None:
    """Leave a T1w file that is no image at all.

    Parameters
    ----------
    folder : Path
        Of one participant; it gets the page that a failed download leaves.
    """
    _find(folder, '*_T1w.nii.gz').write_bytes(b'<html>404 not found</html>\n')


def nothing_at_all(folder: Path) -> None:
    """Leave a participant in participants.tsv without any data.

    Parameters
    ----------
    folder : Path
        Of one participant; removed.
    """
    shutil.rmtree(folder)


PROBLEMS: Mapping[str, Callable[[Path], None]] = MappingProxyType(
    {
        'missingT1w': missing_t1w,
        'emptyT1w': empty_t1w,
        'unfetchedDwi': unfetched_dwi,
        'missingBval': missing_bval,
        'shortBvec': short_bvec,
        'truncatedDwi': truncated_dwi,
        'missingReference': missing_reference,
        'legacyReference': legacy_reference,
        'milliseconds': milliseconds,
        'textForImage': text_for_image,
        'nothing': nothing_at_all,
    }
)
"""Label of the extra participant and what is done to its files."""


def add_problems(
    folder: Path, options: DemoOptions, progress: Callable[[str], None] = LOGGER.info
) -> None:
    """Add one participant for each entry of `PROBLEMS`.

    Parameters
    ----------
    folder : Path
        A dataset that `write_dataset` has written.
    options : DemoOptions
        The options of that dataset.
    progress : callable
        Told one line for each participant.
    """
    last = draw_cohort(options.n_per_group + 1, sessions=options.sessions, seed=options.seed)[-1]
    sound = replace(last, label='sound')
    write_participant(folder, make_scene(options.resolution), sound, options.resolution)
    people = [replace(last, label=label) for label in PROBLEMS]
    append_participants(folder, [sound, *people])
    record = {}
    for person in people:
        _copy_subject(folder, sound.label, person.label)
        damage = PROBLEMS[person.label]
        damage(folder / f'sub-{person.label}')
        record[f'sub-{person.label}'] = (damage.__doc__ or '').strip()
        progress(f'sub-{person.label}: {record[f"sub-{person.label}"]}')
    write_json(folder / 'code' / 'problems.json', record)


def _copy_subject(folder: Path, source: str, target: str) -> None:
    """Copy all files of a participant under another label."""
    root = folder / f'sub-{source}'
    for path in sorted(p for p in root.rglob('*') if p.is_file()):
        name = str(path.relative_to(folder)).replace(f'sub-{source}', f'sub-{target}')
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == '.json':
            copy.write_text(path.read_text().replace(f'sub-{source}', f'sub-{target}'))
        else:
            shutil.copyfile(path, copy)
