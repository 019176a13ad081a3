"""Spectroscopy, in rooms that lie in the order of the data.

``spectrum`` holds what all rooms speak of: a decay with its sampling, and a basis set. ``scan``
reads a NIfTI-MRS file and says what its dimensions hold; ``signal`` has the steps from transients
to one decay, strung together by ``preprocessing``; ``basis`` simulates or reads model spectra and
``lcm`` fits them; ``engines`` runs that fit or LCModel, or reads the fits of other programs, and
gives all of them one form, which lies in ``results``. ``levels`` corrects amplitudes for tissue
and water, judges them and makes the tables, ``figures`` draws. ``interfaces`` and ``workflow``
join all in Nipype's terms. `python -m tests.contract.chains` in a checkout prints which room
imports which.
"""
