"""What an authority signs is what verifiers elsewhere accept, and nothing more."""

import datetime as dt
import ipaddress

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from hypothesis import given
from hypothesis import strategies as st

from proxy.pki import Authority, PkiError, Revocation, dns_name, spiffe_id
from proxy.pki.authority import DAY

NOW = 1_800_000_000.0


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create("test", now=NOW)


def moment(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def policy(authority: Authority, now: float) -> PolicyBuilder:
    return PolicyBuilder().store(Store([authority.certificate])).time(moment(now))


def names_of(certificate: x509.Certificate) -> list[object]:
    return [name.value for name in certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value]


def purposes_of(certificate: x509.Certificate) -> set[object]:
    return set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


class TestServer:
    def test_an_independent_verifier_accepts_it_for_the_names_it_carries(self, authority):
        issued = authority.server(["*.apps.localhost", "login.example.com"], now=NOW)
        for host in ("a.apps.localhost", "login.example.com"):
            policy(authority, NOW).build_server_verifier(x509.DNSName(host)).verify(issued.certificate, [])

    def test_and_refuses_it_for_any_other(self, authority):
        issued = authority.server(["*.apps.localhost"], now=NOW)
        for host in ("apps.localhost", "a.b.apps.localhost", "example.com"):
            with pytest.raises(VerificationError):
                policy(authority, NOW).build_server_verifier(x509.DNSName(host)).verify(issued.certificate, [])

    def test_addresses_are_address_names(self, authority):
        issued = authority.server(["10.0.0.5", "::1"], now=NOW)
        assert names_of(issued.certificate) == [ipaddress.ip_address("10.0.0.5"), ipaddress.ip_address("::1")]

    def test_good_at_once_on_a_clock_a_little_behind_and_not_after_its_end(self, authority):
        issued = authority.server(["a.example.com"], now=NOW, lifetime=DAY)
        verify = x509.DNSName("a.example.com")
        policy(authority, NOW - 60).build_server_verifier(verify).verify(issued.certificate, [])
        with pytest.raises(VerificationError):
            policy(authority, NOW + DAY + 1).build_server_verifier(verify).verify(issued.certificate, [])

    def test_is_no_client(self, authority):
        issued = authority.server(["a.example.com"], now=NOW)
        assert purposes_of(issued.certificate) == {ExtendedKeyUsageOID.SERVER_AUTH}

    @pytest.mark.parametrize(
        "name",
        ["", "*", "a.*.com", "*a.example.com", "a..b", "a_b.example.com", "-a.example.com", "a.b/c", "ü.de"],
    )
    def test_a_malformed_name_is_refused(self, authority, name):
        with pytest.raises(PkiError):
            authority.server([name], now=NOW)


class TestLimitedAuthority:
    """A development authority, put into a browser, can do no harm outside its domain."""

    def test_it_will_not_sign_other_names(self):
        authority = Authority.create("dev", now=NOW, domains=["localhost"])
        authority.server(["*.apps.localhost", "localhost", "127.0.0.1", "::1"], now=NOW)
        for name in ("bank.example.com", "notlocalhost", "10.0.0.5"):
            with pytest.raises(PkiError, match="made for localhost"):
                authority.server([name], now=NOW)

    def test_and_if_it_were_made_to_sign_one_verifiers_refuse_it(self):
        authority = Authority.create("dev", now=NOW, domains=["localhost"])
        name = x509.DNSName("bank.example.com")
        forced = authority.issue([name], ["server"], now=NOW, not_after=NOW + DAY)
        with pytest.raises(VerificationError):
            policy(authority, NOW).build_server_verifier(name).verify(forced.certificate, [])


class TestClients:
    def test_a_dns_client_is_verified_as_client(self, authority):
        issued = authority.client("Batch.Example.com", now=NOW)
        policy(authority, NOW).build_client_verifier().verify(issued.certificate, [])
        assert names_of(issued.certificate) == ["batch.example.com"]
        assert purposes_of(issued.certificate) == {ExtendedKeyUsageOID.CLIENT_AUTH}

    def test_a_wildcard_names_no_client(self, authority):
        with pytest.raises(PkiError):
            authority.client("*.example.com", now=NOW)

    def test_an_svid_has_exactly_one_uri_and_is_no_authority(self, authority):
        certificate = authority.spiffe("spiffe://example.org/ci/deploy", now=NOW).certificate
        assert names_of(certificate) == ["spiffe://example.org/ci/deploy"]
        assert purposes_of(certificate) == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
        assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
        assert usage.critical
        assert usage.value.digital_signature
        assert not usage.value.key_cert_sign

    @pytest.mark.parametrize(
        "text",
        [
            "spiffe://example.org",
            "spiffe://example.org/",
            "spiffe://example.org/a/",
            "spiffe://example.org/a//b",
            "spiffe://example.org/a/../b",
            "spiffe://Example.org/a",
            "spiffe://example.org:80/a",
            "spiffe://u@example.org/a",
            "spiffe://example.org/a?q",
            "spiffe://example.org/a#f",
            "spiffe://example.org/%61",
            "https://example.org/a",
            "spiffe:///a",
            "spiffe://example.org/" + "a" * 2048,
        ],
    )
    def test_what_is_no_spiffe_id_is_refused(self, text):
        with pytest.raises(PkiError, match="SPIFFE ID"):
            spiffe_id(text)


class TestRevocationList:
    def test_names_the_revoked_and_is_signed(self, authority):
        issued = authority.client("a.example.com", now=NOW)
        revoked = Revocation(issued.certificate.serial_number, NOW)
        crl = authority.crl([revoked], number=7, now=NOW, lifetime=DAY)
        assert crl.is_signature_valid(authority.certificate.public_key())
        assert [entry.serial_number for entry in crl] == [issued.certificate.serial_number]
        assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 7
        assert crl.next_update_utc == moment(NOW + DAY)


class TestReading:
    def test_a_foreign_key_is_noticed(self, authority):
        other = Authority.create("other", now=NOW)
        with pytest.raises(PkiError, match="do not belong together"):
            Authority(authority.certificate, other._key)

    def test_a_leaf_is_no_authority(self, authority):
        leaf = authority.client("a.example.com", now=NOW)
        with pytest.raises(PkiError, match="not an authority"):
            Authority(leaf.certificate, leaf.key)

    def test_a_leaf_never_outlives_its_authority(self):
        authority = Authority.create("short", now=NOW, lifetime=DAY)
        leaf = authority.client("a.example.com", now=NOW, lifetime=10 * DAY)
        assert leaf.certificate.not_valid_after_utc == moment(NOW + DAY)
        with pytest.raises(PkiError, match="expired"):
            authority.client("a.example.com", now=NOW + 2 * DAY)

    def test_no_key_in_a_repr(self, authority):
        issued = authority.client("a.example.com", now=NOW)
        assert "PRIVATE" not in repr(issued)
        assert issued.serial in repr(issued)


@given(st.text(max_size=80))
def test_any_text_is_a_canonical_dns_name_or_refused(text):
    try:
        name = dns_name(text, wildcard=True)
    except PkiError:
        return
    assert name.isascii()
    assert name == name.lower() == dns_name(name, wildcard=True)
    x509.DNSName(name)


@given(st.text(max_size=80).map("spiffe://".__add__))
def test_any_text_is_a_spiffe_id_or_refused(text):
    try:
        assert spiffe_id(text) == text
    except PkiError:
        return
    assert text.isascii()
    assert not set(text) & set("%?#@ \\")
