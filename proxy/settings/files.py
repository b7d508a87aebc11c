"""The files a configuration names, looked at before anybody relies on them."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from cryptography import x509

from proxy.settings.checks.placed import Placed
from proxy.settings.document import Document
from proxy.settings.document import Path as Place
from proxy.settings.reading import read_regular
from proxy.settings.resolve import is_url
from proxy.settings.schema import Configuration, Devices, Provider, Route, SamlProvider, SecretRef, Workloads
from proxy.settings.secrets import SecretUnavailable, read_secret

EXPIRES_SOON = 14 * 86_400.0
"""Seconds before the end of a certificate's life at which `ostiary check` begins to warn."""

LARGEST_FILE = 4 * 1024 * 1024
"""Bytes that are read of a certificate, key or revocation list to check it."""


class Named(NamedTuple):
    """A file (or secret) the configuration names, with the check it must pass."""

    place: Place
    path: str  # "" for a secret in the environment
    check: Callable[[], None]  # raises Unusable


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


class Unusable(Exception):
    """A file that cannot be used as what it is named for; the text says why."""


def of_configuration(configuration: Configuration) -> Iterator[Named]:
    """Every file that `ostiary.yaml` relies on; the configuration is already resolved."""
    for index, listener in enumerate(configuration.listeners):
        if listener.tls is None:
            continue
        at: Place = ("listeners", index, "tls")
        for position, pair in enumerate(listener.tls.certificates):
            yield from _pair((*at, "certificates", position), pair.cert, pair.key)
        if listener.tls.client_ca is not None:
            yield _authority((*at, "client_ca"), listener.tls.client_ca)
        for position, crl in enumerate(listener.tls.client_crl):
            yield _readable((*at, "client_crl", position), crl)
    for index, provider in enumerate(configuration.login.providers):
        at = ("login", "providers", index)
        if provider.ca is not None:
            yield _authority((*at, "ca"), provider.ca)
        if isinstance(provider, Provider):
            if provider.client_secret is not None:
                yield _secret((*at, "client_secret"), provider.client_secret)
        else:
            yield from _of_saml(at, provider)
    yield from _of_devices(configuration.devices)
    yield from _of_workloads(configuration.workloads)
    if configuration.sessions.key is not None:
        yield _secret(("sessions", "key"), configuration.sessions.key)
    yield _private(("assertion", "key"), configuration.assertion.key)
    for index, key in enumerate(configuration.assertion.previous):
        yield _private(("assertion", "previous", index), key)


def _of_saml(at: Place, provider: SamlProvider) -> Iterator[Named]:
    if not is_url(provider.metadata):
        yield _readable((*at, "metadata"), provider.metadata)
    if provider.metadata_certificate is not None:
        yield _authority((*at, "metadata_certificate"), provider.metadata_certificate)
    if provider.key is not None and provider.certificate is not None:
        yield from _pair(at, provider.certificate, provider.key)
    if provider.previous_key is not None:
        yield _private((*at, "previous_key"), provider.previous_key)


def _of_devices(devices: Devices) -> Iterator[Named]:
    if devices.tpm_authorities is not None:
        yield _certificates(("devices", "tpm_authorities"), devices.tpm_authorities)
    for index, one in enumerate(devices.management):
        at: Place = ("devices", "management", index)
        if one.ca is not None:
            yield _authority((*at, "ca"), one.ca)
        for name in ("secret", "previous_secret", "client_secret", "token"):
            secret: SecretRef | None = getattr(one, name, None)
            if secret is not None:
                yield _secret((*at, name), secret)


def _of_workloads(workloads: Workloads) -> Iterator[Named]:
    for index, domain in enumerate(workloads.trust_domains):
        yield _bundle(("workloads", "trust_domains", index, "bundle"), domain.bundle)
    for index, issuer in enumerate(workloads.issuers):
        at: Place = ("workloads", "issuers", index)
        if issuer.ca is not None:
            yield _authority((*at, "ca"), issuer.ca)
        if issuer.jwks is not None and not is_url(issuer.jwks):
            yield _readable((*at, "jwks"), issuer.jwks)


def of_route(route: Route) -> Iterator[Named]:
    """Every file a route relies on."""
    tls = route.upstream_tls
    if tls.ca is not None:
        yield _authority(("upstream_tls", "ca"), tls.ca)
    if tls.cert is not None and tls.key is not None:
        yield from _pair(("upstream_tls",), tls.cert, tls.key)


