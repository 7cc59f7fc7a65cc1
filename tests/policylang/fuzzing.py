"""Throw broken policies at everything that reads policies, for some minutes: `make fuzz MINUTES=10`.

Valid policies are damaged at random. What leads to diagnostics or statements that were not met together
before is kept and damaged further: a poor man's coverage, without instrumentation. Nothing but diagnostics
may come out, their places must lie inside the text, and no text may take long.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from random import Random, SystemRandom
from tempfile import TemporaryDirectory
from time import monotonic, thread_time

import click

from policylang import Diagnostic, LoadResult, Severity, parse_policy_bytes, render_text, to_github
from policylang.diagnostics import Report
from policylang.formatting import format_policy
from policylang.lint import lint_loaded
from policylang.loader import decode
from policylang.parser import parse
from policylang.values import BadValueError
from tests.engine.generated import SETS, policy_texts

MAX_S_PER_KIB = 0.25
"""How long 1 KiB may take: to read, check, lint and format twice. Ordinary text takes a twentieth of it."""

MAX_CORPUS = 2000
REPORT_S = 30.0
EXAMPLES = Path(__file__).parents[2] / "examples"

_WORDS = r"""
monitor-policy { } ; , # $ " = < > <= >= != * ? [ ] ! - + / . : % @ \ ' ( )
score-interface score-server migrate margin settle delay adopt suspend expire resume notify ignore
define include on when else until for not never avoid always after eager lazy current
proto port l-port any-port remote-ip local-ip remote-host user app session role
tcp udp ssh 22 1-2 9-1 0 00 1 +1 -1 1s 300ms 99999d 5% -75dbm 1mbit 1e9 0x10 999999999999999999999
10.0.0.0/8 fe80::1%eth0 ::1/129 eth* eth[0 $SET $A "" client server example.org yes no up monday
rtt metered hour wifi.ssid retransmits keepalive-age carrier lab.unknown
"""
ODD = "\u00e9\u2028\u00a0\ufeff\u202e\u0661\x0b\x0c\r\t\x1b\x7f"
TOKENS = (*_WORDS.split(), *ODD, "\n", "\n\n", "# a comment\n", '"x y"')


def seeds() -> list[bytes]:
    """Return valid policies: the examples, and generated ones."""
    written = [path.read_bytes() for path in sorted(EXAMPLES.glob("*.policy"))]
    drawn = [policy_texts(Random(seed)) for seed in range(40)]
    bodies = ["\n".join(s for _, _, body in texts.files for s in body) for texts in drawn]
    defined = "\n".join(SETS.values())
    return written + [f"{defined}\nmonitor-policy {{\n{body}\n}}\n".encode() for body in bodies]


def damaged(random: Random, corpus: list[bytes]) -> bytes:
    """Return a text of the corpus with one to eight changes."""
    data = random.choice(corpus)
    for _ in range(random.choice((1, 1, 2, 3, 8))):
        start = random.randint(0, len(data))
        end = min(len(data), start + random.choice((0, 1, 3, 10, 60)))
        data = data[:start] + _instead(random, data, data[start:end], corpus) + data[end:]
    return data[: 1 << 14]


def _instead(random: Random, data: bytes, cut: bytes, corpus: list[bytes]) -> bytes:
    """Return what takes the place of a piece that was cut out."""
    token = random.choice(TOKENS).encode()
    other = random.choice(corpus)
    at = random.randint(0, len(other))
    changes = (
        b"",
        b" " + token + b" ",
        b" " + token + b" ",
        token,
        b" " + random.choice(data.split() or [b"on"]) + b" ",
        other[at : at + random.choice((5, 40, 400))],
        cut * random.choice((2, 3, 100)),
        token * random.choice((2, 70, 1000)),
        (token + b" ") * random.choice((2, 70, 1000)),
        random.randbytes(random.choice((1, 2, 5))),
        cut[::-1],
    )
    return random.choice(changes)


def examine(data: bytes, folder: Path) -> frozenset[str]:
    """Read a policy in every way; return what was met in it.

    Raises:
        AssertionError: Something else than sound diagnostics came out, or it took too long.
    """
    with _garbage_left():
        start = thread_time()
        found = _met(data, folder)
        taken = thread_time() - start
    assert taken <= MAX_S_PER_KIB * (1 + len(data) / 1024), f"it took {taken:.2f} s"
    return found


@contextmanager
def _garbage_left() -> Iterator[None]:
    """Look for no garbage meanwhile: with all that a suite of tests keeps that takes a tenth of a second."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _met(data: bytes, folder: Path) -> frozenset[str]:
    result = parse_policy_bytes(data, "fuzz.policy", folder=folder)
    text = _text(data)
    assert_sound(result, text or "")
    found = {d.code for d in result.diagnostics}
    if text is not None:
        found |= assert_format_keeps(text)
    if result.policy is not None:
        warnings = lint_loaded(result, interfaces=frozenset({"eth0", "wlan0"}))
        assert_places(warnings, text or "")
        found |= {d.code for d in warnings} | set(_kinds(result.policy.statements))
    return frozenset(found)


def _text(data: bytes) -> str | None:
    try:
        return decode(data)
    except BadValueError:
        return None


def _kinds(value: object) -> Iterator[str]:
    """Yield the names of the types that a syntax tree consists of, each below which."""
    for item in value if isinstance(value, tuple) else ():
        yield type(item).__name__
        for field in fields(item) if is_dataclass(item) else ():
            yield from (f"{type(item).__name__}/{kind}" for kind in _kinds(getattr(item, field.name)))


def assert_sound(result: LoadResult, text: str) -> None:
    errors = [d for d in result.diagnostics if d.severity is Severity.ERROR]
    assert (result.policy is None) == bool(errors)
    assert_places(result.diagnostics, text)


def assert_places(diagnostics: tuple[Diagnostic, ...], text: str) -> None:
    """Assert that diagnostics have a message to print and a place inside the text."""
    lines = text.split("\n")
    for d in diagnostics:
        assert d.message, d
        assert d.code, d
        assert d.message.isprintable(), d
        assert d.hint.isprintable(), d
        assert all(line.isprintable() for line in render_text(d).split("\n")), d
        assert "\n" not in to_github(d), d
        span = d.span
        if span.line == 0:
            continue
        assert (span.line, span.column) <= (span.end_line, span.end_column), d
        for line, column in ((span.line, span.column), (span.end_line, span.end_column)):
            assert 1 <= line <= len(lines), d
            assert 1 <= column <= len(lines[line - 1]) + 1, d


def assert_format_keeps(text: str) -> set[str]:
    """Assert that the canonical form of a text is one, means the same and has the same comments."""
    formatted = format_policy(text)
    assert_places(formatted.diagnostics, text)
    if formatted.text is None:
        return set()
    assert format_policy(formatted.text).text == formatted.text
    assert shape(_statements(formatted.text)) == shape(_statements(text))
    return {"formatted"}


def _statements(text: str) -> object:
    return parse(text, Report(file="fuzz.policy", text=text))


def shape(value: object) -> object:
    """Return a syntax tree without its places."""
    if isinstance(value, tuple):
        return tuple(shape(item) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        listed = tuple(shape(getattr(value, f.name)) for f in fields(value) if f.name != "span")
        return (type(value).__name__, *listed)
    return value


@click.command(help=__doc__)
@click.option("--minutes", default=10.0, show_default=True)
@click.option("--seed", type=int, help="The first seed; a random one if not given.")
def fuzz(minutes: float, seed: int | None) -> None:
    first = SystemRandom().randrange(1 << 48) if seed is None else seed
    click.echo(f"seed {first}")
    with TemporaryDirectory() as folder:
        finds = _fuzz(Random(first), minutes * 60, Path(folder))
    sys.exit(1 if finds else 0)


def _fuzz(random: Random, seconds: float, folder: Path) -> int:
    corpus, met, finds, done = seeds(), set[frozenset[str]](), 0, 0
    start = reported = monotonic()
    while monotonic() < start + seconds:
        data = damaged(random, corpus)
        done += 1
        try:
            features = examine(data, folder)
        except Exception as problem:  # noqa: BLE001 - whatever comes out that is no diagnostic is a find
            finds += 1
            click.echo(f"find {finds}: {type(problem).__name__}: {str(problem)[:300]}")
            click.echo(f"    {smallest(data, folder)!r}")
            continue
        if features not in met and len(met) < MAX_CORPUS:
            met.add(features)
            corpus.append(data)
        if monotonic() >= reported + REPORT_S:
            reported = monotonic()
            click.echo(f"{done} texts, {len(corpus)} kept, {finds} finds after {reported - start:.0f} s")
    click.echo(f"{done} texts, {len(corpus)} kept, {finds} finds")
    return finds


def smallest(data: bytes, folder: Path) -> bytes:
    """Return a text that fails too, and no more if a piece of it is cut out."""
    size = max(1, len(data) // 2)
    while size:
        starts = iter(range(0, len(data), size))
        shorter = (data[:at] + data[at + size :] for at in starts)
        found = next((text for text in shorter if _fails(text, folder)), None)
        if found is None:
            size //= 2
        else:
            data = found
    return data


def _fails(data: bytes, folder: Path) -> bool:
    try:
        examine(data, folder)
    except Exception:  # noqa: BLE001 - see `_fuzz`
        return True
    return False


if __name__ == "__main__":
    fuzz()
