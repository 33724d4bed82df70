"""The device that MindSpore computes on, chosen by one key."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import mindspore as ms

from msnoah.errors import DeviceError

_IN_USE_ALREADY = "has been initialized"
_CHOSEN_ALREADY = "can not be modified"


def select_device(name: str) -> None:
    """Makes MindSpore compute on `name`: CPU, GPU or Ascend, with kernels that repeat bit for bit.

    Raises:
        DeviceError: the device is not there, or this process computes on another one already.
    """
    try:
        with _silence():
            ms.set_device(name)
    except (RuntimeError, ValueError) as error:
        if _IN_USE_ALREADY not in str(error):
            raise DeviceError(_explain(name, str(error))) from None
    if name != "CPU":   # the CPU kernels repeat bit for bit as they are
        ms.set_deterministic(True)


def _explain(name: str, message: str) -> str:
    if _CHOSEN_ALREADY in message:
        return f"device {name} cannot be used: this process computes on another device already; start a new one"
    listed = re.search(r"only supports one of the \[([^\]]*)\]", message)
    accepted = listed.group(1).replace("'", "") if listed else "no other device"
    return (f"device {name} cannot be used: MindSpore {ms.__version__} accepts {accepted} here; set `device` to that, "
            f"or install MindSpore for {name} with its driver")


@contextmanager
def _silence() -> Iterator[None]:
    """Hides MindSpore's lines about missing libraries: those of its log, and those straight to descriptor 2."""
    kept, nowhere, level = os.dup(2), os.open(os.devnull, os.O_WRONLY), logging.root.manager.disable
    try:
        logging.disable(logging.CRITICAL)
        os.dup2(nowhere, 2)
        yield
    finally:
        logging.disable(level)
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
