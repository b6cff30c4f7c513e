"""What comes from outside, spoiled: everything that reads it, and how sound inputs are spoiled."""

from __future__ import annotations

import base64
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import yaml
from botocore.awsrequest import AWSResponse
from hypothesis import strategies as st

import builders
from decided import story
from ippolicy.act.checkpoints import CheckpointStore
from ippolicy.act.document import write_document
from ippolicy.act.records import RecordStore
from ippolicy.admission import answer
from ippolicy.admission.review import read_review
from ippolicy.api import API_VERSION, KIND, IPPolicy
from ippolicy.cli.plan import read_policy
from ippolicy.cli.traces import read_trace
from ippolicy.decide import bundle
from ippolicy.decide.births.document import read_table, write_table
from ippolicy.decide.checkpoint import decode, encode, framed, unframed
from ippolicy.decide.signals import SignalHistory
from ippolicy.decide.signals_kept import pack as pack_signals
from ippolicy.decide.signals_kept import unpack as unpack_signals
from ippolicy.decide.subnets.history import Histories, Reading
from ippolicy.decide.subnets.kept import pack, unpack
from ippolicy.errors import EC2Unavailable, IPPolicyError
from ippolicy.facts import DaemonSetRef
from ippolicy.kube import UNREADABLE
from ippolicy.observe.ec2_client import Ec2Client
from ippolicy.observe.lookups import read_config_map, read_eni_configs
from ippolicy.observe.metrics import CounterState, parse
from ippolicy.observe.policies import decode_policy
from ippolicy.observe.prometheus_client import _read as read_prometheus
from ippolicy.observe.records import (
    read_aws_node_pod,
    read_daemon_set_record,
    read_node,
    read_pod,
)
from ippolicy.observe.settings import ObserveSettings
from ippolicy.sandbox import manifests
from ippolicy.sandbox.fleet import NodeSpec
from ippolicy.sandbox.fleet.objects import NodeIdentity, node_object
from observe_fakes import metrics_page
from reviews import AWS_NODE, PLACES, aws_node_pod, entries, review_of
from reviews import tables as admission_tables

REF = DaemonSetRef("kube-system", "aws-node")


@dataclass(frozen=True)
class Reader:
    """Something that reads what comes from outside.

    `sound` gives inputs that it reads without an error; `raises` is what else may come of any: an
    error of ours, or what whoever calls a decoder makes one of.
    """

    read: Callable[[bytes], object]
    sound: Callable[[], Iterable[bytes]]
    raises: tuple[type[Exception], ...] = (IPPolicyError,)


# -- what is sound ---------------------------------------------------------------------------------

META = {
    "name": "one",
    "namespace": "kube-system",
    "uid": "u",
    "resourceVersion": "7",
    "creationTimestamp": "2026-01-02T03:04:05Z",
    "labels": {"k8s-app": "aws-node", "controller-revision-hash": "r"},
    "annotations": {"a": "b"},
}


def _json(*values: object) -> list[bytes]:
    return [json.dumps(value).encode() for value in values]


def _nodes() -> list[bytes]:
    identity = NodeIdentity("one", "i-1", zone="a", region="eu-west-1", address="10.0.0.9")
    node = node_object(NodeSpec("m5.large", "subnet-1"), identity)
    return _json({**node, "metadata": {**META, **node["metadata"]}})


def _pods() -> list[bytes]:
    conditions = [{"type": "Ready", "status": "True"}]
    status = {
        "phase": "Running",
        "hostIP": "10.0.0.9",
        "podIP": "10.0.0.9",
        "startTime": META["creationTimestamp"],
        "conditions": conditions,
    }
    owner = {"kind": "DaemonSet", "name": "aws-node", "uid": "d", "controller": True}
    metadata = {**META, "ownerReferences": [owner]}
    return _json({"metadata": metadata, "spec": {"nodeName": "one"}, "status": status})


def _daemon_sets() -> list[bytes]:
    found = manifests.aws_node_daemon_set({})
    fields = {"f:spec": {"f:template": {"f:spec": {"f:containers": {}}}}}
    managed = [{"manager": "helm", "operation": "Apply", "fieldsV1": fields}]
    status = {"observedGeneration": 1, "desiredNumberScheduled": 2, "numberAvailable": 2}
    metadata = {**META, **found["metadata"], "generation": 1, "managedFields": managed}
    return _json({**found, "metadata": metadata, "status": status})


