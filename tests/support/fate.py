"""What befalls one request of many: the process dies, or the request is lost or refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kubernetes.client import ApiClient, ApiException
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import ReadTimeoutError

from aws_node import AwsNode
from ippolicy.act import Actor

HOWS = ("killed before", "killed after", "refused", "not carried out", "answer lost")


class Killed(BaseException):
    """The process is gone: nothing in it may catch this."""


@dataclass
class Fate:
    """What befalls the request number `at` of a whole life, over all restarts."""

    at: int
    how: str
    requests: int = 0
    struck: bool = field(default=False)

    def befall(self, request: Callable[[], Any]) -> Any:
        """Carry out a request, unless it is the one."""
        self.requests += 1
        if self.requests != self.at + 1:
            return request()
        self.struck = True
        if self.how == "killed before":
            raise Killed
        if self.how == "refused":
            raise ApiException(status=429, reason="Too Many Requests")
        if self.how == "not carried out":
            raise ApiException(status=503, reason="Service Unavailable")
        request()
        if self.how == "killed after":
            raise Killed
        raise ReadTimeoutError(HTTPConnectionPool("127.0.0.1"), "/", "the answer was lost")


def mortal(node: AwsNode, fate: Fate) -> Actor:
    """A new process of the operator, under the same fate."""

    class MortalClient(ApiClient):
        def call_api(self, *args: Any, **kwargs: Any) -> Any:
            return fate.befall(lambda: super(MortalClient, self).call_api(*args, **kwargs))

    return node.actor(MortalClient(copy.copy(node.api.client().configuration)))
