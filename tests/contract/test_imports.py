"""Imports go one way; the table is in `tests.contract.layers`."""

from __future__ import annotations

import pytest

from tests.contract.chains import ROOMS_JOINED, WAYS, Definitions, followed, longest
from tests.contract.layers import arrows, circles, read_sources, rooms_in_a_circle, violations


@pytest.fixture(scope='module')
def sources():
    return read_sources()


@pytest.fixture(scope='module')
def definitions(sources):
    return Definitions(sources)


def test_the_package_keeps_to_the_table(sources):
    assert violations(sources) == []


def test_no_modules_import_each_other_in_a_circle(sources):
    assert circles(sources) == []


@pytest.mark.parametrize(
    ('place', 'line'),
    [
        ('dwi/tensor.py', 'import nibabel as nb'),
        ('dwi/tensor.py', 'from nipype.interfaces.base import traits'),
        ('anat/morphometry.py', 'from bids_acc.anat.workflow import init_anat_fit_wf'),
        ('anat/morphometry.py', 'def f():\n    from bids_acc.anat import workflow'),
        ('dwi/workflow/line.py', 'import nibabel'),
        ('dwi/series.py', 'from bids_acc.anat.tissues import TissueImage'),
        ('images/motion.py', 'from bids_acc.dwi.shells import Shells'),
        ('group/cohort/reading.py', 'from bids_acc.bids.layout import build_layout'),
        ('group/opnmf/features.py', 'import nipype'),
        ('group/opnmf/anls.py', 'from bids_acc.group.parcels.files import read_atlas'),
        ('participant/plan.py', 'from bids_acc.cli import parser'),
        ('mrs/lcm/fit.py', 'from bids_acc.settings import Settings'),
    ],
)  # fmt: skip
def test_a_forbidden_import_is_found(sources, place, line):
    before = violations(sources)
    found = violations(sources | {place: sources[place] + f'\n{line}\n'})
    assert [text for text in found if text not in before and text.startswith(place)]


def test_no_room_may_import_itself_by_way_of_others():
    assert rooms_in_a_circle() == []
    assert rooms_in_a_circle(
        {'settings': 'bids', 'bids': 'dwi', 'dwi': 'settings', 'cli': 'dwi'}
    ) == ['settings', 'bids', 'dwi']


def test_a_circle_is_found():
    made_up = {
        'demo/dataset.py': 'def f():\n    from bids_acc.demo.problems import add_problems',
        'demo/problems.py': 'from bids_acc.demo.dataset import write_participant',
        'demo/cli.py': 'from bids_acc.demo.dataset import write_dataset',
    }
    assert circles(made_up) == ['demo/dataset.py <-> demo/problems.py']


@pytest.mark.parametrize('way', WAYS, ids=lambda way: way[0])
def test_few_files_lie_one_behind_the_other(sources, definitions, way):
    _, folder, start, most = way
    found = followed(definitions, folder, start)
    assert found[0] == start
    assert len(found) <= most, ' > '.join(found)


@pytest.mark.parametrize(('folder', 'most'), ROOMS_JOINED)
def test_few_rooms_import_one_another(sources, folder, most):
    found = arrows(sources, folder)
    assert len(found) <= most, sorted(found)
    rooms = {pair[0] for pair in found}
    assert len(rooms) > 5  # all files in one room would be no answer


def test_an_import_between_rooms_is_counted_once_for_each_pair():
    made_up = {
        'mrs/lcm/a.py': 'from bids_acc.mrs.signal.b import x, y\nfrom bids_acc.mrs.lcm.c import z',
        'mrs/lcm/c.py': 'def f():\n    from bids_acc.mrs.signal import b',
        'mrs/signal/b.py': 'x = y = 1',
        'mrs/figures.py': 'from bids_acc.mrs.signal.b import x',
        'dwi/d.py': 'from bids_acc.mrs.signal.b import x',
    }
    assert arrows(made_up, 'mrs') == {('lcm', 'signal'): 2, ('figures', 'signal'): 1}


def test_a_chain_is_counted_inside_its_folder():
    made_up = {
        'anat/a.py': 'from bids_acc.anat.b import x\nfrom bids_acc.dwi.e import y\n'
        'def f(): x()\ndef g(): y()',
        'anat/b.py': 'from bids_acc.anat.d import T\ndef x(): z()\ndef z(): x()\ndef w(t: T): z()',
        'anat/c.py': 'from bids_acc.anat import a\ndef start(): a.f()\ndef other(): a.g()',
        'anat/d.py': 'class T: pass',
        'dwi/e.py': 'from bids_acc.dwi.f import z\ndef y(): z()',
        'dwi/f.py': 'z = 3',
    }
    files = tuple(f'anat/{name}.py' for name in 'cabd')
    assert longest(made_up, 'anat', 'anat/c.py') == files
    assert (
        followed(Definitions(made_up), 'anat', 'anat/c.py') == files[:3]
    )  # nothing there names w
    made_up['anat/b.py'] = made_up['anat/b.py'].replace('def x()', 'def x(t: T)')
    assert followed(Definitions(made_up), 'anat', 'anat/c.py') == files
