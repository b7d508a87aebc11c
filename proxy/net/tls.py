"""TLS of a listener: several certificates by SNI, replaced without a restart.

Listeners that ask for client certificates issue no session tickets: a resumed session would carry a client identity
from an earlier handshake, perhaps with another host, past the checks of this one.
"""

from __future__ import annotations

import datetime as dt
import functools
import ssl
import tempfile
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from proxy.net import peer
from proxy.settings.schema import Tls


class TlsUnusable(Exception):
    """A certificate, key or authority cannot be used; the message names the file and what is wrong with it."""


class TlsListener:
    """The TLS side of one listener. `context` is handed to each new connection; `adopt` swaps all certificates.

    `authorities`: PEM certificates of authorities that clients may be of besides `client_ca` (trust bundles); with
    either, the listener asks for a client certificate. `explains` is True when unverifiable client certificates survive
    the handshake to be refused in words.
    """

    def __init__(self, settings: Tls, authorities: bytes = b"") -> None:
        self._settings = settings
        self._authorities = authorities
        self.asks = settings.client_ca is not None or bool(authorities)
        self._exact: dict[str, ssl.SSLContext] = {}
        self._wildcard: dict[str, ssl.SSLContext] = {}
        self.explains = self.asks and hook_works()
        self.context = self._load(settings)

    def adopt(self, fresh: TlsListener) -> None:
        """Use the certificates and authorities of another listener from the next handshake on."""
        self._exact, self._wildcard = fresh._exact, fresh._wildcard  # our own class
        self.context = fresh.context
        self.asks = fresh.asks
        self.explains = fresh.explains

    def _load(self, settings: Tls) -> ssl.SSLContext:
        contexts = [self._context(pair.cert, pair.key) for pair in settings.certificates]
        for pair, context in zip(settings.certificates, contexts, strict=True):
            for name in names_of(pair.cert):
                if name.startswith("*."):
                    self._wildcard.setdefault(name[2:], context)
                else:
                    self._exact.setdefault(name, context)
        return contexts[0]

    def _context(self, cert: str, key: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = (
            ssl.TLSVersion.TLSv1_3 if self._settings.min_version == "1.3" else ssl.TLSVersion.TLSv1_2
        )
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")  # TLS 1.2; 1.3 has only good ones
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(cert, key)
        except (OSError, ssl.SSLError) as error:
            raise TlsUnusable(f"{cert} with key {key}: {_words(error)}") from None
        context.sni_callback = self._choose
        if self.asks:
            self._ask(context)
        return context

    def _ask(self, context: ssl.SSLContext) -> None:
        """Ask for a certificate of any of the authorities, whose names the client is told: it shows no other."""
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        client_ca = self._settings.client_ca
        try:
            if client_ca is not None:
                context.load_verify_locations(client_ca)
        except (OSError, ssl.SSLError) as error:
            raise TlsUnusable(f"{client_ca}: {_words(error)}") from None
        with tempfile.NamedTemporaryFile(prefix="ostiary-", suffix=".pem") as together:
            if client_ca is not None:
                together.write(Path(client_ca).read_bytes() + b"\n")
            together.write(self._authorities)
            together.flush()
            if self._authorities:
                context.load_verify_locations(together.name)
            if self.explains:
                peer.accept_any(context, together.name)
            else:
                context.verify_mode = ssl.CERT_OPTIONAL

    def _choose(self, ssl_object: Any, server_name: str | None, _context: ssl.SSLContext) -> int | None:
        """Pick the certificate for `server_name` and remember the name, to compare with Host later."""
        if server_name is None:
            return None
        name = server_name.lower().removesuffix(".")
        ssl_object.requested_name = name
        chosen = self._exact.get(name) or self._wildcard.get(name.partition(".")[2])
        if chosen is not None:
            ssl_object.context = chosen
        return None


def requested_name(ssl_object: Any) -> str:
    """The name the client asked for by SNI, lower case, without a trailing dot; "" when it asked for none."""
    return getattr(ssl_object, "requested_name", "")


def names_of(path: str) -> list[str]:
    """The DNS names of the first certificate in a PEM file, lower case. Raises TlsUnusable."""
    try:
        certificate = x509.load_pem_x509_certificates(Path(path).read_bytes())[0]
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except OSError as error:
        raise TlsUnusable(f"{path}: {_words(error)}") from None
    except (ValueError, x509.ExtensionNotFound):
        raise TlsUnusable(f"{path}: no certificate with DNS names in it") from None
    return [name.lower().removesuffix(".") for name in names.get_values_for_type(x509.DNSName)]


def _words(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file; `ostiary certs --help` shows how to make one"
    if isinstance(error, ssl.SSLError):
        return f"not usable as PEM, or certificate and key do not belong together ({error.reason or 'unreadable'})"
    return getattr(error, "strerror", None) or str(error)


@functools.cache
def hook_works() -> bool:
    """Prove once per process that `peer.accept_any` admits a foreign certificate to be judged afterwards."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "probe.pem")
            Path(file).write_bytes(_probe_certificate())
            server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server.load_cert_chain(file)
            authority = str(Path(folder) / "other.pem")
            Path(authority).write_bytes(_probe_certificate())
            peer.accept_any(server, authority)
            client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            client.check_hostname = False
            client.verify_mode = ssl.CERT_NONE  # both sides are this function
            client.load_cert_chain(file)
            return peer.works(server, client)
    except (OSError, AttributeError, ValueError):
        return False


def _probe_certificate() -> bytes:
    """A throw-away self-signed certificate with its key, PEM; never leaves this process."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "probe")])
    start = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(start).not_valid_after(start.replace(year=2099))
    certificate = builder.sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem) + secret
