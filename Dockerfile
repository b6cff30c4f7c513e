# BASE must have python3 with venv, the same in both stages.
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
ENV UV_PYTHON_DOWNLOADS=never \
    UV_PROJECT_ENVIRONMENT=/opt/ippolicy \
    UV_LINK_MODE=copy
RUN python3 -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir uv==0.13.9
WORKDIR /src
COPY pyproject.toml uv.lock README.md LICENSE ./
# Dependencies first, as uv.lock pins them with hashes: this layer changes only with the lock.
RUN /opt/uv/bin/uv sync --frozen --no-dev --no-install-project --no-cache --compile-bytecode
COPY operator operator
RUN /opt/uv/bin/uv sync --frozen --no-dev --no-editable --no-cache --compile-bytecode

FROM ${BASE}
LABEL org.opencontainers.image.title="ippolicy-operator" \
      org.opencontainers.image.description="Chooses, applies and proves the warm IP targets of the Amazon VPC CNI from observed demand" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/ippolicy /opt/ippolicy
ENV PATH=/opt/ippolicy/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["ippolicy"]
CMD ["run"]
