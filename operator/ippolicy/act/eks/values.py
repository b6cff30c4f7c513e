"""Configuration values of an EKS add-on: env entries are read and changed, all else stays. Pure.

They are one text, JSON or YAML, which every update replaces as a whole. So what is not ours is
never turned into Python's values and back: numbers of JSON keep their digits, scalars of YAML their
text, tag and quotes. Comments and spacing may go, as they mean nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import yaml

from ippolicy.errors import ActError

ENV: Final = "env"
_MAP: Final = "tag:yaml.org,2002:map"
_STR: Final = "tag:yaml.org,2002:str"
_NULL: Final = "tag:yaml.org,2002:null"
_MERGE: Final = "tag:yaml.org,2002:merge"


class _Number(str):
    """A number of JSON, as it is written."""

    __slots__ = ()


def env_of(text: str) -> dict[str, str]:
    """Env key -> value as configuration values have it; a number or truth value as it is written.

    Raises:
        ActError: the text is neither JSON nor YAML, or `env` is no map of plain values.
    """
    content = _json(text)
    if content is not None:
        env = content.get(ENV)
        entries = {} if env is None else env
        if not isinstance(entries, dict):
            raise _unusable("env is not a map")
        return {key: _plain(key, value) for key, value in entries.items()}
    return {key: _scalar(key, node) for key, node in _flat(_entries(_yaml(text))).items()}


def merged(text: str, changes: Mapping[str, str | None]) -> str:
    """The same configuration values with some env entries changed, None for removed.

    It stays JSON or YAML, as it was; JSON where it was empty. An env without entries is left out.

    Raises:
        ActError: as `env_of`; or an entry comes from a merge key of YAML, and cannot be removed.
    """
    before = env_of(text)
    content = _json(text)
    after = _merged_yaml(text, changes) if content is None else _merged_json(content, changes)
    wanted = before | {key: value for key, value in changes.items() if value is not None}
    for key in (key for key, value in changes.items() if value is None):
        wanted.pop(key, None)
    if env_of(after) != wanted:
        raise _unusable("env has entries from a merge key (<<): write them out")
    return after


def _merged_json(content: dict[str, Any], changes: Mapping[str, str | None]) -> str:
    env = dict(content.get(ENV) or {})
    for key, value in changes.items():
        if value is None:
            env.pop(key, None)
        else:
            env[key] = value
    rest = {key: value for key, value in content.items() if key != ENV or env}
    return _dump(rest | ({ENV: env} if env else {}))


def _merged_yaml(text: str, changes: Mapping[str, str | None]) -> str:
    root = _yaml(text)
    # A node may stand in several places (&anchor, *alias): what is changed is a copy.
    pairs = [
        (key, node)
        for key, node in _entries(root)
        if not (isinstance(key, yaml.ScalarNode) and key.value in changes)
    ]
    for name, value in changes.items():
        if value is not None:
            key = yaml.ScalarNode(_STR, name)
            pairs.append((key, yaml.ScalarNode(_STR, value, style='"')))
    env = yaml.MappingNode(_MAP, pairs, flow_style=False)
    at = next((i for i, (key, _) in enumerate(root.value) if _is_env(key)), len(root.value))
    kept = [pair for pair in root.value if not _is_env(pair[0])]
    if pairs:
        kept.insert(min(at, len(kept)), (yaml.ScalarNode(_STR, ENV), env))
    new = yaml.MappingNode(root.tag, kept, flow_style=root.flow_style)
    written: str = yaml.serialize(new, Dumper=yaml.SafeDumper, allow_unicode=True, width=2**31)
    return written


def _json(text: str) -> dict[str, Any] | None:
    """The content of JSON with its numbers as written; None when it is not JSON."""
    if not text.strip():
        return {}
    try:
        content = json.loads(
            text, parse_float=_Number, parse_int=_Number, parse_constant=_no_constant
        )
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        raise _unusable("not a map")
    return content


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _dump(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)}: {_dump(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_dump, value)) + "]"
    return str(value) if isinstance(value, _Number) else json.dumps(value)


def _plain(key: str, value: Any) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    raise _unusable(f"env.{key} is not a plain value")


def _yaml(text: str) -> yaml.MappingNode:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise _unusable(f"neither JSON nor YAML ({type(error).__name__})") from error
    if root is None or root.tag == _NULL:
        return yaml.MappingNode(_MAP, [], flow_style=False)
    if not isinstance(root, yaml.MappingNode):
        raise _unusable("not a map")
    return root


def _entries(root: yaml.MappingNode) -> list[tuple[yaml.Node, yaml.Node]]:
    found = [node for key, node in root.value if _is_env(key)]
    if len(found) > 1:
        raise _unusable("env is there twice")
    if not found or found[0].tag == _NULL:
        return []
    if not isinstance(found[0], yaml.MappingNode):
        raise _unusable("env is not a map")
    return list(found[0].value)


def _flat(pairs: list[tuple[yaml.Node, yaml.Node]]) -> dict[str, yaml.Node]:
    """Entries with those that merge keys bring in, which any entry written out goes before."""
    merged_in: dict[str, yaml.Node] = {}
    own: dict[str, yaml.Node] = {}
    for key, node in pairs:
        if key.tag == _MERGE:
            sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
            for source in reversed(sources):
                if not isinstance(source, yaml.MappingNode):
                    raise _unusable("env has a merge key (<<) that is no map")
                merged_in |= _flat(source.value)
        else:
            own[_scalar("a key", key)] = node
    return merged_in | own


def _is_env(key: yaml.Node) -> bool:
    return isinstance(key, yaml.ScalarNode) and key.value == ENV


def _scalar(key: str, node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise _unusable(f"env.{key} is not a plain value")
    return str(node.value)


def _unusable(why: str) -> ActError:
    return ActError(
        f"the configurationValues of EKS add-on vpc-cni cannot be changed: {why}: put them right "
        "with aws eks update-addon, or set spec.apply.method to DaemonSet"
    )
