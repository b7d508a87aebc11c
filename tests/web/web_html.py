"""A strict reader of our own HTML: tags balance, ids are unique, references lead somewhere, nothing runs by itself."""

from __future__ import annotations

from html.parser import HTMLParser

_VOID = {"meta", "link", "input", "br", "hr", "img"}
_SHAPES = {"path", "circle", "rect"}


class Page(HTMLParser):
    """Parses in the constructor; `problems` is empty for a good page. `texts` maps a tag to what was in it."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.problems: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.links: list[str] = []
        self.labels: set[str] = set()
        self._open: list[str] = []
        self._ids: list[str] = []
        self._references: list[str] = []
        self._fields: list[dict[str, str | None]] = []
        if not text.startswith("<!doctype html>"):
            self.problems.append("no doctype")
        self.feed(text)
        self.close()
        self._finish()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if len(values) != len(attrs):
            self.problems.append(f"{tag}: an attribute twice")
        for name, value in attrs:
            self._attribute(tag, name, value or "")
        if tag == "input" and values.get("type") != "hidden":
            self._fields.append(values)
        if tag not in _VOID | _SHAPES:
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def _attribute(self, tag: str, name: str, value: str) -> None:
        if name.startswith("on") or name == "style":
            self.problems.append(f"{tag}: inline {name}")
        if name == "id":
            self._ids.append(value)
        elif name in ("aria-labelledby", "aria-describedby", "aria-controls"):
            self._references.append(value)
        elif name == "for":
            self._references.append(value)
            self.labels.add(value)
        elif name in ("href", "action"):
            self.links.append(value)

    def handle_endtag(self, tag: str) -> None:
        if tag in _SHAPES:
            return
        if not self._open or self._open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        for tag in self._open[-1:]:
            self.texts[tag][-1] += data

    def _finish(self) -> None:
        self.problems += [f"<{tag}> is not closed" for tag in self._open]
        self.problems += [f"id {name} twice" for name in {n for n in self._ids if self._ids.count(n) > 1}]
        self.problems += [f"#{name} does not exist" for name in self._references if name not in self._ids]
        self.problems += [
            f"input {field.get('name')} has no label" for field in self._fields if field.get("id") not in self.labels
        ]
        for tag in ("main", "header", "footer", "h1", "title"):
            if len(self.texts.get(tag, ())) != 1:
                self.problems.append(f"{len(self.texts.get(tag, ()))} × <{tag}>")
