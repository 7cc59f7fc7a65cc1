"""The language server itself: requests of the editor in, answers of `policylang.editing` out.

Diagnostics are sent when nothing was typed for a while. They are made in a thread, one check at a time, so
that questions are answered meanwhile; what was typed during a check makes another one.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from migrated.editor.analysis import Analysis, analyse
from migrated.editor.convert import diagnostic_of, range_of
from migrated.editor.documents import Document, Documents, real_path
from migrated.facts import known_facts
from policylang.editing import Encoding, Surroundings, Text
from policylang.loader import service_port
from policylang.services import WELL_KNOWN_SERVICES

DEBOUNCE_S = 0.15
"""How long nothing must have been typed before the policies are checked."""


class PolicyServer(LanguageServer):
    """A language server with the files that its editor has open, and what was found in them."""

    def __init__(self) -> None:
        # Whole texts: the library counts the lines of partial ones by other rules than the protocol.
        super().__init__(
            "migrate policy lsp",
            version("migrate-sessions"),
            text_document_sync_kind=types.TextDocumentSyncKind.Full,
        )
        self.documents = Documents()
        self._state = 0  # counts the changes
        self._analysed = -1  # the state that the analysis is of
        self._analysis = Analysis()
        self._due: asyncio.TimerHandle | None = None
        self._checking: asyncio.Task[None] | None = None
        self._published: dict[Path, types.PublishDiagnosticsParams] = {}

    def changed(self) -> None:
        """Note that a file was opened, changed, saved or closed; the policies will be checked soon."""
        self._state += 1
        if self._due is not None:
            self._due.cancel()
        self._due = asyncio.get_running_loop().call_later(DEBOUNCE_S, self._check)

    async def analysis(self) -> Analysis:
        """Return what is found in the files as they are when this returns."""
        while self._analysed != self._state:
            # A request that is cancelled takes no check with it that others wait for.
            await asyncio.shield(self._check())
        return self._analysis

    def take_in(self, uri: str) -> None:
        """Take over a file as the editor shows it now."""
        self.documents.encoding = Encoding(self.workspace.position_encoding)
        shown = self.workspace.get_text_document(uri)
        self.documents.put(uri, shown.source, shown.version)
        self.changed()

    def document(self, identifier: types.TextDocumentIdentifier) -> Document | None:
        """Return an open file; ``None`` for one that is not open or too large to be a policy."""
        document = self.documents.at(identifier.uri)
        return None if document is None or document.oversized else document

    def surroundings(self, document: Document) -> Surroundings:
        """Return what is known of the host and the other files of the policy that a file is part of."""
        return Surroundings(
            texts={file: text.text for file, text in self.texts(document).items()},
            facts=known_facts,
            service_port=service_port,
            interfaces=interfaces,
            services=tuple(WELL_KNOWN_SERVICES),
        )

    def texts(self, document: Document) -> dict[str, Text]:
        """Return the texts of the policy that a file is part of, by the names of the files.

        Which files these are is told by the latest analysis, which may be a little older than the text.
        """
        shown = self.documents.texts()
        found: dict[Path, str] = {}
        for source in self._analysis.policy_with(document.path):
            path = real_path(source.file)
            found[path] = shown.get(path, source.text or "")
        found.setdefault(document.path, document.text.text)
        return {str(path): Text(text, document.text.encoding) for path, text in found.items()}

    def location(self, path: Path, text: Text, start: int, end: int) -> types.Location:
        """Return a place in a file as the editor names it."""
        return types.Location(self.documents.uri_of(path), range_of(text, start, end))

    def _check(self) -> asyncio.Task[None]:
        """Start a check, unless one is running."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._checking is None or self._checking.done():
            self._checking = asyncio.get_running_loop().create_task(self._check_and_publish())
        return self._checking

    async def _check_and_publish(self) -> None:
        while self._analysed != self._state and self._due is None:
            state, texts = self._state, dict(self.documents.texts())
            analysis = await asyncio.to_thread(_analyse, texts)
            if state == self._state:
                self._analysed, self._analysis = state, analysis
                self._publish()

    def _publish(self) -> None:
        """Send what changed, and nothing for the files that are not part of a policy any more."""
        new = {path: self._message(path) for path in self._analysis.diagnostics}
        gone = {
            path: types.PublishDiagnosticsParams(message.uri, []) for path, message in self._published.items()
        }
        for path, message in {**gone, **new}.items():
            if self._published.get(path) != message:
                self.text_document_publish_diagnostics(message)
        self._published = new

    def _message(self, path: Path) -> types.PublishDiagnosticsParams:
        text = Text(self._text(path), self.documents.encoding)
        found = [diagnostic_of(d, text) for d in self._analysis.diagnostics[path]]
        return types.PublishDiagnosticsParams(
            self.documents.uri_of(path), found, self.documents.version_of(path)
        )

    def _text(self, path: Path) -> str:
        shown = self.documents.texts().get(path)
        if shown is not None:
            return shown
        files: Iterable[str | None] = (
            s.text for s in self._analysis.policy_with(path) if real_path(s.file) == path
        )
        return next((text for text in files if text is not None), "")


def interfaces() -> tuple[str, ...]:
    """Return the names of this host's interfaces but for the loopback, in alphabetical order."""
    return tuple(sorted(name for _, name in socket.if_nameindex() if name != "lo"))


def _analyse(texts: dict[Path, str]) -> Analysis:
    return analyse(texts, facts=known_facts, interfaces=frozenset(interfaces()))
