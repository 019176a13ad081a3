# bids_acc as a BIDS App. Build: docker build -t bids_acc .
# Runs as any user, without network, on a read-only root; /tmp must be writable (--tmpfs /tmp).

FROM debian:bookworm-slim AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml constraints.txt ./
# The dependencies first: this layer is built again only when they change.
RUN python3 -m venv /opt/venv \
    && python3 -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > requirements.txt \
    && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt -r requirements.txt
COPY README.md LICENSE NOTICE ./
COPY bids_acc bids_acc
# The history, from whose tags the version comes, is not in the image: give it with --build-arg.
ARG VERSION=
RUN env ${VERSION:+SETUPTOOLS_SCM_PRETEND_VERSION="$VERSION"} /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps .

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="bids_acc" \
      org.opencontainers.image.description="BIDS App: anterior cingulate structure, diffusion and 1H-MRS" \
      org.opencontainers.image.licenses="Apache-2.0"
# MRtrix3 denoises the diffusion images; Workbench is there for the surfaces. Neither is needed
# for the default analysis, both are used when found.
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 mrtrix3 connectome-workbench \
    && rm -rf /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/*
COPY --from=build /opt/venv /opt/venv
COPY --chmod=444 LICENSE NOTICE /opt/
# The name that results carry in dataset_description.json; give the release's with --build-arg.
ARG TAG=bids_acc:local
# Whatever libraries want to remember goes to /tmp; nothing is written to HOME or to the image.
ENV BIDS_ACC_CONTAINER_TAG=$TAG \
    PATH=/opt/venv/bin:$PATH \
    LANG=C.UTF-8 \
    PYTHONNOUSERSITE=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MPLBACKEND=Agg \
    XDG_CACHE_HOME=/tmp/cache \
    XDG_CONFIG_HOME=/tmp/config \
    NO_ET=1 \
    QT_QPA_PLATFORM=offscreen
WORKDIR /tmp
# As process 1 Python ignores SIGTERM but answers SIGINT: `docker stop` need not wait to kill.
STOPSIGNAL SIGINT
ENTRYPOINT ["bids_acc"]
CMD ["--help"]
