"""Work in a copy of this process, while this one goes on: what takes time and gives little back."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Generic, ParamSpec, TypeVar

from goldsmith import proc
from goldsmith.errors import GoldsmithError

P = ParamSpec("P")
T = TypeVar("T")


class Aside(Generic[P, T]):
    """A copy of this process that prepares itself at once, and then answers one question.

    A context manager: at its end the copy is gone. It must begin before there are threads, of which a copy has none.
    """

    def __init__(self, prepare: Callable[[], object], answer: Callable[P, T]) -> None:
        self._prepare = prepare
        self._answer = answer
        self._pid = 0

    def __enter__(self) -> Aside[P, T]:
        asked, ask = os.pipe()
        told, tell = os.pipe()
        _flush()  # else the copy would say it, too
        with proc.uninterrupted():  # a process that nobody knows of would go on
            self._pid = os.fork()
            if self._pid == 0:
                self._work(asked, tell, (ask, told))
        os.close(asked)
        os.close(tell)
        self._ask, self._told = os.fdopen(ask, "wb"), os.fdopen(told, "rb")
        return self

    def _work(self, asked: int, tell: int, others: tuple[int, int]) -> None:
        """All that the copy does. Nothing of what its origin would do at its end happens here."""
        try:
            for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(signum, signal.SIG_DFL)
            for each in others:
                os.close(each)
            answer: T | Exception
            try:
                self._prepare()
                with os.fdopen(asked, "rb") as source:
                    arguments, named = pickle.load(source)  # noqa: S301 - from our own process
                answer = self._answer(*arguments, **named)
            except Exception as error:
                answer = error
            _flush()  # once it has answered it may be ended at any time
            with os.fdopen(tell, "wb") as target:
                pickle.dump(answer, target)
        finally:
            os._exit(0)

    def ask(self, *arguments: P.args, **named: P.kwargs) -> None:
        """Put the question. It is answered while this process goes on."""
        with contextlib.suppress(BrokenPipeError), self._ask:
            pickle.dump((arguments, named), self._ask)

    def answer(self) -> T:
        """The answer, which is waited for. Raises what was raised there."""
        said = self._told.read()
        if not said:
            raise GoldsmithError("a process that worked beside this one was ended", hint="try again")
        found: T | Exception = pickle.loads(said)  # noqa: S301 - from our own process
        if isinstance(found, Exception):
            raise found
        return found

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with proc.uninterrupted():
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            with contextlib.suppress(BrokenPipeError):
                self._ask.close()
            self._told.close()


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
