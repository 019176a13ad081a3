"""Nipype shell: what is known of a prepared run, gathered for what comes after."""

from __future__ import annotations

from typing import Any

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from bids_acc.func.run import RunFacts


class _GatherFactsInputSpec(BaseInterfaceInputSpec):
    known = traits.Dict(mandatory=True, desc='facts known before the run, of `RunFacts`')
    bold = File(exists=True, mandatory=True, desc='series at its place')
    n_dummy = traits.Int(mandatory=True, desc='volumes before the steady state')
    start_time = traits.Float(mandatory=True, desc='time of the slices within the TR, s')
    read_notes = traits.List(traits.Str(), desc='of reading')
    field_notes = traits.List(traits.Str(), desc='of the field')
    confound_notes = traits.List(traits.Str(), desc='of confounds')
    field_report = traits.Dict(desc='of the field')
    coreg_report = traits.Dict(desc='of the alignment with the T1w image')
    seen = traits.Float(desc='share of the brain that all volumes show')


class _GatherFactsOutputSpec(TraitedSpec):
    facts = traits.Dict(desc='`RunFacts.as_dict`')
    bold = traits.List(File(exists=True), desc='the series as a list of one')
    report = traits.Dict(desc='measures of the preparation')


class GatherFacts(SimpleInterface):
    """Gather facts, notes and measures of one run."""

    input_spec = _GatherFactsInputSpec
    output_spec = _GatherFactsOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        given = self.inputs
        parts = (given.read_notes, given.field_notes, given.confound_notes)
        notes = [text for part in parts if isdefined(part) for text in part]
        known = dict(given.known)
        aligned = dict(given.coreg_report) if isdefined(given.coreg_report) else {}
        facts = RunFacts.from_dict({
            **known, 'overlap': aligned.get('coreg_dice'), 'n_dummy': given.n_dummy,
            'start_time': given.start_time, 'notes': (*known.get('notes', ()), *notes),
        })  # fmt: skip
        report: dict[str, Any] = {'n_dummy': given.n_dummy}
        report |= dict(given.field_report) if isdefined(given.field_report) else {}
        report |= aligned
        if isdefined(given.seen):
            report['seen'] = given.seen
        self._results.update(facts=facts.as_dict(), bold=[given.bold], report=report)
        return runtime
