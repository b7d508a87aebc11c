"""The ground the demo stands on: ports, the copy of the configuration, keys and certificates."""

import socket
import stat

import pytest

from proxy.demo import certificates
from proxy.demo.layout import DemoError, Ports, example, free_ports, prepare, refuse_taken
from proxy.pki import CertificateFolder, PkiError
from proxy.pki.authority import DAY
from proxy.settings.load import load

NOW = 1_800_000_000.0
OTHER = Ports(https=7101, http=7102, admin=7103, idp=7104, headers=7105, live=7106, api=7107)


def serials(folder) -> list[str]:
    return [entry.serial for entry in CertificateFolder(folder).entries()]


class TestPorts:
    def test_one_that_is_taken_is_named_with_what_wanted_it_and_what_to_do(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(DemoError, match=rf"port {port} .* identity provider: Address already.*--idp-port"):
                refuse_taken(Ports(**{**free_ports().all(), "idp": port}))

    def test_free_ones_are_free(self):
        ports = free_ports()
        assert len(set(ports.all().values())) == len(Ports.__struct_fields__)
        refuse_taken(ports)


class TestConfiguration:
    def test_the_example_has_exactly_the_ports_the_demo_thinks_it_has(self):
        settings = load(example() / "ostiary.yaml", strict_files=False)
        configuration = settings.configuration
        usual = Ports()
        assert [one.address for one in configuration.listeners] == [
            f"127.0.0.1:{usual.https}",
            f"127.0.0.1:{usual.http}",
        ]
        assert configuration.admin.address == f"127.0.0.1:{usual.admin}"
        assert configuration.login.providers[0].issuer == f"http://127.0.0.1:{usual.idp}"
        upstreams = {route.name: route.to for route in settings.routes}
        assert upstreams["headers"] == f"http://127.0.0.1:{usual.headers}"
        assert upstreams["live"] == f"http://127.0.0.1:{usual.live}"
        assert upstreams["api"] == f"http://127.0.0.1:{usual.api}"

    def test_an_own_configuration_is_used_as_it_is(self, tmp_path):
        own = tmp_path / "config" / "ostiary.yaml"
        own.parent.mkdir()
        own.write_text("mine")
        layout = prepare(tmp_path, Ports())
        assert layout.config == own
        assert own.read_text() == "mine"

    def test_without_one_the_example_is_written(self, tmp_path):
        layout = prepare(tmp_path, Ports())
        assert layout.config.read_bytes() == (example() / "ostiary.yaml").read_bytes()

    def test_other_ports_are_put_into_a_copy_that_checks_and_shares_the_certificates(self, tmp_path):
        layout = prepare(tmp_path, OTHER)
        certificates.ensure(layout.certs, now=NOW)
        certificates.new_client_secret(layout.secret)
        settings = load(layout.config, strict_files=True)
        assert settings.configuration.login.url == "https://login.apps.localhost:7101"
        assert {route.source.split("/")[2].split(":")[1] for route in settings.routes} == {"7101"}
        assert (tmp_path / "certs" / "apps.crt").exists()
        assert not any(str(port) in layout.config.read_text() for port in (8443, 9000, 9901))


class TestCertificates:
    def test_made_once(self, tmp_path):
        made = certificates.ensure(tmp_path, now=NOW)
        assert [line.split(":")[0] for line in made] == [
            "servers-ca.crt, clients-ca.crt",
            "apps.crt",
            "billing.crt",
            "deploy.crt",
            "retired.crt",
            "assertion.key",
        ]
        before = serials(tmp_path)
        assert certificates.ensure(tmp_path, now=NOW + DAY) == []
        assert serials(tmp_path) == before

    def test_the_retired_service_is_revoked_and_the_list_is_fresh(self, tmp_path):
        certificates.ensure(tmp_path, now=NOW)
        certificates.ensure(tmp_path, now=NOW + 25 * DAY)
        states = {entry.file: entry.state(NOW) for entry in CertificateFolder(tmp_path).entries()}
        assert states == {
            "apps.crt": "valid",
            "billing.crt": "valid",
            "deploy.crt": "valid",
            "retired.crt": "revoked",
        }
        from cryptography import x509

        crl = x509.load_pem_x509_crl((tmp_path / "clients.crl").read_bytes())
        assert crl.next_update_utc.timestamp() == NOW + 55 * DAY

    def test_made_anew_before_they_expire(self, tmp_path):
        certificates.ensure(tmp_path, now=NOW)
        made = certificates.ensure(tmp_path, now=NOW + 85 * DAY)
        assert [line.split(":")[0] for line in made] == ["apps.crt", "billing.crt", "deploy.crt", "retired.crt"]

    def test_the_authorities_too_and_then_everything(self, tmp_path):
        certificates.ensure(tmp_path, now=NOW)
        made = certificates.ensure(tmp_path, now=NOW + (5 * 365 - 50) * DAY)
        assert len(made) == 5
        assert "trust the new one" in made[0]

    def test_somebody_elses_authority_is_never_replaced(self, tmp_path):
        CertificateFolder(tmp_path).init(now=NOW, name="Acme", lifetime=90 * DAY)
        with pytest.raises(PkiError, match="renew it yourself"):
            certificates.ensure(tmp_path, now=NOW)

    def test_half_an_authority_is_not_ours_to_mend(self, tmp_path):
        certificates.ensure(tmp_path, now=NOW)
        (tmp_path / "clients-ca.key").unlink()
        with pytest.raises(PkiError, match=r"clients-ca\.key is missing"):
            certificates.ensure(tmp_path, now=NOW)

    def test_a_broken_leaf_is_replaced(self, tmp_path):
        certificates.ensure(tmp_path, now=NOW)
        (tmp_path / "billing.crt").write_text("broken")
        assert [line.split(":")[0] for line in certificates.ensure(tmp_path, now=NOW)] == ["billing.crt"]

    def test_secrets_are_their_owners(self, tmp_path):
        certificates.ensure(tmp_path, now=NOW)
        first = certificates.new_client_secret(tmp_path / "secret")
        second = certificates.new_client_secret(tmp_path / "secret")
        assert first != second
        for name in ("secret", "assertion.key", "clients-ca.key", "apps.key"):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
