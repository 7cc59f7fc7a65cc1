from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

COMMAND: Final = [sys.executable, "-c", "from migrated.commands import main; main()", "policy", "lsp"]

SETS = "define office = 192.0.2.0/24, 10.0.0.0/8\n"
MAIN = """\
include "sets.policy"
monitor-policy {
    # 😀😀 half of the messages are about this place:
    on remote-ip $office {
      on proto tcp score-interface eth* 10
    }
    when rtt > 300ms score-interface current -5
}
"""


class Editor:
    """The other end of the conversation, as small as it can be."""

    def __init__(self, *options: str, encodings: tuple[str, ...] = ()) -> None:
        self._server = subprocess.Popen([*COMMAND, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._asked = 0
        self.notes: list[dict[str, Any]] = []
        general = {"general": {"positionEncodings": list(encodings)}} if encodings else {}
        self.capabilities = self.ask("initialize", processId=None, rootUri=None, capabilities=general)[
            "capabilities"
        ]
        self.tell("initialized")

    def tell(self, method: str, **params: Any) -> None:
        self._send({"jsonrpc": "2.0", "method": method, "params": params})

    def ask(self, method: str, **params: Any) -> Any:
        """Return the answer; raise what the server says against it."""
        self._asked += 1
        self._send({"jsonrpc": "2.0", "id": self._asked, "method": method, "params": params})
        while (message := self._receive()).get("id") != self._asked:
            self.notes.append(message)
        if "error" in message:
            raise ValueError(message["error"]["message"])
        return message["result"]

    def about(self, method: str, file: Path, place: str = "", **params: Any) -> Any:
        """Ask about the place in a file that is behind ``place``."""
        if place:
            before = file.read_text().partition(place)[0] + place
            line = before.count("\n")
            character = len(before.rpartition("\n")[2].encode("utf-16-le")) // 2
            params["position"] = {"line": line, "character": character}
        return self.ask(f"textDocument/{method}", textDocument={"uri": file.as_uri()}, **params)

    def open(self, file: Path, text: str | None = None) -> None:
        shown = file.read_text() if text is None else text
        item = {"uri": file.as_uri(), "languageId": "migrate-policy", "version": 1, "text": shown}
        self.tell("textDocument/didOpen", textDocument=item)

    def change(self, file: Path, text: str, version: int) -> None:
        document = {"uri": file.as_uri(), "version": version}
        self.tell("textDocument/didChange", textDocument=document, contentChanges=[{"text": text}])

    def published(self, file: Path) -> list[dict[str, Any]]:
        """Return the next diagnostics of a file."""
        while True:
            message = self.notes.pop(0) if self.notes else self._receive()
            params = message.get("params", {})
            if message.get("method") == "textDocument/publishDiagnostics" and params["uri"] == file.as_uri():
                found: list[dict[str, Any]] = params["diagnostics"]
                return found

    def close(self) -> int:
        """End the server as an editor does and return its exit status."""
        assert self.ask("shutdown") is None
        self.tell("exit")
        return self.wait()

    def wait(self) -> int:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        status = self._server.wait(60)
        self._server.stdout.close()  # not before: what was still to be said would be a failure of the server
        return status

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps(message).encode()
        self.send_raw(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def send_raw(self, data: bytes) -> None:
        assert self._server.stdin is not None
        self._server.stdin.write(data)
        self._server.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        assert self._server.stdout is not None
        length = 0
        while header := self._server.stdout.readline().strip():
            name, _, value = header.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        assert length, "the server has ended"
        message: dict[str, Any] = json.loads(self._server.stdout.read(length))
        return message


@pytest.fixture
def main(tmp_path: Path) -> Path:
    (tmp_path / "sets.policy").write_text(SETS)
    file = tmp_path / "main.policy"
    file.write_text(MAIN)
    return file


@pytest.fixture
def editor() -> Iterator[Editor]:
    editor = Editor("--stdio")
    yield editor
    assert editor.close() == 0


def errors(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [diagnostic for diagnostic in found if diagnostic["severity"] == 1]


def spot(line: int, start: int, end: int) -> dict[str, dict[str, int]]:
    return {"start": {"line": line, "character": start}, "end": {"line": line, "character": end}}


def test_a_session_of_editing(editor: Editor, main: Path) -> None:
    editor.open(main)
    assert errors(editor.published(main)) == []

    editor.change(main, MAIN.replace("proto tcp", "proto tpc"), 2)
    (wrong,) = errors(editor.published(main))
    assert wrong["message"] == "`tpc` is not a protocol\ndid you mean `tcp`?"
    assert wrong["range"] == spot(4, 15, 18)
    (action,) = editor.about("codeAction", main, range=spot(4, 16, 16), context={"diagnostics": []})
    assert action["title"] == "Write `tcp`"
    assert action["edit"]["changes"] == {main.as_uri(): [{"range": spot(4, 15, 18), "newText": "tcp"}]}
    assert editor.about("codeAction", main, range=spot(0, 0, 0), context={"diagnostics": []}) == []

    editor.change(main, MAIN, 3)
    assert errors(editor.published(main)) == []


def test_questions_about_words(editor: Editor, main: Path) -> None:
    editor.open(main)
    editor.published(main)
    assert "round-trip time" in editor.about("hover", main, "when rt")["contents"]["value"]
    assert editor.about("hover", main, "half of") is None
    shown = editor.about("hover", main, "on remote-ip $off")
    assert "`192.0.2.0/24`, `10.0.0.0/8`" in shown["contents"]["value"]
    assert shown["range"] == spot(3, 17, 24)

    offered = editor.about("completion", main, "on proto t")
    assert {item["label"] for item in offered["items"]} == {"tcp", "udp", "not", "$office"}
    assert {item["textEdit"]["range"]["start"]["character"] for item in offered["items"]} == {15}
    offered = editor.about("completion", main, "when rtt > 300m")
    assert (offered["isIncomplete"], offered["items"][0]["label"]) == (True, "300ms")


def test_questions_about_places(editor: Editor, main: Path) -> None:
    sets = main.with_name("sets.policy")
    editor.open(main)
    definition = {"uri": sets.as_uri(), "range": spot(0, 7, 13)}
    use = {"uri": main.as_uri(), "range": spot(3, 18, 24)}
    assert editor.about("definition", main, "$off") == [definition]
    assert editor.about("definition", main, 'include "se') == [{"uri": sets.as_uri(), "range": spot(0, 0, 0)}]
    assert editor.about("definition", main, "on proto t") == []
    for declared, found in ((True, [use, definition]), (False, [use])):
        context = {"includeDeclaration": declared}
        assert editor.about("references", main, "$off", context=context) == found
    assert editor.about("prepareRename", main, "$off") == spot(3, 17, 24)
    edits = editor.about("rename", main, "$off", newName="$work")["changes"]
    assert edits == {
        main.as_uri(): [{"range": use["range"], "newText": "work"}],
        sets.as_uri(): [{"range": definition["range"], "newText": "work"}],
    }
    for name, problem in (("2nd", "can't be the name"), ("office", "there is a set"), ("on", "can't be")):
        with pytest.raises(ValueError, match=problem):
            editor.about("rename", main, "$off", newName=name)
    symbols = editor.about("documentSymbol", main)
    assert [symbol["name"] for symbol in symbols] == ["sets.policy", "monitor-policy"]
    assert [child["name"] for child in symbols[1]["children"]] == ["on remote-ip $office", "when rtt > 300ms"]


def test_laying_out(editor: Editor, main: Path) -> None:
    editor.open(main)
    options = {"tabSize": 8, "insertSpaces": False}
    (edit,) = editor.about("formatting", main, options=options)
    lines = MAIN.splitlines(keepends=True)
    first, last = edit["range"]["start"]["line"], edit["range"]["end"]["line"]
    assert (first, edit["range"]["start"]["character"], edit["range"]["end"]["character"]) == (4, 0, 0)
    new = "".join([*lines[:first], edit["newText"], *lines[last:]])
    editor.change(main, new, 2)
    assert editor.about("formatting", main, options=options) == []
    editor.change(main, "monitor-policy {", 3)
    assert editor.about("formatting", main, options=options) == []


def test_mistakes_in_files_that_are_not_open_come_and_go(editor: Editor, main: Path) -> None:
    sets = main.with_name("sets.policy")
    sets.write_text("define office = 10.0.0.0/8 define office = 10.0.0.0/8")
    editor.open(main)
    assert [d["code"] for d in editor.published(sets)] == ["redefined"]
    sets.write_text(SETS)
    editor.tell("workspace/didChangeWatchedFiles", changes=[{"uri": sets.as_uri(), "type": 2}])
    assert editor.published(sets) == []
    editor.change(main, "monitor-policy { margn 2 }", 2)
    assert len(editor.published(main)) == 1
    editor.tell("textDocument/didClose", textDocument={"uri": main.as_uri()})
    assert editor.published(main) == []


@pytest.mark.parametrize(("encoding", "column"), [("utf-8", 12), ("utf-16", 8), ("utf-32", 6)])
def test_columns_are_counted_as_agreed(tmp_path: Path, encoding: str, column: int) -> None:
    editor = Editor(encodings=(encoding,))
    assert editor.capabilities["positionEncoding"] == encoding
    file = tmp_path / "a.policy"
    editor.open(file, '"😀😀" x')
    assert editor.published(file)[0]["range"]["start"] == {"line": 0, "character": 0}
    editor.change(file, 'define a = "😀😀", nver monitor-policy { on user $b margin 1 }', 2)
    (undefined,) = editor.published(file)
    before = len('define a = "", nver monitor-policy { on user ')
    assert undefined["range"]["start"]["character"] == before + column - 4
    assert editor.close() == 0


def test_bad_requests_end_nothing(editor: Editor, main: Path) -> None:
    nowhere = main.with_name("nowhere.policy")
    assert editor.about("hover", nowhere, position={"line": 3, "character": 3}) is None
    assert editor.about("definition", nowhere, position={"line": 3, "character": 3}) == []
    editor.tell("textDocument/didClose", textDocument={"uri": nowhere.as_uri()})
    editor.tell(
        "textDocument/didChange", textDocument={"uri": nowhere.as_uri(), "version": 3}, contentChanges=[]
    )
    editor.tell("$/nonsense")
    with pytest.raises(ValueError, match="Method Not Found"):
        editor.ask("textDocument/nonsense")
    editor.send_raw(b"Content-Length: 9\r\n\r\n{nonsense")
    editor.open(main, "\ud83d" + "monitor-policy {" * 200)
    assert len(editor.published(main)) == 1
    assert editor.about("hover", main, position={"line": 99, "character": 99}) is None


def test_a_file_that_is_too_large_gets_one_message(editor: Editor, main: Path) -> None:
    editor.open(main, MAIN + "#" * (1 << 20))
    assert [d["code"] for d in editor.published(main)] == ["too-large"]
    assert editor.about("hover", main, "when rt") is None
    assert editor.about("documentSymbol", main) == []


def test_the_server_ends_with_its_editor() -> None:
    assert Editor().wait() == 0


def test_other_commands_do_not_pay_for_it() -> None:
    code = (
        "import sys; import migrated.commands.policy, migrated.commands.policy_lsp;"
        "print([name for name in ('pygls', 'lsprotocol', 'asyncio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
