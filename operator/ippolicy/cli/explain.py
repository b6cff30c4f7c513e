"""`ippolicy explain`: the last decision on a policy, made again from what it rested on."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from typing import Final

import click

from ippolicy.cli import explained
from ippolicy.cli.bundles import from_cluster, from_file, source_options
from ippolicy.cli.options import write_out
from ippolicy.cli.progress import progress
from ippolicy.decide.bundle import read
from ippolicy.errors import InvalidInput

DIFFERS: Final = 3

EXAMPLES = """\b
Examples:
  # Why the operator in the cluster does what it does
  ippolicy explain
  ippolicy explain default --output json
  # Keep what it rested on, and look at it elsewhere
  ippolicy explain default --save decision.json.gz
  ippolicy explain --bundle decision.json.gz
\b
Exit status: 0 explained, 3 deciding again gave another decision, 2 bad input,
1 failed.
"""


@click.command(epilog=EXAMPLES, short_help="Tell why the operator decided as it did.")
@click.argument("policy", required=False)
@source_options
@click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also keep the bundle in this file, gzip'd if its name ends in .gz.",
)
@click.option(
    "--output", "-o", type=click.Choice(["table", "json"]), default="table", show_default=True
)
def explain(
    *,
    policy: str | None,
    bundle_file: Path | None,
    namespace: str,
    service: str,
    context: str | None,
    save: Path | None,
    output: str,
) -> None:
    """Tell why the operator decided as it last did, by deciding again offline.

    The bundle of POLICY, or of the only policy, comes from the operator through the API server, for
    which your account needs the right to get services/proxy; or from a file. It is decided on once
    more here: what was known, the verdict, the choice and the runners-up with what they would hold,
    delay and call, and all that stood in the way of a change.
    """
    if bundle_file is not None:
        if policy is not None or save is not None:
            raise InvalidInput("--bundle takes no POLICY and no --save: it is one bundle, kept")
        bundle = from_file(bundle_file)
    else:
        document = from_cluster(policy, service=service, namespace=namespace, context=context)
        if save is not None:
            write_out(gzip.compress(document) if save.suffix == ".gz" else document, save)
        bundle = read(document)
    with progress("deciding again"):
        answer = explained.Explained.of(bundle)
    show = explained.as_json if output == "json" else explained.as_text
    write_out(show(answer), None)
    if not answer.agrees:
        sys.exit(DIFFERS)
