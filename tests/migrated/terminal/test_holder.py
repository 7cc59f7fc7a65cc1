from __future__ import annotations

import asyncio
import os
import re
import termios
from pathlib import Path

import pytest

from migrated.terminal.attach import Destination, HolderKey, UnreachableHolderError, reach
from migrated.terminal.client import FAILED, End
from migrated.terminal.held import KILL_AFTER_S
from migrated.terminal.holder import IDLE_S, TICKET_S
from migrated.terminal.requests import (
    EXPIRE_S,
    Done,
    Kill,
    List,
    Open,
    Ready,
    Refused,
    TerminalList,
    TerminalReport,
)
from sessionlayer.protocol.keys import HostKey
from tests.migrated.terminal.rig import Rig, clock, run, until

HOUR_S = 3600.0
COUNT = "i=0; while [ $i -lt {0} ]; do echo number $i; i=$((i+1)); sleep {1}; done; echo done; read x; exit 7"

COUNT_WITH_A_REST = (
    "i=0; while [ $i -lt 200 ]; do echo number $i; i=$((i+1)); sleep 0.01;"
    "[ $i -eq 100 ] && until [ -e {} ]; do sleep 0.01; done; done; echo done; read x; exit 7"
)


def numbers(lines: list[str]) -> list[int]:
    return [int(line[7:]) for line in lines if re.fullmatch(r"number \d+", line)]


async def report(rig: Rig, name: str = "one") -> TerminalReport | None:
    answer = await rig.holder.answer(List())
    assert isinstance(answer, TerminalList)
    return next((terminal for terminal in answer.terminals if terminal.name == name), None)


async def state(rig: Rig, name: str = "one") -> str:
    found = await report(rig, name)
    return found.state if found else "gone"


async def reaches(rig: Rig, wanted: str) -> None:
    for _ in range(1000):
        if await state(rig) == wanted:
            return
        await asyncio.sleep(0.01)
    raise AssertionError((await state(rig), wanted))


def test_a_shell_runs_and_its_status_comes_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with Rig(tmp_path) as rig:
            person = await rig.person()
            await person.prompted()
            person.type("echo $((40+2)) $TERM $MIGRATE_TERMINAL; stty size\r")
            await person.sees("42 xterm one")
            await person.sees("10 60")
            person.type("exit 3\r")
            assert (await person.end()).status == 3
            assert termios.tcgetattr(person.slave) == person.before
            assert await state(rig) == "gone"

    run(story)


def test_an_hour_without_a_network_loses_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with Rig(tmp_path) as rig:
            person = await rig.person(command=COUNT_WITH_A_REST.format(tmp_path / "go"))
            await person.sees("number 10")
            rig.wire.cut()
            (tmp_path / "go").touch()
            clock().skip(HOUR_S)
            await reaches(rig, "suspended")
            await until(lambda: b"suspended for " in person.raw)
            seen = len(numbers(person.lines))
            clock().skip(HOUR_S)
            rig.wire.plug()
            await person.sees("done")
            assert seen < 200
            assert numbers(person.lines) == list(range(200))
            assert await state(rig) == "attached"
            person.type("\r")
            assert (await person.end()).status == 7

    run(story)


def test_another_terminal_after_the_client_was_killed(tmp_path: Path) -> None:
    async def story() -> None:
        async with Rig(tmp_path) as rig:
            first = await rig.person(command=COUNT.format(150, 0.01))
            await first.sees("number 20")
            rig.wire.cut()
            first.client.cancel()
            await asyncio.wait([first.client])
            rig.wire.plug()
            second = await rig.person(attach="one", rows=24, columns=80)
            await second.sees("done")
            assert numbers(second.lines) == list(range(150))
            second.type("\r")
            assert (await second.end()).status == 7

    run(story)


def test_the_screen_is_the_same_in_another_window_of_that_size(tmp_path: Path) -> None:
    async def story() -> None:
        async with Rig(tmp_path) as rig:
            first = await rig.person(
                command=r"seq 30; printf '\033[2J\033[3;5H\033[1mhere\033[m\033[?2004h'; read x; exit 0"
            )
            await until(lambda: first.raw.endswith(b"\x1b[?2004h"))
            first.type("~.")
            end = await first.end()
            assert end.status == 0
            assert "--attach one far" in end.message
            second = await rig.person(attach="one")
            await until(lambda: second.raw.endswith(b"\x1b[?2004h"))
            assert second.display[2] == "    here"
            assert second.display == ["", "", "    here", *[""] * 7]

    run(story)


