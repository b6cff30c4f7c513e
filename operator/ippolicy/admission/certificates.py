"""The webhook's own CA and serving certificate: what is in the Secret, and when which is renewed.

    state of the keyring                              what `renewed` does
    ------------------------------------------------  ---------------------------------------------
    none, or no CA that is still valid                makes a CA and a serving certificate
    the newest CA has little of its life left         adds a CA, which signs nothing yet
    a newer CA is in the caBundle that is published   signs a new serving certificate with it
    a CA has ended                                    drops it from the bundle
    serving certificate near its end, or of other     signs a new one with the newest CA that is
    names                                             published

A CA stays in the bundle until its own end, and what it signed ends no later. So whatever replica
still serves an older certificate is trusted for as long as that certificate lasts, and a new one is
served only when the API server was told of its CA before. Pure but for the keys that are drawn.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ippolicy.errors import CertificatesUnreadable

AUTHORITY_LIFE_S = 400 * 86_400
AUTHORITY_RENEWAL_S = 200 * 86_400  # left of the newest CA's life when the next one is made
SERVING_LIFE_S = 90 * 86_400
SERVING_RENEWAL_S = 30 * 86_400  # left of the serving certificate's life when it is renewed
LOOK_S = 60.0
"""Least time between two calls of `renewed`, in which API servers hear of what is published."""
BACKDATED_S = 86_400  # clocks of API servers differ from ours

CA_CERTIFICATES, CA_KEYS = "ca.crt", "ca.key"
CERTIFICATE, KEY = "tls.crt", "tls.key"


@dataclass(frozen=True, slots=True)
class Identity:
    """What a server shows: certificate chain and private key, in PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA with the key that it signs with."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate in PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def signed(self, certificate: x509.Certificate) -> bool:
        """Whether this CA, not only one of its name, signed the certificate."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (InvalidSignature, TypeError, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class Keyring:
    """All that is in the Secret: the CAs, oldest first, and what is served."""

    authorities: tuple[Authority, ...]
    serving: Identity

    @property
    def bundle(self) -> bytes:
        """The certificates of the CAs in PEM, for caBundle."""
        return b"".join(authority.pem for authority in self.authorities)

    def to_data(self) -> dict[str, bytes]:
        """The data of the Secret."""
        return {
            CA_CERTIFICATES: self.bundle,
            CA_KEYS: b"".join(_key_pem(authority.key) for authority in self.authorities),
            CERTIFICATE: self.serving.certificate,
            KEY: self.serving.key,
        }


def read_identity(data: Mapping[str, bytes]) -> Identity:
    """What is to be served, from the data of a Secret, whoever made it.

    Raises:
        CertificatesUnreadable: there is no certificate with its key in it.
    """
    try:
        identity = Identity(data[CERTIFICATE], data[KEY])
        certificate = x509.load_pem_x509_certificates(identity.certificate)[0]
        key = serialization.load_pem_private_key(identity.key, None)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise _unreadable(f"{CERTIFICATE} or {KEY} is missing or no PEM") from error
    if certificate.public_key() != key.public_key():
        raise _unreadable(f"{KEY} is not the key of {CERTIFICATE}")
    return identity


def read_keyring(data: Mapping[str, bytes]) -> Keyring:
    """A keyring from the data of its Secret.

    Raises:
        CertificatesUnreadable: it is not what `Keyring.to_data` gave.
    """
    serving = read_identity(data)
    try:
        certificates = x509.load_pem_x509_certificates(data[CA_CERTIFICATES])
        keys = [serialization.load_pem_private_key(pem, None) for pem in _blocks(data[CA_KEYS])]
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(f"{CA_CERTIFICATES} or {CA_KEYS} is missing or no PEM") from error
    authorities = tuple(
        Authority(certificate, key)
        for certificate, key in zip(certificates, keys, strict=False)
        if isinstance(key, ec.EllipticCurvePrivateKey)
        and certificate.public_key() == key.public_key()
    )
    if not len(authorities) == len(certificates) == len(keys):
        raise _unreadable(f"{CA_KEYS} has not the keys of {CA_CERTIFICATES}")
    return Keyring(authorities, serving)


def renewed(
    ring: Keyring | None, *, now_s: float, hosts: Sequence[str], published: bytes
) -> Keyring:
    """The keyring as it should be now, `ring` itself where that is as it should be.

    `hosts` are the names and addresses that the API server calls, the first one the main one.
    `published` is the caBundle of the configuration as it is on the cluster, empty for none.
    """
    known = ring.authorities if ring else ()
    valid = tuple(a for a in known if _left_s(a.certificate, now_s) > 0)
    if not valid or _left_s(valid[-1].certificate, now_s) < AUTHORITY_RENEWAL_S:
        valid = (*valid, _new_authority(hosts[0], now_s))
    signer = _signer(valid, published)
    if ring and _serves(ring.serving, signer, hosts, now_s):
        return ring if valid == known else replace(ring, authorities=valid)
    return Keyring(valid, _signed(signer, hosts, now_s))


def _signer(valid: Sequence[Authority], published: bytes) -> Authority:
    """The newest CA that API servers know of; the newest of all where they know none."""
    known = [authority for authority in valid if authority.pem in published]
    return (known or valid)[-1]


def _serves(serving: Identity, signer: Authority, hosts: Sequence[str], now_s: float) -> bool:
    certificate = x509.load_pem_x509_certificate(serving.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return (
        _left_s(certificate, now_s) >= SERVING_RENEWAL_S
        and certificate.not_valid_before_utc <= _moment(now_s)
        and list(names) == _names(hosts)
        and signer.signed(certificate)
    )


def _new_authority(host: str, now_s: float) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    # The time in the name tells the CAs of one host apart where only names are looked at.
    subject = _named(f"{host} CA {_moment(now_s):%Y-%m-%d %H:%M:%S}"[-64:])
    builder = _builder(subject, subject, key, now_s, _moment(now_s + AUTHORITY_LIFE_S))
    usage = _usage(key_cert_sign=True, crl_sign=True)
    certificate = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def _signed(authority: Authority, hosts: Sequence[str], now_s: float) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.certificate
    end = min(_moment(now_s + SERVING_LIFE_S), issuer.not_valid_after_utc)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    certificate = (
        _builder(_named(hosts[0][-64:]), issuer.subject, key, now_s, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_names(hosts)), critical=False)
        .add_extension(identifier, critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return Identity(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now_s: float,
    end: dt.datetime,
) -> x509.CertificateBuilder:
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_moment(now_s - BACKDATED_S))
        .not_valid_after(end)
        .add_extension(identifier, critical=False)
    )


def _usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _names(hosts: Iterable[str]) -> list[x509.GeneralName]:
    return [_name(host) for host in hosts]


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _blocks(pem: bytes) -> list[bytes]:
    """The keys of a file with several."""
    end = b"-----END PRIVATE KEY-----\n"
    return [block + end for block in pem.split(end) if block]


def _left_s(certificate: x509.Certificate, now_s: float) -> float:
    return certificate.not_valid_after_utc.timestamp() - now_s


def _moment(at_s: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(int(at_s), dt.UTC)


def _unreadable(cause: str) -> CertificatesUnreadable:
    return CertificatesUnreadable(
        f"the Secret of the webhook cannot be used: {cause}: delete it, and it is made anew"
    )
