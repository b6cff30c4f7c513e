"""Makes dist/: the wheel, the chart's package, what the operator is made of (CycloneDX), checksums.

With a tag such as v0.1.0 as argument it refuses to make anything of another version.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

import ippolicy

ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts/ippolicy-operator"
NAME, VERSION = "ippolicy-operator", ippolicy.__version__
UV = Path(sys.executable).with_name("uv")


def main(tags: list[str], dist: Path = ROOT / "dist") -> int:
    """Make everything anew; exit status 1 where versions differ."""
    versions = {"chart": str(yaml.safe_load((CHART / "Chart.yaml").read_text())["version"])}
    versions |= {f"tag {tag}": tag.removeprefix("v") for tag in tags}
    for what, version in versions.items():
        if version != VERSION:
            print(f"{what} is of {version}, the package of {VERSION}", file=sys.stderr)  # noqa: T201
            return 1
    shutil.rmtree(dist, ignore_errors=True)
    run(UV, "build", "--quiet", "--wheel", "--out-dir", dist)
    (helm,) = run(sys.executable, ROOT / "tests/support/tools.py", "helm").splitlines()
    run(helm, "package", CHART, "--destination", dist)
    bill = json.dumps(bill_of_materials(), indent=2)
    (dist / f"{NAME}-{VERSION}.cdx.json").write_text(f"{bill}\n")
    made = sorted(path for path in dist.iterdir() if path.suffix in {".whl", ".tgz", ".json"})
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in made]
    (dist / "SHA256SUMS").write_text("".join(sums))
    print("".join(sums), end="")  # noqa: T201
    return 0


def bill_of_materials() -> dict[str, Any]:
    """What `pip install ippolicy-operator` brings, as uv.lock pins it: CycloneDX 1.5."""
    command = ("export", "--frozen", "--no-dev", "--format", "cyclonedx1.5")
    bill: dict[str, Any] = json.loads(
        run(UV, *command, "--quiet", "--preview-features", "sbom-export")
    )
    # The lock leaves out the version of the project itself, as it is in its source.
    purl = f"pkg:pypi/{NAME}@{VERSION}"
    bill["metadata"]["component"] |= {"type": "application", "version": VERSION, "purl": purl}
    return bill


def run(*command: str | Path) -> str:
    """What a command prints; it fails as the command does."""
    return subprocess.run(  # noqa: S603  (our own tools)
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
