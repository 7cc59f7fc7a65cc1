"""`migrate policy test`: run timelines, and say what was not as they expect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import click

from migrated.commands.progress import progress
from migrated.commands.wording import counted
from migrated.log import printable

if TYPE_CHECKING:
    from migrated.authoring.coverage import FileCoverage
    from migrated.authoring.running import Outcome
    from migrated.authoring.timeline_file import TimelineFile
    from policylang.ast import Policy, Span

_MANY: Final = 50
"""Tests from which on their progress is shown."""


@dataclass(slots=True)
class _Results:
    """What became of all tests; ``broken`` are files that could not be run, and why."""

    outcomes: dict[str, tuple[tuple[Outcome, float], ...]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    policies: list[Policy] = field(default_factory=list)

    def every(self) -> list[Outcome]:
        """Return the outcomes of all files."""
        return [outcome for outcomes in self.outcomes.values() for outcome, _ in outcomes]

    def count(self, status: str) -> int:
        """Return how many tests ended so."""
        return sum(outcome.status == status for outcome in self.every())

    def exit_status(self) -> int:
        """Return 0 if all passed, 1 if something was not as expected, 2 if something could not be run."""
        if self.broken or self.count("error") or not self.every():
            return 2
        return 1 if self.count("failed") else 0


@click.command("test")
@click.argument(
    "paths", nargs=-1, required=True, metavar="FILE...", type=click.Path(exists=True, path_type=Path)
)
@click.option("-k", "wanted", metavar="TEXT", help="Run only the tests with this in their name.")
@click.option("--coverage", is_flag=True, help="Name the statements that no test reached.")
@click.option(
    "--fail-under",
    type=click.FloatRange(0, 100),
    metavar="N",
    help="Fail if less than N of a hundred statements were reached.",
)
@click.option(
    "--junit", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write JUnit XML."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("-v", "--verbose", is_flag=True, help="Print everything that happened in every test.")
@click.pass_context
def test(
    ctx: click.Context,
    paths: tuple[Path, ...],
    wanted: str | None,
    coverage: bool,
    fail_under: float | None,
    junit: Path | None,
    as_json: bool,
    verbose: bool,
) -> None:
    """Run timelines: at these events, that decision.

    Of a folder, every file below it whose name ends with `.timeline.toml` is run. No clock
    is waited for: an hour of a timeline takes no longer than a second. The exit status is 0
    if all is as expected, 1 if something is not, 2 if a file or a test makes no sense.
    docs/timelines.md describes the format.

    \b
    Examples:
      migrate policy test dock.timeline.toml
      migrate policy test --coverage --fail-under 90 /etc/migrate/policy.d
      migrate policy test --junit report.xml -k failback tests/
    """  # noqa: D301
    results = _Results()
    files = list(_readable(paths, results))
    _run(files, wanted, results, quiet=as_json)
    covered = _coverage(results) if coverage or fail_under is not None else ()
    if junit is not None:
        _write_junit(junit, results)
    if as_json:
        _print_json(results, covered, verbose=verbose)
    else:
        _print_text(results, covered, verbose=verbose)
    ctx.exit(results.exit_status() or _too_little(covered, fail_under))


def _readable(paths: Iterable[Path], results: _Results) -> Iterator[TimelineFile]:
    """Yield the files that can be read; of the others ``results`` says why not."""
    from migrated.authoring.tables import TimelineError
    from migrated.authoring.timeline_file import read_timelines

    for path in _files(paths):
        try:
            yield read_timelines(path)
        except TimelineError as problem:
            results.broken[str(path)] = str(problem)
        except OSError as error:
            results.broken[str(path)] = f"{path}: cannot be read: {(error.strerror or str(error)).lower()}"


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the files given, and those in the folders given, each once."""
    from migrated.authoring.timeline_file import SUFFIX

    seen: set[Path] = set()
    for path in paths:
        found = sorted(path.rglob(f"*{SUFFIX}")) if path.is_dir() else [path]
        if not found:
            raise click.UsageError(f"there is no file `*{SUFFIX}` below `{path}`")
        for file in found:
            if file.resolve() not in seen:
                seen.add(file.resolve())
                yield file


def _run(files: Sequence[TimelineFile], wanted: str | None, results: _Results, *, quiet: bool) -> None:
    """Run the tests that are wanted."""
    chosen = [(file, [t for t in file.tests if not wanted or wanted in t.name]) for file in files]
    number = sum(len(tests) for _, tests in chosen)
    if wanted and files and not number:
        raise click.UsageError(f"no test has `{wanted}` in its name")
    with progress(number, "tests", shown=number >= _MANY and not quiet) as advance:
        for file, tests in chosen:
            _run_file(file, [test.name for test in tests], results)
            advance(len(tests))


