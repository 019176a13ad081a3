"""Nipype shells of the diffusion line, by stage: read, call a formula, write.

In the order of the data: ``series``, ``cleaning``, ``motion`` or ``eddy``, ``distortion``,
``alignment``, ``resampling``, ``tensor``, ``surface``; besides them ``quality`` and
``reportlets``.
"""
