"""The written forms of values: origins, addresses, upstream URLs, networks, header names. Pure.

Each reader returns the value in its canonical form or raises `Malformed`, whose text is the message for the admin and
whose `hint` is what to write instead. Nothing here is lenient: one thing has one spelling.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from proxy.wire.fields import HOP_BY_HOP, TOKEN, is_managed, valid_value


class Malformed(ValueError):
    """A value that is not in its written form."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


# --- hosts and origins -------------------------------------------------------------------------------------------

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_ORDINARY_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_DIGITS_AND_DOTS = re.compile(r"[0-9.]+")
DEFAULT_PORTS = {"https": 443, "http": 80}
_PREFIX = re.compile(r"(/[A-Za-z0-9._~!$&'()+,=:@-]+)*")


_ORDINARY_ORIGIN = re.compile(r"(https?)://([a-z0-9.*-]+)(?::([1-9][0-9]{0,3}))?((?:/[A-Za-z0-9_-]+)*)")


class Origin(NamedTuple):
    """`https://host:port/prefix`. `host` is canonical (lower case, no trailing dot; IPv6 without brackets);
    `port` is always given; `prefix` is "" or begins with "/" and does not end with it."""

    scheme: str
    host: str
    port: int
    prefix: str

    @property
    def text(self) -> str:
        """As written in a configuration; default ports left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.prefix}"


def host_name(text: str, *, wildcard: bool = False) -> str:
    """A DNS name or IP address in canonical form. `*.` may come first where `wildcard` says so."""
    if _ORDINARY_HOST.fullmatch(text) and len(text) <= 253:
        return text
    if not text.isascii():
        raise Malformed(f'"{text}" holds letters beyond ASCII', _punycode_hint(text))
    if text != text.lower():
        raise Malformed(f'"{text}" holds capital letters', f"write {text.lower()}")
    if text.endswith("."):
        raise Malformed(f'"{text}" ends with a dot', f"write {text.rstrip('.')}")
    name = text
    if "*" in text:
        if not wildcard:
            raise Malformed(f'"{text}": a wildcard cannot be used here', "write the whole name")
        name = text.removeprefix("*.")
        if "*" in name or not name:
            raise Malformed(f'"{text}": a wildcard stands for exactly one label, the first', "write *.example.com")
    address = _address(name)
    if address is not None:
        if name != text:
            raise Malformed(f'"{text}": a wildcard cannot stand before an address')
        return address
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise Malformed(f'"{text}" is not a host name', "use letters, digits and hyphens, separated by dots")
    return text


def _punycode_hint(text: str) -> str:
    try:
        return f"write {text.encode('idna').decode('ascii')}"
    except UnicodeError:
        return "write the name in its xn-- form"


def _address(text: str) -> str | None:
    """The canonical address, or None for what is not one. Digits and dots that are no address are nothing at all."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        if _DIGITS_AND_DOTS.fullmatch(text):
            raise Malformed(f'"{text}" is not an IP address', "write four numbers from 0 to 255") from None
        return None


def _split(text: str) -> tuple[SplitResult, int | None]:
    if re.search(r"[\s\\]", text):
        raise Malformed(f'"{text}" holds a blank or backslash')
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise Malformed(f'"{text}" is not a URL', "write https://host:port; IPv6 addresses stand in brackets") from None
    if "@" in parts.netloc:
        raise Malformed("user names and passwords do not belong in a URL", "remove everything up to the @")
    if parts.query or parts.fragment or text.endswith(("?", "#")):
        raise Malformed(f'"{text}" has a query or fragment', "remove everything from the ? or #")
    if port == 0 or parts.netloc.endswith(":"):
        raise Malformed(f'"{text}" has no usable port', "use 1 to 65535, or leave it out")
    return parts, port


def _likely_host(text: str) -> str:
    host, _, _ = text.lstrip("/").partition("/")
    return host if re.fullmatch(r"[a-z0-9*.-]+(:[0-9]+)?", host) else "host"


