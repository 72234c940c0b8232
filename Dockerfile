# One image for every role: docker run IMAGE milvus run rootcoord
# 3.11 is the Python that the tests run on; glibc, because the protobuf codec has no wheel for musl.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# Without pip of its own: nothing is to be installed into a running image.
RUN python -m venv --without-pip /opt/milvus
COPY requirements/runtime.lock /src/requirements/
RUN pip --python /opt/milvus/bin/python install --require-hashes \
        -r /src/requirements/runtime.lock
COPY pyproject.toml README.md LICENSE NOTICE /src/
COPY milvus_coord /src/milvus_coord
RUN pip --python /opt/milvus/bin/python install --no-deps /src

FROM ${BASE}
# A fixed number, so that volumes and runAsUser can name it. /milvus/configs is the daemon's: Milvus'
# Helm chart merges the user's values into milvus.yaml there at each start.
RUN groupadd --gid 10001 milvus \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/milvus --shell /usr/sbin/nologin milvus \
    && install --directory --owner=milvus --group=milvus \
        /milvus /milvus/configs /run/milvus /var/lib/milvus
COPY --from=build /opt/milvus /opt/milvus
COPY LICENSE NOTICE /licenses/
COPY --chown=milvus:milvus config/milvus.yaml /milvus/configs/milvus.yaml
ENV PATH=/opt/milvus/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /milvus
USER 10001:10001
# gRPC of rootcoord, datacoord, indexcoord and querycoord; then metrics and health.
EXPOSE 53100 13333 31000 19531 9091
STOPSIGNAL SIGTERM
# A METRICS_PORT that is no number means 9091, as for the daemon. A standby is healthy too.
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-ISc", "import http.client, os, sys; port = os.environ.get('METRICS_PORT', ''); c = http.client.HTTPConnection('127.0.0.1', int(port) if port.isdecimal() else 9091, timeout=4); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
# No tini: the daemon handles its signals itself and has no children to reap, for etcd is not in here.
CMD ["milvus", "run", "rootcoord"]
