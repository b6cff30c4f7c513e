"""Every tunable of the observe room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Via = Literal["direct", "proxy"]


@dataclass(frozen=True, slots=True)
class ObserveSettings:
    """How the outside world is watched, scraped and asked. Defaults fit clusters of any size."""

    list_page_size: int = 500
    """Objects a page of a list: keeps one answer at some MiB however many pods there are."""
    api_timeout_s: float = 15.0
    """Longest wait for one page of a list, or for a watch to be accepted."""
    watch_timeout_s: float = 300.0
    """The server is asked to end each watch after this time and up to half of it more."""
    watch_idle_s: float = 90.0
    """A watch that brought nothing for so long is taken for dead and opened again; API servers
    send bookmarks about every minute, so this also bounds how old a live source can look."""
    watch_backoff_s: float = 0.5
    """Upper end of the first random wait after a failure; doubles with each further failure."""
    watch_backoff_max_s: float = 30.0
    """Upper end of the wait after many failures; a longer Retry-After is honoured up to 5 min."""
    facts_max_age_s: float = 180.0
    """Age of the last word from a source at which it is no longer ready."""

    aws_node_grace_s: float = 30.0
    """Time a new node, or one whose aws-node is being replaced, may be without aws-node before
    it is left out."""

    scrape_interval_s: float = 30.0
    """Time between two readings of one aws-node."""
    scrape_timeout_s: float = 5.0
    """Longest time of one reading."""
    scrape_concurrency: int = 64
    """Readings under way at once."""
    scrape_port: int = 61678
    """Port of aws-node's metrics."""
    scrape_scheme: Literal["http", "https"] = "http"
    """Scheme of aws-node's metrics; aws-node itself serves plain HTTP only."""
    scrape_via: Via = "direct"
    """Read aws-node at its host address, or through the API server's pod proxy."""
    scrape_max_bytes: int = 2 * 1024 * 1024
    """Longest body of a reading; one address more is some 70 bytes."""
    scrape_max_misses: int = 3
    """Missed readings in a row after which the last one is stale and no longer used."""

    ec2_timeout_s: float = 10.0
    """Longest wait for one answer of EC2; connecting may take half of it."""
    ec2_attempts: int = 4
    """Tries of one EC2 request, with adaptive waits between them."""
    ec2_subnets_interval_s: float = 60.0
    """Time between two DescribeSubnets."""
    ec2_instances_interval_s: float = 300.0
    """Time between two DescribeInstances of nodes known already; new nodes are asked at once."""
    ec2_interfaces_interval_s: float = 300.0
    """Time between two lists of the ENIs in the subnets that matter, 1000 ENIs a call."""
    ec2_reservations_interval_s: float = 1800.0
    """Time between two GetSubnetCidrReservations of one subnet."""
    ec2_calls_per_minute: int = 60
    """EC2 calls that all questions together may make a minute."""
    ec2_retry_s: float = 30.0
    """Time before a failed question is asked again."""
    ec2_poll_s: float = 5.0
    """Time between two looks at whether anything is due to be asked."""
