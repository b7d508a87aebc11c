"""From the path of a configuration file to `Settings`, or to every mistake in it."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from proxy.settings import files
from proxy.settings.checks.across import check_against_configuration, check_routes_together
from proxy.settings.checks.configuration import check_configuration
from proxy.settings.checks.finding import report
from proxy.settings.checks.placed import Placed
from proxy.settings.checks.routes import check_route
from proxy.settings.convert import decode, decode_routes
from proxy.settings.document import Document
from proxy.settings.parse import LARGEST_FILE, parse
from proxy.settings.problems import ConfigError, Problem, in_order
from proxy.settings.reading import read_regular
from proxy.settings.resolve import resolve_configuration, resolve_route
from proxy.settings.revocation import check_lists
from proxy.settings.schema import Configuration, Route, Settings

YAML_ENDINGS = (".yaml", ".yml")


class Checked(NamedTuple):
    """What came of reading a configuration. `settings` is None when there are errors."""

    settings: Settings | None
    problems: tuple[Problem, ...]  # errors and warnings, in order of place
    files: tuple[str, ...] = ()  # absolute paths of everything that was read or named: a change there may change this


def load(path: Path, *, strict_files: bool = True) -> Settings:
    """Read a configuration and the routes it names, check them as a whole, make every path absolute.

    With `strict_files`, a missing or unusable certificate, key or secret is an error; without, it is a warning.
    Raises ConfigError with all problems. Relative paths are relative to the folder of the file that names them.
    """
    checked = check(path, strict_files=strict_files)
    if checked.settings is None:
        raise ConfigError(checked.problems)
    return checked.settings


def check(path: Path, *, strict_files: bool = False, now: float | None = None) -> Checked:
    """The same, without raising, and with the warnings. With `now`, the dates of certificates are looked at too."""
    with _no_collections():
        return _check(path, strict_files=strict_files, now=now)


@contextlib.contextmanager
def _no_collections() -> Iterator[None]:
    """Hundreds of thousands of values are made and none of them is garbage: looking for cycles doubles the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _check(path: Path, *, strict_files: bool, now: float | None) -> Checked:
    digest = hashlib.sha256()
    document = _read(path, digest, path.name)
    if not document.text:
        return Checked(None, tuple(document.problems), _watched([path], None, ()))
    _default_provider_types(document)
    configuration = decode(document, Configuration)
    routes_of = document.value.get("routes", "routes/") if isinstance(document.value, dict) else "routes/"
    found = _find_route_files(document, path.parent, routes_of)
    documents = [_read(file, digest, os.path.relpath(file, path.parent)) for file in found.files]
    placed = [Placed(one, ("routes", index), route) for one in documents for index, route in decode_routes(one)]
    _check_values(document, configuration, placed)
    placed = _resolve_routes(placed, strict=strict_files)
    if configuration is not None:
        configuration = _resolve(document, configuration, path.parent.resolve(), strict=strict_files)
        if now is not None:
            files.check_dates(document, configuration, now)
    problems = in_order(problem for one in (document, *documents) for problem in one.problems)
    routes = tuple(one.route for one in placed)
    watched = _watched([path, *found.files, *found.folders], configuration, routes)
    if configuration is None or any(problem.severity == "error" for problem in problems):
        return Checked(None, problems, watched)
    settings = Settings(configuration=configuration, routes=routes, revision=digest.hexdigest()[:12], files=watched)
    return Checked(settings, problems, watched)


def check_routes_file(path: Path) -> tuple[tuple[Route, ...], tuple[Problem, ...]]:
    """Check one routes file by itself: everything that can be said without the configuration."""
    document = _read(path, hashlib.sha256(), path.name)
    placed = [Placed(document, ("routes", index), route) for index, route in decode_routes(document)]
    _check_values(document, None, placed)
    return tuple(one.route for one in placed), in_order(document.problems)


