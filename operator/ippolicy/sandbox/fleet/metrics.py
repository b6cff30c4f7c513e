"""The text that aws-node serves at :61678/metrics, as its Prometheus client writes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from ippolicy.ipamd import ENIView, Snapshot

CNI_VERSION: Final = "v1.23.1"
GO_VERSION: Final = "go1.26.0"
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

Labels = Mapping[str, str]
Sample = tuple[Labels, float]


@dataclass
class ProcessMemory:
    """What one aws-node process remembers beyond its pool, until it ends.

    `started_at_s` is in real time, `startup_s` took so long in sandbox time. `latency_ms` maps EC2
    API -> (successful calls, milliseconds they took together). `cidrs` are those that a pod ever
    used: their series stay, at 0.
    """

    started_at_s: float
    latency_ms: Mapping[str, tuple[int, float]]
    startup_s: float = 0.0
    cidrs: dict[str, None] = field(default_factory=dict)


def metrics_text(pool: Snapshot, memory: ProcessMemory, *, now_s: float) -> str:
    """The whole page, with HELP and TYPE, families in order of name as the Go client sorts them."""
    families = [
        *_pool(pool),
        *_counters(pool),
        *_cidrs(pool, memory),
        *_process(memory),
        *_go_runtime(pool),
        *_process_family(memory, now_s),
    ]
    return "".join(sorted(families, key=_family_name))


def _pool(pool: Snapshot) -> Iterator[str]:
    yield _gauge(
        "awscni_eni_max", "ENIs this instance may have, unmanaged ones left out.", pool.eni_max
    )
    yield _gauge("awscni_ip_max", "Addresses this instance may hold for pods.", pool.address_max)
    yield _gauge("awscni_eni_allocated", "ENIs attached now.", len(pool.enis))
    yield _gauge("awscni_total_ip_addresses", "Addresses held now.", pool.total_addresses)
    yield _gauge(
        "awscni_assigned_ip_addresses", "Addresses that pods use.", pool.assigned_addresses
    )
    yield _gauge("awscni_total_ipv4_prefixes", "IPv4 prefixes held now.", pool.prefixes)
    yield _family(
        "awscni_assigned_ip_per_eni",
        "gauge",
        "Addresses that pods use, by ENI.",
        [({"eni": eni.eni_id}, eni.assigned) for eni in pool.enis],
    )


def _counters(pool: Snapshot) -> Iterator[str]:
    seen = pool.counters
    yield _counter("awscni_add_ip_req_count", "Requests for an address.", seen.add_requests)
    yield _family(
        "awscni_del_ip_req_count",
        "counter",
        "Requests to free an address, by reason.",
        [({"reason": "PodDeleted"}, seen.del_requests)] if seen.del_requests else [],
    )
    yield _counter(
        "awscni_no_available_ip_addresses",
        "Requests that found no free address.",
        seen.no_available_addresses,
    )
    yield _counter("awscni_force_removed_enis", "ENIs removed while pods used them.", 0)
    yield _counter("awscni_force_removed_ips", "Addresses removed while pods used them.", 0)
    yield _family(
        "awscni_ec2api_req_count",
        "counter",
        "Calls to EC2, by API.",
        [({"fn": api}, count) for api, count in sorted(seen.ec2_calls.items())],
    )
    yield _family(
        "awscni_ec2api_error_count",
        "counter",
        "Failed calls to EC2, by API.",
        [({"fn": api}, count) for api, count in sorted(seen.ec2_errors.items())],
    )
    yield _family(
        "awscni_aws_api_error_count",
        "counter",
        "Failed calls to AWS, by error.",
        [
            ({"api": api, "error": code}, count)
            for (api, code), count in sorted(seen.error_codes.items())
        ],
    )


def _cidrs(pool: Snapshot, memory: ProcessMemory) -> Iterator[str]:
    used = {_slashed(cidr): count for eni in pool.enis for cidr, count in _in_use(eni)}
    memory.cidrs.update(dict.fromkeys(used))
    yield _family(
        "awscni_assigned_ip_per_cidr",
        "gauge",
        "Addresses that pods use, by CIDR.",
        [({"cidr": cidr}, used.get(cidr, 0)) for cidr in memory.cidrs],
    )


def _process(memory: ProcessMemory) -> Iterator[str]:
    yield _summary("awscni_aws_api_latency_ms", "Latency of calls to AWS in ms.", memory.latency_ms)
    yield _family(
        "awscni_ipamd_action_inprogress",
        "gauge",
        "Actions under way, by kind.",
        [
            ({"fn": name}, 0)
            for name in (
                "decreaseDatastorePool",
                "increaseDatastorePool",
                "nodeIPPoolReconcile",
                "nodeInit",
            )
        ],
    )
    yield _histogram(
        "awscni_ipamd_startup_duration_seconds",
        "Time from start to ready.",
        {"failure_reason": "", "success": "true", "with_api_server": "true"},
        memory.startup_s,
    )
    yield _histogram(
        "awscni_ipamd_node_initialization_duration_seconds",
        "Time that node initialization took.",
        {"success": "true"},
        memory.startup_s,
    )
    yield _family(
        "awscni_connmark_backend",
        "gauge",
        "Connmark backend in use.",
        [({"backend": "iptables"}, 1)],
    )
    yield _family(
        "awscni_connmark_reconcile_total",
        "counter",
        "Connmark reconciliations.",
        [({"result": "error"}, 0), ({"result": "success"}, 1)],
    )
    yield _family(
        "awscni_build_info",
        "gauge",
        "Version of the CNI and of Go.",
        [({"goversion": GO_VERSION, "version": CNI_VERSION}, 1)],
    )


def _go_runtime(pool: Snapshot) -> Iterator[str]:
    allocated = 6_000_000 + 2_000 * pool.total_addresses
    yield _gauge("go_goroutines", "Goroutines that exist.", 40)
    yield _family("go_info", "gauge", "Version of Go.", [({"version": GO_VERSION}, 1)])
    yield _gauge("go_memstats_alloc_bytes", "Bytes in use on the heap.", allocated)
    yield _counter("go_memstats_mallocs_total", "Objects ever put on the heap.", allocated // 40)
    yield _gauge("go_threads", "Threads of the operating system.", 9)


def _process_family(memory: ProcessMemory, now_s: float) -> Iterator[str]:
    yield _counter(
        "process_cpu_seconds_total",
        "CPU time in seconds.",
        round(max(0.0, now_s - memory.started_at_s) * 0.002, 2),
    )
    yield _gauge("process_max_fds", "Most open file descriptors.", 1_048_576)
    yield _gauge("process_open_fds", "Open file descriptors.", 14)
    yield _gauge("process_resident_memory_bytes", "Resident memory in bytes.", 68_157_440)
    yield _gauge(
        "process_start_time_seconds",
        "Start of the process since the epoch in seconds.",
        round(memory.started_at_s, 2),
    )


def _in_use(eni: ENIView) -> Iterator[tuple[str, int]]:
    return ((cidr, count) for cidr, count in eni.cidrs.items() if count)


def _slashed(cidr: str) -> str:
    return cidr if "/" in cidr else f"{cidr}/32"


def _gauge(name: str, meaning: str, value: float) -> str:
    return _family(name, "gauge", meaning, [({}, value)])


def _counter(name: str, meaning: str, value: float) -> str:
    return _family(name, "counter", meaning, [({}, value)])


def _family(name: str, kind: str, meaning: str, samples: Iterable[Sample]) -> str:
    """One family; a family without series is left out, as the Go client does."""
    lines = [f"{name}{_labels(labels)} {_number(value)}\n" for labels, value in samples]
    return _head(name, kind, meaning) + "".join(lines) if lines else ""


def _summary(name: str, meaning: str, latency_ms: Mapping[str, tuple[int, float]]) -> str:
    lines: list[str] = []
    for api, (count, total_ms) in sorted(latency_ms.items()):
        labels = _labels({"api": api, "error": "false", "status": "200"})
        lines.append(f"{name}_sum{labels} {_number(total_ms)}\n")
        lines.append(f"{name}_count{labels} {count}\n")
    return _head(name, "summary", meaning) + "".join(lines) if lines else ""


def _histogram(name: str, meaning: str, labels: Labels, seconds: float) -> str:
    lines = [
        f"{name}_bucket{_labels({**labels, 'le': _number(edge)})} {int(seconds <= edge)}\n"
        for edge in _BUCKETS
    ]
    lines.append(f"{name}_bucket{_labels({**labels, 'le': '+Inf'})} 1\n")
    lines.append(f"{name}_sum{_labels(labels)} {_number(seconds)}\n")
    lines.append(f"{name}_count{_labels(labels)} 1\n")
    return _head(name, "histogram", meaning) + "".join(lines)


def _head(name: str, kind: str, meaning: str) -> str:
    return f"# HELP {name} {meaning}\n# TYPE {name} {kind}\n"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    """A float as Go's 'g' format writes it: 42, 0.25, 1.048576e+06."""
    if abs(value) < 1e6:
        return str(int(value)) if value == int(value) else repr(float(value))
    mantissa, exponent = f"{Decimal(repr(float(value))).normalize():e}".split("e")
    return f"{mantissa}e{int(exponent):+03d}"


def _family_name(family: str) -> str:
    return family.split(" ", 3)[2] if family else ""
