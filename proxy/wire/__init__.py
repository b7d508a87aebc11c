"""What is on the wire: HTTP/1.1 heads and bodies, canonical hosts and paths, the WebSocket handshake, strict JSON.

Bytes in, values out; no I/O, no clock, no asyncio. Every reader is strict: a message that two parsers could read
differently is refused (RFC 9112 §11.2), and what is forwarded is always written anew from what was read.

    fields.py     what each header field name means to a proxy: passed on, dropped, or read
    lines.py      field lines, classified and remembered
    request.py    request heads                    response.py    response heads
    body.py       where a body ends; the chunked coding, both ways
    path.py       one canonical path          host.py   one canonical host
    websocket.py  the opening handshake       forwarded.py   whose address a trusted proxy reports
    strict_json.py  JSON that others wrote, read in the one way it can be meant

Must not know: sessions, policy, routes. To treat one more field name specially: one row in `fields.py`.
"""