def test_who_attaches_elsewhere_gets_the_terminal(tmp_path: Path) -> None:
    async def story() -> None:
        async with Rig(tmp_path) as rig:
            first = await rig.person()
            await first.prompted()
            second = await rig.person(attach="one", rows=12, columns=70)
            end = await first.end()
            assert (end.status, end.message) == (FAILED, "`one` on `far`: attached elsewhere")
            second.type("stty size\r")
            await second.sees("12 70")

    run(story)


def test_a_client_that_was_away_hears_that_it_lost_the_terminal(tmp_path: Path) -> None:
    async def story() -> None:
        async with Rig(tmp_path) as rig:
            first = await rig.person()
            await first.prompted()
            rig.wire.cut()
            clock().skip(10)
            await reaches(rig, "suspended")
            asked = asyncio.create_task(rig.person(attach="one"))
            second = await asked
            rig.wire.plug()
            await reaches(rig, "attached")
            assert "attached elsewhere" in (await first.end()).message
            await second.prompted()

    run(story)


def test_a_suspended_client_does_not_stop_the_shell_and_gets_the_screen_anew(tmp_path: Path) -> None:
    async def story() -> None:
        async with Rig(tmp_path, log_bytes=128 * 1024) as rig:
            person = await rig.person(command="read x; seq -f 'number %.0f' 0 29999; echo done; read x")
            await until(lambda: person.client.done() or bool(rig.holder._terminals))
            rig.wire.cut()
            person.type("\r")
            clock().skip(10)
            await reaches(rig, "suspended")
            rig.wire.plug()
            await person.sees("done")
            seen = numbers(person.lines)
            assert seen == sorted(set(seen))
            assert seen[-5000:] == list(range(25_000, 30_000))

    run(story)


def test_a_client_that_reads_nothing_stops_the_shell(tmp_path: Path) -> None:
    async def story() -> None:
        async with Rig(tmp_path, log_bytes=64 << 20) as rig:
            person = await rig.person(command="yes; read x")
            await person.sees("y")
            person.stop_looking()
            log = rig.holder._terminals["one"].log
            before = -1
            while log.end != before:
                before = log.end
                await asyncio.sleep(0.3)
            assert log.end < 16 << 20
            person.look_again()
            await until(lambda: log.end > before)

    run(story)


def test_a_terminal_expires(tmp_path: Path) -> None:
    async def story() -> None:
        async with Rig(tmp_path) as rig:
            person = await rig.person()
            await person.prompted()
            person.type("~.")
            await person.end()
            await reaches(rig, "detached")
            pid = rig.holder._terminals["one"].pid
            clock().skip(EXPIRE_S - 60)
            await asyncio.sleep(0.05)
            assert await state(rig) == "detached"
            clock().skip(120)
            await reaches(rig, "gone")
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)

    run(story)


def test_an_attached_terminal_does_not_expire(tmp_path: Path) -> None:
    async def story() -> None:
        async with Rig(tmp_path) as rig:
            person = await rig.person(expire_s=60.0)
            await person.prompted()
            for _ in range(60):
                clock().skip(2)
                await asyncio.sleep(0.01)
            person.type("echo $((1+1))\r")
            await person.sees("2")

    run(story)


def test_a_program_that_ends_while_nobody_is_there_is_kept_for_a_day(tmp_path: Path) -> None:
    async def story() -> None:
        async with Rig(tmp_path) as rig:
            person = await rig.person(command="read x; echo last words; exit 5")
            await until(lambda: bool(rig.holder._terminals))
            person.type("~.")
            await person.end()
            os.write(rig.holder._terminals["one"]._shell.master, b"\n")
            await reaches(rig, "ended")
            found = await report(rig)
            assert found is not None
            assert found.status == 5
            second = await rig.person(attach="one")
            assert (await second.end()).status == 5
            await second.sees("last words")
            assert await state(rig) == "gone"

    run(story)


