"""What the language server can do: one function for each request and notification.

Source: Language Server Protocol 3.17, "Language Features".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams

from migrated.editor.analysis import Analysis
from migrated.editor.convert import (
    completion_of,
    diagnostic_of,
    edit_of,
    hover_of,
    offset_of,
    range_of,
    symbol_of,
)
from migrated.editor.documents import Document, real_path
from migrated.editor.server import PolicyServer
from policylang.editing import Kind, Text, complete, correction, difference, hover, outline
from policylang.editing.scan import (
    NAME,
    NamedSet,
    Scrap,
    include_at,
    named_set_at,
    named_sets,
    set_definitions,
)
from policylang.expected import RESERVED
from policylang.formatting import format_policy


def create_server() -> PolicyServer:
    """Return a language server that is ready to be started."""
    server = PolicyServer()
    for method, (handler, options) in _FEATURES.items():
        server.feature(method, options)(handler)
    return server


def _opened(ls: PolicyServer, params: types.DidOpenTextDocumentParams) -> None:
    ls.take_in(params.text_document.uri)


def _changed(ls: PolicyServer, params: types.DidChangeTextDocumentParams) -> None:
    if ls.documents.at(params.text_document.uri) is not None:
        ls.take_in(params.text_document.uri)


def _closed(ls: PolicyServer, params: types.DidCloseTextDocumentParams) -> None:
    ls.documents.remove(params.text_document.uri)
    ls.changed()


def _files_changed(
    ls: PolicyServer, params: types.DidSaveTextDocumentParams | types.DidChangeWatchedFilesParams
) -> None:
    # A file that is included, or one that includes an open one, may be another now.
    ls.changed()


def _hover(ls: PolicyServer, params: types.HoverParams) -> types.Hover | None:
    document = ls.document(params.text_document)
    if document is None:
        return None
    text = document.text
    found = hover(text.text, offset_of(text, params.position), ls.surroundings(document))
    return hover_of(found, text) if found else None


def _completion(ls: PolicyServer, params: types.CompletionParams) -> types.CompletionList | None:
    document = ls.document(params.text_document)
    if document is None:
        return None
    text = document.text
    offset = offset_of(text, params.position)
    offered = complete(text.text, offset, ls.surroundings(document))
    # What is offered for a number begins with its digits: the editor must ask again after the next.
    incomplete = any(one.kind is Kind.UNIT for one in offered)
    return types.CompletionList(incomplete, [completion_of(one, text, offset) for one in offered])


async def _definition(ls: PolicyServer, params: types.DefinitionParams) -> list[types.Location]:
    analysis = await ls.analysis()
    document = ls.document(params.text_document)
    if document is None:
        return []
    offset = offset_of(document.text, params.position)
    named = named_set_at(document.text.text, offset)
    if named is not None:
        return list(_definitions(ls, document, named.name))
    include = include_at(document.text.text, offset)
    return list(_included(ls, document, include, analysis)) if include else []


def _definitions(ls: PolicyServer, document: Document, name: str) -> Iterator[types.Location]:
    for file, text in ls.texts(document).items():
        for definition in set_definitions(text.text):
            if definition.name == name:
                start = definition.name_start
                yield ls.location(Path(file), text, start, start + len(name))


def _included(
    ls: PolicyServer, document: Document, include: Scrap, analysis: Analysis
) -> Iterator[types.Location]:
    for source in analysis.policy_with(document.path):
        place = source.included_by
        if place is None or source.text is None or real_path(place.file) != document.path:
            continue
        start, end = document.text.span_offsets(place)
        if start <= include.start < end:
            yield ls.location(real_path(source.file), Text(source.text), 0, 0)


async def _references(ls: PolicyServer, params: types.ReferenceParams) -> list[types.Location]:
    await ls.analysis()
    document, named = _named(ls, params)
    if document is None or named is None:
        return []
    return [
        ls.location(Path(file), text, place.start, place.end)
        for file, text in ls.texts(document).items()
        for place in named_sets(text.text)
        if place.name == named.name and (params.context.include_declaration or place.used)
    ]


def _named(
    ls: PolicyServer, params: types.ReferenceParams | types.PrepareRenameParams | types.RenameParams
) -> tuple[Document | None, NamedSet | None]:
    """Return the file that a request is about, and the set that is named at its place."""
    document = ls.document(params.text_document)
    if document is None:
        return None, None
    return document, named_set_at(document.text.text, offset_of(document.text, params.position))


def _prepare_rename(ls: PolicyServer, params: types.PrepareRenameParams) -> types.Range | None:
    document, named = _named(ls, params)
    return range_of(document.text, named.first, named.end) if document and named else None


async def _rename(ls: PolicyServer, params: types.RenameParams) -> types.WorkspaceEdit | None:
    await ls.analysis()
    document, named = _named(ls, params)
    if document is None or named is None:
        return None
    texts = ls.texts(document)
    new = params.new_name.removeprefix("$")
    _refuse_bad_name(new, {place.name for text in texts.values() for place in named_sets(text.text)})
    edits = {
        ls.documents.uri_of(Path(file)): [
            types.TextEdit(range_of(text, place.start, place.end), new)
            for place in named_sets(text.text)
            if place.name == named.name
        ]
        for file, text in texts.items()
    }
    return types.WorkspaceEdit(changes={uri: listed for uri, listed in edits.items() if listed})


def _refuse_bad_name(name: str, taken: set[str]) -> None:
    if not NAME.fullmatch(name) or name in RESERVED:
        raise JsonRpcInvalidParams(
            f"`{name}` can't be the name of a set: write letters, digits, `-` and `_`, a letter first"
        )
    if name in taken:
        raise JsonRpcInvalidParams(f"there is a set `${name}` already")


def _symbols(ls: PolicyServer, params: types.DocumentSymbolParams) -> list[types.DocumentSymbol]:
    document = ls.document(params.text_document)
    if document is None:
        return []
    return [symbol_of(symbol, document.text) for symbol in outline(document.text.text)]


def _formatting(ls: PolicyServer, params: types.DocumentFormattingParams) -> list[types.TextEdit]:
    """Return the edit that lays the file out; none for one with mistakes, which the diagnostics name."""
    document = ls.document(params.text_document)
    if document is None:
        return []
    new = format_policy(document.text.text, str(document.path)).text
    edit = None if new is None else difference(document.text.text, new)
    return [edit_of(edit, document.text)] if edit else []


async def _code_actions(ls: PolicyServer, params: types.CodeActionParams) -> list[types.CodeAction]:
    analysis = await ls.analysis()
    document = ls.document(params.text_document)
    if document is None:
        return []
    text = document.text
    first, last = offset_of(text, params.range.start), offset_of(text, params.range.end)
    actions = []
    for diagnostic in analysis.diagnostics.get(document.path, ()):
        edit = correction(diagnostic, text)
        if edit is not None and edit.start <= last and first <= edit.end:
            action = types.CodeAction(
                title=f"Write `{edit.text}`",
                kind=types.CodeActionKind.QuickFix,
                diagnostics=[diagnostic_of(diagnostic, text)],
                edit=types.WorkspaceEdit(changes={document.uri: [edit_of(edit, text)]}),
                is_preferred=True,
            )
            actions.append(action)
    return actions


_QUICK_FIXES = types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.QuickFix])
# Characters of words that some editors take for the end of one.
_COMPLETION = types.CompletionOptions(trigger_characters=["$", "-", "."])

_FEATURES: dict[str, tuple[Callable[..., Any], Any]] = {
    types.TEXT_DOCUMENT_DID_OPEN: (_opened, None),
    types.TEXT_DOCUMENT_DID_CHANGE: (_changed, None),
    types.TEXT_DOCUMENT_DID_CLOSE: (_closed, None),
    types.TEXT_DOCUMENT_DID_SAVE: (_files_changed, None),
    types.WORKSPACE_DID_CHANGE_WATCHED_FILES: (_files_changed, None),
    types.TEXT_DOCUMENT_HOVER: (_hover, None),
    types.TEXT_DOCUMENT_COMPLETION: (_completion, _COMPLETION),
    types.TEXT_DOCUMENT_DEFINITION: (_definition, None),
    types.TEXT_DOCUMENT_REFERENCES: (_references, None),
    types.TEXT_DOCUMENT_PREPARE_RENAME: (_prepare_rename, None),
    types.TEXT_DOCUMENT_RENAME: (_rename, None),
    types.TEXT_DOCUMENT_DOCUMENT_SYMBOL: (_symbols, None),
    types.TEXT_DOCUMENT_FORMATTING: (_formatting, None),
    types.TEXT_DOCUMENT_CODE_ACTION: (_code_actions, _QUICK_FIXES),
}
