# The worker's image. `docker build .` makes it; `docker build --target test .` makes one that runs the fast tests.

FROM python:3.13-slim AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_NO_CACHE=1
RUN pip install --no-cache-dir --quiet --root-user-action ignore 'uv>=0.8'
WORKDIR /app
# The dependencies change seldom: a layer of their own.
COPY pyproject.toml uv.lock ./
RUN uv sync --quiet --locked --no-dev --no-install-project
COPY README.md LICENSE ./
COPY handlers handlers
COPY worker worker
RUN uv sync --quiet --locked --no-dev --no-editable

FROM build AS test
RUN uv sync --quiet --locked
COPY . .
CMD ["/app/.venv/bin/pytest", "-m", "not broker and not chaos", "-p", "no:cacheprovider"]

FROM python:3.13-slim
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="customer-sync" \
      org.opencontainers.image.description="Applies customer-update commands from Kafka to Midday and publishes events" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The environment alone: no uv, no caches, no tests. It belongs to root and nobody else may change it.
COPY --from=build /app/.venv /app/.venv
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
# A number, so that Kubernetes can see that it is not root (runAsNonRoot).
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=4s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; page = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('HTTP_PORT', 8080)), timeout=3); page.request('GET', '/livez'); sys.exit(page.getresponse().status != 200)"]
ENTRYPOINT ["customer-sync"]
CMD ["run"]
