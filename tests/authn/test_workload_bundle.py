"""Trust bundles as administrators leave them in files, and the X.509-SVIDs they vouch for."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from lying_provider import EC, RSA, SMALL_RSA, jwk
from pki_zoo import NOW, Zoo

from proxy.authn.mtls import CertificateVerifier
from proxy.authn.workload.bundle import BundleInvalid, read_bundle
from proxy.authn.workload.service import WorkloadsUnusable, read_bundles
from proxy.model.identity import Certificate
from proxy.model.reasons import Reason
from proxy.settings import schema

ROOT = Zoo({}).certificate("root")
TOKEN_KEY = jwk(RSA, "RS256", kid="rsa", use="jwt-svid")


def x509_key(certificate: x509.Certificate = ROOT, **changes: Any) -> dict[str, Any]:
    der = certificate.public_bytes(Encoding.DER)
    return {**jwk(EC, "ES256"), "use": "x509-svid", "x5c": [base64.b64encode(der).decode()], **changes}


def document(*keys: Any, **more: Any) -> bytes:
    return json.dumps({"keys": list(keys), **more}).encode()


class TestFiles:
    def test_a_spiffe_bundle(self) -> None:
        strange = [{"kty": "EC", "use": "wit-svid", "kid": "x"}, {"kty": "EC"}, {"kty": "PQ", "use": "x509-svid"}]
        listed = [x509_key(), x509_key(), TOKEN_KEY, jwk(EC, "ES256", kid="ec", use="jwt-svid"), *strange]
        bundle = read_bundle("example.org", document(*listed, spiffe_sequence=12, spiffe_refresh_hint=60), "b.json")
        assert bundle.authorities == (ROOT,)
        assert [key.kid for key in bundle.keys.keys] == ["rsa", "ec"]
        assert bundle.sequence == 12
        assert x509.load_pem_x509_certificates(bundle.pem) == [ROOT]

    def test_pem_certificates_several_at_once(self) -> None:
        zoo = Zoo({"foreign": {"cn": "Next"}})
        pem = b"".join(zoo.certificate(place).public_bytes(Encoding.PEM) for place in ("root", "foreign", "root"))
        bundle = read_bundle("example.org", b"# old and new\n" + pem, "b.pem")
        assert bundle.authorities == (zoo.certificate("root"), zoo.certificate("foreign"))
        assert bundle.keys.keys == ()

    @pytest.mark.parametrize(
        ("data", "says"),
        [
            (b"", "not JSON"),
            (b"[]", "not a JSON object"),
            (b"\xff", "not UTF-8"),
            (b'{"keys": [], "keys": []}', "repeats a name"),
            (b'{"keys": {}}', "has no list “keys”"),
            (b'{"keys": [1]}', "has no list “keys”"),
            (b"{}", "has no list “keys”"),
            (document(), "holds no authority"),
            (document({"kty": "EC", "use": "sig", "kid": "k"}), "holds no authority"),
            (document(*[TOKEN_KEY] * 101), "more than 100"),
            (document(TOKEN_KEY, TOKEN_KEY), "share the “kid” 'rsa'"),
            (document(x509_key(x5c=[])), "key 1 \\(x509-svid\\) must have exactly one certificate"),
            (document(x509_key(x5c=["AA", "AA"])), "exactly one certificate"),
            (document(x509_key(x5c="AA")), "exactly one certificate"),
            (document(TOKEN_KEY, x509_key(x5c=["AA"])), "the certificate of key 2"),
            (document(x509_key(x5c=["!"])), "cannot be read"),
            (document(jwk(EC, "ES256", use="jwt-svid")), "has no “kid”"),
            (document(jwk(EC, "ES256", use="jwt-svid", kid="")), "has no “kid”"),
            (document(jwk(EC, "ES256", use="jwt-svid", kid="k", d="secret")), "is a private key"),
            (document(jwk(SMALL_RSA, "RS256", use="jwt-svid", kid="k")), "cannot be used"),
            (document({"kty": "EC", "use": "jwt-svid", "kid": "k"}), "cannot be used"),
            (document(TOKEN_KEY, spiffe_sequence="7"), "must be a whole number"),
            (document(TOKEN_KEY, spiffe_refresh_hint=True), "must be a whole number"),
            (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "PEM certificates cannot be read"),
            (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds a private key"),
        ],
    )
    def test_what_is_no_bundle(self, data: bytes, says: str) -> None:
        wanted = f"^/etc/b: cannot be the bundle of trust domain example.org: .*{says}"
        with pytest.raises(BundleInvalid, match=wanted) as caught:
            read_bundle("example.org", data, "/etc/b")
        assert "secret" not in str(caught.value)

    def test_the_authority_of_another_trust_domain(self) -> None:
        own, other = (
            Zoo({"root": {"names": [f"uri:spiffe://{name}"]}}).certificate("root")
            for name in ("a.example", "b.example")
        )
        assert read_bundle("a.example", document(x509_key(own)), "b").authorities == (own,)
        with pytest.raises(BundleInvalid, match=r"an authority of spiffe://b\.example"):
            read_bundle("a.example", document(x509_key(own), x509_key(other)), "b")

    def test_files_are_named(self, tmp_path: Path) -> None:
        file = tmp_path / "bundle.json"
        settings = schema.Workloads(trust_domains=(schema.TrustDomain(name="example.org", bundle=str(file)),))
        with pytest.raises(WorkloadsUnusable, match=f"{file}: No such file"):
            read_bundles(settings)
        file.write_bytes(b"{")
        with pytest.raises(WorkloadsUnusable, match=f"{file}: cannot be the bundle"):
            read_bundles(settings)
        file.write_bytes(document(TOKEN_KEY))
        assert read_bundles(settings)["example.org"].keys.matching("rsa", "RS256")


def verdict(case: dict[str, Any], domains: dict[str, list[str]], ca: tuple[str, ...] = ()) -> object:
    """What a chain is worth where these places of the zoo vouch for these trust domains, and `ca` for the rest."""
    zoo = Zoo(case)
    bundles = {name: [zoo.certificate(place) for place in places] for name, places in domains.items()}
    checker = CertificateVerifier([zoo.certificate(place) for place in ca], zoo.lists, bundles)
    found = checker.verify(zoo.presented, NOW)
    assert checker.verify(zoo.presented, NOW) is found
    return found


class TestCertificates:
    def test_of_a_trust_domain(self) -> None:
        found = verdict({}, {"example.org": ["root"]})
        assert isinstance(found, Certificate)
        assert found.names == ("spiffe://example.org/ci/deploy",)

    def test_through_an_intermediate_authority_of_the_same_domain(self) -> None:
        case = {"intermediates": [{"names": ["uri:spiffe://example.org"]}]}
        assert isinstance(verdict(case, {"example.org": ["root"]}), Certificate)

    def test_while_authorities_roll_over(self) -> None:
        for place in ("root", "foreign"):
            case = {"foreign": {"cn": "Next"}, "leaf": {"signed_by": place}}
            assert isinstance(verdict(case, {"example.org": ["foreign", "root"]}), Certificate)

    def test_nothing_but_the_spiffe_id_is_taken_from_it(self) -> None:
        """The authority of a partner's trust domain cannot name our hosts, or our devices."""
        names = ["uri:spiffe://example.org/a", "dns:deploy.corp.example"]
        found = verdict({"leaf": {"names": names}}, {"example.org": ["root"]})
        assert isinstance(found, Certificate)
        assert (found.names, found.subject_serial) == (("spiffe://example.org/a",), "")

    @pytest.mark.parametrize(
        ("case", "domains", "ca", "want"),
        [
            ({}, {"partner.example": ["root"]}, (), Reason.CERTIFICATE_UNTRUSTED),
            ({}, {"example.org": ["foreign"], "partner.example": ["root"]}, (), Reason.CERTIFICATE_UNTRUSTED),
            ({"foreign": {"cn": "F"}}, {"example.org": ["foreign"]}, ("root",), Reason.CERTIFICATE_UNTRUSTED),
            ({"leaf": {"names": ["dns:a.example"]}}, {"example.org": ["root"]}, (), Reason.CERTIFICATE_UNTRUSTED),
            ({"leaf": {"purposes": ["server"]}}, {"example.org": ["root"]}, (), Reason.CERTIFICATE_PURPOSE),
            ({"leaf": {"usage": None}}, {"example.org": ["root"]}, (), Reason.CERTIFICATE_PURPOSE),
            ({"leaf": {"usage": ["key_agreement"]}}, {"example.org": ["root"]}, (), Reason.CERTIFICATE_PURPOSE),
            ({"leaf": {"ca": True}}, {"example.org": ["root"]}, (), Reason.CERTIFICATE_PURPOSE),
            ({"leaf": {"days": [-3, -1]}}, {"example.org": ["root"]}, (), Reason.CERTIFICATE_EXPIRED),
            (
                {"intermediates": [{"names": ["uri:spiffe://partner.example"]}]},
                {"example.org": ["root"]},
                (),
                Reason.CERTIFICATE_PURPOSE,
            ),
            (
                {"leaf": {"names": ["uri:spiffe://example.org/a", "uri:spiffe://example.org/b"]}},
                {"example.org": ["root"]},
                ("root",),
                Reason.CERTIFICATE_NAME,
            ),
            (
                {"leaf": {"names": ["uri:spiffe://EXAMPLE.org/a"]}},
                {"example.org": ["root"]},
                ("root",),
                Reason.CERTIFICATE_NAME,
            ),
            (
                {"leaf": {"names": ["uri:spiffe://example.org"]}},
                {"example.org": ["root"]},
                ("root",),
                Reason.CERTIFICATE_NAME,
            ),
            ({"lists": [{"revoked": ["leaf"]}]}, {"example.org": ["root"]}, ("root",), Reason.CERTIFICATE_REVOKED),
        ],
        ids=[
            *("another domain's authority", "swapped bundles", "the listener's authority for a domain with a bundle"),
            *("a DNS name by a bundle", "for servers", "no key usage", "no signatures", "an authority", "expired"),
            *("through another domain", "two names", "capitals", "no path", "revoked by a list of the listener"),
        ],
    )
    def test_refused(
        self, case: dict[str, Any], domains: dict[str, list[str]], ca: tuple[str, ...], want: Reason
    ) -> None:
        assert verdict(case, domains, ca) == want

    def test_others_are_still_judged_by_the_listeners_authorities(self) -> None:
        case = {"foreign": {"cn": "F"}, "leaf": {"names": ["dns:a.example"]}}
        assert isinstance(verdict(case, {"example.org": ["foreign"]}, ("root",)), Certificate)
        assert isinstance(verdict({"foreign": {"cn": "F"}}, {"partner.example": ["foreign"]}, ("root",)), Certificate)

    def test_lists_of_the_listener_are_not_asked_of_a_trust_domain(self) -> None:
        case = {"foreign": {"cn": "F"}, "leaf": {"signed_by": "foreign"}, "lists": [{"by": "root"}]}
        assert isinstance(verdict(case, {"example.org": ["foreign"]}, ("root",)), Certificate)

    def test_an_authority_that_is_none_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="CA flag"):
            verdict({"root": {"ca": False}}, {"example.org": ["root"]})
