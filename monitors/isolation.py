"""Where a monitor runs: ours in the daemon's event loop, anybody else's in a thread of its own.

Rule: what others wrote must not be able to hold up the daemon. A plugin's monitor therefore has an event loop
in a thread of its own, whose steps may last as long as they like. A process would isolate more, but then
a monitor could neither look at the daemon's surroundings nor be an ordinary object.

A loop that answers nothing is blocked, and one that stays so is interrupted. That helps against Python code
that never waits; a call into C that never returns can't be ended from outside, so the monitor is named as
blocked and left alone.

Rule: no thread is interrupted in code that takes locks which others wait for, too. One that is raised out of
``logging`` between taking the lock of a handler and the ``try`` that follows would keep it for ever, and with
the next message the daemon would wait for ever.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from monitors.executor import UnjoinedExecutor
from monitors.metering import Meter, Metered

ASK_EVERY_S = 0.5
"""How often the loop of a plugin's thread is asked whether it still turns."""

BLOCKED_AFTER_S = 1.0
"""A loop that has not answered for so long is called blocked."""

INTERRUPT_AFTER_S = 5.0
"""A loop that has not answered for so long has what it does interrupted."""

LEFTOVERS_LIMIT_S = 1.0
"""How long tasks that a run left behind may take to end once they were cancelled."""

SWITCH_INTERVAL_S = 0.0005
"""How long a thread of Python code goes on at most while another one waits for its turn.

With the default of 5 ms a plugin that never rests would delay every event by as much. One that waits often,
but never for long, would even hold up everybody for 0.2 s: each of its pauses begins the 5 ms anew.
"""

_WITH_LOCKS = frozenset(
    {
        logging.Handler.handle.__code__.co_filename,
        threading.Condition.__enter__.__code__.co_filename,
        "<frozen importlib._bootstrap>",
    }
)
"""Files of the standard library whose Python code takes locks and is not safe from interruptions."""

Body = Callable[[], Coroutine[Any, Any, None]]
"""Makes the coroutine of one run of a monitor; called where it shall run."""

_log = logging.getLogger(__name__)


class StuckError(BaseException):
    """A monitor blocked its event loop. It is no `Exception`, which a monitor may catch and go on."""

    def __init__(self) -> None:
        super().__init__(f"it blocked its event loop for more than {INTERRUPT_AFTER_S:g} s")


class Place(Protocol):
    """Where a monitor runs."""

    @property
    def blocked_s(self) -> float:
        """Return for how long the monitor's event loop has not answered, in seconds; 0 if it has."""
        ...

    async def run(self, body: Body) -> BaseException | None:
        """Run once and return what it raised; when this is cancelled, so is the run."""
        ...

    def stop(self) -> None:
        """Have the present run end; called where it runs."""
        ...

    def close(self) -> None:
        """Give back what was kept for the next run."""
        ...


class Here:
    """Run a monitor in the event loop that is there."""

    blocked_s = 0.0  # whoever could ask would be blocked as well

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    async def run(self, body: Body) -> BaseException | None:
        """Run once and return what it raised; what cancels the host's own task is raised."""
        try:
            await Metered(body(), self._meter)
        except (Exception, asyncio.CancelledError, SystemExit) as error:  # noqa: BLE001 - isolation of a plugin
            _raise_if_cancelled()
            return error
        _raise_if_cancelled()  # also when the monitor swallowed it
        return None

    def stop(self) -> None:
        """Have the present run end: this is for monitors that can't be trusted, and these can."""

    def close(self) -> None:
        """Keep nothing."""


class Apart:
    """Run a monitor in a thread of its own, again and again in one event loop.

    Each run has a new thread, which ends with it; the loop stays, because locks and events that a monitor
    keeps are bound to it.

    Args:
        name: the monitor's.
        meter: counts the steps of all tasks in the loop.
    """

    def __init__(self, name: str, meter: Meter) -> None:
        self._name = name
        self._meter = meter
        self._loop: asyncio.AbstractEventLoop | None = None
        self._run: _Run | None = None

    @property
    def blocked_s(self) -> float:
        """Return for how long the loop has not answered, in seconds; 0 if it has."""
        return self._run.blocked_s if self._run else 0.0

    async def run(self, body: Body) -> BaseException | None:
        """Run once and return what it raised, whatever that is.

        When this is cancelled the monitor is cancelled and waited for; cancelled again, it is left behind.
        """
        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.new_event_loop()
            self._loop.set_task_factory(self._task)
            self._loop.set_default_executor(UnjoinedExecutor(f"helper of monitor {self._name}"))
        try:
            self._run = _Run(self._name, self._loop, body)
        except RuntimeError as error:  # there can be no more threads now
            return error
        try:
            return await self._run.ended()
        finally:
            self._run = None

    def stop(self) -> None:
        """Have the present run end, from any thread."""
        run = self._run  # at home it may be gone any moment
        if run is not None:
            run.cancel()

    def close(self) -> None:
        """Close the loop unless its thread does not end."""
        if self._loop is not None and not self._loop.is_running():
            self._loop.close()

    def _task(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Any,  # noqa: ANN401 - asyncio's own
        **options: Any,  # noqa: ANN401
    ) -> asyncio.Task[Any]:
        return asyncio.Task(Metered(coroutine, self._meter), loop=loop, **options)


