# Any glibc image with Python 3.11 to 3.14 and pip will do as the base: the embedded store has no build for musl.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
# /app goes into the image. /build has only what makes the wheel, and stays behind.
COPY requirements.lock requirements-build.lock ./
RUN python3 -m venv --without-pip /app \
    && python3 -m venv --without-pip /build \
    && install="install --no-cache-dir --disable-pip-version-check --only-binary :all: --require-hashes" \
    && python3 -m pip --python /app/bin/python $install -r requirements.lock \
    && python3 -m pip --python /build/bin/python $install -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
RUN python3 -m pip --python /build/bin/python wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && python3 -m pip --python /app/bin/python install --no-cache-dir --no-deps --no-index /wheels/*.whl

FROM ${PYTHON_IMAGE}
ARG VERSION=unknown
ARG REVISION=unknown
ARG PYTHON_IMAGE
LABEL org.opencontainers.image.title="jwt-gateway" \
      org.opencontainers.image.description="An API gateway that logs people in, issues JWTs and enforces them on every request" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
COPY --from=build /app /app
# The one place that is written to. Group 0 may write as well, for platforms that choose the user id themselves.
RUN mkdir -p /etc/gateway /var/lib/gateway \
    && chown 65532:0 /var/lib/gateway \
    && chmod 0770 /var/lib/gateway
ENV PATH=/app/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/var/lib/gateway \
    TMPDIR=/var/lib/gateway \
    GATEWAY_DATA_DIR=/var/lib/gateway \
    GATEWAY_LISTEN=0.0.0.0:8080 \
    GATEWAY_ADMIN_LISTEN=0.0.0.0:9901
VOLUME /var/lib/gateway
WORKDIR /var/lib/gateway
USER 65532:65532
EXPOSE 8080 9901
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["/app/bin/gateway", "healthcheck"]
ENTRYPOINT ["/app/bin/gateway"]
CMD ["run", "-c", "/etc/gateway/gateway.yaml"]
