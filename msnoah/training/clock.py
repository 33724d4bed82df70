"""Wall and CPU time of an epoch, with the steps that compile kept apart."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from msnoah.training.training_state import TrainingState


class EpochClock:
    """Times one epoch and its steps, and adds them to the run's totals.

    CPU time is that of all threads of the process, which other work on the machine does not stretch.
    """

    def __init__(self, state: TrainingState):
        self._state = state
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        self.step_seconds = self.step_cpu_seconds = self.wait_seconds = 0.0
        self.timed_steps = 0

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """Around a step that compiles."""
        started, waited = time.perf_counter(), self.wait_seconds
        yield
        self._state.compile_seconds += time.perf_counter() - started
        self.wait_seconds = waited

    @contextmanager
    def step(self) -> Iterator[None]:
        """Around a step that is compiled already, its data included."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.step_seconds += time.perf_counter() - wall
        self.step_cpu_seconds += time.process_time() - cpu
        self.timed_steps += 1

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Inside a step, around the wait for its data."""
        started = time.perf_counter()
        yield
        self.wait_seconds += time.perf_counter() - started

    def stop(self) -> dict[str, float]:
        """Adds to the run's totals; seconds and cpu_seconds of this epoch."""
        state = self._state
        seconds, cpu_seconds = time.perf_counter() - self._wall, time.process_time() - self._cpu
        state.seconds += seconds
        state.cpu_seconds += cpu_seconds
        state.step_cpu_seconds += self.step_cpu_seconds
        state.timed_steps += self.timed_steps
        return {"seconds": round(seconds, 3), "cpu_seconds": round(cpu_seconds, 3)}

    def rates(self, images_per_step: int) -> dict[str, float]:
        """images_per_s (wall), steps_per_cpu_s and data_wait (the part of the wall time that waited for data) of the
        steps that did not compile; empty if there were none."""
        if not self.timed_steps:
            return {}
        return {"images_per_s": round(self.timed_steps * images_per_step / self.step_seconds, 2),
                "steps_per_cpu_s": round(self.timed_steps / self.step_cpu_seconds, 4),
                "data_wait": round(self.wait_seconds / self.step_seconds, 4)}
