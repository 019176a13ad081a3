"""Nipype set up for a quiet run, and the name of the code that runs."""

from __future__ import annotations

import configparser
import functools
import getpass
import hashlib
import logging
import os
from pathlib import Path

import nipype

from bids_acc import __version__


@functools.cache
def code_state() -> str:
    """Name the code that runs, for the folder of its intermediate files.

    Nipype reuses a step's result when its inputs are alike, whatever code made it: results of
    another version would be taken silently, or not be readable.

    Returns
    -------
    str
        Version, and the first digits of a SHA-256 over all modules of the package and the tables,
        atlases and models that come with it.
    """
    return state_of(Path(__file__).parents[1])


def state_of(package: Path) -> str:
    """Name the code in a folder; see `code_state`.

    Parameters
    ----------
    package : Path
        Its modules and data are read.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in package.rglob('*') if path.is_file()):
        if path.suffix == '.pyc':
            continue
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return f'bids_acc-{__version__}-{digest.hexdigest()[:8]}'


def configure_nipype(work_dir: Path, run_folder: Path, *, stop_on_first_crash: bool) -> None:
    """Set Nipype up for a quiet run that writes nowhere but in the two folders.

    Must be called before a workflow is made: each takes a copy of the configuration.

    Parameters
    ----------
    work_dir : Path
        Made if it is not there; intermediate files go there.
    run_folder : Path
        Of the run's logs; crash files go there.
    stop_on_first_crash : bool
        Else the steps that do not depend on the one that failed go on.
    """
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # an arbitrary uid has no name
        user = 'user'
    os.environ.setdefault('LOGNAME', user)  # nipype's crash files and SLURM plug-in want it
    # It keeps its settings in a ConfigParser, for which a % in the name of a folder is a reference
    # to another setting; nodes get the plain text, so that to double it would not do.
    nipype.config._config._interpolation = configparser.Interpolation()
    nipype.config.update_config(
        {
            'execution': {
                'crashdump_dir': str(run_folder),
                'crashfile_format': 'txt',
                'poll_sleep_duration': '0.1',
                'stop_on_first_crash': str(stop_on_first_crash).lower(),
                'remove_unnecessary_outputs': 'false',
                'hash_method': 'content',
                'check_version': 'false',
                'create_report': 'false',
            },
            'logging': {'log_to_file': 'false', 'workflow_level': 'ERROR'},
            'monitoring': {'enabled': 'false'},
        }
    )
    for name in ('nipype.workflow', 'nipype.interface', 'nipype.utils'):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    work_dir.mkdir(parents=True, exist_ok=True)
