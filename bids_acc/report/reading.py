"""How each kind of figure is read, and what it cannot tell: one table for all pages."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Reading(NamedTuple):
    """What stands below a figure, after what it shows."""

    read: str
    """What to look for."""
    cannot: str
    """What does not follow from it."""


READINGS: Mapping[str, Reading] = MappingProxyType({
    # --- a participant; names are those of the outputs ---
    'anat_surfaces_figure': Reading(
        'the lines should follow the edges of white and grey matter; where they leave them, '
        'thickness is wrong there.',
        'whether the surfaces are right between the slices that are drawn.',
    ),
    'anat_registration_figure': Reading(
        "outlines that lie on this brain's own edges mean that it was aligned.",
        'small shifts within the cortex, which the surfaces and not this alignment measure.',
    ),
    'anat_template_figure': Reading(
        'what moves when you change between the images is not aligned; ventricles, cingulate '
        'sulcus and the edge of the brain should stay.',
        'whether single sulci match: folding differs between people.',
    ),
    'anat_maps': Reading(
        'a sharp edge outside the region of interest, or stripes, mean a surface or an image that '
        'went wrong.',
        'whether a value is normal: where ten others of this folder have results, the '
        'percentiles below compare it with theirs.',
    ),
    'dwi_figure_steps': Reading(
        'what a step removed should be noise and ringing without anatomy in it.',
        'whether signal that never was recorded (drop-out) is missing.',
    ),
    'dwi_figure_denoised': Reading(
        'grain and ripples beside edges should go; edges and small dark or bright places stay.',
        'whether weak signal went with the noise: see what the steps removed.',
    ),
    'dwi_figure_fields': Reading(
        'displacement should be largest near air (above nose and ears) and smooth.',
        'whether the displacement is right; compare the image before and after.',
    ),
    'dwi_figure_coreg': Reading(
        'borders of the T1w image should lie on edges of the b = 0 image.',
        'whether thin cortex is hit at each place; a shift of half a voxel cannot be seen.',
    ),
    'dwi_figure_anatomy': Reading(
        'what moves when you change between the images is not aligned; ventricles and the edge '
        'of the brain should stay.',
        'whether distortion is left where the image has no edges.',
    ),
    'mtr_figure': Reading(
        'what moves when you change between the images is not aligned; white matter is brightest, '
        'and a bright or dark rim along one side means that the two images lie apart.',
        'whether the ratio differs by the scanner: it depends on the pulse and on B1+.',
    ),
    'dwi_figure_distortion': Reading(
        'frontal pole and brain stem should fit their outlines better after.',
        'whether signal that was pressed into one voxel was told apart again.',
    ),
    'dwi_figure_fa': Reading(
        'corpus callosum red, corticospinal tract blue, cingulum green; other colours mean a '
        'wrong gradient table.',
        'where single fibres run, and whether low FA comes from crossing fibres or from damage.',
    ),
    'dwi_figure_motion': Reading(
        'spikes are sudden movements; many slices without signal make FA and MD unsure.',
        'whether the correction undid the movement.',
    ),
    'dwi_figure_scheme': Reading(
        'directions should cover the whole sphere evenly.',
        'whether the scanner played what the table says.',
    ),
    'func_figure_anatomy': Reading(
        'what moves when you change between the images is not aligned; ventricles and the edge '
        'of the brain should stay. Where the BOLD image is dark inside the brain, signal dropped '
        'out.',
        'whether distortion is left where the image has no edges.',
    ),
    'func_figure_distortion': Reading(
        'frontal pole and brain stem should fit their outlines better after.',
        'whether signal that dropped out could be had back: it could not.',
    ),
    'func_figure_carpet': Reading(
        'stripes over all places at the time of a movement should be gone after cleaning.',
        'whether slow signals that are left come from breathing or from neurons.',
    ),
    'func_figure_signal': Reading(
        'the region of interest should be coloured; grey below the genu is drop-out.',
        'whether connectivity is reliable where there is signal: that depends on minutes, too.',
    ),
    'func_figure_activity': Reading(
        'grey matter should be higher than its surroundings; stripes are movement or artefact.',
        'the strength of neural activity: amplitudes carry vessels and physiology as well.',
    ),
    'func_figure_seed': Reading(
        'the seed itself and its partner on the other side should be high.',
        'direction or cause of a connection, and significance in one person.',
    ),
    'func_figure_matrix': Reading(
        'squares along the diagonal are networks; a matrix that is red everywhere is movement or '
        'breathing.',
        'which of two regions drives the other.',
    ),
    'func_figure_contrasts': Reading(
        'sensory or motor cortex of the task should respond; a response at the edge of the brain '
        'is movement.',
        'whether a response is significant: this is an estimate without its error.',
    ),
    'mrs_figure_fit': Reading(
        'the residual should be noise; waves in it, or lines that the fit misses, make levels '
        'wrong.',
        'whether glutamate and glutamine were told apart: see the correlations.',
    ),
    'mrs_figure_timecourse': Reading(
        'differences within the error bars are noise.',
        'the cause of a drift: the scanner warms up and people move.',
    ),
    'mrs_figure_voxel': Reading(
        'the box should lie where the protocol wants it, away from scalp and ventricles.',
        'where the signal came from exactly: metabolites are shifted against each other by their '
        'chemical shift.',
    ),
    'mrs_figure_components': Reading(
        'a metabolite that is not above the residual is not measured.',
        'how sure an amplitude is: see %SD and intervals in the table.',
    ),
    'mrs_figure_correlation': Reading(
        'of two metabolites near -1 trust the sum and not each.',
        'whether two levels go together over people: these are errors of one fit.',
    ),
    'mrs_figure_water': Reading(
        'a narrow single line means a good shim; a decay beside its line means a wrong scale of '
        'all levels.',
        'the share of water that is invisible or of short T2.',
    ),
    'mrs_figure_concordance': Reading(
        'points on the line are levels on which the engines agree.',
        'which of two engines is right where they do not.',
    ),
    # --- a cohort ---
    'quality': Reading(
        'look for a group or a site that is shifted as a whole: a difference in the outcome may '
        'then come from it. Look for single points far from the others: open the page of that '
        'person.',
        'whether a difference in quality is a cause or a consequence of the group.',
    ),
    'flow': Reading(
        'compare the losses of the groups; unequal ones can make groups differ that do not.',
        'whether those who are missing differ from those who are there.',
    ),
    'motion_connectivity': Reading(
        'a cloud that lies off zero, or falls with distance, means that movement is in the '
        'connectivity.',
        'whether people who move more differ in their brain as well.',
    ),
    'networks': Reading(
        'colours are differences of means; compare them with the tests of the declared markers.',
        'significance: no test is made here.',
    ),
    'rank': Reading(
        'a number of parcels is good where halves of the cohort agree and more parcels gain '
        'little over shuffled data.',
        'how many areas the cortex has: it is the number that this cohort can show again.',
    ),
    'parcels': Reading(
        'neighbouring vertices of one colour vary together over people. Weight: how strongly a '
        'vertex takes part, over the largest weight of its parcel. Confidence: share of resampled '
        'cohorts in which the vertex falls into the same parcel.',
        'borders are no borders of cytoarchitecture; a vertex of low confidence belongs to '
        'either neighbour.',
    ),
    'confidence': Reading(
        'parcels whose line rises late are sure.',
        'whether another cohort, or another scanner, would give the same parcels.',
    ),
    'vertexwise': Reading(
        'only what a dark line encloses is significant; colour alone is not.',
        'that nothing is there outside the lines, and the exact border of a cluster.',
    ),
    'forest': Reading(
        'an interval that crosses the line is compatible with no difference; cohorts agree where '
        'their intervals overlap on one side.',
        'no correction for the number of comparisons is made here (the tables have it), and an '
        'interval that crosses the line does not show that there is no difference.',
    ),
    'groups': Reading(
        'look at the overlap of the points, not only at the means: groups may differ in mean and '
        'not tell single people apart.',
        'the difference at equal covariates: what a test is adjusted for stands in its table.',
    ),
    'change': Reading(
        'lines that run alike are a change of the group; lines that cross are people who differ.',
        'what would have happened without treatment, unless there is a group without; people '
        'who were seen once have no line.',
    ),
    'relation': Reading(
        'a relation that hangs on one or two points is none; see the checks.',
        'cause or direction; and a line over all people may come from a difference between '
        'groups.',
    ),
    'interaction': Reading(
        'lines that run apart, or means whose distance changes from level to level, are a '
        'difference that depends on the covariate; see the test of the interaction in the table '
        'before reading one level alone.',
        'whether the groups differ outside the range of the points, and why: people of different '
        'age or sex differ in other things too.',
    ),
    'roc': Reading(
        'the further the curve lies above the diagonal, the better are people ranked; crosses '
        'are sensitivity and specificity at a cut-off, with their intervals.',
        'how the prediction does elsewhere: people were unseen, but from the same study. The '
        'cut-offs need the calibration to hold.',
    ),
    'calibration': Reading(
        'points and curve on the diagonal mean that of people with 30 % predicted, 30 % have it; '
        'a curve flatter than the diagonal means that predictions are too extreme.',
        'whether people are told apart: a prediction of the rate for everybody is calibrated too.',
    ),
    'decision': Reading(
        'at the probability from which on you would treat, the prediction helps where its line is '
        'the highest of the three.',
        'which threshold is right: that is a judgement of harm against benefit. Small wiggles are '
        'chance; no interval is drawn.',
    ),
    'timeline': Reading(
        'each line is a person: look for histories that do not fit the group, short or low trials '
        'before a new drug, and people without any trial.',
        'calendar time, pauses and combinations: trials are laid end to end in their order.',
    ),
    'trial_outcomes': Reading(
        'the height of a bar is the share of the group that had so many trials; colours tell how '
        'they went.',
        'whether a drug works: who needs a third trial did not respond to two.',
    ),
    'voxel': Reading(
        'the smaller the red outline beside the whole cloud, the more people were measured '
        'elsewhere.',
        'what part of a difference in levels comes from place: take the shares of tissue and of '
        'parcels as covariates to ask.',
    ),
    'power': Reading(
        'the number of people at which a line crosses the mark is the size of a study that finds '
        'the assumed effect so often.',
        'whether the assumed effect is true.',
    ),
})  # fmt: skip
"""By kind of figure: the output's name for those of a participant."""


def explained(kind: str, caption: str) -> str:
    """Say what a figure shows, how it is read and what it cannot tell.

    Parameters
    ----------
    kind : str
        One of `READINGS`.
    caption : str
        What it shows.

    Returns
    -------
    str

    Examples
    --------
    >>> explained('power', 'Power by size.')[:40]
    'Power by size. How to read: the number o'
    """
    # a figure without words on what it cannot tell is a fault of the program, and stops here
    reading = READINGS[kind]
    told = f'How to read: {reading.read} What this cannot tell: {reading.cannot}'
    return f'{caption.strip()} {told}'.strip()