def _policies() -> list[dict[str, Any]]:
    spec = {
        "mode": "Apply",
        "objective": {"goal": "Balanced", "maxDelayedStarts": "0.5%"},
        "bounds": {"warmIPTarget": {"min": 1, "max": 32}},
        "demand": {"window": "24h", "prometheus": {"url": "https://prometheus.svc:9090"}},
        "subnets": {"selector": {"tags": {"a": "b"}}, "brake": {"freeBelow": "10%"}},
        "change": {"windows": [{"cron": "0 3 * * *", "duration": "2h"}], "maxPerDay": 2},
    }
    head = {"apiVersion": API_VERSION, "kind": KIND, "metadata": META}
    return [{**head, "spec": {}}, {**head, "spec": spec}]


def _checkpoints() -> list[bytes]:
    traces = [builders.trace(n, events=[(60.0, 1), (90.0, -1)]) for n in range(3)]
    return [encode(traces[:1], builders.NOW_S), encode(traces, builders.NOW_S)]


def _subnets() -> bytes:
    histories = Histories()
    for minute in range(30):
        at_s = builders.NOW_S + 60.0 * minute
        histories.note([Reading("subnet-1", at_s, 200 - minute)])
    return pack(histories)


def _signals() -> bytes:
    history = SignalHistory()
    for later_s in (0.0, 60.0):
        history.note(builders.snapshot(3, taken_at_s=builders.NOW_S + later_s))
    return pack_signals(history.noted())


def _records() -> list[bytes]:
    return [write_document(builders.record(builders.change())).encode()]


def _config_map(**fields: Any) -> bytes:
    return json.dumps({"metadata": META, **fields}).encode()


TRACES = [
    b"node,start_s,end_s,group\na,0,60,g\nb,10,,g\n",
    b"node,time_s,change,group\na,0,1,g\na,60,-1,g\nb,5,3,g\n",
    b'{"node": "a", "start_s": 0, "end_s": 60}\n{"node": "b", "start_s": 1, "end_s": null}\n',
    b'{"node": "a", "time_s": "2026-01-01T00:00:00Z", "change": 2}\n'
    b'{"node": "a", "time_s": "2026-01-01T00:01:00Z", "change": -1}\n',
]
PROMETHEUS = _json(
    {
        "status": "success",
        "data": {"result": [{"metric": {"node": "a"}, "values": [[1.5, "2"], [3, "NaN"]]}]},
    }
)
_ANSWERS = {
    "DescribeInstances": "<reservationSet><item><instancesSet><item><instanceId>i-1</instanceId>"
    "<networkInterfaceSet><item><subnetId>subnet-1</subnetId></item></networkInterfaceSet>"
    "</item></instancesSet></item></reservationSet>",
    "DescribeSubnets": "<subnetSet><item><subnetId>subnet-1</subnetId><vpcId>vpc-1</vpcId>"
    "<cidrBlock>10.0.0.0/24</cidrBlock><availableIpAddressCount>251</availableIpAddressCount>"
    "<tagSet><item><key>a</key><value>b</value></item></tagSet></item></subnetSet>",
    "DescribeInstanceTypes": "<instanceTypeSet><item><instanceType>m5.large</instanceType>"
    "<hypervisor>nitro</hypervisor><vCpuInfo><defaultVCpus>2</defaultVCpus></vCpuInfo><networkInfo>"
    "<maximumNetworkInterfaces>3</maximumNetworkInterfaces><ipv4AddressesPerInterface>10"
    "</ipv4AddressesPerInterface><networkCards><item><networkCardIndex>0</networkCardIndex>"
    "<maximumNetworkInterfaces>3</maximumNetworkInterfaces></item></networkCards></networkInfo>"
    "</item></instanceTypeSet>",
    "DescribeNetworkInterfaces": "<networkInterfaceSet><item><networkInterfaceId>eni-1"
    "</networkInterfaceId><subnetId>subnet-1</subnetId><status>in-use</status><attachment>"
    "<instanceId>i-1</instanceId></attachment><privateIpAddressesSet><item><privateIpAddress>"
    "10.0.0.9</privateIpAddress><primary>true</primary></item></privateIpAddressesSet>"
    "<ipv4PrefixSet><item><ipv4Prefix>10.0.0.16/28</ipv4Prefix></item></ipv4PrefixSet>"
    "</item></networkInterfaceSet>",
    "GetSubnetCidrReservations": "<subnetIpv4CidrReservationSet><item><cidr>10.0.0.32/28</cidr>"
    "<reservationType>prefix</reservationType></item></subnetIpv4CidrReservationSet>",
}


