"""The group level, in the order of a methods section; no Nipype and no raw data.

cohort -> opnmf -> parcels -> measures -> statistics (with formulas) -> page; ``analysis`` runs
them in that order, and ``state`` is what one run hands from part to part. Beside them: ``places``
of voxels, ``function``, ``vertexwise`` contrasts, ``treatment`` histories, ``power``.
"""
