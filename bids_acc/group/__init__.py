"""The group level, in the order of a methods section; no Nipype and no raw data.

cohort -> vertexmaps -> features -> opnmf -> parcels -> statistics (with formulas) -> report;
``analysis`` runs them in that order.
"""
