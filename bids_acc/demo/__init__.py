"""A raw BIDS dataset with known truth, and the score of what the analysis found in it.

.. code-block:: text

    templates.py   MNI templates of the nilearn wheel -> a head: intensities, tissues, fibres
    patterns.py    where in the cingulate the planted effects lie (functions of MNI coordinates)
    cohort.py      who the participants are and what is planted in each of them
    warp.py        rigid placement and smooth random warps
    anatomy.py     from the scanner back to the template, with the shift of the GM/WM border
    structural.py  head + plan -> T1w image
    diffusion.py   head + plan -> diffusion-weighted volumes
    networks.py    series of brain regions whose correlations are known
    bold.py        head + series -> BOLD volumes, each source of error of its own
    attenuation.py what noise leaves of a planted correlation
    spectrum.py    plan -> PRESS spectrum and water reference
    files.py, sidecars.py   bytes and words
    dataset.py     all of it as files: images, sidecars, tables, code/truth.json
    problems.py    extra participants, each broken in one way
    recovery.py    figures of agreement between measured and planted values
    score.py       results of both levels against code/truth.json

Images are computed from the MNI templates, not copied: no person's scan is in them.
"""
