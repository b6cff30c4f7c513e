"""What only some clusters have is read where it matters, and its absence is an answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import pytest

from ippolicy.observe.lookups import ENI_CONFIGS, Lookup, read_config_map, read_eni_configs
from ippolicy.observe.settings import ObserveSettings
from observe_fakes import FakeTime, refused

SETTINGS = ObserveSettings(ec2_subnets_interval_s=60.0)


class Api:
    """A Transport that answers every path alike."""

    def __init__(self) -> None:
        self.answer: bytes | Exception = b'{"items": [{"spec": {"subnet": "s1"}}]}'
        self.asked: list[str] = []

    async def get_bytes(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        timeout_s: float = 1.0,
        max_bytes: int = 1,
    ) -> bytes:
        self.asked.append(path)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def watch_lines(self, *_: Any, **__: Any) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        raise AssertionError


class Rig:
    def __init__(self) -> None:
        self.api, self.time = Api(), FakeTime()
        self.lookup: Lookup[frozenset[str]] = Lookup(
            self.api,
            read_eni_configs,
            frozenset(),
            "list eniconfigs",
            SETTINGS,
            clock=self.time.clock,
        )

    async def later(self, span_s: float, path: str | None = ENI_CONFIGS) -> list[str]:
        self.time.now_s += span_s
        self.api.asked.clear()
        await self.lookup.refresh(path)
        return self.api.asked


async def test_what_is_not_wanted_is_not_asked_for_and_no_source() -> None:
    rig = Rig()
    assert await rig.later(0, None) == []
    assert (rig.lookup.state, rig.lookup.value) == (None, frozenset())
    await rig.later(0)
    assert rig.lookup.value == {"s1"}
    await rig.later(5, None)
    assert (rig.lookup.state, rig.lookup.value) == (None, frozenset())


async def test_it_is_read_once_an_interval_and_at_once_when_another_path_is_wanted() -> None:
    rig = Rig()
    assert await rig.later(0) == [ENI_CONFIGS]
    assert await rig.later(59) == []
    rig.api.answer = b'{"items": null}'
    assert await rig.later(1) == [ENI_CONFIGS]
    assert rig.lookup.value == frozenset()
    assert await rig.later(5, "/other") == ["/other"]


async def test_a_crd_that_is_not_installed_is_nothing_wrong() -> None:
    rig = Rig()
    await rig.later(0)
    rig.api.answer = refused(404)
    await rig.later(60)
    assert rig.lookup.value == frozenset()
    assert rig.lookup.state is not None
    assert (rig.lookup.state.error, rig.lookup.state.succeeded_at_s) == (None, rig.time.now_s)


@pytest.mark.parametrize(
    ("answer", "permission", "says"),
    [
        (refused(403), "list eniconfigs", "HTTP 403"),
        (refused(500), None, "HTTP 500"),
        (b"[]", None, "cannot be read"),
        (b'{"items": [{"spec": {"subnet": 3}}]}', None, "cannot be read"),
    ],
)
async def test_a_failure_keeps_the_old_answer_and_says_what_is_wrong(
    answer: bytes | Exception, permission: str | None, says: str
) -> None:
    rig = Rig()
    await rig.later(0)
    first_s = rig.time.now_s
    rig.api.answer = answer
    await rig.later(60)
    state = rig.lookup.state
    assert rig.lookup.value == {"s1"}
    assert state is not None
    assert (state.succeeded_at_s, state.permission) == (first_s, permission)
    assert says in str(state.error)


def test_eni_configs_without_a_subnet_and_config_maps_without_data_are_empty() -> None:
    body = b'{"items": [{"spec": {}}, {}, {"spec": {"subnet": "s2", "securityGroups": []}}]}'
    assert read_eni_configs(body) == {"s2"}
    assert read_config_map(b'{"data": {"ipam": "eni"}}') == {"ipam": "eni"}
    assert read_config_map(b'{"metadata": {}}') == {}
    with pytest.raises(msgspec.DecodeError):
        read_eni_configs(b'{"kind": "Status"}')


async def test_a_clock_that_was_put_back_puts_nothing_off() -> None:
    rig = Rig()
    assert await rig.later(0) == [ENI_CONFIGS]
    assert await rig.later(-3_600) == [ENI_CONFIGS]
