"""Lines of the record that repeat, encoded but for what differs."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from proxy.audit.event import NO_FACTS, Event, encode_body, encode_facts
from proxy.model.facts import Facts

_encoder = msgspec.json.Encoder()


class Template:
    """The line of decisions that differ only in time, reference, path and measures, encoded but for these.

    `event` and `facts` are the decision made out for any one of them; `identity` and `device` are as in `encode_facts`.
    The lines hold what `encode_body` would write, in another order.
    """

    __slots__ = ("_after_facts", "_before_facts", "_event")

    def __init__(
        self, event: Event, facts: Facts, identity: msgspec.Raw | None, device: msgspec.Raw | None = None
    ) -> None:
        bare = replace(event, time=0.0, reference="", path="", facts=NO_FACTS, status=0, bytes_in=0, bytes_out=0)
        bare = replace(bare, decide_us=0.0, upstream_ms=0.0)
        self._event = encode_body(bare).removeprefix(b'{"unix":0.0').removesuffix(b"}")
        whole = encode_facts(replace(facts, path="", time=0.0), identity, device)
        # What stands before `path` are strings, in which a quote is escaped: the first match is the member itself.
        self._before_facts, _, self._after_facts = bytes(whole).partition(b'"path":"","time":0.0')

    def line(
        self,
        time: float,
        reference: str,
        path: str,
        status: int,
        bytes_in: int,
        bytes_out: int,
        decide_us: float,
        upstream_ms: float,
    ) -> bytes:
        """One line's members, for `Journal.record_encoded`."""
        coded = _encoder.encode(path)
        return (
            b'{"unix":%.6f%b,"reference":"%b","path":%b,"status":%d,"bytes_in":%d,"bytes_out":%d,"decide_us":%.1f,'
            b'"upstream_ms":%.3f,"facts":%b"path":%b,"time":%.6f%b}'
        ) % (
            time,
            self._event,
            reference.encode(),
            coded,
            status,
            bytes_in,
            bytes_out,
            decide_us,
            upstream_ms,
            self._before_facts,
            coded,
            time,
            self._after_facts,
        )
