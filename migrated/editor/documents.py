"""The files that an editor has open, as it shows them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from policylang.editing import Encoding, Text
from policylang.loader import MAX_POLICY_BYTES, Reader, read_bytes

_MARK = "\ufeff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file that is open.

    Attributes:
        uri: The editor's name for it.
        path: The file, all links resolved; for a text that has no file yet, one that does not exist.
        text: What the editor shows.
        version: The editor's number for this state of it.
    """

    uri: str
    path: Path
    text: Text
    version: int | None

    @property
    def oversized(self) -> bool:
        """Whether it is too large to be a policy: it then gets this message and nothing else."""
        return len(self.text.text) > MAX_POLICY_BYTES


class Documents:
    """The files that an editor has open."""

    def __init__(self) -> None:
        self.encoding = Encoding.UTF_16
        self._open: dict[Path, Document] = {}

    def put(self, uri: str, text: str, version: int | None) -> None:
        """Take in a file that was opened or changed."""
        # A byte order mark is no part of a policy; a blank in its place keeps all others where they are.
        shown = f" {text[1:]}" if text.startswith(_MARK) else text
        path = path_of(uri)
        self._open[path] = Document(uri=uri, path=path, text=Text(shown, self.encoding), version=version)

    def remove(self, uri: str) -> None:
        """Forget a file that was closed; one that is not open is ignored."""
        self._open.pop(path_of(uri), None)

    def at(self, uri: str) -> Document | None:
        """Return an open file by its name; ``None`` if it is not open."""
        return self._open.get(path_of(uri))

    def uri_of(self, path: Path) -> str:
        """Return the editor's name for a file, open or not."""
        document = self._open.get(path)
        return document.uri if document else path.as_uri()

    def version_of(self, path: Path) -> int | None:
        """Return the editor's number for the state of a file; ``None`` if it is not open."""
        document = self._open.get(path)
        return document.version if document else None

    def texts(self) -> Mapping[Path, str]:
        """Return what the editor shows now, by file."""
        return {path: document.text.text for path, document in self._open.items()}


def path_of(uri: str) -> Path:
    """Return the file that an editor names, all links resolved.

    A text that has no file yet is as one in the working folder.
    """
    parts = urlsplit(uri)
    path = unquote(parts.path) if parts.scheme == "file" else unquote(uri)
    return real_path(path.replace("\0", "%00"))  # no file has a null character in its name


def real_path(path: str | Path) -> Path:
    """Return a path with all links resolved, also where there is no such file."""
    return Path(os.path.realpath(path))


def overlay(texts: Mapping[Path, str]) -> Reader:
    """Return a reader of files that prefers what an editor shows to what is on the disk."""

    def read(path: Path) -> bytes:
        text = texts.get(real_path(path))
        return read_bytes(path) if text is None else text.encode("utf-8", "surrogatepass")

    return read
