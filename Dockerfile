# Targets: `api` (no torch), `worker-cpu`, `worker-cuda`.  The root file system may be read-only: only /data, /models and
# /tmp are written.  Weights are fetched into the volume /models at a worker's first start; build with
# --build-arg WITH_WEIGHTS=1 to have them in the image instead.
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
ENV UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1
WORKDIR /build
COPY .constraints.txt pyproject.toml README.md LICENSE ./
RUN pip install --no-cache-dir --constraint .constraints.txt uv \
    && python -m venv /app

# An API process separates and transcribes nothing.
FROM build AS build-api
RUN printf "%s; sys_platform == 'never'\n" torch demucs onnx onnxruntime basic-pitch swift-f0 scipy > overrides.txt \
    && uv pip install --python /app/bin/python --constraints .constraints.txt --overrides overrides.txt \
        --requirements pyproject.toml --extra postgres --extra redis
COPY migrations migrations
COPY pipeline pipeline
COPY service service
RUN uv pip install --python /app/bin/python --constraints .constraints.txt --no-deps .

# TORCH_BACKEND names the build of torch, as uv does: cpu, cu128, cu130, ...
FROM build AS build-worker
ARG TORCH_BACKEND=cpu
RUN uv pip install --python /app/bin/python --constraints .constraints.txt --torch-backend "${TORCH_BACKEND}" \
        --requirements pyproject.toml --extra postgres --extra redis
COPY migrations migrations
COPY pipeline pipeline
COPY service service
RUN uv pip install --python /app/bin/python --constraints .constraints.txt --no-deps .
ARG WITH_WEIGHTS=0
RUN mkdir /models \
    && if [ "${WITH_WEIGHTS}" = 1 ]; then STEMSCRIBE_MODELS_DIR=/models /app/bin/stemscribe models pull; fi

FROM python:${PYTHON} AS base
RUN groupadd --gid 10001 stemscribe \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin stemscribe \
    && install --directory --owner 10001 --group 10001 /data /models
ENV PATH=/app/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    STEMSCRIBE_DATA_DIR=/data \
    STEMSCRIBE_HOST=0.0.0.0 \
    STEMSCRIBE_LOG_FORMAT=json \
    STEMSCRIBE_MODELS_DIR=/models
WORKDIR /data
USER 10001:10001

FROM base AS api
COPY --from=build-api /app /app
VOLUME ["/data"]
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/ready', timeout=5)"]
CMD ["stemscribe", "api"]

FROM base AS worker
ENV OMP_WAIT_POLICY=PASSIVE \
    STEMSCRIBE_WORKER_PORT=9000
COPY --from=build-worker /app /app
COPY --from=build-worker --chown=10001:10001 /models /models
VOLUME ["/data", "/models"]
EXPOSE 9000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=600s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9000/health/ready', timeout=5)"]

FROM worker AS worker-cpu
ENV STEMSCRIBE_DEVICE=cpu
CMD ["stemscribe", "worker", "--queues", "separation,midi,io"]

# Build it with --build-arg TORCH_BACKEND=cu128; the driver comes from the host, by NVIDIA's container toolkit.
FROM worker AS worker-cuda
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_VISIBLE_DEVICES=all \
    STEMSCRIBE_DEVICE=cuda
CMD ["stemscribe", "worker", "--queues", "separation"]