def _run_file(file: TimelineFile, names: Sequence[str], results: _Results) -> None:
    """Run the tests of a file that have these names."""
    from migrated.authoring.policies import BadPolicyError
    from migrated.authoring.running import PolicyShelf, run

    shelf = PolicyShelf(file)
    outcomes: list[tuple[Outcome, float]] = []
    try:
        for one in file.tests:
            if one.name in names:
                began = perf_counter()
                outcome = run(one, file, shelf)
                outcomes.append((outcome, perf_counter() - began))
    except BadPolicyError as problem:
        results.broken[str(file.path)] = f"{file.path}: its policy has mistakes:\n{problem}"
        return
    results.outcomes[str(file.path)] = tuple(outcomes)
    results.policies += shelf.policies()


def _coverage(results: _Results) -> tuple[FileCoverage, ...]:
    from migrated.authoring.coverage import coverage

    reached: set[Span] = set()
    for outcome in results.every():
        reached |= outcome.reached
    return coverage(results.policies, reached)


def _too_little(covered: Sequence[FileCoverage], fail_under: float | None) -> int:
    """Return 1, and say so, if fewer statements were reached than is asked for."""
    from migrated.authoring.coverage import total_percent

    if fail_under is None or total_percent(covered) >= fail_under:
        return 0
    message = f"{total_percent(covered):.1f} % of the statements were reached, less than {fail_under:g} %"
    click.echo(message, err=True)
    return 1


def _write_junit(file: Path, results: _Results) -> None:
    from migrated.authoring.junit import to_junit

    try:
        file.write_bytes(to_junit(results.outcomes, results.broken))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise click.FileError(str(file), hint=reason) from error


def _print_text(results: _Results, covered: Sequence[FileCoverage], *, verbose: bool) -> None:
    for why in results.broken.values():
        click.echo(_lines(why))
        click.echo()
    for outcome in results.every():
        if verbose or outcome.status != "passed":
            click.echo(_lines(_as_text(outcome)))
            click.echo()
    if covered:
        click.echo(_coverage_table(covered))
        click.echo()
    click.echo(_summary(results))


def _as_text(outcome: Outcome) -> str:
    """Lay out a test: its name, what was not as expected and why, and what happened before."""
    lines = [f"{outcome.status}: {outcome.name}", f"  {outcome.file}:{outcome.line}"]
    if outcome.message:
        lines.append(f"  {outcome.message}")
    for mismatch in outcome.mismatches:
        what = "" if mismatch.what == "expect" else f" ({mismatch.what})"
        lines += [f"  {mismatch.session}{what}", f"    - {mismatch.expected}", f"    + {mismatch.actual}"]
        lines += [f"      because {reason}" for reason in mismatch.why]
        lines += [f"      now {reason}" for reason in mismatch.now]
    if outcome.story:
        lines.append("  what happened:")
        lines += [f"    {f'{round(told.at, 6):g}s':>8}  {told.text}" for told in outcome.story]
    return "\n".join(lines)


def _lines(text: str) -> str:
    """Return a text with everything escaped that would steer a terminal, but the ends of its lines."""
    return "\n".join(map(printable, text.split("\n")))


def _coverage_table(covered: Sequence[FileCoverage]) -> str:
    from migrated.authoring.coverage import total_percent

    rows = [("policy", "statements", "reached", "not reached, in lines")]
    rows += [(f.file, str(f.statements), f"{f.percent:.1f} %", f.missed_lines) for f in covered]
    rows.append(("all", str(sum(f.statements for f in covered)), f"{total_percent(covered):.1f} %", ""))
    width = max(len(row[0]) for row in rows)
    return "\n".join(f"{printable(a):<{width}}  {b:>10}  {c:>7}  {d}".rstrip() for a, b, c, d in rows)


def _summary(results: _Results) -> str:
    every = results.every()
    took_s = sum(took for outcomes in results.outcomes.values() for _, took in outcomes)
    failed, errors = results.count("failed"), results.count("error")
    parts = [f"{failed} failed"] if failed else []
    if errors:
        parts.append(counted(errors, "error"))
    if results.broken:
        parts.append(f"{counted(len(results.broken), 'file')} not run")
    verdict = ", ".join(parts) or "all passed"
    return f"{counted(len(every), 'test')} in {took_s:.2f} s: {verdict}"


def _print_json(results: _Results, covered: Sequence[FileCoverage], *, verbose: bool) -> None:
    import json

    click.echo(
        json.dumps(
            {
                "ok": results.exit_status() == 0,
                "tests": [_as_json(outcome, verbose=verbose) for outcome in results.every()],
                "not_run": [{"file": file, "why": why} for file, why in results.broken.items()],
                "coverage": [
                    {
                        "file": file.file,
                        "statements": file.statements,
                        "reached": file.reached,
                        "percent": round(file.percent, 1),
                        "missed": [str(span) for span in file.missed],
                    }
                    for file in covered
                ],
            },
            indent=2,
        )
    )


def _as_json(outcome: Outcome, *, verbose: bool) -> dict[str, Any]:
    from dataclasses import asdict

    result: dict[str, Any] = {
        "file": str(outcome.file),
        "line": outcome.line,
        "name": outcome.name,
        "status": outcome.status,
        "checked": outcome.checked,
        "message": outcome.message,
        "mismatches": [asdict(mismatch) for mismatch in outcome.mismatches],
    }
    if verbose or outcome.status != "passed":
        result["story"] = [asdict(told) for told in outcome.story]
    return result
