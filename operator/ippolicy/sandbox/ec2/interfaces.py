"""What can be done to ENIs, with every limit and shortage the real EC2 has.

Each operation is all or nothing: when it raises, nothing has changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ippolicy.sandbox.ec2 import errors
from ippolicy.sandbox.ec2.errors import Ec2CallError
from ippolicy.sandbox.ec2.limits import limits_of
from ippolicy.sandbox.ec2.model import Attachment
from ippolicy.sandbox.ec2.network import Network
from ippolicy.sandbox.ec2.records import InstanceRecord, InterfaceRecord
from ippolicy.sandbox.ec2.takings import Takings, address_of, block_of


def create(
    network: Network,
    subnet_id: str,
    *,
    secondary_count: int = 0,
    prefix_count: int = 0,
    primary: str | None = None,
    addresses: Sequence[str] = (),
    description: str = "",
    tags: Mapping[str, str] | None = None,
    security_groups: Sequence[str] = (),
    interface_type: str = "interface",
    requester_id: str = "",
    requester_managed: bool = False,
) -> InterfaceRecord:
    """A new ENI with its addresses and prefixes; `addresses` are secondary ones by name."""
    with network.lock:
        subnet = network.subnet(subnet_id)
        with Takings(subnet) as takings:
            prefixes = takings.pick_blocks(prefix_count, errors.no_free_blocks_to_create)
            primary_address = (
                takings.pick_addresses(1) if primary is None else takings.named_addresses([primary])
            )[0]
            named = takings.named_addresses(addresses)
            secondaries = named + takings.pick_addresses(secondary_count)
        interface = InterfaceRecord(
            id=network.new_id("eni"),
            number=network.next_number(),
            subnet=subnet,
            primary=primary_address,
            description=description,
            tags=dict(tags or {}),
            interface_type=interface_type,
            requester_id=requester_id or f"AROA{network.account_id}:session",
            requester_managed=requester_managed,
            mac_address=_mac_of(primary_address),
            security_groups=tuple(security_groups) or (subnet.vpc.default_group,),
            secondaries=dict.fromkeys(secondaries),
            prefixes=dict.fromkeys(prefixes),
        )
        network.interfaces[interface.id] = subnet.interfaces[interface.id] = interface
        return interface


def assign_addresses(
    network: Network, interface_id: str, *, count: int = 0, addresses: Sequence[str] = ()
) -> list[int]:
    """Add `count` secondary addresses of EC2's choice and those named; gives what was added."""
    with network.lock:
        interface = network.interface(interface_id)
        _check_room(network, interface, count + len(addresses))
        with Takings(interface.subnet) as takings:
            added = takings.named_addresses(addresses) + takings.pick_addresses(count)
        interface.secondaries.update(dict.fromkeys(added))
        return added


def assign_prefixes(
    network: Network, interface_id: str, *, count: int = 0, prefixes: Sequence[str] = ()
) -> list[int]:
    """The same with /28 prefixes; gives the first address of each."""
    with network.lock:
        interface = network.interface(interface_id)
        _check_room(network, interface, count + len(prefixes))
        with Takings(interface.subnet) as takings:
            named = takings.named_blocks(prefixes)
            added = named + takings.pick_blocks(count, errors.no_free_blocks)
        interface.prefixes.update(dict.fromkeys(added))
        return added


def unassign(
    network: Network, interface_id: str, *, addresses: Sequence[str], prefixes: Sequence[str]
) -> None:
    """Give secondary addresses and prefixes back; all of them must be on the ENI."""
    with network.lock:
        interface = network.interface(interface_id)
        singles = {address_of(text) for text in addresses}
        blocks = {block_of(text) for text in prefixes}
        if not singles <= interface.secondaries.keys() or not blocks <= interface.prefixes.keys():
            raise errors.invalid(
                f"Some of the specified addresses are not assigned to interface {interface_id}"
            )
        for address in singles:
            del interface.secondaries[address]
            interface.subnet.space.give_back_address(address)
        for first in blocks:
            del interface.prefixes[first]
            interface.subnet.space.give_back_block(first)


def attach(
    network: Network,
    interface_id: str,
    instance_id: str,
    *,
    device_index: int,
    network_card_index: int = 0,
    delete_on_termination: bool = False,
) -> Attachment:
    """Put an available ENI on an instance, if the instance type has room for it."""
    with network.lock:
        interface = network.interface(interface_id)
        instance = network.instance(instance_id)
        _check_attachable(interface, instance, device_index, network_card_index)
        attachment = Attachment(
            id=network.new_id("eni-attach"),
            instance_id=instance_id,
            owner_id=network.account_id,
            device_index=device_index,
            network_card_index=network_card_index,
            delete_on_termination=delete_on_termination,
            attached_at=network.now(),
        )
        interface.attachment = attachment
        instance.interfaces[interface_id] = interface
        network.attached[attachment.id] = interface
        return attachment


def attach_to_service(network: Network, interface: InterfaceRecord, owner_id: str) -> None:
    """Mark an ENI as held by an AWS service (`amazon-elb`), which no instance shows."""
    with network.lock:
        interface.attachment = Attachment(
            id=network.new_id("ela-attach"),
            instance_id=None,
            owner_id=owner_id,
            device_index=1,
            network_card_index=0,
            delete_on_termination=False,
            attached_at=network.now(),
        )
        network.attached[interface.attachment.id] = interface


