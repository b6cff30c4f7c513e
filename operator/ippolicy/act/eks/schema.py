"""Configuration values held against the JSON schema that EKS gives for the add-on's version."""

from __future__ import annotations

import json
from typing import Any

import yaml

from ippolicy.errors import ActError


def check_schema(text: str, schema: str) -> None:
    """Refuse configuration values that EKS would refuse.

    What breaks a rule is named by its place and the rule, and never shown: it may be a secret.

    Raises:
        ActError: names the place; or the schema cannot be read.
    """
    from jsonschema import SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        rules: Any = json.loads(schema)
        kind = validator_for(rules)
        kind.check_schema(rules)
        # With a registry of its own nothing is fetched, whatever the schema refers to.
        error = next(iter(kind(rules, registry=Registry()).iter_errors(_content(text))), None)
    except (ValueError, AttributeError, SchemaError, Unresolvable) as problem:
        raise ActError(
            "the schema that EKS gives for the add-on vpc-cni cannot be used "
            f"({type(problem).__name__}): set spec.apply.method to DaemonSet"
        ) from problem
    if error is not None:
        raise ActError(
            f"configurationValues of EKS add-on vpc-cni: {error.json_path} breaks the rule "
            f"{error.validator} of its schema: put it right, or set spec.apply.method to DaemonSet"
        )


class _Loader(yaml.SafeLoader):
    """YAML as EKS makes JSON of it: what looks like a date is text."""


_Loader.yaml_implicit_resolvers = {
    first: [one for one in resolvers if one[0] != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _content(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return yaml.load(text, Loader=_Loader) or {}  # noqa: S506  (a SafeLoader)