def _answers() -> list[bytes]:
    return [
        f"<{name}Response><requestId>r</requestId>{body}<nextToken></nextToken></{name}Response>"
        "".encode()
        for name, body in _ANSWERS.items()
    ]


# -- who reads it ----------------------------------------------------------------------------------


def _metrics(data: bytes) -> object:
    return CounterState().update(parse(data))


def _policy(data: bytes) -> object:
    return IPPolicy.from_raw(decode_policy(data).raw)


def _in_a_file(read: Callable[[Path], object], name: str) -> Callable[[bytes], object]:
    def read_file(data: bytes) -> object:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(data)
            return read(path)

    return read_file


def _answering(data: bytes) -> Any:
    """A client of the Kubernetes API to which every question is answered alike."""
    answer = SimpleNamespace(data=data)
    return mock.Mock(read_namespaced_config_map=lambda *_, **__: answer)


def _record(data: bytes) -> object:
    text = data.decode(errors="replace")
    return RecordStore(_answering(_config_map(data={"record.json": text}))).read(REF)


def _checkpoint_object(data: bytes) -> object:
    store = CheckpointStore(mock.Mock())
    store._api = _answering(data)
    return store.read(REF)


@cache
def _ec2() -> tuple[Ec2Client, list[bytes]]:
    """A client of EC2 whose requests never leave: they are answered with what is in the list."""
    given: list[bytes] = []
    environment = {
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
    }
    with mock.patch.dict(os.environ, environment):
        client = Ec2Client(ObserveSettings(ec2_attempts=1))
        connected = client._connected()
    connected.meta.events.register("before-send.ec2", lambda **_: _Answer(given[-1]))
    return client, given


class _Answer(AWSResponse):
    """An answer of EC2 as botocore reads it."""

    def __init__(self, body: bytes) -> None:
        super().__init__("https://ec2.invalid", 200, {}, None)
        self._content = body


def _ec2_answers(data: bytes) -> object:
    """What each of the questions makes of the same answer."""
    client, given = _ec2()
    given[:] = [data]
    asked: list[Callable[[], object]] = [
        lambda: client.subnets_of_instances(["i-1"]),
        lambda: client.subnets(["subnet-1"]),
        lambda: client.instance_types(["m5.large"]),
        lambda: client.interfaces(["subnet-1"], None),
        lambda: client.reservations("subnet-1"),
    ]
    errors, found = [], []
    for ask in asked:
        try:
            found.append(ask())
        except EC2Unavailable as error:
            errors.append(error)
    if not found:
        raise errors[0]
    return found


def _answer(data: bytes) -> object:
    return answer(read_review(data), admission_tables(), lambda _, node: PLACES.get(node))


def _reviews() -> list[bytes]:
    env = [*entries({"WARM_ENI_TARGET": "1"}), {"name": "A", "valueFrom": {"fieldRef": {}}}]
    return _json(review_of(aws_node_pod()), review_of(aws_node_pod(env=env, annotations={})))


def _tables() -> list[bytes]:
    table = admission_tables().of(AWS_NODE.namespace, AWS_NODE.name)
    assert table is not None
    return [write_table(table).encode()]


def _yaml_policies() -> list[bytes]:
    return [yaml.safe_dump(policy).encode() for policy in _policies()]


READERS: Mapping[str, Reader] = {
    "metrics": Reader(_metrics, lambda: [metrics_page(9, held_max=30).encode()]),
    "node": Reader(read_node, _nodes, UNREADABLE),
    "pod": Reader(read_pod, _pods, UNREADABLE),
    "aws-node-pod": Reader(read_aws_node_pod, _pods, UNREADABLE),
    "daemonset": Reader(
        lambda data: read_daemon_set_record(data, at_s=0.0), _daemon_sets, UNREADABLE
    ),
    "eniconfigs": Reader(
        read_eni_configs, lambda: _json({"items": [{"spec": {"subnet": "s"}}]}), UNREADABLE
    ),
    "configmap": Reader(read_config_map, lambda: _json({"data": {"ipam": "eni"}}), UNREADABLE),
    "policy": Reader(_policy, lambda: _json(*_policies()), (IPPolicyError, *UNREADABLE)),
    "policy-file": Reader(_in_a_file(read_policy, "policy.yaml"), _yaml_policies),
    "ec2": Reader(_ec2_answers, _answers),
    "prometheus": Reader(read_prometheus, lambda: PROMETHEUS, (*UNREADABLE, ValueError)),
    "checkpoint": Reader(decode, _checkpoints),
    "checkpoint-body": Reader(
        lambda data: decode(framed(data)), lambda: map(unframed, _checkpoints())
    ),
    "checkpoint-subnets": Reader(lambda data: unpack(framed(data)), lambda: [unframed(_subnets())]),
    "checkpoint-signals": Reader(
        lambda data: unpack_signals(framed(data)), lambda: [unframed(_signals())]
    ),
    "checkpoint-object": Reader(
        _checkpoint_object,
        lambda: [_config_map(binaryData={"demand": base64.b64encode(_checkpoints()[1]).decode()})],
    ),
    "record": Reader(_record, _records),
    "record-object": Reader(
        lambda data: RecordStore(_answering(data)).read(REF),
        lambda: [_config_map(data={"record.json": _records()[0].decode()})],
    ),
    "bundle": Reader(bundle.read, lambda: [bundle.dump(story(traces=[builders.trace()]))]),
    "admission-review": Reader(_answer, _reviews, ()),
    "targets-by-group": Reader(
        lambda data: read_table(data.decode(errors="replace")), _tables, (ValueError,)
    ),
    "trace": Reader(_in_a_file(read_trace, "trace"), lambda: TRACES),
}


