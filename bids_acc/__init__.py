"""bids_acc: from T1w, diffusion and 1H-MRS to the anterior cingulate, one subject or a cohort."""

__version__ = '0.1.0.dev0'