def origin(text: str, *, wildcard: bool = False, schemes: tuple[str, ...] = ("https", "http")) -> Origin:
    """Read `scheme://host[:port][/prefix]`."""
    ordinary = _ORDINARY_ORIGIN.fullmatch(text)
    if ordinary is not None and ordinary[1] in schemes:
        scheme, name, digits, prefix = ordinary.groups()
        return Origin(scheme, host_name(name, wildcard=wildcard), int(digits or DEFAULT_PORTS[scheme]), prefix)
    if "://" not in text:
        raise Malformed(f'"{text}" is not an origin', f"write {schemes[0]}://{_likely_host(text)}")
    parts, port = _split(text)
    if parts.scheme not in schemes or not text.startswith(parts.scheme + "://"):
        raise Malformed(f'"{text}" must begin with {" or ".join(f"{scheme}://" for scheme in schemes)}')
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc
    if host.startswith("["):
        host = host[1:-1]
    elif ":" in host:
        raise Malformed(f'"{text}" is not an origin', "put brackets around an IPv6 address")
    if not host:
        raise Malformed(f'"{text}" has no host', f"write {schemes[0]}://host")
    return Origin(
        parts.scheme, host_name(host, wildcard=wildcard), port or DEFAULT_PORTS[parts.scheme], path_prefix(parts.path)
    )


def bare_origin(text: str, *, schemes: tuple[str, ...] = ("https", "http")) -> Origin:
    """An origin without a path, as browsers write it in `Origin`."""
    read = origin(text.removesuffix("/"), schemes=schemes)
    if read.prefix or text.endswith("/"):
        raise Malformed(f'"{text}" is more than an origin', f"write {read._replace(prefix='').text}")
    return read


def protected_url(text: str, *, query: bool = False) -> None:
    """An address we fetch from, or an issuer (OpenID Connect Discovery 1.0 §3): https; http only towards this machine.
    Without fragment, and without query unless `query`."""
    scheme, mark, rest = text.partition("://")
    host = rest.partition("/")[0].partition("?")[0]
    read = origin(f"{scheme}://{host}" if mark else text)
    if read.scheme == "http" and not is_loopback_host(read.host):
        raise Malformed(f'"{text}" is not protected', f"write https://{rest}")
    if any(character in text for character in ("# \t\\" if query else "?# \t\\")):
        raise Malformed(f'"{text}" is not an issuer', "an issuer has no query, fragment or blanks")


def path_prefix(path: str) -> str:
    """A canonical path prefix: "" for all, no trailing slash, nothing that has two spellings."""
    if path in {"", "/"}:
        return ""
    if path.endswith("/") and _PREFIX.fullmatch(path[:-1]):
        raise Malformed(
            f'the path prefix "{path}" ends with a slash', f"write {path.rstrip('/')}: it matches whole segments"
        )
    if not _PREFIX.fullmatch(path) or any(segment in {".", ".."} for segment in path.split("/")):
        raise Malformed(
            f'"{path}" is not a canonical path prefix',
            "use plain segments: no //, no dots alone, no %, no ; and no wildcards (use paths in a rule)",
        )
    return path


class HostPort(NamedTuple):
    """Where to listen."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback


def host_port(text: str) -> HostPort:
    """Read `127.0.0.1:8443`, `[::1]:8443` or `localhost:8443`."""
    host, colon, port = text.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise Malformed(f'"{text}" is not an address to listen on', "write host:port, such as 127.0.0.1:8443")
    if host in {"", "*"}:
        raise Malformed(f'"{text}" does not say which address', f"write 0.0.0.0:{port} for all, or 127.0.0.1:{port}")
    inner = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if host == "localhost":
        return HostPort(host, int(port))
    try:
        address = ipaddress.ip_address(inner)
    except ValueError:
        raise Malformed(f'"{host}" is not an IP address', "listeners are IP addresses or localhost") from None
    if (address.version == 6) != (inner != host):
        raise Malformed(f'"{text}": brackets belong around IPv6 addresses, and only there', "write [::1]:8443")
    return HostPort(str(address), int(port))


def is_loopback_host(host: str) -> bool:
    """Whether a URL's host is this machine."""
    try:
        return host == "localhost" or host.endswith(".localhost") or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# --- upstreams, networks -----------------------------------------------------------------------------------------


