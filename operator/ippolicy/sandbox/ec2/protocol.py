"""EC2's wire format, by moto: form values to parameters, answers to XML.

moto is imported on first use; it takes longer than everything else here together.
"""

from __future__ import annotations

from functools import cache
from typing import Any
from uuid import uuid4
from xml.sax.saxutils import escape

from ippolicy.sandbox.ec2.errors import Ec2CallError, invalid


class Protocol:
    """Parses and writes; knows the parameters and answers of every EC2 call."""

    def __init__(self) -> None:
        from moto.core.parse import EC2QueryParser
        from moto.core.serialize import EC2Serializer, SerializationContext
        from moto.core.utils import get_service_model

        self._parser = EC2QueryParser
        self._serializer = EC2Serializer
        self._context = SerializationContext
        self._service = get_service_model("ec2")

    def parse(self, api: str, values: dict[str, str]) -> dict[str, Any]:
        """Typed parameters under their SDK names. Raises Ec2CallError for a bad number."""
        from werkzeug.datastructures import Headers, MultiDict

        parser = self._parser(self._service.operation_model(api))
        try:
            parsed: dict[str, Any] = parser.parse(
                {
                    "method": "POST",
                    "values": MultiDict(values),
                    "headers": Headers(),
                    "body": b"",
                    "url_path": "/",
                    "url_params": {},
                }
            )
        except ValueError as cause:
            raise invalid(f"A parameter of {api} has a wrong type: {cause}") from cause
        return parsed

    def write(self, api: str, answer: dict[str, Any]) -> bytes:
        """The XML of a successful answer."""
        serializer = self._serializer(
            operation_model=self._service.operation_model(api),
            context=self._context(request_id=str(uuid4())),
        )
        body = serializer.serialize(answer)["body"]
        return body.encode() if isinstance(body, str) else body


@cache
def protocol() -> Protocol:
    """The one of this process; it holds no state of any stand-in."""
    return Protocol()


def write_error(error: Ec2CallError) -> bytes:
    """The XML of a refusal, in the form that all EC2 errors share."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error>'
        f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
        f"</Error></Errors><RequestID>{uuid4()}</RequestID></Response>"
    ).encode()
