"""Label and field selectors: parsing, with the errors of the real API, and matching."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ippolicy.sandbox.kube.objects import Json, Object
from ippolicy.sandbox.kube.refusals import Refused

_NAME = r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?)"
_KEY = re.compile(rf"(?:{_NAME}/)?{_NAME}")
_VALUE = re.compile(rf"{_NAME}?")
_SET_BASED = re.compile(r"(?P<key>\S+)\s+(?P<op>in|notin)\s*\((?P<values>[^()]*)\)")
_EQUALITY = re.compile(r"(?P<key>[^\s=!<>]+)\s*(?P<op>==|!=|=|>|<)\s*(?P<value>[^\s=!<>]*)")
_PRESENCE = re.compile(r"(?P<not>!?)\s*(?P<key>[^\s=!<>()]+)")


@dataclass(frozen=True)
class Requirement:
    """One term: `operator` is in, notin, exists, !exists, > or <."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels meet the term; an absent key meets notin."""
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value in self.values
            case "notin":
                return value not in self.values
            case "exists":
                return self.key in labels
            case "!exists":
                return self.key not in labels
        bound = int(next(iter(self.values)))
        if value is None or not re.fullmatch(r"-?\d+", value):
            return False
        return int(value) > bound if self.operator == ">" else int(value) < bound


@dataclass(frozen=True)
class FieldTerm:
    """One field term: the field must (not) have the value."""

    field: str
    value: str
    equal: bool


@dataclass(frozen=True)
class Selection:
    """What a list or watch selects; the empty one selects all."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[FieldTerm, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.labels or self.fields)

    def matches(self, value: Object) -> bool:
        """Whether an object is selected."""
        if self.labels:
            labels = value["metadata"].get("labels") or {}
            if not all(term.matches(labels) for term in self.labels):
                return False
        return all((field_value(value, t.field) == t.value) == t.equal for t in self.fields)


def field_value(value: Object, field: str) -> str:
    """A field as selectors see it: text, with false and nothing for what is not set."""
    found: Json = value
    for name in field.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    if isinstance(found, bool):
        return str(found).lower()
    if found is None:
        return "false" if field in ("spec.hostNetwork", "spec.unschedulable") else ""
    return str(found)


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """The terms of a labelSelector; raises `Refused` 400 where it cannot be read."""
    return tuple(_label_term(part.strip()) for part in _split(text) if part.strip())


def _split(text: str) -> list[str]:
    """Split at commas outside of parentheses."""
    parts, depth, start = [], 0, 0
    for position, char in enumerate(text):
        if char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    return [*parts, text[start:]]


def _label_term(text: str) -> Requirement:
    if found := _SET_BASED.fullmatch(text):
        values = [value.strip() for value in found["values"].split(",")]
        return Requirement(_key(found["key"]), found["op"], frozenset(map(_value, values)))
    if found := _EQUALITY.fullmatch(text):
        if found["op"] in "<>":
            if not re.fullmatch(r"-?\d+", found["value"]):
                raise _unreadable(
                    f'values[0][{found["key"]}]: Invalid value: "{found["value"]}":'
                    " for 'Gt', 'Lt' operators, the value must be an integer"
                )
            return Requirement(_key(found["key"]), found["op"], frozenset([found["value"]]))
        operator = "notin" if found["op"] == "!=" else "in"
        return Requirement(_key(found["key"]), operator, frozenset([_value(found["value"])]))
    if found := _PRESENCE.fullmatch(text):
        return Requirement(_key(found["key"]), "!exists" if found["not"] else "exists")
    raise _unreadable(f'couldn\'t parse the selector string "{text}"')


def _key(key: str) -> str:
    if not _KEY.fullmatch(key) or len(key.rpartition("/")[2]) > 63:
        raise _unreadable(f'<nil>: Invalid value: "{key}": name part must be a valid label name')
    return key


def _value(value: str) -> str:
    if not _VALUE.fullmatch(value) or len(value) > 63:
        raise _unreadable(f'values[0]: Invalid value: "{value}": must be a valid label value')
    return value


def _unreadable(cause: str) -> Refused:
    return Refused(400, f"unable to parse requirement: {cause}")


def parse_fields(text: str, allowed: Sequence[str], resource: str) -> tuple[FieldTerm, ...]:
    """The terms of a fieldSelector.

    Raises `Refused` 400 where it cannot be read or the kind does not offer the field.
    """
    terms = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = re.fullmatch(r"(?P<field>[^=!]+?)(?P<op>!=|==|=)(?P<value>.*)", part)
        if found is None:
            raise Refused(
                400,
                f"invalid field selector: invalid selector: '{text}'; can't understand '{part}'",
            )
        if found["field"] not in allowed:
            raise Refused(
                400,
                f'Unable to find "{resource}" that match label selector "", field selector'
                f' "{text}": field label not supported: {found["field"]}',
            )
        terms.append(FieldTerm(found["field"], found["value"], found["op"] != "!="))
    return tuple(terms)


def label_selector_matches(selector: Mapping[str, Json], labels: Mapping[str, str]) -> bool:
    """Whether a metav1.LabelSelector (matchLabels and matchExpressions) selects the labels."""
    exact = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in exact.items()):
        return False
    return all(expression_matches(term, labels) for term in selector.get("matchExpressions") or ())


def expression_matches(term: Mapping[str, Json], labels: Mapping[str, str]) -> bool:
    """Whether labels meet one matchExpressions term (In, NotIn, Exists, DoesNotExist, Gt, Lt)."""
    operators = {
        "In": "in",
        "NotIn": "notin",
        "Exists": "exists",
        "DoesNotExist": "!exists",
        "Gt": ">",
        "Lt": "<",
    }
    values = frozenset(term.get("values") or ())
    return Requirement(term["key"], operators[term["operator"]], values).matches(labels)
