"""Sockets and TLS: listeners, connections, deadlines, flow control.

Owns everything that touches a transport on the client's side. Must not know: routes, policy, sessions. A connection
reads requests and hands each to a door (`door.Door`), which decides; it writes what it is told to write.

    sockets.py     binding addresses for several workers     acceptor.py   accepting, with caps before the handshake
    tls.py         certificates by SNI, reload               peer.py       the client's certificate, whatever it is
    downstream.py  one HTTP/1.1 connection from a client     door.py       what it expects of the gateway
    intake.py      where a request body ends                 ticker.py     one clock for all deadlines
"""
