# Both bases must have the same minor version of python3; the second needs nothing else, so that the
# first serves for both, too: --build-arg RUNTIME=python:3.13-slim-trixie.
ARG BASE=python:3.13-slim-trixie
ARG RUNTIME=gcr.io/distroless/python3-debian13:nonroot

FROM ${BASE} AS build
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_NO_CACHE=1
RUN python3 -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir uv==0.13.9
RUN command -v ld >/dev/null \
    || (apt-get update && apt-get install --yes --no-install-recommends binutils)
WORKDIR /src
COPY pyproject.toml uv.lock README.md LICENSE ./
# Dependencies first, as uv.lock pins them with hashes: these layers change only with the lock.
RUN /opt/uv/bin/uv sync --frozen --no-dev --no-install-project
RUN UV_PROJECT_ENVIRONMENT=/opt/venv /opt/uv/bin/uv sync --frozen --no-dev --no-install-project \
    --no-install-package numba --no-install-package llvmlite
COPY operator operator
# The replay as a library, by numba and a linker that both stay behind.
RUN PYTHONPATH=operator .venv/bin/python -m ippolicy.ipamd.fast
RUN UV_PROJECT_ENVIRONMENT=/opt/venv /opt/uv/bin/uv sync --frozen --no-dev --no-editable \
    --no-install-package numba --no-install-package llvmlite \
    && mv /opt/venv/lib/python3*/site-packages /opt/ippolicy
# What no part of the operator ever loads, the sources of the generated API client, and symbols of
# libraries (not of numpy: its libraries were linked to each other when its wheel was made).
RUN cd /opt/ippolicy \
    && rm -rf ippolicy/sandbox kubernetes/aio numpy/f2py numpy/_core/include numpy/_core/lib \
    && find . -type d -name tests -prune -exec rm -rf {} + \
    && find . -name '*.so' ! -path './numpy*' -exec strip --strip-unneeded {} + \
    && find botocore/data -mindepth 1 -maxdepth 1 -type d \
        ! -name ec2 ! -name eks ! -name 'sso*' ! -name sts -exec rm -rf {} + \
    && python3 -m compileall -q -b --invalidation-mode unchecked-hash kubernetes \
    && find kubernetes -name '*.py' -delete \
    && python3 -m compileall -q --invalidation-mode unchecked-hash .

FROM ${RUNTIME}
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="ippolicy-operator" \
      org.opencontainers.image.description="Chooses, applies and proves the warm IP targets of the Amazon VPC CNI from observed demand" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/ippolicy /opt/ippolicy
ENV PYTHONPATH=/opt/ippolicy \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["python3", "-m", "ippolicy"]
CMD ["run"]
