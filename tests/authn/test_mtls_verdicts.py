"""A client shows a certificate; certificates.yaml says who that makes it, or why it makes it nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from pki_zoo import NOW, Zoo

from proxy.authn.mtls import CertificateVerifier, identity_of
from proxy.authn.subject_names import is_spiffe_id, service_name
from proxy.model.identity import Certificate, Identity
from proxy.model.reasons import Reason

CASES = yaml.safe_load((Path(__file__).parent / "certificates.yaml").read_text(encoding="utf-8"))
DAY = 86400.0


def verifier(zoo: Zoo) -> CertificateVerifier:
    return CertificateVerifier(zoo.anchors, zoo.lists)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_chain_is_presented(case: dict[str, Any]) -> None:
    zoo = Zoo(case)
    if case["want"] == "error":
        with pytest.raises(ValueError, match=r"\w"):
            verifier(zoo)
        return
    presented = [bytes.fromhex(case["garbage"])] if "garbage" in case else zoo.presented
    checker = verifier(zoo)
    for _first_and_from_the_cache in range(2):
        verdict = checker.verify(presented, NOW)
        named = identity_of(verdict) if isinstance(verdict, Certificate) else verdict
        assert named == (case["want"] if isinstance(named, Reason) else Identity(kind="service", subject=case["want"]))


def test_a_certificate_without_a_name_is_good_and_nobody() -> None:
    """A device may be known by its fingerprint or serial number; a service must have a name."""
    zoo = Zoo({"leaf": {"names": []}})
    verdict = verifier(zoo).verify(zoo.presented, NOW)
    assert isinstance(verdict, Certificate)
    assert verdict.names == ()
    assert identity_of(verdict) is Reason.CERTIFICATE_NAME


def test_what_is_known_of_an_admitted_certificate() -> None:
    zoo = Zoo(
        {"leaf": {"names": ["dns:B.example.org", "dns:a.example.org", "uri:spiffe://example.org/x"], "serial": 255}}
    )
    verdict = verifier(zoo).verify(zoo.presented, NOW)
    assert isinstance(verdict, Certificate)
    assert verdict.names == ("spiffe://example.org/x", "b.example.org", "a.example.org")
    assert verdict.serial == "ff"
    assert len(verdict.sha256) == 64
    assert verdict.not_after == verdict.good_until == NOW + DAY


def test_the_verdict_must_be_made_anew_when_the_first_of_chain_and_list_runs_out() -> None:
    zoo = Zoo({"intermediates": [{"days": [-9, 0.5]}], "lists": [{"days": [-1, 0.25]}, {"by": "i0"}]})
    verdict = verifier(zoo).verify(zoo.presented, NOW)
    assert isinstance(verdict, Certificate)
    assert (verdict.not_after, verdict.good_until) == (NOW + DAY, NOW + DAY / 4)


def test_a_certificate_ages_while_its_verdict_is_cached() -> None:
    zoo = Zoo({"leaf": {"days": [-1, 1]}, "lists": [{"days": [-0.5, 0.5]}]})
    checker = verifier(zoo)

    def at(days: float) -> object:
        verdict = checker.verify(zoo.presented, NOW + days * DAY)
        return "good" if isinstance(verdict, Certificate) else verdict

    assert [at(-2), at(-1), at(-0.6), at(-0.5), at(0), at(0.5), at(0.9), at(1), at(0), at(-2)] == [
        Reason.CERTIFICATE_NOT_YET_VALID,
        Reason.CERTIFICATE_CRL_STALE,
        Reason.CERTIFICATE_CRL_STALE,
        "good",
        "good",
        Reason.CERTIFICATE_CRL_STALE,
        Reason.CERTIFICATE_CRL_STALE,
        Reason.CERTIFICATE_EXPIRED,
        "good",
        Reason.CERTIFICATE_NOT_YET_VALID,
    ]


def test_the_same_leaf_with_another_chain_is_another_question() -> None:
    zoo = Zoo({"intermediates": [{}]})
    checker = verifier(zoo)
    assert checker.verify(zoo.presented[:1], NOW) == Reason.CERTIFICATE_UNTRUSTED
    assert isinstance(checker.verify(zoo.presented, NOW), Certificate)
    assert checker.verify(zoo.presented[:1], NOW) == Reason.CERTIFICATE_UNTRUSTED


def test_any_changed_byte_makes_it_untrusted_or_at_least_not_admitted() -> None:
    zoo = Zoo({})
    checker = verifier(zoo)
    der = zoo.presented[0]
    for position in range(0, len(der), 7):
        broken = der[:position] + bytes([der[position] ^ 0x01]) + der[position + 1 :]
        assert isinstance(checker.verify([broken], NOW), Reason)


def test_two_keys_of_one_authority_each_with_its_list() -> None:
    """A CA that changed its key: same name twice among the anchors, a list from each key."""
    zoo = Zoo({"anchors": ["root", "foreign"], "lists": [{"by": "root"}, {"by": "foreign", "revoked": ["leaf"]}]})
    assert isinstance(verifier(zoo).verify(zoo.presented, NOW), Certificate)
    other = Zoo({"anchors": ["root", "foreign"], "lists": [{"by": "root"}], "leaf": {"signed_by": "foreign"}})
    assert verifier(other).verify(other.presented, NOW) == Reason.CERTIFICATE_CRL_STALE


def test_a_pile_of_look_alike_intermediates_is_bounded_work() -> None:
    """Every certificate in it could have signed every other by name; the search gives up instead of trying all ways."""
    zoo = Zoo({"intermediates": [{"cn": "Root", "key_of": "root"} for _ in range(9)], "foreign": {}})
    strangers = Zoo({"root": {"key_of": "elsewhere"}})
    checker = CertificateVerifier(strangers.anchors)
    assert checker.verify(zoo.presented, NOW) == Reason.CERTIFICATE_UNTRUSTED


def test_identity_needs_a_name() -> None:
    nameless = Certificate(sha256="", serial="1", names=("https://x.example/",), not_after=1.0, good_until=1.0)
    assert identity_of(nameless) == Reason.CERTIFICATE_NAME


def test_the_lists_and_authorities_the_pki_room_makes_are_accepted() -> None:
    authority_module = pytest.importorskip("proxy.pki.authority")
    authority = authority_module.Authority.create("Ostiary test", now=NOW)
    issued = authority.spiffe("spiffe://example.org/x", now=NOW)
    checker = CertificateVerifier([authority.certificate], [authority.crl([], now=NOW, number=1)])
    verdict = checker.verify([issued.certificate.public_bytes(Encoding.DER)], NOW)
    assert isinstance(verdict, Certificate)


@given(st.text(max_size=60))
def test_a_spiffe_id_is_never_anything_else(text: str) -> None:
    if is_spiffe_id(text):
        assert text.startswith("spiffe://")
        assert text.isascii()
        assert not set(text) & set("?#@%\\ \0")
        assert service_name((text,)) == text


@given(st.binary(max_size=200))
def test_any_bytes_are_untrusted(data: bytes) -> None:
    assert CertificateVerifier([]).verify([data], NOW) == Reason.CERTIFICATE_UNTRUSTED


def test_an_anchor_given_twice_counts_once() -> None:
    zoo = Zoo({})
    twice: list[x509.Certificate] = [*zoo.anchors, *zoo.anchors]
    assert isinstance(CertificateVerifier(twice).verify(zoo.presented, NOW), Certificate)
