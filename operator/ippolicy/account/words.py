"""How figures are said: one line, bounded, in the words of Kubernetes and the CNI."""

from __future__ import annotations

from datetime import UTC, datetime

from ippolicy.api import EnvKey
from ippolicy.api.status import Targets
from ippolicy.ipamd import WarmTargets

MESSAGE_LENGTH = 1_000


def one_line(text: str, most: int = MESSAGE_LENGTH) -> str:
    """`text` on one line, without control characters, of at most `most` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def timestamp(at_s: float) -> str:
    """A moment as Kubernetes writes it: 2026-11-22T16:49:00Z."""
    return datetime.fromtimestamp(int(at_s), tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def percent(share: float) -> str:
    """A share as the policy writes it: 0.5%, and 0% for none."""
    return f"{share * 100:.2g}%" if share < 0.1 else f"{share * 100:.0f}%"


def span(seconds: float) -> str:
    """A span in its two largest units: 45s, 12m, 3h20m, 2d4h."""
    left = round(seconds)
    units = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
    first = next((i for i, (_, size) in enumerate(units) if left >= size), len(units) - 1)
    text = ""
    for name, size in units[first : first + 2]:
        count, left = divmod(left, size)
        if count or not text:
            text += f"{count}{name}"
    return text


def shown_targets(targets: WarmTargets) -> Targets:
    """The targets that rule; ipamd puts WARM_ENI and WARM_PREFIX aside once it counts addresses."""
    if targets.counts_addresses:
        return Targets(warm_ip=targets.warm_ip, minimum_ip=targets.minimum_ip)
    return Targets(warm_eni=targets.warm_eni, warm_prefix=targets.warm_prefix or None)


def env_text(targets: WarmTargets) -> str:
    """The targets that rule, as env entries: "WARM_IP_TARGET=2 MINIMUM_IP_TARGET=20"."""
    shown = shown_targets(targets)
    entries = (
        (EnvKey.WARM_ENI_TARGET, shown.warm_eni),
        (EnvKey.WARM_PREFIX_TARGET, shown.warm_prefix),
        (EnvKey.WARM_IP_TARGET, shown.warm_ip),
        (EnvKey.MINIMUM_IP_TARGET, shown.minimum_ip),
    )
    return " ".join(f"{key}={value}" for key, value in entries if value is not None)
