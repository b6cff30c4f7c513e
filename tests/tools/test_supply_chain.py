"""Workflows run pinned code only, the audit tells what it found, the SBOM is what is installed."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

import ippolicy

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
LOCAL = re.compile(r"\./\.github/workflows/[\w.-]+\.yml")
EXPRESSION = re.compile(r"\$\{\{")


def steps(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All steps of all jobs."""
    for job in workflow["jobs"].values():
        yield from job.get("steps", ())


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.name)
def workflow(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A workflow; the key `on` is a truth in YAML."""
    found: dict[str, Any] = yaml.safe_load(request.param.read_text())
    return found


def test_there_is_a_workflow_for_each_purpose() -> None:
    assert [path.stem for path in WORKFLOWS] == ["ci", "codeql", "release", "scorecard"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_commit_and_says_its_version(path: Path) -> None:
    used = re.findall(r"uses: *(.*)$", path.read_text(), re.MULTILINE)
    assert used
    assert [one for one in used if not (PINNED.fullmatch(one) or LOCAL.fullmatch(one))] == []


def test_one_version_of_an_action_has_one_commit() -> None:
    pins = {
        one
        for path in WORKFLOWS
        for one in re.findall(r"uses: *(\S+@.*)$", path.read_text(), re.MULTILINE)
    }
    versions = [(one.partition("@")[0], one.rpartition(" ")[2]) for one in pins]
    assert len(versions) == len(set(versions))


def test_a_workflow_may_write_only_where_a_job_says_so(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] in ({"contents": "read"}, "read-all")
    assert workflow[True]
    own = [job for job in workflow["jobs"].values() if "uses" not in job]
    assert all({"runs-on", "timeout-minutes"} <= set(job) for job in own)


def test_no_token_stays_on_disk_and_no_expression_is_run(workflow: dict[str, Any]) -> None:
    for step in steps(workflow):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
        assert not EXPRESSION.search(step.get("run", "")), "give it by `env`"


def test_every_target_that_a_workflow_makes_is_there(workflow: dict[str, Any]) -> None:
    targets = set(re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    made = {name for step in steps(workflow) for name in re.findall(r"make (\w+)", str(step))}
    assert made <= targets


def test_the_pipeline_runs_all_that_there_is() -> None:
    text = (ROOT / ".github/workflows/ci.yml").read_text()
    wanted = ("lint", "test", "e2e", "image", "audit", "fuzz")
    assert [name for name in wanted if f"make {name}" not in text] == []


# -- audit -----------------------------------------------------------------------------------------


@contextmanager
def advisories(vulnerable: set[str]) -> Iterator[str]:
    """The URL of an advisory service that knows something about these packages."""
    about = {
        "id": "PYSEC-0000-1",
        "modified": "2026-01-01T00:00:00Z",
        "summary": "bad news",
        "affected": [],
    }

    class Advisories(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
            found = {"vulns": [{"id": about["id"], "modified": about["modified"]}]}
            names = [query["package"]["name"] for query in asked]
            self.answer({"results": [found if name in vulnerable else {} for name in names]})

        def do_GET(self) -> None:
            self.answer(about)

        def answer(self, body: Any) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Advisories) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def audit(url: str) -> subprocess.CompletedProcess[str]:
    """`make audit` with another service."""
    return subprocess.run(
        [sys.executable, ROOT / "scripts/audit.py", "--service-url", url],
        cwd=ROOT,
        env={**os.environ, "UV_HTTP_RETRIES": "0"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("vulnerable", "status"), [(set(), 0), ({"click"}, 1)])
def test_the_audit_fails_only_where_something_is_known(vulnerable: set[str], status: int) -> None:
    with advisories(vulnerable) as url:
        done = audit(url)
    assert done.returncode == status
    assert ("bad news" in done.stdout) is bool(vulnerable)


def test_an_audit_without_an_answer_says_that_nothing_was_audited() -> None:
    with advisories(set()) as url:
        pass
    done = audit(url)
    assert done.returncode == 2
    assert "NOT AUDITED" in done.stderr.splitlines()[-1]


# -- release ---------------------------------------------------------------------------------------


def release() -> Any:
    """The module of scripts/release.py."""
    spec = importlib.util.spec_from_file_location("release", ROOT / "scripts/release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_sbom_lists_what_the_operator_needs_and_nothing_of_its_tests() -> None:
    bill = release().bill_of_materials()
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    root = bill["metadata"]["component"]
    assert (root["name"], root["version"]) == ("ippolicy-operator", ippolicy.__version__)
    assert root["purl"] == f"pkg:pypi/ippolicy-operator@{ippolicy.__version__}"
    named = {one["name"] for one in bill["components"]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    direct = {re.split(r"[><=\[]", one)[0].lower() for one in project["dependencies"]}
    assert direct <= named
    assert not named & {"pytest", "moto", "ruff", "matplotlib", "rich"}
    assert all(one["purl"].startswith("pkg:pypi/") for one in bill["components"])
    (depends,) = (one for one in bill["dependencies"] if one["ref"] == root["bom-ref"])
    assert len(depends["dependsOn"]) >= len(direct)


def test_nothing_is_released_under_the_tag_of_another_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert release().main(["v99.0.0"], tmp_path / "dist") == 1
    assert "tag v99.0.0 is of 99.0.0" in capsys.readouterr().err
    assert not (tmp_path / "dist").exists()
