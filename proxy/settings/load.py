"""From the path of a configuration file to `Settings`, or to every mistake in it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from proxy.settings import files
from proxy.settings.checks.across import Placed, check_against_configuration, check_routes_together
from proxy.settings.checks.configuration import check_configuration
from proxy.settings.checks.finding import report
from proxy.settings.checks.routes import check_route
from proxy.settings.convert import decode, decode_routes
from proxy.settings.document import Document
from proxy.settings.parse import LARGEST_FILE, parse
from proxy.settings.problems import ConfigError, Problem, in_order
from proxy.settings.schema import Configuration, Route, Settings

YAML_ENDINGS = (".yaml", ".yml")


class Checked(NamedTuple):
    """What came of reading a configuration. `settings` is None when there are errors."""

    settings: Settings | None
    problems: tuple[Problem, ...]  # errors and warnings, in order of place


def load(path: Path, *, strict_files: bool = True) -> Settings:
    """Read a configuration and the routes it names, check them as a whole, make every path absolute.

    With `strict_files`, a missing or unusable certificate, key or secret is an error; without, it is a warning.
    Raises ConfigError with all problems. Relative paths are relative to the folder of the file that names them.
    """
    checked = check(path, strict_files=strict_files)
    if checked.settings is None:
        raise ConfigError(checked.problems)
    return checked.settings


def check(path: Path, *, strict_files: bool = False) -> Checked:
    """The same, without raising, and with the warnings."""
    digest = hashlib.sha256()
    document = _read(path, digest, path.name)
    if document.problems and document.text == "":
        return Checked(None, tuple(document.problems))
    configuration = decode(document, Configuration)
    folder = path.parent.resolve()
    routes_of = document.value.get("routes", "routes/") if isinstance(document.value, dict) else "routes/"
    found = _find_route_files(document, path.parent, routes_of)
    documents = [_read(file, digest, os.path.relpath(file, path.parent)) for file in found.files]
    placed = [Placed(one, ("routes", index), route) for one in documents for index, route in decode_routes(one)]
    _check_values(document, configuration, placed)
    if configuration is not None:
        configuration = files.resolve_configuration(configuration, folder)
        files.check_files(document, (), files.of_configuration(configuration), strict=strict_files)
    resolved = [
        one._replace(route=files.resolve_route(one.route, Path(one.document.file).parent.resolve())) for one in placed
    ]
    for one in resolved:
        files.check_route_files(one, strict=strict_files)
    problems = in_order(problem for one in (document, *documents) for problem in one.problems)
    if configuration is None or any(problem.severity == "error" for problem in problems):
        return Checked(None, problems)
    settings = Settings(
        configuration=configuration,
        routes=tuple(one.route for one in resolved),
        revision=digest.hexdigest()[:12],
        files=_watched([path, *found.files, *found.folders], configuration, (one.route for one in resolved)),
    )
    return Checked(settings, problems)


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
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        document = Document(str(path), "")
        document.problem_at(0, 0, (error.strerror or "cannot be read").lower(), "is the path right?")
        return document
    digest.update(f"{name}\0{len(data)}\0".encode())
    digest.update(data)
    return parse(data, str(path))


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
        check_against_configuration(placed, configuration)


def _watched(read: list[Path], configuration: Configuration, routes: Iterable[Route]) -> tuple[str, ...]:
    """Absolute paths of everything whose change should lead to a reload: YAML, its folders, certificates, keys, CRLs."""
    named = [os.path.abspath(path) for path in read]  # noqa: PTH100 - resolve() would follow symbolic links, whose swap we watch
    named.extend(one.path for one in files.of_configuration(configuration))
    named.extend(one.path for route in routes for one in files.of_route(route))
    return tuple(dict.fromkeys(path for path in named if path))
