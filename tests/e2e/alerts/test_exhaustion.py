"""A subnet is drained under the eyes of a real Prometheus: the alert comes in time, and goes.

The operator's clock runs `SPEED` times as fast as Prometheus' own, so the copy of the rules that is
tried here waits and looks back that much shorter, and takes the time of day from the operator.
"""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from alert_files import CHART_FILES
from ippolicy.sandbox.clock import PATIENCE_S
from ippolicy.sandbox.cluster import Sandbox
from ippolicy.sandbox.operator import COMMAND
from prometheus_server import prometheus
from worlds import small

SPEED = 60.0
FAST_CLOCK = (
    "import time\n"
    "time.time = lambda real=time.time, began=time.time(): (\n"
    f"    began + (real() - began) * {SPEED})\n"
)
FREE = "ippolicy_subnet_free_addresses"
IMMINENT = "IPPolicySubnetExhaustionImminent"
UNITS_S = {"m": 60.0, "h": 3_600.0}
TAKEN_AT_ONCE = 4  # an ENI and its secondary addresses
STEP_S = 1.0
QUIET_S = 20.0
IN_TIME_S = 600.0
"""Time of the operator that must be left for people to act."""
CONFIG = """\
global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}}
rule_files: [{rules}]
scrape_configs:
  - job_name: ippolicy-operator
    static_configs: [{{targets: ["{target}"]}}]
"""


def hastened(rules: str) -> str:
    """The rules with all spans of Prometheus' own clock divided by `SPEED`."""

    def shorter(found: re.Match[str]) -> str:
        span_ms = int(found[2]) * UNITS_S[found[3]] / SPEED * 1_000
        return f"{found[1]}{span_ms:.0f}ms"

    spans = re.compile(r"(for: |\[)(\d+)([mh])")
    now = "scalar(max(ippolicy_last_pass_timestamp_seconds))"
    return spans.sub(shorter, rules).replace("time()", now)


@contextmanager
def watched(folder: Path) -> Iterator[tuple[Sandbox, str]]:
    """A sandbox whose operator is scraped, and the URL of the Prometheus that does so."""
    command = (COMMAND[0], "-c", FAST_CLOCK + COMMAND[2], *COMMAND[3:])
    settings = {"IPPOLICY_INTERVAL": "200ms", "IPPOLICY_EC2_CALLS_PER_MINUTE": "600"}
    layout = small(operator_command=command, operator_settings=settings)
    rules = folder / "subnets.yaml"
    rules.write_text(hastened((CHART_FILES / "rules/subnets.yaml").read_text()))
    with Sandbox(layout) as sandbox:
        sandbox.operator.start()
        sandbox.apply_policy({"mode": "Off"})
        config = CONFIG.format(rules=rules, target=sandbox.operator.url.removeprefix("http://"))
        with prometheus(folder, config=config) as url:
            yield sandbox, url


def firing(url: str) -> dict[str, dict[str, Any]]:
    """Name -> alert, of those that fire."""
    with urllib.request.urlopen(f"{url}/api/v1/alerts", timeout=PATIENCE_S) as answer:  # noqa: S310  (ours)
        alerts = json.load(answer)["data"]["alerts"]
    return {one["labels"]["alertname"]: one for one in alerts if one["state"] == "firing"}


def seen_for_s(url: str) -> float:
    """How long Prometheus has seen free addresses."""
    return queried(url, f"time() - min_over_time(timestamp({FREE})[1h:1s])") or 0.0


def queried(url: str, query: str) -> float | None:
    """The one value of a query; None where there is none."""
    asked = f"{url}/api/v1/query?{urlencode({'query': query})}"
    with urllib.request.urlopen(asked, timeout=PATIENCE_S) as answer:  # noqa: S310  (ours)
        result = json.load(answer)["data"]["result"]
    return float(result[0]["value"][1]) if result else None


def test_a_subnet_that_is_drained_is_told_of_in_time_and_until_it_is_relieved(
    tmp_path: Path,
) -> None:
    with watched(tmp_path) as (sandbox, url):
        (subnet,) = sandbox.subnets

        def free() -> int:
            return sandbox.ec2.subnet(subnet).free_addresses

        calm = free()
        sandbox.wait(lambda: seen_for_s(url) > QUIET_S, "some quiet time")
        assert not firing(url)

        taken: list[str] = []
        while IMMINENT not in firing(url):
            assert free() > TAKEN_AT_ONCE, "the subnet is empty, and nobody was told"
            taken.append(sandbox.ec2.add_interface(subnet, secondary_count=TAKEN_AT_ONCE - 1).id)
            time.sleep(STEP_S)
            sandbox.wait(lambda: queried(url, FREE) == free(), "Prometheus to see what is left")
        alert = firing(url)[IMMINENT]
        assert free() / TAKEN_AT_ONCE * STEP_S * SPEED > IN_TIME_S
        assert (alert["labels"]["subnet"], alert["labels"]["severity"]) == (subnet, "critical")
        said = alert["annotations"]["description"]
        assert re.search(r"likely runs out of addresses in .*\d+ are free now", said)

        for interface in taken:
            sandbox.ec2.delete_interface(interface)
        assert free() == calm
        sandbox.wait(lambda: IMMINENT not in firing(url), "the end of the alert")
