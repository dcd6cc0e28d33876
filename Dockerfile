# The worker, the HTTP API with its page, and the command line. `docker build -t darkroom .`

FROM python:3.13-slim-trixie AS packages
COPY requirements-runtime.lock /
# Wheels only: there is no compiler here, and nothing that a package brings is run while it is installed.
RUN python -m venv --without-pip /opt/venv \
 && pip --python /opt/venv install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps \
      --only-binary :all: --requirement /requirements-runtime.lock

FROM python:3.13-slim-trixie
RUN groupadd --gid 10001 darkroom \
 && useradd --uid 10001 --gid darkroom --home-dir /data --no-create-home --shell /usr/sbin/nologin darkroom \
 && install --directory --owner darkroom --group darkroom /data
COPY --from=packages /opt/venv /opt/venv
WORKDIR /app
COPY . .
RUN ln -s /app/starter.py /opt/venv/bin/darkroom
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DARKROOM_HOME=/data \
    METRICS_PORT=9464
USER 10001:10001
STOPSIGNAL SIGTERM
# Healthy: the worker asks Temporal for work. One that starts, or drains after SIGTERM, does not.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import os, re, urllib.request as web; page = web.urlopen('http://127.0.0.1:' + os.environ['METRICS_PORT'] + '/metrics', timeout=4).read().decode(); raise SystemExit(not re.search('^temporal_num_pollers.* [1-9]', page, re.M))"]
# `docker run --entrypoint darkroom darkroom --help` runs the command line.
ENTRYPOINT ["python"]
CMD ["worker.py"]
