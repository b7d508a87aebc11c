"""The certificate folder and the command line over it, as an admin meets them."""

import json
import os
import stat
import threading
from pathlib import Path

import pytest
from cryptography import x509

from proxy.cli import main
from proxy.pki import CertificateFolder, PkiError
from proxy.pki.authority import DAY

NOW = 1_800_000_000.0


@pytest.fixture
def folder(tmp_path) -> CertificateFolder:
    folder = CertificateFolder(tmp_path / "certs")
    folder.init(now=NOW, domains=["localhost"])
    return folder


def crl_of(folder: CertificateFolder, role: str) -> x509.CertificateRevocationList:
    return x509.load_pem_x509_crl((folder.path / f"{role}.crl").read_bytes())


def test_every_key_is_readable_by_its_owner_only(folder):
    folder.server(["*.apps.localhost"], now=NOW)
    folder.client("batch.example.com", now=NOW)
    folder.spiffe("spiffe://example.org/ci/deploy", now=NOW)
    keys = sorted(path.name for path in folder.path.glob("*.key"))
    assert keys == [
        "batch.example.com.key",
        "ci-deploy.key",
        "clients-ca.key",
        "servers-ca.key",
        "wildcard.apps.localhost.key",
    ]
    assert {stat.S_IMODE((folder.path / name).stat().st_mode) for name in keys} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.path.glob("*.crt")} == {0o644}


def test_servers_and_clients_have_different_authorities(folder):
    server = folder.server(["a.localhost"], now=NOW)
    client = folder.client("a.localhost", now=NOW, file="client")
    issuers = [
        x509.load_pem_x509_certificate((folder.path / entry.file).read_bytes()).issuer.rfc4514_string()
        for entry in (server, client)
    ]
    assert issuers == ["CN=private CA for servers,O=Ostiary", "CN=private CA for clients,O=Ostiary"]


def test_nothing_is_overwritten_unless_told_to(folder):
    first = folder.spiffe("spiffe://example.org/a", now=NOW)
    with pytest.raises(PkiError, match="--force"):
        folder.spiffe("spiffe://example.org/a", now=NOW)
    with pytest.raises(PkiError, match="--force"):
        folder.init(now=NOW)
    second = folder.spiffe("spiffe://example.org/a", now=NOW, force=True)
    assert [entry.serial for entry in folder.entries()] == [first.serial, second.serial]


@pytest.mark.parametrize("file", ["../escape", "clients-ca", "assertion", ".hidden", "a/b", ""])
def test_a_file_name_stays_in_the_folder_and_off_the_authorities(folder, file):
    if file:
        with pytest.raises(PkiError, match="--name"):
            folder.spiffe("spiffe://example.org/a", now=NOW, file=file, force=True)
    else:
        assert folder.spiffe("spiffe://example.org/a", now=NOW, file=file).file == "a.crt"


def test_revoked_by_file_or_serial_and_the_list_says_so_at_once(folder):
    one = folder.spiffe("spiffe://example.org/one", now=NOW)
    two = folder.spiffe("spiffe://example.org/two", now=NOW)
    folder.revoke(str(folder.path / one.file), now=NOW + 1)
    folder.revoke(two.serial.upper(), now=NOW + 2)
    folder.revoke(one.serial, now=NOW + 3)
    crl = crl_of(folder, "clients")
    assert {f"{entry.serial_number:x}": entry.revocation_date_utc.timestamp() for entry in crl} == {
        one.serial: NOW + 1,
        two.serial: NOW + 2,
    }
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 4
    assert [entry.state(NOW + 3) for entry in folder.entries()] == ["revoked", "revoked"]
    assert list(crl_of(folder, "servers")) == []


def test_a_stranger_cannot_be_revoked(folder):
    for what in ("deadbeef", "not hex"):
        with pytest.raises(PkiError):
            folder.revoke(what, now=NOW)
    (folder.path / "odd.crt").write_text("not a certificate")
    with pytest.raises(PkiError, match="PEM"):
        folder.revoke(str(folder.path / "odd.crt"), now=NOW)


