"""SIGINT and SIGTERM as a request: the step under way is finished and saved first."""

import signal
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

from msnoah.training.worker_group import ALONE, WorkerGroup

Item = TypeVar("Item")


class Interrupted(Exception):
    """The user asked to stop; the trainer turns it into one line."""


class Interruption:
    """While entered, a first SIGINT or SIGTERM is only noted; a second one acts as it always does.

    A signal to one worker stops all of a group at the same place.
    """

    def __init__(self, group: WorkerGroup = ALONE):
        self.requested, self._group = False, group
        self._earlier: dict[int, object] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():   # signal handlers can be set nowhere else
            self._earlier = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exception) -> None:
        self._restore()

    def watch(self, items: Iterable[Item]) -> Iterator[Item]:
        """Passes items on; Interrupted before the next one once a signal came."""
        for item in items:
            self.check()
            yield item

    def check(self) -> None:
        """Interrupted if a signal came; all workers of a group must ask."""
        if self._group.any(self.requested):
            raise Interrupted

    def _note(self, number: int, frame: object) -> None:
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)
        self._earlier = {}
