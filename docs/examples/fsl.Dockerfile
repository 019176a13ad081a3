# bids_acc with FSL's topup and eddy, which its own image leaves out: FSL's licence allows no
# commercial use (https://fsl.fmrib.ox.ac.uk/fsl/docs/license.html). Read it before you build.
#
#   docker build -t bids_acc .                                              (in the repository)
#   docker build -t bids_acc:fsl -f docs/examples/fsl.Dockerfile docs/examples
#   docker run --rm -v DATA:/data:ro -v OUT:/out bids_acc:fsl /data /out participant --dwi-motion eddy
#
# Written from FSL's page on its conda packages (https://fsl.fmrib.ox.ac.uk/fsl/docs/install/conda.html)
# and never built by us, as FSL may not be shipped; the calls of topup and eddy are tested against
# FSL's documentation only. Look at the first subject's page before you trust them, and tell us.

FROM mambaorg/micromamba:2.0-debian12-slim AS fsl
RUN micromamba create --yes --prefix /opt/fsl \
        --channel https://fsl.fmrib.ox.ac.uk/fsldownloads/fslconda/public/ --channel conda-forge \
        fsl-base fsl-avwutils fsl-topup fsl-eddy \
    && micromamba clean --all --yes

# hadolint ignore=DL3006
FROM bids_acc
COPY --from=fsl /opt/fsl /opt/fsl
# Behind the app's own folder, so that python stays the app's.
ENV FSLDIR=/opt/fsl \
    FSLOUTPUTTYPE=NIFTI_GZ \
    PATH=$PATH:/opt/fsl/bin