def test_a_fresh_list_keeps_the_revoked(folder):
    entry = folder.spiffe("spiffe://example.org/one", now=NOW)
    folder.revoke(entry.serial, now=NOW)
    folder.crl("clients", now=NOW + 20 * DAY)
    crl = crl_of(folder, "clients")
    assert len(list(crl)) == 1
    assert crl.next_update_utc.timestamp() == NOW + 50 * DAY


def test_many_at_once_are_all_remembered(folder):
    def issue(number: int) -> None:
        folder.spiffe(f"spiffe://example.org/{number}", now=NOW)

    threads = [threading.Thread(target=issue, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({entry.serial for entry in folder.entries()}) == 8


def test_a_broken_index_is_said_not_forgotten(folder):
    folder.spiffe("spiffe://example.org/one", now=NOW)
    (folder.path / "index.json").write_text("{")
    with pytest.raises(PkiError, match=r"index\.json"):
        folder.spiffe("spiffe://example.org/two", now=NOW)
    assert not (folder.path / "two.crt").exists()


class TestCommandLine:
    def test_the_whole_way(self, tmp_path, capsys):
        certs = ["--dir", str(tmp_path / "certs")]
        assert main(["certs", "init", "--only", "localhost", *certs]) == 0
        assert main(["certs", "server", "*.apps.localhost", "--name", "apps", *certs]) == 0
        assert main(["certs", "spiffe", "spiffe://example.org/billing", *certs]) == 0
        assert main(["certs", "client", "batch.example.com", "--days", "1", *certs]) == 0
        assert main(["certs", "revoke", str(tmp_path / "certs/billing.crt"), *certs]) == 0
        assert main(["certs", "crl", *certs]) == 0
        capsys.readouterr()
        assert main(["certs", "list", "--json", *certs]) == 0
        listed = json.loads(capsys.readouterr().out)
        assert [(one["kind"], one["names"], one["state"], one["file"]) for one in listed] == [
            ("server", ["*.apps.localhost"], "valid", "apps.crt"),
            ("spiffe", ["spiffe://example.org/billing"], "revoked", "billing.crt"),
            ("client", ["batch.example.com"], "valid", "batch.example.com.crt"),
        ]
        assert main(["certs", "list", *certs]) == 0
        assert "revoked  spiffe" in capsys.readouterr().out

    def test_without_an_authority_it_says_how_to_make_one(self, tmp_path, capsys):
        (tmp_path / "certs").mkdir()
        assert main(["certs", "client", "a.example.com", "--dir", str(tmp_path / "certs")]) == 1
        assert "ostiary certs init --dir" in capsys.readouterr().err

    def test_a_wrong_name_changes_nothing(self, tmp_path, capsys):
        certs = ["--dir", str(tmp_path / "certs")]
        main(["certs", "init", *certs])
        before = sorted(path.name for path in (tmp_path / "certs").iterdir())
        assert main(["certs", "spiffe", "spiffe://example.org", *certs]) == 1
        assert "SPIFFE ID" in capsys.readouterr().err
        assert sorted(path.name for path in (tmp_path / "certs").iterdir()) == before

    def test_wrong_use_is_two(self, capsys):
        for words in (["certs"], ["certs", "server"], ["certs", "client", "a.example.com", "--days", "0"]):
            with pytest.raises(SystemExit) as ending:
                main(words)
            assert ending.value.code == 2


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o077])
def test_nobody_else_may_write_to_a_new_folder(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        assert main(["certs", "init", "--dir", str(tmp_path / "a" / "certs")]) == 0
        assert os.umask(umask) == umask, "and the process goes on as it was"
    finally:
        os.umask(before)
    for path in (tmp_path / "a", tmp_path / "a" / "certs", *(tmp_path / "a" / "certs").iterdir()):
        assert not path.stat().st_mode & 0o022, path
    assert (tmp_path / "a" / "certs" / "clients-ca.key").stat().st_mode & 0o777 == 0o600
