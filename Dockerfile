# The service: every role, and every command of `python -m app`. Build from the root of the repository:
#
#   docker build --tag user-profile:0.2.0 .
#   docker run --rm --env-file production.env user-profile:0.2.0 doctor
#
# It holds nothing of one architecture: `docker buildx build --platform linux/amd64,linux/arm64` makes both.
# The tags below name full versions. A registry tells the digest of each, which fixes it for good:
#   --build-arg PYTHON_DIGEST=@sha256:… --build-arg NODE_DIGEST=@sha256:…
ARG PYTHON_DIGEST=
ARG NODE_DIGEST=

# --- the page; the same files on every architecture
FROM node:22.20.0-bookworm-slim${NODE_DIGEST} AS page
WORKDIR /build/web/ui
COPY web/ui/package.json web/ui/package-lock.json web/ui/.npmrc ./
RUN npm ci --ignore-scripts --no-audit --no-fund --silent
COPY web/ui/ ./
RUN node node_modules/vite/bin/vite.js build --logLevel warn

# --- the packages, by hash, and the source, compiled
FROM python:3.11.14-slim-bookworm${PYTHON_DIGEST} AS packages
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements-image.lock /build/
RUN python -m venv --without-pip /opt/venv \
    # Wheels, but for faust-streaming on arm64, which has none: built without a compiler it is plain Python.
    && python -m pip --python /opt/venv/bin/python install --quiet --no-deps --prefer-binary --require-hashes \
       -r /build/requirements-image.lock \
    # Of Swagger UI the page /docs uses neither the editor nor the source maps, 20 MB.
    && find /opt/venv \( -path '*/swagger_ui/static/*' \( -name 'swagger-editor*' -o -name '*.map' \) -o -name '*.pyx' \) -delete \
    && find /opt/venv -type d \( -name tests -o -name test \) -prune -exec rm -rf {} +
WORKDIR /opt/user-profile
COPY LICENSE ./
COPY app app
COPY agents agents
COPY cdc cdc
COPY storage storage
COPY web web
COPY --from=page /build/web/static web/static
RUN rm -rf web/ui && python -m compileall -q -j 0 --invalidation-mode unchecked-hash .

# --- what keeps the Flink jobs on their cluster: `--target flink-jobs`
FROM maven:3.9.9-eclipse-temurin-17 AS flink-jars
WORKDIR /build
COPY infra/pom.xml pom.xml
RUN mvn -B -ntp -q -f pom.xml -P flink-connector \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory=/build/lib
COPY flink/functions flink/functions
COPY flink/contracts flink/contracts
RUN mvn -B -ntp -q -f flink/functions/pom.xml -Dmaven.test.skip=true package \
    && find flink/functions/target -maxdepth 1 -name 'source-functions-*.jar' -exec cp {} /build/source-functions.jar \;

FROM flink:2.2.1-java17 AS flink

FROM python:3.11.14-slim-bookworm${PYTHON_DIGEST} AS flink-jobs
# Of the number that Flink's image has, so that both may write in the volume of the checkpoints.
RUN useradd --uid 9999 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin flink \
    && install -d -o flink -g flink /checkpoints
COPY --from=flink /opt/java/openjdk /opt/java/openjdk
COPY --from=flink /opt/flink /opt/flink
COPY --from=flink-jars /build/lib/ /opt/flink/lib/
COPY --from=packages /opt/venv /opt/venv
WORKDIR /opt/user-profile
ENV PATH=/opt/venv/bin:$PATH JAVA_HOME=/opt/java/openjdk FLINK_HOME=/opt/flink \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 INFRA_IN_CONTAINER=true INFRA_DATA_ROOT=/checkpoints/.locks
COPY app app
COPY cdc cdc
COPY infra infra
COPY flink flink
COPY --from=flink-jars /build/source-functions.jar /opt/functions/
# Under the fingerprint of what it is made of, which tells the jobs whether it is another one.
RUN directory=/opt/functions/source-functions-$(python -c 'from infra.install.functions import fingerprint; print(fingerprint())') \
    && mkdir "$directory" && mv /opt/functions/source-functions.jar "$directory/"
USER flink
ENTRYPOINT ["python", "-m", "infra.flink"]
CMD ["keep"]

# --- what runs
FROM python:3.11.14-slim-bookworm${PYTHON_DIGEST}
ARG VERSION=0.2.0
ARG REVISION=
LABEL org.opencontainers.image.title="User Profile" \
      org.opencontainers.image.description="Real-time user profiles: one graph of entities, relationships and time series, read over HTTP." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin profile \
    && install -d -o profile -g profile -m 0700 /keys
COPY --from=packages /opt/venv /opt/venv
COPY --from=packages /opt/user-profile /opt/user-profile
WORKDIR /opt/user-profile
# Everything is compiled already, and the file system may be read-only: only /tmp is written to.
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PYTHONFAULTHANDLER=1
USER 10001:10001
EXPOSE 8888
# No interpreter is started for a probe, which would cost more CPU than the answer. A worker without the role web
# listens nowhere: it sets its own check, or none (`--no-healthcheck`).
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/${PROFILE_WEB_PORT:-8888} && printf 'GET /healthz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && read -r -t 4 _ code _ <&3 && [ \"$code\" = 200 ]"]
# SIGTERM goes to the worker itself, which finishes what is in work, flushes, commits, and ends within 50 s:
# `docker stop --time 60`.
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "app"]
CMD ["worker"]
