"""The status of the subnets: who holds them, how long they last, and what can be done about it."""

from __future__ import annotations

from collections.abc import Mapping

from ippolicy.api.quantities import Timestamp
from ippolicy.api.rules import Part


class SplitStatus(Part):
    """Who holds the usable addresses of a subnet."""

    held: int
    """Addresses that this cluster's ENIs take, their own included."""
    prefixes: int
    """/28 prefixes among them, 16 addresses each."""
    parts: Mapping[str, int]
    """Addresses by holder, which add up to `usable`: assigned (to pods), warm, unclear (cooling, or
    on nodes that cannot be read), eni-primaries (the ENIs' own), other-clusters, each other kind of
    holder by name, free, and unaccounted, which is a mismatch and may be below zero."""
    read_time: Timestamp
    """When the ENIs were listed; `free` in the parts is from then."""


class RoomStatus(Part):
    """Where /28 prefixes still fit into a subnet."""

    blocks: int
    """Whole free /28 blocks."""
    reserved_blocks: int
    """Those of them inside CIDR reservations for prefixes."""
    fragmentation: str
    """Share of the free addresses that are in no whole free block."""
    refusals: int
    """Answers InsufficientCidrBlocks that nodes with ENIs here got since they were first read."""


class ExhaustionStatus(Part):
    """When no address will be left, as things are."""

    early: Timestamp
    """One of fifty like it runs out before this."""
    likely: Timestamp
    """Every second one like it has run out by this."""
    late: Timestamp | None = None
    """One of fifty like it lasts longer; left out where it may as well never run out."""


class HeadroomStatus(Part):
    """How many more nodes of a group fit into a subnet."""

    name: str
    """Node group."""
    in_force: int
    """With the settings in force."""
    recommended: int
    """With the recommended targets, once what they give back is free."""


class SubnetStatus(Part):
    """One subnet."""

    id: str
    """Subnet id."""
    zone: str
    """Availability zone."""
    cidr: str
    """Address range."""
    free: int
    """Free addresses, as EC2 counts them."""
    usable: int
    """Addresses that can ever be used: the size less the 5 that AWS keeps."""
    read_time: Timestamp
    """When EC2 told the free addresses."""
    uses: tuple[str, ...] = ()
    """Why it matters: nodes (ENIs of theirs), eniconfig, discovery (by the CNI), selector."""
    split: SplitStatus | None = None
    """Who holds its addresses; of the 20 tightest subnets, given the right to list ENIs."""
    room: RoomStatus | None = None
    """Room for prefixes; of the same, given the right to read CIDR reservations."""
    exhausted_at: ExhaustionStatus | None = None
    """When no address will be left; left out where nothing is foreseen."""
    headroom: tuple[HeadroomStatus, ...] = ()
    """How many more nodes fit, of the 5 largest groups in its zone; of the 20 tightest subnets."""


class RefugeStatus(Part):
    """What the other zones have for the nodes of one that is lost."""

    needed: int
    """Addresses that they would need, made anew in the other zones."""
    free: int
    """Addresses that are free there."""
    short: int
    """Addresses that are missing, if the nodes are spread evenly."""


class ZoneStatus(Part):
    """One availability zone."""

    name: str
    """Its name."""
    exhausted_at: ExhaustionStatus | None = None
    """When none of its subnets will have an address left; left out where nothing is foreseen."""
    lost: RefugeStatus | None = None
    """What its loss would do with the settings in force; left out where it has no nodes."""
    lost_recommended: RefugeStatus | None = None
    """The same with the recommended targets."""


class BrakeStatus(Part):
    """How far the choice has moved toward fewer addresses because subnets are short."""

    step: int
    """How far it has moved, 0 for not at all."""
    steps: int
    """The last step: the leanest targets that the bounds allow."""
    message: str
    """Which subnet is short, and of what."""


class WayStatus(Part):
    """A way out of a subnet that runs dry."""

    name: str
    """PrefixMode, OtherSubnet, SecondaryCIDR, FewerNodes or IPv6."""
    open: bool
    """Whether it can be gone here and now."""
    message: str
    """What it takes, or why it cannot be gone."""


class DeadEndStatus(Part):
    """A subnet that runs out even with the leanest targets that the bounds allow."""

    id: str
    """Subnet id."""
    message: str
    """When, and what the leanest targets would give back."""
    ways: tuple[WayStatus, ...]
    """The ways out."""


class CheckStatus(Part):
    """A precondition of prefix mode."""

    name: str
    """CNIVersion, Nitro, PrefixRoom, MaxPods or PodSecurityGroups."""
    state: str
    """Met, Caution, NoGo or Unknown."""
    message: str
    """Why, and what to do."""


class PrefixModeStatus(Part):
    """What prefix mode (ENABLE_PREFIX_DELEGATION) means; it is never switched by the operator."""

    active: bool
    """Whether it is on."""
    go: bool
    """Whether nothing forbids it."""
    message: str
    """What nodes hold, or would hold, with it; or why it is a no-go."""
    places: str
    """How many pods the nodes take, now and with prefixes and max-pods raised."""
    checks: tuple[CheckStatus, ...]
    """Its preconditions."""