def release_from_service(network: Network, interface_id: str) -> None:
    """The service lets its ENI go; one that no service holds is left as it is."""
    with network.lock:
        interface = network.interface(interface_id)
        if interface.attachment is not None and interface.attachment.instance_id is None:
            _let_go(network, interface)


def detach(network: Network, attachment_id: str) -> None:
    with network.lock:
        interface = network.attached.get(attachment_id)
        attachment = interface.attachment if interface else None
        if interface is None or attachment is None:
            raise errors.no_such_attachment(attachment_id)
        if attachment.instance_id is None:
            raise Ec2CallError(
                "AuthFailure", "You do not have permission to access the specified resource."
            )
        if attachment.device_index == 0:
            raise Ec2CallError(
                "OperationNotPermitted",
                "The network interface at device index 0 and networkCard index "
                f"{attachment.network_card_index} cannot be detached.",
            )
        _let_go(network, interface)


def delete(network: Network, interface_id: str) -> None:
    with network.lock:
        interface = network.interface(interface_id)
        if interface.attachment is not None:
            raise errors.invalid(f"Network interface '{interface_id}' is currently in use.")
        _remove(network, interface)


def modify(
    network: Network,
    interface_id: str,
    *,
    attachment_id: str | None = None,
    delete_on_termination: bool | None = None,
    description: str | None = None,
    security_groups: Sequence[str] | None = None,
) -> None:
    """ModifyNetworkInterfaceAttribute: what is None stays as it is."""
    with network.lock:
        interface = network.interface(interface_id)
        if delete_on_termination is not None:
            if interface.attachment is None or interface.attachment.id != attachment_id:
                raise errors.no_such_attachment(str(attachment_id))
            interface.attachment = replace(
                interface.attachment, delete_on_termination=delete_on_termination
            )
        if description is not None:
            interface.description = description
        if security_groups is not None:
            interface.security_groups = tuple(security_groups)


def launch(
    network: Network, instance_type: str, subnet_id: str, tags: Mapping[str, str]
) -> InstanceRecord:
    """A running instance with its primary ENI at device index 0."""
    limits_of(instance_type)
    with network.lock:
        subnet = network.subnet(subnet_id)
        primary = create(network, subnet_id)
        instance = InstanceRecord(
            id=network.new_id("i"),
            number=network.next_number(),
            instance_type=instance_type,
            subnet=subnet,
            tags=dict(tags),
            launched_at=network.now(),
        )
        network.instances[instance.id] = instance
        attach(network, primary.id, instance.id, device_index=0, delete_on_termination=True)
        return instance


def terminate(network: Network, instance_id: str) -> None:
    """The instance goes, with the ENIs set to go with it; others are left behind detached."""
    with network.lock:
        instance = network.instance(instance_id)
        for interface in list(instance.interfaces.values()):
            goes_too = interface.attachment is not None and (
                interface.attachment.delete_on_termination
            )
            _let_go(network, interface)
            if goes_too:
                _remove(network, interface)
        del network.instances[instance_id]


def _check_room(network: Network, interface: InterfaceRecord, wanted: int) -> None:
    """The per-ENI limit, which an ENI has once it is on an instance."""
    attachment = interface.attachment
    if attachment is None or attachment.instance_id is None:
        return
    limits = limits_of(network.instance(attachment.instance_id).instance_type)
    if interface.slots_used + wanted > limits.ipv4_per_interface:
        raise errors.too_many_addresses()


def _check_attachable(
    interface: InterfaceRecord, instance: InstanceRecord, device_index: int, card: int
) -> None:
    if interface.attachment is not None:
        raise errors.invalid(f"Network interface '{interface.id}' is currently in use.")
    if interface.subnet.availability_zone != instance.subnet.availability_zone:
        raise errors.invalid(
            "You may not attach a network interface to an instance if they are not in the same "
            "availability zone"
        )
    limits = limits_of(instance.instance_type)
    if card >= len(limits.interfaces_per_card):
        raise errors.invalid(f"Network card index {card} exceeds the limit")
    on_card = [
        one.attachment.device_index
        for one in instance.interfaces.values()
        if one.attachment is not None and one.attachment.network_card_index == card
    ]
    if device_index in on_card:
        raise errors.invalid(
            f"Instance '{instance.id}' already has an interface attached at device index "
            f"'{device_index}'."
        )
    if len(on_card) + 1 > limits.interfaces_per_card[card]:
        raise errors.too_many_interfaces(len(instance.interfaces) + 1, instance.instance_type)
    if interface.slots_used > limits.ipv4_per_interface:
        raise errors.too_many_addresses()


def _let_go(network: Network, interface: InterfaceRecord) -> None:
    attachment = interface.attachment
    if attachment is None:
        return
    del network.attached[attachment.id]
    if attachment.instance_id is not None:
        del network.instance(attachment.instance_id).interfaces[interface.id]
    interface.attachment = None


def _remove(network: Network, interface: InterfaceRecord) -> None:
    space = interface.subnet.space
    for address in (interface.primary, *interface.secondaries):
        space.give_back_address(address)
    for first in interface.prefixes:
        space.give_back_block(first)
    del network.interfaces[interface.id]
    del interface.subnet.interfaces[interface.id]


def _mac_of(address: int) -> str:
    return ":".join(f"{octet:02x}" for octet in (2, 42, *address.to_bytes(4, "big")))
