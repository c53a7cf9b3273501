# Two stages: the first builds a virtual environment from the lock file, the second holds it and
# nothing that could build. Every package is fetched once, by its hash in the lock; both environments
# are then installed from these files alone, without an index.
FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE ./
RUN python -m venv /opt/build \
 && /opt/build/bin/pip download --require-hashes --only-binary :all: --dest /wheels -r requirements.lock \
 && /opt/build/bin/pip install --no-index --find-links /wheels --require-hashes -r requirements.lock
COPY exporter exporter
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && python -m venv /opt/drift-exporter \
 && /opt/drift-exporter/bin/pip install --no-index --find-links /wheels "$(ls /wheels/drift_exporter-*.whl)[postgres,duckdb]" \
 && /opt/drift-exporter/bin/pip uninstall --yes pip setuptools

FROM python:3.11-slim-bookworm
ARG REVISION=""
LABEL org.opencontainers.image.title="drift-exporter" \
      org.opencontainers.image.description="Prometheus exporter for the drift of machine-learning models" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/drift-exporter /opt/drift-exporter
# PYTHONDONTWRITEBYTECODE: the root may be read-only; all state is in the volume.
ENV PATH=/opt/drift-exporter/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    DRIFT_EXPORTER_REVISION=${REVISION} \
    DRIFT_EXPORTER_CONFIG_FILE=/etc/drift-exporter/drift.yml \
    DRIFT_EXPORTER_STORAGE_PATH=/var/lib/drift-exporter
RUN install -d -o 65532 -g 65532 /var/lib/drift-exporter
# A number: Kubernetes cannot tell whether a name is root.
USER 65532:65532
WORKDIR /var/lib/drift-exporter
VOLUME /var/lib/drift-exporter
EXPOSE 10033
HEALTHCHECK --interval=30s --timeout=6s --start-period=10s CMD ["drift-exporter", "healthcheck"]
ENTRYPOINT ["drift-exporter"]
