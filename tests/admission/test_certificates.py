"""The webhook's certificates: whatever is served is trusted by what is published, at any time."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store
from hypothesis import given, settings
from hypothesis import strategies as st

from ippolicy.admission.certificates import (
    LOOK_S,
    Identity,
    Keyring,
    read_identity,
    read_keyring,
    renewed,
)
from ippolicy.errors import CertificatesUnreadable

HOST = "ippolicy-webhook.kube-system.svc"
HOSTS = (HOST, "127.0.0.1")
NOW_S = 1_780_000_000.0
DAY_S = 86_400.0


def ring_at(now_s: float, before: Keyring | None = None, *, published: bytes = b"") -> Keyring:
    return renewed(before, now_s=now_s, hosts=HOSTS, published=published)


def trusted(identity: Identity, bundle: bytes, now_s: float) -> bool:
    """Whether an API server with this caBundle takes the certificate for its host."""
    authorities = x509.load_pem_x509_certificates(bundle)
    moment = dt.datetime.fromtimestamp(now_s, dt.UTC).replace(tzinfo=None)
    verifier = (
        PolicyBuilder()
        .store(Store(authorities))
        .time(moment)
        .build_server_verifier(x509.DNSName(HOST))
    )
    try:
        verifier.verify(x509.load_pem_x509_certificate(identity.certificate), [])
    except x509.verification.VerificationError:
        return False
    return True


def test_the_first_keyring_serves_at_once() -> None:
    ring = ring_at(NOW_S)
    assert len(ring.authorities) == 1
    assert trusted(ring.serving, ring.bundle, NOW_S)


def test_what_is_as_it_should_be_stays_the_very_same() -> None:
    ring = ring_at(NOW_S)
    assert ring_at(NOW_S + DAY_S, ring, published=ring.bundle) is ring
    assert ring_at(NOW_S + DAY_S, ring) is ring


def test_it_survives_being_kept() -> None:
    ring = ring_at(NOW_S)
    kept = read_keyring(ring.to_data())
    assert kept.to_data() == ring.to_data()
    assert ring_at(NOW_S, kept, published=kept.bundle) is kept
    assert read_identity(ring.to_data()) == ring.serving


def test_the_serving_certificate_is_renewed_in_time() -> None:
    ring = ring_at(NOW_S)
    later_s = NOW_S + 61 * DAY_S
    new = ring_at(later_s, ring, published=ring.bundle)
    assert new.authorities == ring.authorities
    assert new.serving != ring.serving
    assert trusted(ring.serving, new.bundle, later_s)
    assert trusted(new.serving, ring.bundle, NOW_S + 150 * DAY_S)


def test_a_new_ca_signs_nothing_before_it_is_published() -> None:
    old = ring_at(NOW_S)
    later_s = NOW_S + 201 * DAY_S
    old = ring_at(NOW_S + 180 * DAY_S, old, published=old.bundle)
    both = ring_at(later_s, old, published=old.bundle)
    assert len(both.authorities) == 2
    assert both.serving == old.serving
    assert ring_at(later_s + DAY_S, both, published=old.bundle) is both
    moved = ring_at(later_s + DAY_S, both, published=both.bundle)
    assert moved.serving != old.serving
    assert trusted(moved.serving, moved.authorities[1].pem, later_s + DAY_S)
    assert trusted(old.serving, moved.bundle, later_s + DAY_S)


def test_an_ended_ca_leaves_the_bundle() -> None:
    first = ring_at(NOW_S)
    second = ring_at(NOW_S + 201 * DAY_S, first, published=first.bundle)
    third = ring_at(NOW_S + 401 * DAY_S, second, published=second.bundle)
    assert first.authorities[0] not in third.authorities
    assert second.authorities[1] in third.authorities


def test_after_years_away_all_is_made_anew() -> None:
    old = ring_at(NOW_S)
    later_s = NOW_S + 2_000 * DAY_S
    new = ring_at(later_s, old, published=old.bundle)
    assert len(new.authorities) == 1
    assert trusted(new.serving, new.bundle, later_s)


def test_other_names_need_another_certificate() -> None:
    ring = ring_at(NOW_S)
    moved = renewed(ring, now_s=NOW_S, hosts=("other.cni.svc",), published=ring.bundle)
    assert moved.authorities == ring.authorities
    assert not trusted(moved.serving, moved.bundle, NOW_S)


def test_no_certificate_outlives_its_ca() -> None:
    ring = ring_at(NOW_S)
    ring = ring_at(NOW_S + 350 * DAY_S, ring, published=ring.bundle)
    serving = x509.load_pem_x509_certificate(ring.serving.certificate)
    assert serving.not_valid_after_utc <= ring.authorities[0].certificate.not_valid_after_utc


@pytest.mark.parametrize("missing", ["ca.crt", "ca.key", "tls.crt", "tls.key"])
@pytest.mark.parametrize("left", [None, b"", b"garbage"])
def test_a_damaged_secret_says_what_to_do(missing: str, left: bytes | None) -> None:
    data = ring_at(NOW_S).to_data()
    del data[missing]
    if left is not None:
        data[missing] = left
    with pytest.raises(CertificatesUnreadable, match="delete it, and it is made anew"):
        read_keyring(data)


@pytest.mark.parametrize("mixed", ["ca.key", "tls.key"])
def test_the_keys_of_another_ring_are_noticed(mixed: str) -> None:
    data = ring_at(NOW_S).to_data() | {mixed: ring_at(NOW_S).to_data()[mixed]}
    with pytest.raises(CertificatesUnreadable):
        read_keyring(data)


def test_a_long_name_of_a_service_still_fits() -> None:
    host = f"{'a' * 63}.{'b' * 63}.svc"
    ring = renewed(None, now_s=NOW_S, hosts=(host,), published=b"")
    certificate = x509.load_pem_x509_certificate(ring.serving.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [host]


@dataclass
class Cluster:
    """One keyring, what is published, and two replicas that look at the Secret now and then."""

    now_s: float = NOW_S
    ring: Keyring | None = None
    looked_at_s: float = 0.0
    published: bytes = b""
    published_at_s: float = 0.0
    known: bytes = b""
    serving: dict[str, Identity] = field(default_factory=dict)

    def passes(self, gap_s: float) -> None:
        """Time goes on; the API server hears of a bundle within the time between two looks."""
        self.now_s += gap_s
        if self.now_s - self.published_at_s >= LOOK_S:
            self.known = self.published

    def leader_looks(self, *, publishes: bool) -> None:
        if self.now_s - self.looked_at_s < LOOK_S:
            return
        self.looked_at_s = self.now_s
        self.ring = ring_at(self.now_s, self.ring, published=self.published)
        if publishes and self.published != self.ring.bundle:
            self.published, self.published_at_s = self.ring.bundle, self.now_s

    def replica_looks(self, name: str) -> None:
        if self.ring is not None:
            self.serving[name] = self.ring.serving


GAPS = st.one_of(
    st.floats(1.0, 100.0), st.floats(1.0, 25.0).map(lambda days: days * DAY_S), st.just(40 * DAY_S)
)
STEPS = st.tuples(GAPS, st.sampled_from(["leader", "leader cannot publish", "one", "other"]))


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEPS, min_size=5, max_size=80))
def test_what_is_served_is_trusted_at_each_moment(steps: list[tuple[float, str]]) -> None:
    """Whoever looks when, and whether or not a bundle can be published: a replica whose certificate
    has not ended shows one that the API server trusts, unless nobody could publish for so long that
    every published CA has ended."""
    cluster = Cluster()
    cluster.leader_looks(publishes=True)
    cluster.passes(LOOK_S)
    for gap_s, who in steps:
        cluster.passes(gap_s)
        if who.startswith("leader"):
            cluster.leader_looks(publishes=who == "leader")
        else:
            cluster.replica_looks(who)
        if all_ended(cluster.known, cluster.now_s):
            return
        for identity in cluster.serving.values():
            end = x509.load_pem_x509_certificate(identity.certificate).not_valid_after_utc
            if cluster.now_s < end.timestamp():
                assert trusted(identity, cluster.known, cluster.now_s)


def all_ended(bundle: bytes, now_s: float) -> bool:
    ends = [c.not_valid_after_utc.timestamp() for c in x509.load_pem_x509_certificates(bundle)]
    return max(ends) <= now_s
