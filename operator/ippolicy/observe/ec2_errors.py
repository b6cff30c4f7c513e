"""Errors of EC2 and of the way to it, as reason and fix.

Messages are written here and never taken from AWS, whose own name accounts, roles and ARNs.
"""

from __future__ import annotations

import os
from typing import Any

from ippolicy.errors import EC2Unavailable

_DENIED = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"}
_BAD_CREDENTIALS = {
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_THROTTLED = {"RequestLimitExceeded", "Throttling", "ThrottlingException", "RequestThrottled"}


def explain(operation: str, error: Exception) -> EC2Unavailable:
    """An error of botocore, as reason and fix, without any words of AWS's own."""
    from botocore import exceptions as raised
    from botocore.parsers import ResponseParserError

    if isinstance(error, raised.ClientError):
        return _explain_answer(operation, error)
    if isinstance(error, raised.NoRegionError):
        return EC2Unavailable(
            "EC2 cannot be asked without a region: set AWS_REGION", reason="NoRegion"
        )
    if isinstance(
        error,
        raised.NoCredentialsError
        | raised.PartialCredentialsError
        | raised.CredentialRetrievalError
        | raised.ProfileNotFound
        | raised.TokenRetrievalError,
    ):
        return EC2Unavailable(
            "EC2 cannot be asked without AWS credentials: give the operator's service account an "
            "IAM role (EKS Pod Identity or IRSA), or set AWS_PROFILE",
            reason="NoCredentials",
        )
    if isinstance(error, raised.ConnectTimeoutError | raised.ReadTimeoutError):
        return EC2Unavailable(
            f"EC2 did not answer {operation} in time: check the route to EC2 or its VPC endpoint",
            reason="Timeout",
        )
    if isinstance(
        error, ResponseParserError | ValueError | raised.InvalidEndpointConfigurationError
    ):
        where = "AWS_ENDPOINT_URL" if "AWS_ENDPOINT_URL" in os.environ else "the EC2 endpoint"
        return EC2Unavailable(
            f"{where} does not answer {operation} as EC2 does: check what is there",
            reason="Garbage",
        )
    return EC2Unavailable(
        f"EC2 cannot be reached for {operation} ({type(error).__name__}): check the route to EC2, "
        "its VPC endpoint, AWS_REGION and AWS_ENDPOINT_URL",
        reason="Unreachable",
    )


def _explain_answer(operation: str, error: Any) -> EC2Unavailable:
    code = str(error.response.get("Error", {}).get("Code") or "Unknown")
    if code in _DENIED:
        permission = f"ec2:{operation}"
        return EC2Unavailable(
            f"EC2 refused {operation}: allow {permission} in the operator's IAM role",
            reason="AccessDenied",
            permission=permission,
        )
    if code in _BAD_CREDENTIALS:
        return EC2Unavailable(
            f"EC2 refused the AWS credentials ({code}): renew them, or check the IAM role",
            reason="BadCredentials",
        )
    if code in _THROTTLED:
        return EC2Unavailable(
            f"EC2 throttled {operation}: it will be asked again; check what else calls EC2 in "
            "this account and region",
            reason="Throttled",
        )
    return EC2Unavailable(
        f"EC2 answered {operation} with {code}: it will be asked again", reason=code
    )