def test_kill_is_gentle_first(tmp_path: Path) -> None:
    async def story() -> None:
        async with Rig(tmp_path) as rig:
            person = await rig.person(command="trap '' HUP; echo ready; while :; do sleep 0.05; done")
            await person.sees("ready")
            killing = asyncio.create_task(rig.holder.answer(Kill(name="one")))
            assert (await person.end()).message == "`one` on `far`: killed"
            await asyncio.sleep(0.2)
            assert await state(rig) == "detached"
            clock().skip(KILL_AFTER_S)
            assert await killing == Done()
            assert await state(rig) == "gone"

    run(story)


def test_a_client_says_when_somebody_else_answers_in_the_holders_place(tmp_path: Path) -> None:
    async def story() -> None:
        async with Rig(tmp_path / "1") as rig, Rig(tmp_path / "2") as other:
            person = await rig.person()
            await person.prompted()
            rig.wire.cut()
            rig.wire.lead_to(other.holder.port)
            rig.wire.plug()
            clock().skip(10)
            await until(lambda: b"has `far` been started anew?" in person.raw)
            person.type("~.")
            assert (await person.end()).status == 0
            assert termios.tcgetattr(person.slave) == person.before

    run(story)


def test_a_key_that_was_not_let_in_gets_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with Rig(tmp_path) as rig:
            ready = await rig.holder.answer(Open(client_key=bytes(32), name="one"))
            assert isinstance(ready, Ready)
            stranger = HostKey.generate(os.urandom)
            destination = Destination(host="far", ready=ready, addresses=["127.0.0.1"])
            with pytest.raises(UnreachableHolderError, match="TCP port"):
                await reach(destination, stranger, HolderKey("far", ready.key))

    run(story)


def test_a_holder_with_another_key_is_not_trusted(tmp_path: Path) -> None:
    async def story() -> None:
        async with Rig(tmp_path) as rig:
            identity = HostKey.generate(os.urandom)
            ready = await rig.holder.answer(Open(client_key=identity.public_bytes, name="one"))
            assert isinstance(ready, Ready)
            destination = Destination(host="far", ready=ready, addresses=["127.0.0.1"])
            with pytest.raises(UnreachableHolderError, match="somebody else answers there"):
                await reach(destination, identity, HolderKey("far", bytes(32)))

    run(story)


def test_a_shell_that_cannot_start_says_why(tmp_path: Path) -> None:
    async def story() -> None:
        async with Rig(tmp_path) as rig:
            person = await rig.person(environment={"SHELL": "/nowhere/zsh"}, columns=80)
            end = await person.end()
            assert end == End(status=FAILED, message="cannot start `/nowhere/zsh`: no such file or directory")

    run(story)


def test_names(tmp_path: Path) -> None:
    async def story() -> None:
        async with Rig(tmp_path) as rig:
            await (await rig.person(name="otter")).prompted()
            key = bytes(32)
            for request, words in (
                (
                    Open(client_key=key, name="otter"),
                    "there is a terminal `otter` already; `--attach otter` goes to it",
                ),
                (Open(client_key=key, name="a/b"), "`a/b` can't be a name"),
                (Open(client_key=key, name="ottre", attach=True), "did you mean `otter`?"),
                (Kill(name="ottre"), "did you mean `otter`?"),
            ):
                answer = await rig.holder.answer(request)
                assert isinstance(answer, Refused)
                assert words in answer.reason
            answer = await rig.holder.answer(Open(client_key=key))
            assert isinstance(answer, Ready)
            assert answer.name not in {"", "otter"}

    run(story)


def test_a_ticket_is_good_for_a_minute(tmp_path: Path) -> None:
    async def story() -> None:
        async with Rig(tmp_path) as rig:
            assert isinstance(await rig.holder.answer(Open(client_key=bytes(32), name="one")), Ready)
            assert isinstance(await rig.holder.answer(Open(client_key=bytes(32), name="one")), Refused)
            clock().skip(TICKET_S + 1)
            await until(lambda: rig.holder.idle)
            assert rig.idle == 0
            clock().skip(IDLE_S + 1)
            await until(lambda: rig.idle == 1)

    run(story)
