"""Orthonormal projective NMF and the choice of its number of components, on arrays.

covariance -> initialise, model; nnls, acceleration -> newton; nnls -> solvers; all of them -> anls
-> estimator (with labels); splits, agreement -> rank -> choice.
"""

from bids_acc.group.opnmf.estimator import OPNMF, fit_path
from bids_acc.group.opnmf.labels import labels_of

__all__ = ['OPNMF', 'fit_path', 'labels_of']
