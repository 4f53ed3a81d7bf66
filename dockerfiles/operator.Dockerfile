# The operator's image: kopf, the clients of Kubernetes and Google Cloud, our code. Built by `make images`;
# docs/images.md. Made as worker.Dockerfile is, whose comments hold here too.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS code
ENV PYTHONDONTWRITEBYTECODE=1
COPY requirements/build.txt /build/
RUN python3 -m venv /build/tools \
 && /build/tools/bin/pip install --no-cache-dir --require-hashes --requirement /build/build.txt
COPY pyproject.toml README.md /build/source/
COPY crds/autolfads_spec /build/source/crds/autolfads_spec
COPY operator/autolfads_operator /build/source/operator/autolfads_operator
# Without bin/autolfads, which is the worker's.
RUN export SOURCE_DATE_EPOCH=315532800 \
 && python3 -m venv --without-pip /opt/autolfads \
 && /build/tools/bin/pip wheel --quiet --no-deps --no-index --no-build-isolation --wheel-dir /build/wheel \
      /build/source \
 && /build/tools/bin/pip --python /opt/autolfads/bin/python install --no-deps --no-index --no-compile \
      --prefix /build/code /build/wheel/*.whl \
 && rm -r /build/code/bin \
 && python3 -m compileall -q --invalidation-mode unchecked-hash /build/code

FROM ${BASE} AS dependencies
COPY requirements/build.txt requirements/operator.txt /opt/autolfads/requirements/
RUN --mount=type=cache,target=/root/.cache/uv \
    export PYTHONDONTWRITEBYTECODE=1 \
 && python3 -m venv /tmp/tools \
 && /tmp/tools/bin/pip install --no-cache-dir --require-hashes \
      --requirement /opt/autolfads/requirements/build.txt \
 && python3 -m venv --without-pip /opt/autolfads \
 && /tmp/tools/bin/uv pip install --link-mode copy --python /opt/autolfads --require-hashes \
      --requirements /opt/autolfads/requirements/operator.txt \
 && rm -r /tmp/tools \
 && site=$(echo /opt/autolfads/lib/python3.*/site-packages) \
 && { python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash -x '/(idlelib|lib2to3|test|tests)/' \
        "$site" "$(python3 -c 'import os; print(os.path.dirname(os.__file__))')" || true; } \
 && printf 'autolfads:x:65532:65532::/tmp:/usr/sbin/nologin\n' >> /etc/passwd \
 && printf 'autolfads:x:65532:\n' >> /etc/group

FROM dependencies
COPY --from=code /build/code /opt/autolfads
ENV PATH=/opt/autolfads/bin:$PATH \
    HOME=/tmp \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GRPC_VERBOSITY=ERROR
USER 65532:65532
WORKDIR /tmp
EXPOSE 8080
ENTRYPOINT ["python", "-m", "autolfads_operator"]
ARG VERSION=0
ARG REVISION=unknown
ARG SOURCE=
ARG LICENSES=NOASSERTION
LABEL org.opencontainers.image.title="AutoLFADS operator" \
      org.opencontainers.image.description="Runs every AutoLFADSRun on a Ray cluster that it starts and ends" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="${LICENSES}"
