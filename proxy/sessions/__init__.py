"""Sessions: who is logged in, for how long, and how everybody learns at once that it is over.

Owns the session record and its rules (`session`), what a worker holds in memory (`live`, `service`), the stores behind
one contract (`store`: `memory`, `sqlite`), the bus that carries revocations between workers and the command line
(`bus`, `nudge`), sealed values (`seal`, `keyfile`, `ticket`) and our cookie on the wire (`cookie`).

Must not know: HTTP, policy, routes, identity providers, pages.

Where to add: another store → a module like `sqlite.py`, a row in `store.open_store`, and its name in the parameters of
`tests/sessions/test_store_contract.py`; another fact a session carries → `SessionRecord`, the schema in
`schema.py` (with a new version), the contract suite.

How time is treated
-------------------
Times are wall-clock seconds since the epoch and always parameters. When the clock jumps:

* backwards: a session that anybody here has seen expired stays ended, because its end is written down (at the latest a
  minute after it happened); one that begins in the future is refused until the clock passes its beginning again; the
  others go on, and live longer by at most the jump;
* forwards: sessions that look expired are ended and stay ended when the clock comes back (people log in again);
* rows, used tickets and events are deleted only a day after they expired, and not within an hour (of the monotonic
  clock) of a jump of more than a minute, so a jump cannot make a used ticket new again.

What survives what
------------------
Everything acknowledged survives `kill -9`. Ends of sessions are written with an fsync before they are acknowledged, so
they survive a power cut as well; a login made in the last moments before a power cut may be lost, which is harmless.
"""
