"""Our values as those of the Language Server Protocol.

Source: Language Server Protocol 3.17.
"""

from __future__ import annotations

from lsprotocol import types

from policylang.diagnostics import Diagnostic, Severity
from policylang.editing import Completion, Edit, Hover, Kind, Position, Symbol, SymbolKind, Text

SOURCE = "migrate"
"""Who says so, in the editor's list of problems."""

_SEVERITY = {
    Severity.ERROR: types.DiagnosticSeverity.Error,
    Severity.WARNING: types.DiagnosticSeverity.Warning,
}
_COMPLETION = {
    Kind.STATEMENT: types.CompletionItemKind.Keyword,
    Kind.KEY: types.CompletionItemKind.Property,
    Kind.WORD: types.CompletionItemKind.Keyword,
    Kind.FACT: types.CompletionItemKind.Variable,
    Kind.OPERATOR: types.CompletionItemKind.Operator,
    Kind.UNIT: types.CompletionItemKind.Unit,
    Kind.VALUE: types.CompletionItemKind.EnumMember,
    Kind.SERVICE: types.CompletionItemKind.Constant,
    Kind.INTERFACE: types.CompletionItemKind.Reference,
    Kind.SET: types.CompletionItemKind.Class,
}
_SYMBOL = {
    SymbolKind.BLOCK: types.SymbolKind.Namespace,
    SymbolKind.SET: types.SymbolKind.Constant,
    SymbolKind.INCLUDE: types.SymbolKind.File,
    SymbolKind.CONDITION: types.SymbolKind.Event,
}


def offset_of(text: Text, position: types.Position) -> int:
    """Return the offset of an editor's position."""
    return text.offset(Position(position.line, position.character))


def range_of(text: Text, start: int, end: int) -> types.Range:
    """Return the editor's range from one offset to another."""
    return types.Range(_position(text, start), _position(text, end))


def diagnostic_of(diagnostic: Diagnostic, text: Text) -> types.Diagnostic:
    """Return a diagnostic, its hint in a line of its own."""
    message = f"{diagnostic.message}\n{diagnostic.hint}" if diagnostic.hint else diagnostic.message
    return types.Diagnostic(
        range=range_of(text, *text.span_offsets(diagnostic.span)),
        message=message,
        severity=_SEVERITY[diagnostic.severity],
        code=diagnostic.code,
        source=SOURCE,
    )


def hover_of(hover: Hover, text: Text) -> types.Hover:
    """Return what is shown about a word."""
    content = types.MarkupContent(kind=types.MarkupKind.Markdown, value=hover.markdown)
    return types.Hover(contents=content, range=range_of(text, hover.start, hover.end))


def completion_of(completion: Completion, text: Text, offset: int) -> types.CompletionItem:
    """Return what may be written at an offset."""
    markdown = types.MarkupContent(kind=types.MarkupKind.Markdown, value=completion.markdown)
    return types.CompletionItem(
        label=completion.text,
        kind=_COMPLETION[completion.kind],
        detail=completion.detail or None,
        documentation=markdown if completion.markdown else None,
        # Editors disagree about what a word is: `score-interface` and `$office` are not in many of them.
        text_edit=types.TextEdit(range_of(text, completion.start, offset), completion.text),
    )


def symbol_of(symbol: Symbol, text: Text) -> types.DocumentSymbol:
    """Return an entry of the outline with all that is inside."""
    return types.DocumentSymbol(
        name=symbol.name,
        kind=_SYMBOL[symbol.kind],
        range=range_of(text, symbol.start, symbol.end),
        selection_range=range_of(text, symbol.start, symbol.head_end),
        children=[symbol_of(child, text) for child in symbol.children],
    )


def edit_of(edit: Edit, text: Text) -> types.TextEdit:
    """Return an edit of a text."""
    return types.TextEdit(range_of(text, edit.start, edit.end), edit.text)


def _position(text: Text, offset: int) -> types.Position:
    position = text.position(offset)
    return types.Position(position.line, position.character)
