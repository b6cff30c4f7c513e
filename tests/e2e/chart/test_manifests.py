"""deploy/ is what Helm makes of the chart, and the guide's Terraform can be read."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools import tool

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs/user/install.md").read_text()
SNIPPETS = re.findall(r"```hcl\n(.*?)```", GUIDE, re.DOTALL)


def test_deploy_is_what_helm_renders() -> None:
    script = "import sys; sys.path.insert(0, 'scripts/chart'); import deploy, json; "
    script += "print(json.dumps(deploy.rendered(deploy.helm())))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    for name, text in json.loads(done.stdout).items():
        assert (ROOT / "deploy" / name).read_text() == text


@pytest.mark.parametrize("text", SNIPPETS)
def test_the_terraform_of_the_guide_can_be_read(text: str) -> None:
    done = subprocess.run(
        [tool("hcl2json")], input=text, capture_output=True, text=True, check=True
    )
    read = json.loads(done.stdout)
    assert {"aws_iam_role", "aws_iam_role_policy"} <= set(read["resource"])


def test_a_mistake_in_terraform_would_be_seen() -> None:
    broken = SNIPPETS[0].replace("}", "", 1)
    done = subprocess.run(
        [tool("hcl2json")], input=broken, capture_output=True, text=True, check=False
    )
    assert done.returncode