# -- spoiling --------------------------------------------------------------------------------------

_DIGITS = re.compile(rb"-?[0-9]+([.][0-9]+)?")
NUMBERS = (
    b"0",
    b"-1",
    b"1e308",
    b"-0.0",
    b"NaN",
    b"Infinity",
    b"9" * 400,
    b"1e-320",
    b"0x1",
    b"2147483648",
    b"9223372036854775808",
)
BITS = (
    b"",
    b"\x00",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\n",
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[" * 3_000,
    b"]",
    b",",
    b"null",
    b"true",
    b"<",
    b"&a;",
    b"9999-12-31T23:59:59Z",
    "\u0661\u0662\u2028".encode(),
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    0.5,
    2**63,
    10**400,
    1e308,
    "",
    "x" * 5_000,
    "\x00",
    "-1",
    "9999999999",
    "2026-13-45T99:99:99Z",
    "0001-01-01T00:00:00Z",
    "fe80::1",
    "1.2.3.4/33",
    "10%",
    "-1h",
    "1e9h",
    "999999999h",
    [],
    {},
    [[]],
    [None],
    {"": None},
    {"name": {}},
)


@st.composite
def spoiled(draw: st.DrawFn, sound: list[bytes]) -> bytes:
    """One of the sound inputs after up to four small harms."""
    data = draw(st.sampled_from(sound))
    for harm in draw(st.lists(st.sampled_from(HARMS), max_size=4)):
        data = harm(draw, data)
    return data


def _cut(draw: st.DrawFn, data: bytes) -> bytes:
    start, end = sorted(draw(st.tuples(*[st.integers(0, len(data))] * 2)))
    return data[:start] + data[end:]


def _put(draw: st.DrawFn, data: bytes) -> bytes:
    at = draw(st.integers(0, len(data)))
    return data[:at] + draw(st.sampled_from(BITS + NUMBERS) | st.binary(max_size=8)) + data[at:]


def _repeat(draw: st.DrawFn, data: bytes) -> bytes:
    start, end = sorted(draw(st.tuples(*[st.integers(0, len(data))] * 2)))
    return data[:start] + data[start:end] * draw(st.integers(2, 5)) + data[end:]


def _flip(draw: st.DrawFn, data: bytes) -> bytes:
    if not data:
        return data
    at = draw(st.integers(0, len(data) - 1))
    return data[:at] + bytes([draw(st.integers(0, 255))]) + data[at + 1 :]


def _number(draw: st.DrawFn, data: bytes) -> bytes:
    """Put an odd number in the place of one of those that are there."""
    spans = [match.span() for match in _DIGITS.finditer(data)]
    if not spans:
        return data
    start, end = draw(st.sampled_from(spans))
    return data[:start] + draw(st.sampled_from(NUMBERS)) + data[end:]


def _value(draw: st.DrawFn, data: bytes) -> bytes:
    """Put an odd value in the place of any within a JSON document, or take it out."""
    try:
        root = json.loads(data)
    except (ValueError, RecursionError):
        return data
    places = list(_places(root))
    if not places:
        return data
    holder, key = draw(st.sampled_from(places))
    if draw(st.booleans()):
        holder[key] = draw(st.sampled_from(VALUES))
    else:
        del holder[key]
    return json.dumps(root).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        yield value, key
        yield from _places(value[key])


HARMS = (_cut, _put, _repeat, _flip, _number, _value, _value, _value)
