"""The plain manifests of deploy/, rendered from the chart by Helm.

Whether they are up to date is told without Helm: kustomization.yaml notes a digest of what they
were rendered from, and of what came of it.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml
from values import ChartError

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/ippolicy-operator"
DEPLOY = ROOT / "deploy"
KUSTOMIZATION = "kustomization.yaml"
CRD = "crd/ippolicies.yaml"
NOTICE = "# Generated from charts/ippolicy-operator by `make generate`; edit it there.\n"
APART: Mapping[str, tuple[str, ...]] = {
    "rbac-proxy-scrape.yaml": ("--set", "settings.scrapeVia=proxy"),
    "webhook.yaml": ("--set", "webhook.enabled=true"),
}
"""Manifests for those who ask for them: template -> arguments that have it rendered."""

_OF_HELM = re.compile(
    r"^ +(app\.kubernetes\.io/(instance|managed-by|version)|helm\.sh/chart): .*\n", re.MULTILINE
)
"""Labels that only hold for a release of Helm."""
_DIGEST = re.compile(r"^# sha256:([0-9a-f]{64})$", re.MULTILINE)


def is_fresh(chart: Path = CHART, deploy: Path = DEPLOY) -> bool:
    """Whether deploy/ is what the chart gave, as far as its digest tells."""
    kustomization = deploy / KUSTOMIZATION
    text = kustomization.read_text() if kustomization.is_file() else ""
    noted = _DIGEST.search(text)
    listed = {*yaml.safe_load(text)["resources"], *APART} - {CRD} if noted else set()
    if noted is None or not all((deploy / name).is_file() for name in listed):
        return False
    manifests = {name: (deploy / name).read_text() for name in listed}
    return noted[1] == _digest(chart, manifests)


def write(chart: Path = CHART, deploy: Path = DEPLOY) -> None:
    """Render deploy/ anew."""
    manifests = rendered(helm(), chart)
    for name, text in manifests.items():
        (deploy / name).write_text(text)
    resources = [CRD, *(name for name in manifests if name not in APART)]
    lines = "".join(f"  - {name}\n" for name in resources)
    (deploy / KUSTOMIZATION).write_text(
        f"{NOTICE}# sha256:{_digest(chart, manifests)}\n"
        "# kubectl apply -k deploy/\n"
        "# For your own values make an overlay that lists this folder under `resources`.\n"
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
        f"resources:\n{lines}"
    )


def rendered(helm: Path, chart: Path = CHART) -> dict[str, str]:
    """Name -> text of every manifest, in the order in which they are applied."""
    manifests = dict(_by_template(_template(helm, chart, "--skip-tests")))
    del manifests["crd.yaml"]  # deploy/ has it as the types give it
    for name, arguments in APART.items():
        manifests |= _by_template(_template(helm, chart, *arguments, "-s", f"templates/{name}"))
    return {name: NOTICE + _OF_HELM.sub("", text) for name, text in manifests.items()}


def helm() -> Path:
    """Helm's program, fetched if need be; raises ChartError where it cannot be had."""
    found = subprocess.run(  # noqa: S603  (our own program)
        [sys.executable, ROOT / "tests/support/tools.py", "helm"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if found.returncode:
        raise ChartError("deploy/ cannot be rendered without Helm: see above")
    return Path(found.stdout.strip())


def _template(helm: Path, chart: Path, *arguments: str) -> str:
    oldest = yaml.safe_load((chart / "Chart.yaml").read_text())["kubeVersion"]
    version = oldest.removeprefix(">=").removesuffix("-0")
    command = [helm, "template", "ippolicy", chart, "-n", "kube-system", "--kube-version", version]
    done = subprocess.run(  # noqa: S603  (the program that was found)
        [*command, *arguments], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise ChartError("Helm cannot render the chart: see above")
    return done.stdout


def _by_template(output: str) -> Iterator[tuple[str, str]]:
    """Template -> its documents, as `helm template` writes them: each under its source."""
    texts: dict[str, list[str]] = {}
    for document in re.split(r"^---\n", output, flags=re.MULTILINE):
        source, _, body = document.partition("\n")
        if body.strip():
            texts.setdefault(source.rpartition("/")[2], []).append(body.rstrip() + "\n")
    return ((name, "---\n".join(bodies)) for name, bodies in texts.items())


def _digest(chart: Path, manifests: Mapping[str, str]) -> str:
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    sources = {
        "appVersion": about["appVersion"],
        "values": yaml.safe_load((chart / "values.yaml").read_text()),
        "templates": {
            path.name: path.read_text()
            for path in (chart / "templates").iterdir()
            if path.suffix in (".yaml", ".tpl") and path.name != "crd.yaml"
        },
    }
    whole = json.dumps([sources, dict(manifests)], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()
