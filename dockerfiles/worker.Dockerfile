# The image of a run's head and workers: TensorFlow, Ray and our code. Built by `make images`; docs/images.md.
#
# Two layers that matter lie over BASE: what requirements/ pins, gigabytes that change with the pins only, and
# our code, a megabyte or two. All bytecode is compiled here, because where it runs the root file system is
# read-only, and is never compared with its source.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS code
ENV PYTHONDONTWRITEBYTECODE=1
COPY requirements/build.txt /build/
RUN python3 -m venv /build/tools \
 && /build/tools/bin/pip install --no-cache-dir --require-hashes --requirement /build/build.txt
COPY pyproject.toml README.md /build/source/
COPY crds/autolfads_spec /build/source/crds/autolfads_spec
COPY lfads_worker /build/source/lfads_worker
# Times of 1980, the earliest that a wheel can tell: the same files give the same wheel.
RUN export SOURCE_DATE_EPOCH=315532800 \
 && python3 -m venv --without-pip /opt/autolfads \
 && /build/tools/bin/pip wheel --quiet --no-deps --no-index --no-build-isolation --wheel-dir /build/wheel \
      /build/source \
 && /build/tools/bin/pip --python /opt/autolfads/bin/python install --no-deps --no-index --no-compile \
      --prefix /build/code /build/wheel/*.whl \
 && python3 -m compileall -q --invalidation-mode unchecked-hash /build/code

FROM ${BASE} AS dependencies
# worker, or worker-gpu for CUDA.
ARG REQUIREMENTS=worker
COPY requirements/build.txt requirements/${REQUIREMENTS}.txt /opt/autolfads/requirements/
# clang, ray/jars and tensorflow/include serve to compile against TensorFlow and to run Java: nothing here does.
# What does not compile is meant for other Pythons, and nobody imports it.
RUN --mount=type=cache,target=/root/.cache/uv \
    export PYTHONDONTWRITEBYTECODE=1 \
 && python3 -m venv /tmp/tools \
 && /tmp/tools/bin/pip install --no-cache-dir --require-hashes \
      --requirement /opt/autolfads/requirements/build.txt \
 && python3 -m venv --without-pip /opt/autolfads \
 && /tmp/tools/bin/uv pip install --link-mode copy --python /opt/autolfads --require-hashes \
      --requirements "/opt/autolfads/requirements/${REQUIREMENTS}.txt" \
 && site=$(echo /opt/autolfads/lib/python3.*/site-packages) \
 && rm -r "$site/clang" "$site/ray/jars" "$site/tensorflow/include" \
 && rm -r /tmp/tools \
 && { python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash -x '/(idlelib|lib2to3|test|tests)/' \
        "$site" "$(python3 -c 'import os; print(os.path.dirname(os.__file__))')" || true; } \
 && printf 'autolfads:x:1000:1000::/tmp:/bin/bash\n' >> /etc/passwd \
 && printf 'autolfads:x:1000:\n' >> /etc/group

FROM dependencies
COPY --from=code /build/code /opt/autolfads
# The folder of Nvidia's driver on nodes of Google Kubernetes Engine; elsewhere there is none.
ENV PATH=/opt/autolfads/bin:$PATH \
    HOME=/tmp \
    LANG=C.UTF-8 \
    LD_LIBRARY_PATH=/usr/local/nvidia/lib64 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 1000:1000
WORKDIR /tmp
CMD ["autolfads", "--help"]
ARG VERSION=0
ARG REVISION=unknown
ARG SOURCE=
ARG LICENSES=NOASSERTION
LABEL org.opencontainers.image.title="AutoLFADS worker" \
      org.opencontainers.image.description="Trains populations of LFADS models: TensorFlow, Ray and autolfads" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="${LICENSES}"
