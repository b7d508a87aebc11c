"""A client CA without a revocation list beside one with: what `ostiary check` and `serve` say about it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from settings_world import World

from proxy.pki.authority import Authority
from proxy.settings.load import check

NOW = 1_800_000_000.0


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER], ids=["pem", "der"])
@pytest.mark.parametrize("listed", [(), (0,), (0, 1)], ids=["none", "one", "both"])
def test_an_authority_without_a_list_is_named_once_another_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: tuple[int, ...], encoding: Encoding
) -> None:
    monkeypatch.setenv("OSTIARY_TEST_SECRET", "s3cret")
    world = World(tmp_path)
    authorities = [Authority.create(name, now=NOW) for name in ("Old CA", "New CA")]
    (tmp_path / "ca.crt").write_bytes(b"".join(each.cert_pem for each in authorities))
    for number in listed:
        crl = authorities[number].crl([], number=1, now=NOW)
        (tmp_path / f"{number}.crl").write_bytes(crl.public_bytes(encoding))
    names = ", ".join(f"{number}.crl" for number in listed)
    world.change("client_ca: ca.crt", f"client_ca: ca.crt, client_crl: [{names}]")

    checked = check(world.configuration)

    said = [problem for problem in checked.problems if "no revocation list" in problem.message]
    assert checked.settings is not None
    assert [problem.severity for problem in said] == (["warning"] if listed == (0,) else [])
    if said:
        assert "CN=New CA" in said[0].message
