"""The nouns everything else speaks: identity, certificate, facts, verdict and its closed list of reasons.

Owns plain, immutable, serialisable values (msgspec Structs). Must not know: I/O, clocks, asyncio, HTTP.
To add a fact a rule can ask for: `facts.py`. To add a way of being refused: `reasons.py`, one row.
"""
