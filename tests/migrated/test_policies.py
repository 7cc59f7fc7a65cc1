from __future__ import annotations

import os
from pathlib import Path

import pytest

from migrated.policies import Outcome, PolicyInForce
from monitors.facts import FactTable
from policylang.ast import Layer
from policylang.loader import PolicyFile, standard_facts


def write(folder: Path, name: str, body: str) -> Path:
    file = folder / name
    file.write_text(f"monitor-policy {{ {body} }}\n")
    return file


def test_without_files_the_shipped_policy_is_in_force() -> None:
    policies = PolicyInForce(standard_facts)
    assert policies.take(policies.read([])) is Outcome.UNCHANGED
    (file,) = policies.report().files
    assert (file.layer, file.included_by) == ("default", "")
    assert policies.report().generation == 0


def test_the_report_names_layers_and_includes(tmp_path: Path) -> None:
    part = write(tmp_path, "part.inc", "margin 3")
    files = [
        PolicyFile(path=write(tmp_path, "app.policy", "adopt"), layer=Layer.APPLICATION),
        PolicyFile(path=write(tmp_path, "own.policy", 'include "part.inc"'), layer=Layer.USER),
        PolicyFile(path=write(tmp_path, "host.policy", "margin 2"), layer=Layer.SYSTEM),
    ]
    policies = PolicyInForce(standard_facts)
    assert policies.take(policies.read(files)) is Outcome.LOADED
    shown = [(Path(file.file).name, file.layer, file.included_by) for file in policies.report().files[1:]]
    assert shown == [
        ("host.policy", "system", ""),
        ("own.policy", "user", ""),
        ("part.inc", "user", f"{tmp_path}/own.policy:1"),
        ("app.policy", "application", ""),
    ]
    assert policies.report().files[3].text == part.read_text()
    assert policies.patterns == {str(part)}


def test_patterns_of_a_refused_policy_are_watched_beside_those_in_force(tmp_path: Path) -> None:
    policies = PolicyInForce(standard_facts)
    file = PolicyFile(path=write(tmp_path, "a.policy", 'include "one/*.inc"'))
    policies.take(policies.read([file]))
    write(tmp_path, "a.policy", 'include "two/*.inc" marjin 3')
    assert policies.take(policies.read([file])) is Outcome.REFUSED
    assert policies.patterns == {f"{tmp_path}/one/*.inc", f"{tmp_path}/two/*.inc"}


def test_a_file_that_is_missing_is_an_error_of_the_file_as_a_whole(tmp_path: Path) -> None:
    policies = PolicyInForce(standard_facts)
    missing = PolicyFile(path=tmp_path / "none.policy")
    assert policies.take(policies.read([missing])) is Outcome.REFUSED
    assert policies.last_error == f"{tmp_path}/none.policy: cannot read this file: no such file or directory"
    assert policies.report().files[0].layer == "default"


def test_a_mistake_is_told_once_as_long_as_it_is_the_same(tmp_path: Path) -> None:
    policies = PolicyInForce(standard_facts)
    file = PolicyFile(path=write(tmp_path, "a.policy", "marjin 3"))
    assert policies.take(policies.read([file])) is Outcome.REFUSED
    assert policies.take(policies.read([file])) is Outcome.UNCHANGED
    assert policies.last_error
    assert policies.take(policies.read([file]), forced=True) is Outcome.REFUSED
    write(tmp_path, "a.policy", "margin 3")
    assert policies.take(policies.read([file])) is Outcome.LOADED
    assert (policies.last_error, policies.generation) == ("", 1)


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the facts that the warnings since the last call are about."""
    told = [record.getMessage().split("`")[1] for record in caplog.records]
    caplog.clear()
    return told


def test_a_warning_is_told_when_it_is_new(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    policies = PolicyInForce(FactTable)
    file = PolicyFile(path=tmp_path / "a.policy")
    rtt, loss = "when acme.rtt > 1 migrate never", "when acme.loss > 1 adopt"

    def told_of(body: str) -> list[str]:
        write(tmp_path, "a.policy", body)
        policies.take(policies.read([file]), forced=True)
        return warned(caplog)

    assert told_of(rtt) == ["acme.rtt"]
    assert told_of(f"margin 2\n\n{rtt}") == []
    assert told_of(f"{rtt} {loss}") == ["acme.loss"]
    assert told_of(f"margin -2 {rtt}") == ["-2"]
    assert told_of(f"{rtt} {loss}") == []
    assert told_of(loss) == []
    assert told_of(rtt) == ["acme.rtt"]


def test_a_pipe_among_the_files_is_refused_and_holds_nothing_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.policy")
    held = os.open(tmp_path / "pipe.policy", os.O_RDWR)  # a writer that never says anything
    try:
        policies = PolicyInForce(standard_facts)
        read = policies.read([PolicyFile(path=tmp_path / "pipe.policy")])
        assert policies.take(read) is Outcome.REFUSED
    finally:
        os.close(held)
    assert policies.last_error == f"{tmp_path}/pipe.policy: cannot read this file: it is not a regular file"