class _Run:
    """One run in a thread, seen from the loop that began it."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop, body: Body) -> None:
        self._home = asyncio.get_running_loop()
        self._name, self._loop = name, loop
        self._outcome: asyncio.Future[BaseException | None] = self._home.create_future()
        self._asked_at: float | None = None
        self._interrupt_at = 0.0
        self._warned = False  # of this step
        self._abandoned = False
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._main, args=(body,), name=f"monitor {name}", daemon=True)
        self._thread.start()
        self._timer = self._home.call_later(ASK_EVERY_S, self._ask)

    @property
    def blocked_s(self) -> float:
        asked_at = self._asked_at
        return 0.0 if asked_at is None else self._home.time() - asked_at

    async def ended(self) -> BaseException | None:
        try:
            return await asyncio.shield(self._outcome)
        except asyncio.CancelledError:
            self.cancel()
            await self._wait_or_abandon()
            raise
        finally:
            self._timer.cancel()

    async def _wait_or_abandon(self) -> None:
        try:
            await self._outcome
        except asyncio.CancelledError:
            self._abandoned = True
            raise

    def cancel(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cancel_there)

    # In the monitor's thread.

    def _main(self, body: Body) -> None:
        outcome: BaseException | None = None
        try:
            self._task = self._loop.create_task(_called_there(body))
            self._loop.run_until_complete(self._task)
        except BaseException as error:  # noqa: BLE001 - the isolation of a plugin
            outcome = error
        try:
            _end_leftovers(self._loop)
        except BaseException as error:  # noqa: BLE001 - an interruption that came too late
            outcome = outcome or error
        with suppress(RuntimeError):  # nobody is there to be told: this thread was left behind
            self._home.call_soon_threadsafe(self._tell, outcome)
        if self._abandoned:
            self._loop.close()

    def _cancel_there(self) -> None:
        assert self._task is not None  # the loop turns for it alone
        self._task.cancel()

    def _answer(self) -> None:
        self._asked_at = None

    # At home.

    def _tell(self, outcome: BaseException | None) -> None:
        if not self._outcome.done():
            self._outcome.set_result(outcome)

    def _ask(self) -> None:
        """Ask the loop for an answer, or see that it has not given one for too long."""
        now, asked_at = self._home.time(), self._asked_at
        if not self._thread.is_alive():
            # It told before it ended, unless an interruption hit it just then.
            self._home.call_soon(self._tell, StuckError())
            return
        if asked_at is None:
            self._asked_at, self._interrupt_at, self._warned = now, now + INTERRUPT_AFTER_S, False
            self._loop.call_soon_threadsafe(self._answer)
        elif now >= self._interrupt_at:
            self._interrupt(now, blocked_s=now - asked_at)
        self._timer = self._home.call_later(ASK_EVERY_S, self._ask)

    def _interrupt(self, now: float, *, blocked_s: float) -> None:
        # By then the first was in vain, or there was none, and the run may never end to tell.
        if blocked_s >= 2 * INTERRUPT_AFTER_S and not self._warned:
            _log.warning("monitor `%s` blocks its event loop, and can't be interrupted", self._name)
            self._warned = True
        if interrupt(self._thread):  # else with the next look
            self._interrupt_at = now + INTERRUPT_AFTER_S


async def _called_there(body: Body) -> None:
    """Call ``run`` in the thread too, since nothing keeps it from doing something before its first wait."""
    await body()


@contextmanager
def quick_turns() -> Iterator[None]:
    """Have threads take turns quickly for as long as the context lasts."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, SWITCH_INTERVAL_S))
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def interrupt(thread: threading.Thread) -> bool:
    """Raise `StuckError` in a thread at its next Python instruction, unless locks of others may hang on that.

    Nothing else ends a loop of Python code: a thread can't be killed, and a cancellation is only seen by what
    waits. It is done to threads of plugins alone: they share nothing with us but what `with` locks and frees,
    and what the standard library locks while it is at work (`_WITH_LOCKS`).

    Returns:
        Whether it will be raised; where not, try again later.
    """
    if thread.ident is None:
        return False
    ident, error = ctypes.c_ulong(thread.ident), ctypes.py_object(StuckError)
    # From here on the thread must not go on: nothing takes long enough for another one to have its turn.
    frame = sys._current_frames().get(thread.ident)  # noqa: SLF001 - it is documented
    if frame is None or frame.f_code.co_filename in _WITH_LOCKS:
        return False
    return bool(ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, error))


def _end_leftovers(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel the tasks that a run left behind, so that they don't go on beside the next one."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        done, _ = loop.run_until_complete(asyncio.wait(tasks, timeout=LEFTOVERS_LIMIT_S))
        for task in done:
            if not task.cancelled() and (error := task.exception()):
                _log.debug("what %s left behind failed here", threading.current_thread().name, exc_info=error)
    # A generator that waits while it is closed would keep the next run from beginning.
    closing = loop.create_task(loop.shutdown_asyncgens())
    loop.run_until_complete(asyncio.wait({closing}, timeout=LEFTOVERS_LIMIT_S))
    closing.cancel()


def _raise_if_cancelled() -> None:
    task = asyncio.current_task()
    if task is not None and task.cancelling() > 0:
        raise asyncio.CancelledError
