"""The client's certificate, whatever it is.

OpenSSL, as Python drives it, ends the handshake when a client certificate does not verify, and the client learns only
that something was wrong. We want to say *what* was wrong, in the answer and in the record. So the handshake proves
only that the client holds the key of the certificate it shows; whether that certificate means anything is decided
afterwards, from its bytes, by `authn.mtls`, and an unverified certificate is nobody.

Python has no call for this, so `accept_any` sets OpenSSL's verify callback through ctypes, and `works` proves with a
real handshake at start that it does what it should. Where it does not (another libssl layout), the listener falls
back to OpenSSL's own verification: stricter, and less well explained.
"""

from __future__ import annotations

import _ssl
import ctypes
import functools
import ssl
from typing import Any

# int callback(X509_STORE_CTX *, void *): returning 1 accepts the chain as "presented", not as "verified".
_ACCEPT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(lambda _store, _argument: 1)


def _context_pointer(context: ssl.SSLContext) -> ctypes.c_void_p:
    # PySSLContext begins with the object header and then `SSL_CTX *ctx` in every CPython since 3.2.
    return ctypes.cast(id(context) + object.__basicsize__, ctypes.POINTER(ctypes.c_void_p)).contents


@functools.cache
def _libssl() -> Any:
    lib = ctypes.CDLL(_ssl.__file__)  # resolves the very libssl that the module was linked with
    lib.SSL_CTX_set_cert_verify_callback.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    lib.SSL_CTX_set_cert_verify_callback.restype = None
    lib.SSL_load_client_CA_file.argtypes = [ctypes.c_char_p]
    lib.SSL_load_client_CA_file.restype = ctypes.c_void_p
    lib.SSL_CTX_set_client_CA_list.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    lib.SSL_CTX_set_client_CA_list.restype = None
    return lib


def accept_any(context: ssl.SSLContext, client_ca: str) -> None:
    """Let `context` ask for a client certificate from the authorities in `client_ca` and take whatever comes."""
    lib = _libssl()
    pointer = _context_pointer(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    lib.SSL_CTX_set_cert_verify_callback(pointer, ctypes.cast(_ACCEPT, ctypes.c_void_p), None)
    names = lib.SSL_load_client_CA_file(client_ca.encode())
    if names:  # so that a browser offers only certificates that can work, and asks nobody else
        lib.SSL_CTX_set_client_CA_list(pointer, names)


def chain_of(ssl_object: Any) -> tuple[bytes, ...]:
    """The certificates the client presented, DER, leaf first; empty when it presented none."""
    leaf = ssl_object.getpeercert(binary_form=True)
    if leaf is None:
        return ()
    try:
        inner = ssl_object._sslobj  # public only since 3.13; the leaf alone serves without it
        chain = [cert.public_bytes(_ssl.ENCODING_DER) for cert in inner.get_unverified_chain() or ()]
    except AttributeError:
        return (leaf,)
    return (leaf, *(der for der in chain if der != leaf))


def works(server: ssl.SSLContext, client: ssl.SSLContext) -> bool:
    """Whether `server`, prepared by `accept_any`, completes a handshake with `client`, whose certificate is foreign."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_side = server.wrap_bio(to_server, to_client, server_side=True)
    client_side = client.wrap_bio(to_client, to_server, server_hostname=None)
    for _ in range(8):
        done = 0
        for side in (client_side, server_side):
            try:
                side.do_handshake()
                done += 1
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
        if done == 2:
            return bool(chain_of(server_side))
    return False
