"""The apps behind: pooled connections, choice among several, passive health.

Owns sockets towards apps and the strict reading of what they answer. Must not know: clients, routes, policy. An
exchange asks a `Target` for a connection, sends one request and is told what comes back through `Receiver`.

    connection.py  one HTTP/1.1 connection to an app      pool.py    connections to one address, kept and bounded
    target.py      several addresses: weights, ejection   origin.py  what a `to:` URL means
    peer_identity.py  the SPIFFE ID an app must show
"""
