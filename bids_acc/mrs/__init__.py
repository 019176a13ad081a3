"""Spectroscopy, in the order of the data.

``io`` reads NIfTI-MRS; ``coils``, ``alignment``, ``water`` and ``referencing`` are the steps that
``preprocessing`` strings together; ``simulate``, ``basis``, ``nulled`` and ``lcm`` fit,
``lcmodel`` and ``importers`` bring other programs' fits into the same form (``results``);
``quality``, ``artefacts`` and ``gate`` judge; ``voxel``, ``tissue``, ``constants`` and
``quantify`` make levels; ``tables``, ``checklist`` and ``figures`` tell; ``interfaces`` and
``workflow`` join all.
"""
