"""YAML to plain values with positions, refusing whatever two readers could read differently. Pure: text in, values out.

The law of this file:

* Plain scalars are YAML 1.2 core: `true`/`false`, decimal integers, decimal fractions, text. Whatever YAML 1.1 reads as
  something else (`no`, `on`, `0755`, `1_000`, `18:30`, `2024-01-01`, `1e3`, `=`) is an error that asks for quotes.
* A key without a value is an error: an empty `users:` must never mean "not asked".
* Duplicate keys, keys that are not text, anchors, aliases, merge keys, tags and several documents are errors.
* Control characters, invisible characters and characters that change the direction of text are errors: what a reviewer
  sees is what is read.
* Size and depth are bounded. All problems of a file are reported, unless its syntax is broken.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from proxy.settings.document import BROKEN, HIDDEN, Document, Mark, Marks
from proxy.settings.scalars import Ambiguous, plain_scalar

LARGEST_FILE = 16 * 1024 * 1024
"""Bytes of one YAML file."""
DEEPEST = 32
"""Nested lists and mappings."""
MOST_PROBLEMS = 1000
"""Problems collected in one file before reading stops."""

_DROPPED = object()
"""In place of a key whose value is to be left out."""

# --- events to values --------------------------------------------------------------------------------------------


_HASH_IN_TEXT = re.compile(r"[^\s#\]},'\"] #[^\s#!]")


class _Frame:
    """A list or mapping being filled."""

    __slots__ = ("key", "marks", "value")

    def __init__(self, value: Any, start: Mark) -> None:
        self.value = value
        self.marks = Marks(start, {}, {})
        self.key: Any = None  # of a mapping: the key whose value comes next


class _TooBroken(Exception):
    """Reading cannot go on; the problem is recorded."""


class _Builder:
    """Turns libyaml's events into values and positions. Not recursive: depth costs nothing but is bounded."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.stack: list[_Frame] = []
        self.frame: _Frame | None = None
        self.documents = 0
        self.hashes = {match.start() + 1 for match in _HASH_IN_TEXT.finditer(document.text)}

    def report(self, mark: Mark, message: str, hint: str = "") -> None:
        self.document.problem_at(mark.line + 1, mark.column + 1, message, hint)
        if len(self.document.problems) >= MOST_PROBLEMS:
            raise _TooBroken

    def stop(self, mark: Mark, message: str, hint: str = "") -> None:
        self.report(mark, message, hint)
        raise _TooBroken

    def scalar(self, event: Any) -> None:
        if event.anchor is not None or event.tag is not None:
            self.decorated(event)
        value: Any = event.value
        if self.hashes and event.end_mark.index in self.hashes:
            self.cut_short(event)
        if event.style == '"' and _STRANGE.search(value):
            self.report(event.start_mark, "an escape in this text makes an invisible character", "remove it")
            value = BROKEN
        elif event.implicit[0] and event.style == "":
            try:
                value = plain_scalar(value)
            except Ambiguous as why:
                self.unclear(event.start_mark, str(why), why.hint)
                value = BROKEN
        frame = self.frame
        if frame is not None and frame.key is None and type(frame.value) is dict:
            self.name(frame, value, event.start_mark)
        else:
            if value == "<<" and event.style == "":  # as a value: as a key, `name` has words for it
                self.report(event.start_mark, '"<<" is a merge to some YAML readers', 'write "<<" in quotes')
                value = BROKEN
            self.add(value, event.start_mark, event.start_mark)

    def cut_short(self, event: Any) -> None:
        """` #word` after unquoted text ends it, which whoever wrote "see #help" did not mean."""
        mark = event.end_mark
        self.document.problem_at(
            mark.line + 1,
            mark.column + 2,
            "the text ends here: what follows is a comment",
            'put the text in quotes if "#" belongs to it; a comment has a blank after its "#"',
            "warning",
        )

    def unclear(self, mark: Mark, message: str, hint: str) -> None:
        frame = self.frame
        if frame is not None and isinstance(frame.key, str) and message == "there is no value here":
            key = frame.marks.keys[frame.key]
            self.report(key, f'"{frame.key}" has no value', hint)
            return
        self.report(mark, message, hint)

    def name(self, frame: _Frame, key: Any, mark: Mark) -> None:
        if type(key) is not str:
            self.hide(frame)
            if key is not BROKEN:
                self.report(mark, "keys are text", f'put it in quotes: "{str(key).lower()}"')
        elif key == "<<":
            self.hide(frame)
            self.report(mark, "merge keys (<<) are not supported", "write the values out")
        elif key in frame.marks.keys:
            frame.key = _DROPPED
            first = frame.marks.keys[key]
            self.report(
                mark,
                f'"{key}" is given twice; the first is in line {first.line + 1}',
                "keep one; merge the two if both are meant",
            )
        else:
            frame.key = key
            frame.marks.keys[key] = mark

    def hide(self, frame: _Frame) -> None:
        """Leave a key and its value out, but leave a sign: what is missing afterwards is not the admin's mistake."""
        frame.key = _DROPPED
        frame.value[f"{HIDDEN}{len(frame.value)}"] = BROKEN

    def add(self, value: Any, marks: Any, start: Mark) -> None:
        frame = self.frame
        if frame is None:
            self.document.value = value
            self.document.marks = marks
        elif type(frame.value) is list:
            frame.marks.values[len(frame.value)] = marks
            frame.value.append(value)
        elif frame.key is None:
            self.stop(start, "keys are text, not lists or mappings", "is there a stray “?”, “[” or “{”?")
        else:
            if frame.key is not _DROPPED:
                frame.value[frame.key] = value
                frame.marks.values[frame.key] = marks
            frame.key = None

    def open_mapping(self, event: Any) -> None:
        self.open(event, {})

    def open_sequence(self, event: Any) -> None:
        self.open(event, [])

    def open(self, event: Any, value: Any) -> None:
        if event.anchor is not None or event.tag is not None:
            self.decorated(event)
        if len(self.stack) >= DEEPEST:
            self.stop(event.start_mark, f"nested more than {DEEPEST} deep", "no part of the configuration is that deep")
        frame = _Frame(value, event.start_mark)
        self.add(value, frame.marks, event.start_mark)
        # the container below waits for its next key while this one is filled
        self.stack.append(frame)
        self.frame = frame

    def close(self, _event: Any) -> None:
        self.stack.pop()
        self.frame = self.stack[-1] if self.stack else None

    def alias(self, event: Any) -> None:
        self.report(event.start_mark, f"aliases (*{event.anchor}) are not supported", "write the value out")
        self.add(BROKEN, event.start_mark, event.start_mark)

    def decorated(self, event: Any) -> None:
        if event.anchor is not None:
            self.report(
                event.start_mark, f"anchors (&{event.anchor}) are not supported", "write values out where they are used"
            )
        if event.tag is not None:
            self.report(event.start_mark, "tags (!…) are not supported", "remove the tag; use quotes for text")

    def document_start(self, event: Any) -> None:
        self.documents += 1
        if self.documents > 1:
            self.stop(event.start_mark, "a second document begins here", "one file holds one document: use two files")


