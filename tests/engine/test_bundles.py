"""The operator serves what it last decided on, and only that."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import replace

import aiohttp
import pytest

from decided import story
from engine_fakes import OTHER, Rig, raw_policy
from ippolicy.account.exporter import Exporter
from ippolicy.account.health import Health
from ippolicy.decide import bundle
from ippolicy.decide.decision import decide
from ippolicy.decide.types import Verdict
from ippolicy.engine.bundles import Bundles
from ippolicy.engine.server import Server
from virtual_loop import in_virtual_time


async def asked(bundles: Bundles, *paths: str) -> list[tuple[int, bytes, str]]:
    """What a server of `bundles` answers: status, body as sent, encoding."""
    server = Server(
        Exporter(), alive=Health, ready=Health, bundles=bundles, host="127.0.0.1", port=0
    )
    await server.start()
    try:
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            answers = []
            for path in paths:
                async with session.get(f"http://127.0.0.1:{server.port}{path}") as answer:
                    encoding = answer.headers.get("Content-Encoding", "")
                    answers.append((answer.status, await answer.read(), encoding))
            return answers
    finally:
        await server.stop()


def rested() -> Rig:
    """An engine with two policies, replaying nothing."""
    rig = Rig(interval="15s", choice="rule")
    rig.take(raw_policy("a"), raw_policy("b", OTHER))
    return rig


@in_virtual_time
async def test_each_policy_keeps_what_it_was_last_decided_on() -> None:
    rig = rested()
    await rig.engine.start()
    await asyncio.sleep(16)
    await rig.engine.stop()
    assert rig.engine.bundles.policies == ["a", "b"]
    packed = await rig.engine.bundles.gzipped("a")
    assert packed is not None
    kept = bundle.read(packed)
    assert kept.inputs.policy.name == "a"
    assert kept.inputs.now_s == rig.view("a").snapshot.taken_at_s
    assert kept.served is not None
    assert bundle.differing(kept.served, decide(kept.inputs)) == []


@in_virtual_time
async def test_a_policy_that_is_gone_is_no_longer_served() -> None:
    rig = rested()
    await rig.engine.start()
    await asyncio.sleep(1)
    rig.engine.forget("a")
    await asyncio.sleep(1)
    await rig.engine.stop()
    assert rig.engine.bundles.policies == ["b"]
    assert await rig.engine.bundles.gzipped("a") is None


def made() -> Bundles:
    """One decision on one policy named default."""
    inputs = story(by_replay=False)
    bundles = Bundles()
    bundles.keep(inputs, decide(inputs))
    return bundles


async def test_a_bundle_is_served_as_gzipped_json() -> None:
    ((status, body, encoding),) = await asked(made(), "/bundles/default")
    assert (status, encoding) == (200, "gzip")
    document = json.loads(gzip.decompress(body))
    assert document["kind"] == "ippolicy-bundle"
    assert document["served"]["verdict"] in list(Verdict)


async def test_the_policies_are_listed_and_an_unknown_one_is_answered_with_them() -> None:
    listed, unknown = await asked(made(), "/bundles", "/bundles/other")
    assert (listed[0], json.loads(listed[1])) == (200, {"policies": ["default"]})
    assert unknown[0] == 404
    assert unknown[1] == (
        b"nothing was decided on policy other; policies with a decision: default\n"
    )


async def test_before_the_first_decision_there_is_nothing_to_serve() -> None:
    listed, unknown = await asked(Bundles(), "/bundles", "/bundles/default")
    assert json.loads(listed[1]) == {"policies": []}
    assert (unknown[0], unknown[1].endswith(b"none yet\n")) == (404, True)


async def test_a_bundle_that_is_too_large_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ippolicy.decide.bundle.MAX_BYTES", 10)
    ((status, body, _),) = await asked(made(), "/bundles/default")
    assert status == 500
    assert b"shorten spec.demand.window" in body


async def test_a_newer_decision_takes_the_place_of_the_last() -> None:
    bundles = made()
    packed = await bundles.gzipped("default")
    assert packed is not None
    first = bundle.read(packed)
    later = replace(first.inputs, snapshot=replace(first.inputs.snapshot, taken_at_s=2e9))
    bundles.keep(later, decide(later))
    packed = await bundles.gzipped("default")
    assert packed is not None
    assert bundle.load(packed).now_s == 2e9
