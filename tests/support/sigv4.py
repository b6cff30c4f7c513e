"""AWS Signature Version 4 as a server checks it, written down from its description."""

from __future__ import annotations

import hashlib
import hmac
import re
from urllib.parse import quote

from aiohttp import web

_AUTHORIZATION = re.compile(
    "AWS4-HMAC-SHA256 Credential=([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})"
)


def signed_by(
    access_key: str, secret: str, request: web.Request, body: bytes, *, region: str, service: str
) -> bool:
    """Whether a request without a query string carries the signature of this key."""
    given = _AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
    if given is None:
        return False
    credential, names, signature = given.groups()
    moment = request.headers["X-Amz-Date"]
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    signed = names.split(";")
    if credential != f"{access_key}/{scope}" or not {"host", "x-amz-date"} <= set(signed):
        return False
    canonical = [request.method, quote(request.path), ""]
    canonical += [f"{name}:{request.headers[name].strip()}" for name in signed]
    canonical += ["", names, hashlib.sha256(body).hexdigest()]
    hashed = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashed])
    return hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex(), signature)