def check_files(document: Document, base: Place, named: Iterator[Named], *, strict: bool) -> None:
    """Record what is missing or unusable: as errors when `strict`, else as warnings."""
    for place, _path, check in named:
        try:
            check()
        except Unusable as why:
            document.problem(base + place, str(why), severity="error" if strict else "warning")


def check_dates(document: Document, configuration: Configuration, now: float) -> None:
    """Warn of certificates that browsers refuse at `now` (seconds since the epoch), or will within two weeks."""
    for index, listener in enumerate(configuration.listeners):
        for position, pair in enumerate(listener.tls.certificates if listener.tls else ()):
            message = _dates(pair.cert, now)
            if message:
                place: Place = ("listeners", index, "tls", "certificates", position, "cert")
                document.problem(place, f"{pair.cert} {message}", "put a new one in its place", severity="warning")


def _dates(path: str, now: float) -> str:
    try:
        leaf = x509.load_pem_x509_certificate(_open(path))
    except (Unusable, ValueError):
        return ""  # reported by whoever checks the file itself
    if now < leaf.not_valid_before_utc.timestamp():
        return f"is valid only from {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    left = leaf.not_valid_after_utc.timestamp() - now
    if left <= 0:
        return f"has expired on {leaf.not_valid_after_utc:%Y-%m-%d}"
    return f"expires on {leaf.not_valid_after_utc:%Y-%m-%d}" if left < EXPIRES_SOON else ""


def check_route_files(placed: Placed, *, strict: bool) -> None:
    """The same for a route."""
    check_files(placed.document, placed.path, of_route(placed.route), strict=strict)


def _open(path: str) -> bytes:
    try:
        return read_regular(path, LARGEST_FILE)
    except OSError as error:
        raise Unusable(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None


def _readable(place: Place, path: str) -> Named:
    def check() -> None:
        if not _open(path):
            raise Unusable(f"{path} is empty")

    return Named(place, path, check)


def _bundle(place: Place, path: str) -> Named:
    """Its form; what is in it is looked at when it is put into force."""

    def check() -> None:
        data = _open(path)
        try:
            if b"-----BEGIN" in data[:4096]:
                x509.load_pem_x509_certificates(data)
            else:
                msgspec.json.decode(data, type=_KeySet)
        except (ValueError, RecursionError):
            raise Unusable(f"{path} is neither a SPIFFE bundle (a JWK Set) nor certificates in PEM form") from None

    return Named(place, path, check)


def _private(place: Place, path: str) -> Named:
    def check() -> None:
        content = _open(path)
        if b"PRIVATE KEY-----" not in content:
            raise Unusable(f"{path} holds no private key in PEM form")
        if b"ENCRYPTED" in content:
            raise Unusable(f"{path} is encrypted, and nobody is there to type a passphrase: store it without one")
        if Path(path).stat().st_mode & 0o006:
            raise Unusable(f"{path} can be read or written by everybody on this machine: chmod o= {path}")

    return Named(place, path, check)


def _authority(place: Place, path: str) -> Named:
    def check() -> None:
        _open(path)
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
        except (ssl.SSLError, OSError):
            raise Unusable(f"{path} holds no certificates in PEM form") from None

    return Named(place, path, check)


def _certificates(place: Place, path: str) -> Named:
    """Each of them readable: one that is not would take the others with it."""

    def check() -> None:
        data = _open(path)
        try:
            for each in x509.load_pem_x509_certificates(data):
                each.subject.public_bytes()
        except ValueError as error:
            raise Unusable(f"{path} must hold certificates in PEM form and nothing else: {error}"[:300]) from None

    return Named(place, path, check)


def _pair(place: Place, cert: str, key: str) -> Iterator[Named]:
    def check() -> None:
        _open(cert)
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
        except ssl.SSLError as error:
            raise Unusable(_why_not_a_pair(cert, key, error)) from None
        except (OSError, ValueError):
            raise Unusable(f"{key} cannot be read as a private key (is it encrypted?)") from None

    private = _private((*place, "key"), key)
    yield private
    yield Named((*place, "cert"), cert, _after(private.check, check))


def _after(first: Callable[[], None], then: Callable[[], None]) -> Callable[[], None]:
    """`then`, but silent when `first` already fails: it has been reported."""

    def check() -> None:
        try:
            first()
        except Unusable:
            return
        then()

    return check


def _why_not_a_pair(cert: str, key: str, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"{cert} and {key} do not belong together"
    return f"{cert} or {key} is not in PEM form"


def _secret(place: Place, ref: SecretRef) -> Named:
    def check() -> None:
        try:
            read_secret(ref)
        except SecretUnavailable as why:
            raise Unusable(str(why)) from None

    return Named(place, ref.file or "", check)
