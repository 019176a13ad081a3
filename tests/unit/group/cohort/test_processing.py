"""What is said of the processing is what the sidecars of the results hold."""

from __future__ import annotations

import json

import pytest

from bids_acc.derivatives.records import Record, write_record
from bids_acc.group.cohort.processing import (
    atlas_facts,
    brain_facts,
    diffusion_facts,
    function_facts,
    mixed_function,
    mixed_versions,
    processing_paragraphs,
    spectrum_facts,
    surface_facts,
)

ENGINES = {
    'denoise': 'mrtrix3', 'unringing': 'none', 'motion': 'builtin', 'bias': 'n4',
    'susceptibility': 'pair', 'tensor_fit': 'iwls', 'versions': {'mrtrix3': '3.0.3'},
}  # fmt: skip


def write(folder, name, sidecar):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f'{name}.tsv').write_text('x\n1\n')
    (folder / f'{name}.json').write_text(
        sidecar if isinstance(sidecar, str) else json.dumps(sidecar)
    )


def test_people_of_several_versions_are_said_also_through_links(tmp_path):
    for folder, people in (('one', {'01': 'a', '02': 'a'}), ('two', {'03': 'b'})):
        for who, version in people.items():
            (tmp_path / folder / f'sub-{who}').mkdir(parents=True)
            for modality in ('anat', 'mrs'):
                label = f'sub-{who}_ses-1_{modality}'
                made_by = version if modality == 'mrs' else 'a'
                write_record(tmp_path / folder, Record(label, f'bids_acc-{made_by}', 'x', {}))
    (tmp_path / 'view').mkdir()
    for subject in (*tmp_path.glob('one/sub-*'), *tmp_path.glob('two/sub-*')):
        (tmp_path / 'view' / subject.name).symlink_to(subject)
    everybody = [(f'sub-0{n}', 'ses-1') for n in (1, 2, 3, 4)]  # one without a record
    (said,) = mixed_versions(tmp_path / 'view', everybody)
    assert said.startswith(
        'Results (spectrum) come from several versions of bids_acc, sessions in brackets: '
        'bids_acc-a (2), bids_acc-b (1).'
    )
    assert list(mixed_versions(tmp_path / 'one', everybody)) == []


def test_bold_that_was_treated_in_several_ways_is_said(tmp_path):
    same = {'PreparedBy': 'built-in', 'Band': [0.01, 0.1],
            'SpatialReference': {'VolumeReference': 'T1w'}}  # fmt: skip
    for who, strategy in (('01', 'compcor'), ('02', 'compcor'), ('03', '36p'), ('09', 'simple')):
        name = f'sub-{who}_task-rest_desc-qualitycontrol_bold'
        write(tmp_path / f'sub-{who}' / 'func', name, {**same, 'Confounds': strategy})
    said = mixed_function(tmp_path, [('sub-01', None), ('sub-02', None), ('sub-03', None)])
    assert 'brackets): confounds: strategy compcor (2), strategy 36p (1). A' in said
    assert not mixed_function(tmp_path, [('sub-01', None), ('sub-02', None)])


def test_ways_are_counted_where_sessions_differ_and_others_do_not_count(tmp_path):
    for who, engine in (('01', 'mrtrix3'), ('02', 'mrtrix3'), ('03', 'builtin'), ('09', 'dipy')):
        name = f'sub-{who}_desc-qualitycontrol_dwi'
        write(tmp_path / f'sub-{who}' / 'dwi', name, {'Engines': {**ENGINES, 'denoise': engine}})
    write(tmp_path / 'sub-04' / 'dwi', 'sub-04_desc-qualitycontrol_dwi', '{broken')
    wanted = [(f'sub-0{n}', None) for n in (1, 2, 3, 4)]
    (said,) = processing_paragraphs(tmp_path, wanted)
    assert said == (
        'Diffusion (3 sessions): denoising (MP-PCA): MRtrix3 3.0.3 (2), bids_acc (1); removal of '
        'Gibbs ringing: none; correction of motion and eddy currents: bids_acc; correction of '
        'susceptibility distortion: the field from a pair of images of opposite phase encoding; '
        'bias field: N4 (Tustison et al. 2010); tensor: iteratively reweighted least squares of '
        'the log signal.'
    )


def test_nothing_there_says_nothing(tmp_path):
    assert processing_paragraphs(tmp_path, [('sub-01', None)]) == []


@pytest.mark.parametrize(
    ('facts', 'sidecar', 'said'),
    [
        (brain_facts, {'Method': 'two networks', 'Weights': {'Name': 'deepbet', 'Version': '1'}},
         {'brain extraction': 'two networks (deepbet 1)'}),
        (brain_facts, {'Method': 'Mask of fMRIPrep; x.'},
         {'brain extraction': 'mask of fMRIPrep, x'}),
        (surface_facts, {'SurfaceSource': 'freesurfer', 'Method': 'as freesurfer measured it'},
         {'cortical surfaces': 'freesurfer', 'thickness': 'as freesurfer measured it'}),
        (surface_facts, {'SurfaceSource': 'builtin', 'Software': {'antspyx': '0.6'}},
         {'cortical surfaces': 'built in (registration by ANTsPy 0.6)'}),
        (diffusion_facts, {'Engines': {'preprocessing': 'QSIPrep', 'denoise': 'none'}},
         {'preprocessing': 'QSIPrep'}),
        (atlas_facts, {'Atlas': 'Desikan-Killiany labels.'},
         {'labels': 'Desikan-Killiany labels'}),
        (diffusion_facts, {'Engines': ['no', 'table']}, {}),
        (function_facts, {'PreparedBy': 'fMRIPrep 23', 'Confounds': 'compcor',
                          'Band': [0.01, 0.1]},
         {'preprocessing': 'fMRIPrep 23', 'confounds': 'strategy compcor',
          'band': '0.01 to 0.1 Hz'}),
        (spectrum_facts, {'Preprocessing': [{'step': 'align', 'applied': True},
                                            {'step': 'eddy_current', 'applied': False}, 'x'],
                          'Engine': 'lcmodel', 'BasisSequence': 'press', 'BasisEchoTime': 0.035,
                          'BasisTE1': 0.0124, 'BasisTESplitAssumed': True},
         {'steps': 'align', 'fit': 'lcmodel',
          'basis set': 'PRESS, TE 35 ms, TE1 12.4 ms assumed'}),
        (spectrum_facts, {'Gate': {'name': 'own', 'artefacts': ['missing_naa', 'clipping', 3]},
                          'Artefacts': [{'name': 'missing_naa', 'rule': 'no peak at 2 ppm'},
                                        {'name': 'lipid', 'rule': 'not asked for'}, 'x']},
         {'quality gate': 'own',
          'artefacts that exclude a spectrum': 'missing NAA (no peak at 2 ppm), clipping'}),
        (spectrum_facts, {'Gate': {'name': 'own', 'artefacts': 'lipid'}, 'Artefacts': 3},
         {'quality gate': 'own'}),
        (spectrum_facts, {'Preprocessing': None, 'BasisSequence': 'press',
                          'BasisEchoTime': None}, {}),
    ],
)  # fmt: skip
def test_only_what_a_sidecar_holds_is_said(facts, sidecar, said):
    assert dict(facts(sidecar)) == said
