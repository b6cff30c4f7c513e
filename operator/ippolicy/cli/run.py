"""`ippolicy run`: one flag for each setting, generated from the settings themselves."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import click

from ippolicy import kube, log
from ippolicy.errors import InvalidSetting
from ippolicy.ipamd.fast import can_compile
from ippolicy.settings import PREFIX, Settings, load


def _flags(command: Callable[..., None]) -> Callable[..., None]:
    for name, field in reversed(Settings.model_fields.items()):
        flag = "--" + name.replace("_", "-")
        note = f"{field.description} [default: {field.default}; env: {PREFIX}{name.upper()}]"
        command = click.option(flag, name, metavar="VALUE", help=note)(command)
    return command


@click.command(
    epilog="""\b
Examples:
  ippolicy run
  IPPOLICY_LOG_LEVEL=debug ippolicy run --interval 30s --http-host 127.0.0.1
"""
)
@_flags
def run(**flags: Any) -> None:
    """Run the operator until SIGTERM or Ctrl-C.

    The cluster is found as kubectl finds it (KUBECONFIG), or by the pod's service account; EC2 by
    AWS_REGION, AWS_ENDPOINT_URL and the usual chain of credentials.
    """
    settings = load(os.environ, {name: value for name, value in flags.items() if value is not None})
    if settings.choice == "replay" and not can_compile():
        raise InvalidSetting(f"{PREFIX}CHOICE=replay needs numba: install it, or set it to rule")
    log.configure(level=settings.log_level, style=settings.log_format)

    kube.load_configuration()  # says what is missing while there is somebody to read it

    from ippolicy.handlers import serve

    asyncio.run(serve(settings))
