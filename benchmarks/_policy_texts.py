"""What the text of a policy costs: to parse and check it, to compile it, to lay it out, and the command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

from _figures import Summary, progress, summary
from _policy_engine import parsed, policy_text
from _policy_rules import rules
from _stage import BenchmarkError

from engine import CompiledPolicy
from policylang.formatting import format_policy

FIGURE10 = Path(__file__).parent.parent / "examples" / "figure10.policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Milliseconds for a policy of so many lines, each an `on` with a prefix and a port and a score."""

    lines: int
    check_ms: Summary
    compile_ms: Summary
    format_ms: Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Milliseconds from start to end, and of the processor, for `migrate policy check` on Figure 10."""

    wall_ms: Summary
    processor_ms: Summary


def texts(sizes: Sequence[int], rounds: int) -> list[Text]:
    """Measure policies of so many lines; the modules are loaded and the parser is built already."""
    parsed(policy_text(rules(1)))
    return [_text(size, rounds) for size in sizes]


def _text(size: int, rounds: int) -> Text:
    progress(f"a policy of {size} lines")
    text = policy_text(rules(size - 2))
    policy = parsed(text)
    return Text(
        lines=size,
        check_ms=_ms(lambda: parsed(text), rounds),
        compile_ms=_ms(lambda: CompiledPolicy(policy), rounds),
        format_ms=_ms(lambda: format_policy(text), rounds),
    )


def _ms(work: Callable[[], object], rounds: int) -> Summary:
    times = []
    for _ in range(rounds):
        begun = process_time()
        kept = work()
        times.append(1e3 * (process_time() - begun))
        del kept  # outside the time: who checks a file keeps what was found
    return summary(times)


def command(rounds: int) -> Command:
    """Return how long `migrate policy check` takes on Figure 10.

    Raises:
        BenchmarkError: the command failed.
    """
    progress("the command")
    words = [str(Path(sys.executable).with_name("migrate")), "policy", "check", str(FIGURE10)]
    walls, processor = [], []
    for _ in range(rounds + 1):
        begun, used = perf_counter(), _children_s()
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        walls.append(1e3 * (perf_counter() - begun))
        processor.append(1e3 * (_children_s() - used))
        if done.returncode != 0:
            raise BenchmarkError(f"`{' '.join(words)}` failed: {done.stderr}")
    # The first run fills caches.
    return Command(wall_ms=summary(walls[1:]), processor_ms=summary(processor[1:]))


def _children_s() -> float:
    used = os.times()
    return used.children_user + used.children_system


def print_texts(rows: Sequence[Text], took: Command) -> None:
    print("a policy's text, ms (median, and least)    parse and check           compile            format")
    for row in rows:
        columns = (row.check_ms, row.compile_ms, row.format_ms)
        figures = "".join(f"   {column.median:7.1f} ({column.least:6.1f})" for column in columns)
        print(f"  {row.lines:>6} lines                            {figures}")
    print("  `migrate policy check` on Figure 10")
    print(f"    from start to end                     {took.wall_ms.median:7.1f} ({took.wall_ms.least:6.1f})")
    print(f"    of the processor                      {took.processor_ms.median:7.1f}")
