"""Run a program that is suspended and resumed, and note when it is asked to, and when it goes on.

Usage: _stamped.py PROGRAM [ARGUMENT...]
       _stamped.py -m MODULE [ARGUMENT...]

The file that the environment variable BENCHMARK_STAMPS names gets a line for each: ``TIME WHAT SESSION``.
`giving`: a continuation is about to be given to the daemon; `told`: the library has the session
again; `called`: the program's own code has it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sessionlayer.application import entry, giving, runners
from sessionlayer.application.continuation import Continuation
from sessionlayer.application.outcome import Outcome
from sessionlayer.application.session import Session

_file = os.open(os.environ["BENCHMARK_STAMPS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)


def stamp(what: str, session: Session) -> None:
    os.write(_file, f"{time.time()} {what} {session.id.hex()[:8]}\n".encode())


def prepare() -> None:
    give, continued = giving.Giving.give, entry.continued

    def stamped_give(self: giving.Giving, continuation: Continuation) -> Outcome[None]:
        stamp("giving", self._session)
        return give(self, continuation)

    def stamped_continued() -> Session | None:
        session = continued()
        if session is not None:
            stamp("told", session)
            stamp("called", session)
        return session

    giving.Giving.give = stamped_give  # type: ignore[method-assign]
    entry.continued = stamped_continued
    for runner in (runners.LoopRunner, runners.ThreadRunner):
        runner.invoke = _stamped_invoke(runner.invoke)  # type: ignore[method-assign]


def _stamped_invoke(invoke: Callable[..., None]) -> Callable[..., None]:
    def stamped_invoke(self: runners.Runner, function: Callable[..., object], session: Session) -> None:
        stamp("told", session)

        def stamped(*arguments: object) -> object:
            stamp("called", session)
            return function(*arguments)

        invoke(self, stamped, session)

    return stamped_invoke


def main() -> None:
    prepare()
    if sys.argv[1] == "-m":
        import runpy

        module = sys.argv[2]
        sys.argv[:3] = sys.argv[:1]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        return
    sys.argv[:1] = []
    code = compile(Path(sys.argv[0]).read_text(), sys.argv[0], "exec")
    exec(code, {"__name__": "__main__", "__file__": sys.argv[0]})


if __name__ == "__main__":
    main()
