"""What tests that talk to an EC2 over HTTP share."""

from __future__ import annotations

import pytest
from botocore.loaders import Loader, create_loader


@pytest.fixture(scope="session")
def _loader() -> Loader:
    """Reading boto3's EC2 model is the slow part of a client: do it once."""
    return create_loader()


@pytest.fixture
def aws_environment(monkeypatch: pytest.MonkeyPatch, _loader: Loader) -> None:
    """Credentials and a region by env, and nothing of the machine's own."""
    monkeypatch.setattr("botocore.loaders.create_loader", lambda *_: _loader)
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-west-2",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }.items():
        monkeypatch.setenv(name, value)
