"""What an operator serves: probes, metrics."""

from __future__ import annotations

import urllib.error
import urllib.request

from ippolicy.sandbox.clock import PATIENCE_S


def page(url: str) -> tuple[int, str]:
    """Status and text of a page; (0, "") where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:  # noqa: S310  (our own loopback URL)
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def values(url: str, name: str) -> list[float]:
    """The values of a metric's series, as the operator at `url` serves them."""
    status, text = page(f"{url}/metrics")
    assert status == 200, f"{url}/metrics was answered with {status}"
    return _values(text, name)


def value(url: str, name: str) -> float | None:
    """That of a metric with one series; None where it is not there, or nobody answers."""
    return next(iter(_values(page(f"{url}/metrics")[1], name)), None)


def _values(text: str, name: str) -> list[float]:
    lines = text.splitlines()
    return [float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{")]
