"""Certificates for servers of tests, as old EKS clusters have them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def issued(name: str, issuer: Pair | None) -> Pair:
    """A certificate without key identifiers; a CA when nobody else issues it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    day = dt.timedelta(days=1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer is not None:
        names = [x509.IPAddress(IPv4Address("127.0.0.1")), x509.DNSName("kube.test")]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256()), key


def write(folder: Path, pairs: Mapping[str, Pair]) -> None:
    """NAME.crt and NAME.key of each pair, in PEM."""
    for name, (certificate, key) in pairs.items():
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        (folder / f"{name}.crt").write_bytes(pem)
        secret = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        (folder / f"{name}.key").write_bytes(secret)
