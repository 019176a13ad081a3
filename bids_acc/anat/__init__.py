"""T1w to cortical surfaces, thickness and area, without a licence.

Arrays: ``geometry``, ``intersection``, ``morphometry``, ``resampling`` (meshes), ``brain`` and
``brain_*`` (extraction),
``segmentation``, ``registration``, ``volumes`` (images), ``fitting`` (surfaces to image edges),
``builtin`` (the whole route), ``template`` (mesh, atlas, region), ``sources`` (other tools'
surfaces), ``quality``, ``figures``. Files: ``interfaces``. Graph: ``workflow``.
"""
