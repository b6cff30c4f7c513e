"""How requests to Prometheus show who asks: by nothing, a bearer token, or a signature for AWS.

Whoever may write policies chooses the url, so what may be sent there is bounded here, too: a token
comes from `SECRETS_FOLDER` and no other place, whatever links may lie in it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ippolicy.api import Prometheus, SigV4
from ippolicy.api.prometheus import SECRETS_FOLDER
from ippolicy.errors import PrometheusUnavailable

TOKEN_MAX_BYTES = 64 * 1024
STS_TIMEOUT_S = 10.0
_TOKEN = re.compile(rb"[!-~]+")

Authorize = Callable[[str, bytes, Mapping[str, str]], Mapping[str, str]]
"""(url, body, headers) of a POST -> headers to add; blocks, and raises PrometheusUnavailable."""


def authorizer(asked: Prometheus, secrets: Path = Path(SECRETS_FOLDER)) -> Authorize:
    """How to ask the Prometheus of a policy; `secrets` stands for `SECRETS_FOLDER`."""
    if asked.bearer_token_file is not None:
        within = PurePosixPath(asked.bearer_token_file).relative_to(SECRETS_FOLDER)
        return functools.partial(_bear, secrets, within)
    if asked.sig_v4 is not None:
        return _Signature(asked.sig_v4)
    return lambda _url, _body, _headers: {}


def _bear(
    secrets: Path, within: PurePosixPath, _url: str, _body: bytes, _headers: Mapping[str, str]
) -> Mapping[str, str]:
    """The token as the file has it now: it may have been renewed."""
    try:
        path = (secrets / within).resolve(strict=True)
        if not path.is_relative_to(secrets.resolve()) or not path.is_file():
            raise _no_token(within, f"is no file in {SECRETS_FOLDER}")
        with path.open("rb") as file:
            token = file.read(TOKEN_MAX_BYTES + 1).strip()
    except (OSError, RuntimeError) as error:
        raise _no_token(within, f"cannot be read ({type(error).__name__})") from error
    if len(token) > TOKEN_MAX_BYTES or not _TOKEN.fullmatch(token):
        raise _no_token(within, "does not hold a token")
    return {"Authorization": f"Bearer {token.decode('ascii')}"}


def _no_token(within: PurePosixPath, why: str) -> PrometheusUnavailable:
    return PrometheusUnavailable(
        f"spec.demand.prometheus.bearerTokenFile {SECRETS_FOLDER}/{within} {why}: mount the token"
        " there, in the operator's pod",
        reason="no-token",
    )


class _Signature:
    """Signs by botocore; credentials are found at the first request, and renewed by themselves."""

    def __init__(self, asked: SigV4) -> None:
        self._asked = asked
        self._credentials: Any = None

    def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> Mapping[str, str]:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        request = AWSRequest(method="POST", url=url, data=body, headers=dict(headers))
        try:
            credentials = self._found().get_frozen_credentials()
            SigV4Auth(credentials, self._asked.service, self._asked.region).add_auth(request)
        except (BotoCoreError, ClientError, ResponseParserError, ValueError) as error:
            self._credentials = None  # credentials given later are only seen by looking again
            raise self._explained(error) from error
        return dict(request.headers)

    def _found(self) -> Any:
        if self._credentials is None:
            from botocore.exceptions import NoCredentialsError
            from botocore.session import get_session

            session = get_session()
            own = session.get_credentials()
            if own is None:
                raise NoCredentialsError
            role = self._asked.role_arn
            self._credentials = own if role is None else self._of_role(session, own, role)
        return self._credentials

    def _of_role(self, session: Any, own: Any, role: str) -> Any:
        from botocore.config import Config
        from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials

        config = Config(connect_timeout=STS_TIMEOUT_S / 2, read_timeout=STS_TIMEOUT_S)
        fetcher = AssumeRoleCredentialFetcher(
            functools.partial(session.create_client, region_name=self._asked.region, config=config),
            own,
            role,
            extra_args={"RoleSessionName": "ippolicy-operator"},
        )
        return DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")

    def _explained(self, error: Exception) -> PrometheusUnavailable:
        """Without words of AWS's own, which name accounts and roles."""
        from botocore.exceptions import ClientError

        if self._asked.role_arn is not None and isinstance(error, ClientError):
            return PrometheusUnavailable(
                "AWS STS refused the role of spec.demand.prometheus.sigV4.roleArn: allow"
                " sts:AssumeRole to the operator's IAM role, and the operator's role to the other",
                reason="role-refused",
            )
        return PrometheusUnavailable(
            f"no AWS credentials to sign requests to Prometheus with ({type(error).__name__}): give"
            " the operator's service account an IAM role (EKS Pod Identity or IRSA)",
            reason="no-credentials",
        )
