# One image for all five services and the `waybill` command; the command picks which:
#   docker run waybill waybill_sla              runs sla
#   docker run waybill waybill_sla migrate      brings its database to the newest version
#   docker run --entrypoint waybill waybill ... the command line
FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /app
RUN python -m venv .venv
COPY requirements.lock deploy/docker/runtime_lock.py /build/
RUN python /build/runtime_lock.py /build/requirements.lock > /build/runtime.lock \
 && .venv/bin/pip install --require-hashes --only-binary :all: -r /build/runtime.lock
COPY libs libs
COPY proto/gen proto/gen
COPY services services
COPY cli cli
RUN .venv/bin/pip install --no-deps --no-build-isolation \
      -e libs/chassis -e proto/gen -e cli \
      -e services/intake -e services/routing -e services/sla -e services/notify -e services/kb \
 && .venv/bin/python -m compileall -q libs services cli proto/gen

FROM python:3.11-slim
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent waybill \
 && install -d -o waybill -g waybill -m 0700 /data /attachments
WORKDIR /app
COPY --from=build /app /app
COPY deploy deploy
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    WAYBILL_HOME=/app \
    WAYBILL_DATA_DIR=/data \
    WAYBILL_HTTP_HOST=0.0.0.0 \
    WAYBILL_GRPC_HOST=0.0.0.0
USER waybill
VOLUME ["/data", "/attachments"]
# SIGTERM lets a service finish what it began; give it longer than its 20 s (WAYBILL_GRACE_SECONDS).
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-P", "-m"]
CMD ["waybill_intake"]
