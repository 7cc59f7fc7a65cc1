"""`migrate policy lsp`: the language server, on standard input and output."""

from __future__ import annotations

import contextlib
import sys

import click


@click.command()
@click.option("--stdio", is_flag=True, help="Talk on standard input and output; there is no other way.")
def lsp(stdio: bool) -> None:
    """Serve an editor by the language server protocol.

    Editors start this themselves: it shows mistakes while you type, explains words, completes
    them, finds where a set is defined, lays files out and offers corrections. It reads policy files
    and never writes one. `docs/editors.md` says how to set up the common editors.

    \b
    Examples:
      migrate policy lsp            # what an editor is told to start
      migrate policy lsp --stdio    # the same, for editors that add the option
    """  # noqa: D301
    from migrated.editor.features import create_server

    output = sys.stdout.buffer
    # What a plugin prints must not get between the messages.
    with contextlib.redirect_stdout(sys.stderr):
        create_server().start_io(stdout=output)
