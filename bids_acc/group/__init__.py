"""The group level, in the order of a methods section; no Nipype and no raw data.

cohort -> vertexmaps -> features -> opnmf, rank, choice -> parcellation -> study -> analyses
-> statistics -> tables and figures; ``analysis`` runs them in that order.
"""
