"""A device as it is stored, and what each source said of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from proxy.model.device import Assurance, Observation, Value
from proxy.model.identity import Identity
from proxy.model.report import Key

Ownership = Literal["", "company", "personal"]
AGENT = "agent"
CERTIFICATE = "certificate"
CLAIMS = "claims:"
INVENTORY = "inventory"
MANAGEMENT = "management:"
NEVER = 253402300799.0  # the end of the year 9999: JSON, in which facts are recorded, has no infinity
_NO_SERIAL = frozenset(
    (
        "",
        "123456789",
        "1234567890",
        "CHASSIS SERIAL NUMBER",
        "DEFAULT STRING",
        "INVALID",
        "N/A",
        "NONE",
        "NOT APPLICABLE",
        "NOT AVAILABLE",
        "NOT SPECIFIED",
        "O.E.M.",
        "OEM",
        "SERIAL NUMBER",
        "SYSTEM SERIAL NUMBER",
        "TO BE FILLED BY O.E.M.",
        "UNKNOWN",
    )
)


class Statement(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What one source said at one time: values by attribute, observed and expiring together (seconds since the
    epoch). An attribute stands in at most one statement of a source.

    `polled`: the source said so when it was asked and has not left it out since, so that each further poll counts for
    it without its being written again: see `confirming`."""

    source: str
    observed: float
    expires: float
    assurance: Assurance
    values: dict[str, Value]
    polled: bool = False

    def observations(self) -> Iterator[tuple[str, Observation]]:
        """Each value with its pedigree."""
        for name, value in self.values.items():
            yield (
                name,
                Observation(
                    value=value,
                    source=self.source,
                    observed=self.observed,
                    expires=self.expires,
                    assurance=self.assurance,
                ),
            )


class Voucher(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The TPM that vouched for a device's key: the SHA-256 (hex) of its endorsement key's certificate, who issued that
    (RFC 4514), the SHA-256 of the trusted authority behind it, and when."""

    certificate: str
    issuer: str
    authority: str
    at: float


class DeviceRecord(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One device. Times are seconds since the epoch. Fields are stored by position: add new ones at the end.

    `owner` is `provider:subject` of the person who enrolled it, "" when a management system told us of it; `label` and
    `email` say who that is for people and for matching. `vouched`: somebody other than the device stands for its serial
    number. `aliases` are ids that management systems know it by. `seq` is that of the last report. `storage` is the
    device's own word on where its key is, unless there is a `voucher`.
    """

    id: str
    owner: str = ""
    label: str = ""
    email: str = ""
    name: str = ""
    os: str = ""
    serial: str = ""
    key: Key | None = None
    thumbprint: str = ""  # RFC 7638, SHA-256, of `key`
    storage: Literal["file", "tpm"] = "file"
    cert_sha256: str = ""
    approved: bool = False
    vouched: bool = False
    revoked: float = 0.0  # when; 0 while it is not
    tags: tuple[str, ...] = ()
    ownership: Ownership = ""
    seq: int = -1
    created: float = 0.0
    last_seen: float = 0.0
    statements: tuple[Statement, ...] = ()
    aliases: tuple[str, ...] = ()
    voucher: Voucher | None = None


def owner_of(person: Identity) -> str:
    """The person as records name them."""
    return f"{person.provider}:{person.subject}"


def known_serial(serial: str) -> str:
    """A serial number as it is compared: without blanks around it, in capitals; "" for what manufacturers leave in its
    place, which many machines share."""
    plain = serial.strip().upper()
    return "" if plain in _NO_SERIAL or not plain.strip("0-. ") else plain


def replaced(record: DeviceRecord, said: Statement) -> DeviceRecord:
    """The record when a source tells everything it knows anew: its older statements go."""
    others = tuple(one for one in record.statements if one.source != said.source)
    return msgspec.structs.replace(record, statements=(*others, said))


def added(record: DeviceRecord, said: Statement) -> DeviceRecord:
    """The record when a source tells something more: what it said before of other attributes stays."""
    kept = []
    for one in record.statements:
        if one.source == said.source:
            left = {name: value for name, value in one.values.items() if name not in said.values}
            if not left:
                continue
            one = msgspec.structs.replace(one, values=left)
        kept.append(one)
    return msgspec.structs.replace(record, statements=(*kept, said))


def inventory_statement(record: DeviceRecord) -> Statement:
    """What we know ourselves. It does not expire; the serial number is ours to tell only when somebody vouches for
    it."""
    values: dict[str, Value] = {
        "id": record.id,
        "approved": record.approved,
        "tags": record.tags,
        "last_seen": record.last_seen,
    }
    for name in ("cert_sha256", "ownership"):
        if value := getattr(record, name):
            values[name] = value
    if record.serial and record.vouched:
        values["serial"] = record.serial
    return Statement(
        source=INVENTORY,
        observed=record.last_seen or record.created,
        expires=NEVER,
        assurance=Assurance.MANAGED,
        values=values,
    )
