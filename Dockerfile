# The image for those who have a container engine; image/build makes the same one without. What it holds says image/files, for
# both; what it is run as stands here and in image/build, and a test holds the two together.
#
#   docker build -t neuralops --build-arg REVISION="$(git rev-parse HEAD)" --build-arg CREATED="$(git log -1 --format=%cI)" .
#
# The base of the build is named by its digest, so that compiler, C compiler and libraries are the same for everybody. The image
# itself has no base: nothing in it is chosen by somebody else.
ARG RUST=rust:1.95.0-bookworm@sha256:6258907abe69656e41cd992e0b705cdcfabcbbe3db374f92ed2d47121282d4a1

FROM ${RUST} AS build
# Without it rustup would first fetch what rust-toolchain.toml names beside the compiler.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /neuralops
ARG REVISION
ARG CREATED
RUN : "${REVISION:?is not given: docker build --build-arg REVISION=…, see the first lines of the Dockerfile}" "${CREATED:?is not given, likewise}"
COPY . .
RUN binary=$(image/compile) && image/build "$binary" /image.tar && image/archive size /image.tar && image/archive unpack /image.tar /image

FROM scratch
ARG VERSION=0.1.0
ARG REVISION
ARG CREATED
LABEL org.opencontainers.image.title="neuralops" \
      org.opencontainers.image.description="Kubernetes operator for incident playbooks that cannot run unsigned, unplanned, unapproved or unrecorded" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
COPY --from=build /image/ /
ENV PATH=/usr/local/bin
USER 65532:65532
WORKDIR /
ENTRYPOINT ["/usr/local/bin/neuralops"]
