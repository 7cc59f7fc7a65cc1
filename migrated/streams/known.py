"""Which key each gateway has: trusted on first use and remembered, or pinned on the command line.

The file has one gateway a line, `HOST:PORT KEY`, and belongs to the user, who may edit it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from migrated.streams.addresses import Endpoint
from migrated.streams.authorized import key_text, read_key
from migrated.streams.words import reason
from sessionlayer.protocol.keys import fingerprint
from sessionlayer.protocol.trust import Direction, Judgement, TrustPolicy, judge


class KnownGatewaysError(Exception):
    """Say what is wrong with the file of known gateways, where, and what to do."""


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    key: bytes


class KnownGateways:
    """The file of known gateways. All methods raise `KnownGatewaysError` if it can't be used."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def judge(self, gateway: Endpoint, presented: bytes, pin: str = "") -> Judgement:
        """Decide on the key (32 bytes) that a gateway presents.

        Args:
            gateway: which one, as the user wrote it.
            presented: its key.
            pin: the fingerprint that it must have; empty if any will do on first use.

        Raises:
            KnownGatewaysError: the file can't be read or has a mistake.
        """
        pinned = frozenset({presented}) if pin == fingerprint(presented) else frozenset[bytes]()
        if pin and not pinned:
            return Judgement(
                refusal=f"the key of `{gateway}` is {fingerprint(presented)}, not the pinned {pin}: either "
                f"the pin is wrong, or somebody else answers in its place"
            )
        line = self._lines().get(str(gateway))
        return judge(
            TrustPolicy(),
            Direction.OUTGOING,
            peer=str(gateway),
            presented=presented,
            known=line.key if line else None,
            known_at=f"line {line.number} of {self._file}" if line else "",
            pinned=pinned,
        )

    def remember(self, gateway: Endpoint, key: bytes) -> None:
        """Store the key (32 bytes) of a gateway, in place of any other.

        Raises:
            KnownGatewaysError: the file can't be read or written, or has a mistake.
        """
        with self._errors(), self._locked():
            kept = [line for line in self._text().splitlines() if line.split()[:1] != [str(gateway)]]
            draft = self._file.with_name(f"{self._file.name}.new")
            draft.write_text("\n".join([*kept, f"{gateway} {key_text(key)}", ""]))
            draft.replace(self._file)

    def _lines(self) -> dict[str, _Line]:
        with self._errors():
            text = self._text()
        return dict(self._read_lines(text))

    def _read_lines(self, text: str) -> Iterator[tuple[str, _Line]]:
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            try:
                yield words[0], _Line(number, read_key(words[1] if len(words) == 2 else ""))
            except ValueError as error:
                advice = "expected `HOST:PORT KEY`; correct or remove the line"
                raise KnownGatewaysError(f"{self._file}:{number}: {error}; {advice}") from None

    def _text(self) -> str:
        try:
            return self._file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes of this user from writing at the same time."""
        lock = os.open(self._file.with_name(f"{self._file.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise KnownGatewaysError(f"cannot use {self._file}: {reason(error)}") from error
        except UnicodeDecodeError:
            raise KnownGatewaysError(f"{self._file}: this is not UTF-8 text; move it away") from None