def is_routes_file(path: Path) -> bool:
    """Whether a file holds routes rather than a configuration; unreadable and broken files count as configurations."""
    value = _read(path, hashlib.sha256(), path.name).value
    return (
        isinstance(value, dict) and isinstance(value.get("routes"), list) and not {"listeners", "login"} & value.keys()
    )


# --- steps -------------------------------------------------------------------------------------------------------


def _read(path: Path, digest: hashlib._Hash, name: str) -> Document:
    """Parse one file, which becomes part of the revision. A file that cannot be read is a problem in the document."""
    try:
        data = read_regular(path, LARGEST_FILE + 1)
    except OSError as error:
        document = Document(str(path), "")
        document.problem_at(0, 0, (error.strerror or "cannot be read").lower(), "is the path right?")
        return document
    digest.update(f"{name}\0{len(data)}\0".encode())
    digest.update(data)
    return parse(data, str(path))


def _default_provider_types(document: Document) -> None:
    """A provider that does not say what it is, is an OpenID provider."""
    login = document.value.get("login") if isinstance(document.value, dict) else None
    providers = login.get("providers") if isinstance(login, dict) else None
    for provider in providers if isinstance(providers, list) else ():
        if isinstance(provider, dict):
            provider.setdefault("type", "oidc")


class _Found(NamedTuple):
    files: list[Path]
    folders: list[Path]


def _find_route_files(document: Document, folder: Path, routes: object) -> _Found:
    """The files meant by `routes`, in a fixed order; folders are not searched deeper."""
    names = routes if isinstance(routes, list) else [routes]
    found = _Found([], [])
    for index, name in enumerate(names):
        if not isinstance(name, str):
            continue  # reported with the types
        place = ("routes", index) if isinstance(routes, list) else ("routes",)
        path = Path(os.path.normpath(folder / name))
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix in YAML_ENDINGS and file.name[0] != ".")
            found.folders.append(path)
            found.files.extend(inside)
            if not inside:
                document.problem(place, f"{path} holds no .yaml file", "nothing is served yet", severity="warning")
        elif path.exists():
            found.files.append(path)
        else:
            document.problem(place, f"{path} does not exist", "make the folder, or name another")
    return _Found(list(dict.fromkeys(found.files)), found.folders)


def _check_values(document: Document, configuration: Configuration | None, placed: list[Placed]) -> None:
    providers = None if configuration is None else {provider.name for provider in configuration.login.providers}
    if configuration is not None:
        report(document, (), check_configuration(configuration))
    for one in placed:
        report(one.document, one.path, check_route(one.route, providers=providers))
    check_routes_together(placed)
    if configuration is not None:
        check_against_configuration(document, placed, configuration)


def _resolve(document: Document, configuration: Configuration, folder: Path, *, strict: bool) -> Configuration:
    """Paths made absolute; files looked at, unless there are mistakes that would make nonsense of what is said."""
    resolved = resolve_configuration(configuration, folder)
    if document.sound:
        files.check_files(document, (), files.of_configuration(resolved), strict=strict)
        check_lists(document, resolved)
    return resolved


def _resolve_routes(placed: list[Placed], *, strict: bool) -> list[Placed]:
    folders: dict[str, Path] = {}
    resolved = []
    for one in placed:
        name = one.document.file
        folder = folders.get(name) or folders.setdefault(name, Path(name).parent.resolve())
        resolved.append(one._replace(route=resolve_route(one.route, folder)))
        files.check_route_files(resolved[-1], strict=strict)
    return resolved


def _watched(read: list[Path], configuration: Configuration | None, routes: Iterable[Route]) -> tuple[str, ...]:
    """Absolute paths of everything whose change should lead to a reload: YAML, folders, certificates, keys, CRLs."""
    named = [os.path.abspath(path) for path in read]  # noqa: PTH100 - resolve() would follow symbolic links, whose swap we watch
    if configuration is not None:
        named.extend(one.path for one in files.of_configuration(configuration))
    named.extend(one.path for route in routes for one in files.of_route(route))
    return tuple(dict.fromkeys(path for path in named if path))
