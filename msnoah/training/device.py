"""The device that MindSpore computes on, chosen by one key."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import mindspore as ms

from msnoah.errors import DeviceError


def select_device(name: str) -> None:
    """Makes MindSpore compute on `name`: CPU, GPU or Ascend, with kernels that repeat bit for bit.

    Raises:
        DeviceError: the device is not there, or this MindSpore was not built for it.
    """
    try:
        with _silenced_stderr():
            ms.set_device(name)
    except (RuntimeError, ValueError) as error:
        raise DeviceError(f"device {name} cannot be used: MindSpore {ms.__version__} accepts {_accepted(error)} here; "
                          f"set `device` to one of these, or install MindSpore for {name} with its driver") from None
    if name != "CPU":   # the CPU kernels repeat bit for bit as they are
        ms.set_deterministic(True)


def _accepted(error: Exception) -> str:
    listed = re.search(r"only supports one of the \[([^\]]*)\]", str(error))
    return listed.group(1).replace("'", "") if listed else "CPU"


@contextmanager
def _silenced_stderr() -> Iterator[None]:
    # MindSpore's C++ side writes several lines about missing libraries straight to file descriptor 2.
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
