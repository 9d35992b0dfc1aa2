# Farebox with all its extras: docs/how-to/deploy.md tells how it is run. `make image-steps` takes these steps
# without an engine, and runs what they make.

# The version of Python that the tests run with; any from 3.11 on does.
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements/build.lock requirements/image.lock requirements/
# All that is locked comes as wheels, by hash: nothing is compiled, and what runs has no pip.
RUN python -m venv --without-pip /opt/farebox \
    && python -m pip --python /opt/farebox/bin/python install --only-binary :all: --require-hashes \
        --requirement requirements/image.lock \
    && python -m venv backend \
    && backend/bin/python -m pip install --only-binary :all: --require-hashes --requirement requirements/build.lock
COPY LICENSE README.md pyproject.toml ./
COPY src src
COPY clients/python clients/python
RUN backend/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir wheels ./clients/python . \
    && python -m pip --python /opt/farebox/bin/python install --no-deps --no-index wheels/*.whl

FROM python:${PYTHON_VERSION}-slim-bookworm
LABEL org.opencontainers.image.title="Farebox" \
    org.opencontainers.image.description="Prepaid balances for pay-per-request APIs." \
    org.opencontainers.image.licenses="MIT"
RUN groupadd --gid 10001 farebox \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/farebox --no-create-home \
        --shell /usr/sbin/nologin farebox \
    && install --directory --owner=farebox --group=farebox --mode=0700 /var/lib/farebox
COPY --from=build /opt/farebox /opt/farebox
ENV PATH=/opt/farebox/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FAREBOX_DATABASE_URL=sqlite:////var/lib/farebox/farebox.db
USER 10001:10001
# The one place that is written to: the embedded database, and mails as long as no mail server is named.
WORKDIR /var/lib/farebox
VOLUME /var/lib/farebox
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import http.client as http; asked = http.HTTPConnection('127.0.0.1', 8000, timeout=4); asked.request('GET', '/healthz'); assert asked.getresponse().status == 200"]
ENTRYPOINT ["farebox"]
CMD ["serve", "--host", "0.0.0.0"]