class Upstream(NamedTuple):
    """Where an app listens: a host and port, or the path of a Unix socket."""

    scheme: str  # http, https, unix
    host: str
    port: int
    socket: str = ""


def upstream(text: str) -> Upstream:
    """Read `http://host:port`, `https://host:port` or `unix:/path`."""
    if text.startswith("unix:"):
        socket = text.removeprefix("unix:").removeprefix("//")
        if not socket or "\0" in socket or len(socket.encode()) > 100:
            raise Malformed(
                f'"{text}" is not the path of a Unix socket', "write unix:/run/app.sock (at most 100 bytes)"
            )
        return Upstream("unix", "", 0, socket)
    read = origin(text, schemes=("http", "https"))
    if read.prefix or text.endswith("/"):
        raise Malformed(
            f'"{text}" has a path', f"write {read._replace(prefix='').text}: the path of the request is passed on"
        )
    return Upstream(read.scheme, read.host, read.port)


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def network(text: str) -> Network:
    """Read an address or CIDR network without host bits."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        masked = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise Malformed(f'"{text}" is not an IP network', "write 10.9.0.0/16 or 2001:db8::/32") from None
    raise Malformed(f'"{text}" has bits set beyond its mask', f"write {masked}")


# --- names in mail and HTTP --------------------------------------------------------------------------------------


def mail_domain(text: str) -> str:
    """The domain of mail addresses, without @ and wildcards."""
    if text.startswith("@"):
        raise Malformed(f'"{text}" begins with @', f"write {text[1:]}")
    name = host_name(text)
    if "." not in name and name != "localhost":
        raise Malformed(f'"{text}" is not a mail domain', "write example.com")
    return name


def request_header(name: str) -> None:
    """A request header an admin may set or remove."""
    _header(name)
    encoded = name.encode()
    folded = name.lower().replace("_", "-").replace(".", "-")
    if is_managed(encoded) or folded.encode() in HOP_BY_HOP or folded in {"host", "content-length", "expect", "cookie"}:
        hint = 'use the key "host" of the route' if folded == "host" else "remove it from the list"
        raise Malformed(f'"{name}" is managed by the proxy', hint)


def response_header(name: str) -> None:
    """A response header an admin may set or remove."""
    _header(name)
    folded = name.lower()
    if folded.startswith("x-ostiary-") or folded.encode() in HOP_BY_HOP or folded in {"content-length", "set-cookie"}:
        raise Malformed(f'"{name}" is managed by the proxy', "remove it from the list")


def _header(name: str) -> None:
    if not name.isascii() or not TOKEN(name.encode()):
        raise Malformed(f'"{name}" is not a header name', "use letters, digits and hyphens")


def header_value(value: str) -> None:
    """A header value: printable ASCII without blanks at the ends."""
    if not value.isascii() or not valid_value(value.encode()) or value != value.strip():
        raise Malformed("a header value is printable ASCII without blanks at its ends")


def web_link(text: str) -> None:
    """A link that may stand on a page: https, http or mailto."""
    try:
        parts = urlsplit(text)
    except ValueError:  # brackets that hold no address
        raise Malformed(f'"{text}" is not a link', "write https://… or mailto:…") from None
    if re.search(r"[\s\\\"<>]", text) or parts.scheme not in {"https", "http", "mailto"}:
        raise Malformed(f'"{text}" is not a link', "write https://… or mailto:…")
    if parts.scheme != "mailto" and not parts.hostname:
        raise Malformed(f'"{text}" has no host', "write https://…")
