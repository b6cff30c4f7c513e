"""What EC2 answers when it refuses, in the words the real one uses."""

from __future__ import annotations

from ippolicy.errors import SandboxError


class Ec2CallError(SandboxError):
    """One refused EC2 call: `code` as AWS spells it, `message`, and the HTTP `status`.

    The words are EC2's own, since callers match on them. `code` also covers what a client
    sees when no answer came: RequestError (connection lost), SerializationError (cut short).
    """

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


def no_such(kind: str, code: str, identity: str) -> Ec2CallError:
    """`kind` is EC2's own wording, such as `subnet ID`."""
    return Ec2CallError(code, f"The {kind} '{identity}' does not exist")


def no_such_interface(interface_id: str) -> Ec2CallError:
    return no_such("networkInterface ID", "InvalidNetworkInterfaceID.NotFound", interface_id)


def no_such_subnet(subnet_id: str) -> Ec2CallError:
    return no_such("subnet ID", "InvalidSubnetID.NotFound", subnet_id)


def no_such_instance(instance_id: str) -> Ec2CallError:
    return no_such("instance ID", "InvalidInstanceID.NotFound", instance_id)


def no_such_attachment(attachment_id: str) -> Ec2CallError:
    return no_such("attachment", "InvalidAttachmentID.NotFound", attachment_id)


def no_free_addresses() -> Ec2CallError:
    return Ec2CallError(
        "InsufficientFreeAddressesInSubnet",
        "The specified subnet does not have enough free addresses to satisfy the request.",
    )


def no_free_blocks() -> Ec2CallError:
    """No aligned /28 for AssignPrivateIpAddresses."""
    return Ec2CallError(
        "InsufficientCidrBlocks",
        "The specified subnet does not have enough free cidr blocks to satisfy the request.",
    )


def no_free_blocks_to_create() -> Ec2CallError:
    """The same shortage, as CreateNetworkInterface words it."""
    return invalid("There aren't sufficient free Ipv4 addresses or prefixes")


def too_many_addresses() -> Ec2CallError:
    return Ec2CallError(
        "PrivateIpAddressLimitExceeded", "Number of private addresses will exceed limit."
    )


def too_many_interfaces(count: int, instance_type: str) -> Ec2CallError:
    return Ec2CallError(
        "AttachmentLimitExceeded", f"Interface count {count} exceeds the limit for {instance_type}"
    )


def no_such_instance_types(names: list[str]) -> Ec2CallError:
    return Ec2CallError(
        "InvalidInstanceType",
        f"The following supplied instance types do not exist: [{', '.join(names)}]",
    )


def invalid(message: str) -> Ec2CallError:
    return Ec2CallError("InvalidParameterValue", message)


def missing(parameter: str) -> Ec2CallError:
    return Ec2CallError("MissingParameter", f"The request must contain the parameter {parameter}")


def request_limit_exceeded() -> Ec2CallError:
    return Ec2CallError("RequestLimitExceeded", "Request limit exceeded.", status=503)


def unauthorized(api: str, *, principal: str, encoded: str | None) -> Ec2CallError:
    """A missing IAM permission; mutating calls add an `encoded` explanation, as EC2 does."""
    message = (
        f"You are not authorized to perform this operation. User: {principal} is not authorized "
        f"to perform: ec2:{api} because no identity-based policy allows the ec2:{api} action"
    )
    if encoded is not None:
        message += f". Encoded authorization failure message: {encoded}"
    return Ec2CallError("UnauthorizedOperation", message, status=403)


def connection_lost() -> Ec2CallError:
    return Ec2CallError("RequestError", "send request failed: the connection was closed")


def answer_cut_short() -> Ec2CallError:
    return Ec2CallError("SerializationError", "failed to decode the answer: unexpected EOF")
