"""Function: BOLD series to activity, connectivity and task response of the ACC.

Two sources give the same thing, a *preprocessed run* (`bids_acc.func.run`): derivatives of
fMRIPrep as they are, or the built-in line from raw images. Everything after it (denoising,
measures, gate, outputs, report) does not know which of the two it was.
"""
