"""What the text of a policy costs: to parse and check it, to compile it, to lay it out, and the command."""

from __future__ import annotations

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


def command_ms(rounds: int) -> Summary:
    """Return how long `migrate policy check` takes on Figure 10, from start to end.

    Raises:
        BenchmarkError: the command failed.
    """
    progress("the command")
    command = [str(Path(sys.executable).with_name("migrate")), "policy", "check", str(FIGURE10)]
    times = []
    for _ in range(rounds + 1):
        begun = perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        times.append(1e3 * (perf_counter() - begun))
        if done.returncode != 0:
            raise BenchmarkError(f"`{' '.join(command)}` failed: {done.stderr}")
    return summary(times[1:])  # the first run fills caches


def print_texts(rows: Sequence[Text], command: Summary) -> None:
    print("a policy's text, ms (median, and least)    parse and check           compile            format")
    for row in rows:
        columns = (row.check_ms, row.compile_ms, row.format_ms)
        figures = "".join(f"   {column.median:7.1f} ({column.least:6.1f})" for column in columns)
        print(f"  {row.lines:>6} lines                            {figures}")
    took = f"{command.median:7.1f} ({command.least:6.1f})"
    print(f"  `migrate policy check` on Figure 10   {took} from start to end")