_HANDLERS = {
    ScalarEvent: _Builder.scalar,
    MappingStartEvent: _Builder.open_mapping,
    SequenceStartEvent: _Builder.open_sequence,
    MappingEndEvent: _Builder.close,
    SequenceEndEvent: _Builder.close,
    AliasEvent: _Builder.alias,
    DocumentStartEvent: _Builder.document_start,
}


def parse(data: bytes, file: str) -> Document:
    """Read one YAML file. Never raises for what is in the data: mistakes are in `.problems` of what is returned.

    `file` is the name shown in problems.
    """
    try:
        text = data[: LARGEST_FILE + 1].decode("utf-8-sig")
    except UnicodeDecodeError as why:
        document = Document(file, "")
        line = data.count(b"\n", 0, why.start) + 1
        document.problem_at(line, 1, "this line is not UTF-8 text", "save the file as UTF-8")
        return document
    document = Document(file, text.replace("\r\n", "\n"))
    if len(data) > LARGEST_FILE:
        document.problem_at(
            0, 0, f"the file is larger than {LARGEST_FILE >> 20} MiB", "use several files in the routes folder"
        )
    elif _no_strange_characters(document):
        _build(document)
    return document


def _build(document: Document) -> None:
    builder = _Builder(document)
    loader = yaml.CSafeLoader(document.text)
    handlers = _HANDLERS
    try:
        while (event := loader.get_event()) is not None:
            handler = handlers.get(type(event))
            if handler is not None:
                handler(builder, event)
    except yaml.YAMLError as error:
        document.value = BROKEN
        _report_syntax(document, error)
    except _TooBroken:
        document.value = BROKEN
    else:
        if not builder.documents:
            document.problem_at(0, 0, "the file is empty", "see the commented example in config/")
    finally:
        loader.dispose()


# --- what is not YAML, or not visible ----------------------------------------------------------------------------

_STRANGE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffe\uffff\U000e0000-\U000e007f]"
)


def _no_strange_characters(document: Document) -> bool:
    match = _STRANGE.search(document.text)
    if match is None:
        return True
    line = document.text.count("\n", 0, match.start()) + 1
    column = match.start() - (document.text.rfind("\n", 0, match.start()) + 1) + 1
    document.problem_at(
        line, column, f"there is an invisible character here (U+{ord(match[0]):04X})", "remove it", show=False
    )
    return False


_ADVICE = {
    "mapping values are not allowed": "check the indentation of this line; put text that holds “: ” in quotes",
    "cannot start any token": "indent with spaces, not tabs; put text that begins with @, ` or % in quotes",
    "could not find expected ':'": "a key needs a colon and a blank after it; is a quote missing?",
    "did not find expected key": "is this line indented like its neighbours? is a quote or bracket missing?",
    "did not find expected '-'": "is this line indented like its neighbours?",
    "unexpected end of stream": "a quote is opened and never closed",
    "did not find expected ',' or": "a bracket is opened and never closed, or a comma is missing",
}


def _report_syntax(document: Document, error: yaml.YAMLError) -> None:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "this is not YAML"
    hint = next((advice for words, advice in _ADVICE.items() if words in problem), "")
    if mark is None:
        document.problem_at(0, 0, f"not YAML: {problem}", hint)
    else:
        document.problem_at(mark.line + 1, mark.column + 1, f"not YAML: {problem}", hint)
