"""What a driver of a vendor's converter gives: where the tool is looked for, its command, and what its log says."""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from msnoah.errors import ConversionError, RuntimeUnavailableError

ANSI = re.compile(r"\x1b\[[0-9;]*m")
LONGEST_LINE = 300


@dataclass(frozen=True)
class Request:
    """What is converted.

    Attributes:
        onnx: the graph.
        folder: where the results go, without other files of the tool.
        shapes: of the inputs by name, all sizes fixed.
        device: what the tool calls the chip, as in Ascend310B4 or rk3588.
    """

    onnx: Path
    folder: Path
    shapes: dict[str, tuple[int, ...]]
    device: str

    @property
    def stem(self) -> Path:
        """The path of the results without their suffix."""
        return self.folder / self.onnx.stem


class Driver(Protocol):
    """One vendor's converter.

    Attributes:
        name: as people call it.
        program: the name of the executable.
        places: documented environment variables, each with the path of the executable below it.
        get_from: how to get the tool.
        devices: default name of the chip by target.
        error_line: what a line of its log looks like that says why it failed.
        suffixes: of the files that a conversion leaves.
    """

    name: str
    program: str
    places: dict[str, str]
    get_from: str
    devices: dict[str, str]
    error_line: re.Pattern[str]
    suffixes: tuple[str, ...]

    def command(self, program: str, request: Request) -> list[str]:
        """The argument list of a conversion."""


def find_tool(driver: Driver) -> str:
    """The path of a driver's executable.

    A documented environment variable that is set wins over PATH.

    Raises:
        RuntimeUnavailableError: what was looked for, and how to get it.
    """
    looked = []
    for variable, inner in driver.places.items():
        root = os.environ.get(variable)
        path = Path(root, inner) if root and inner else Path(root) if root else None
        if path and os.access(path, os.X_OK) and path.is_file():
            return str(path)
        looked.append(f"{path} (${variable})" if path else f"${variable}, which is not set")
    if driver.program:
        looked.append(f"{driver.program} on PATH")
        if found := shutil.which(driver.program):
            return found
    raise RuntimeUnavailableError(
        f"{driver.name} not found: looked for {', '.join(looked)}; get it from {driver.get_from}")


def fixed_shapes(inputs) -> dict[str, tuple[int, ...]]:
    """Shapes by name of the inputs of a graph's facts; ConversionError names one with an open axis."""
    for tensor in inputs:
        if tensor.shape is None:
            raise ConversionError(
                f"input '{tensor.name}' has open axes besides the batch; converters need sizes: export at fixed ones")
    return {tensor.name: tensor.shape for tensor in inputs}


def error_in(log: str, driver: Driver) -> str | None:
    """The first line of a log that says why the tool failed, without colours; None if none does."""
    lines = (ANSI.sub("", line).strip() for line in log.splitlines())
    return next((line[:LONGEST_LINE] for line in lines if driver.error_line.search(line)), None)


def join_shapes(shapes: dict[str, tuple[int, ...]]) -> str:
    """`image:1,3,224,224;mask:1,224,224`, as ATC and converter_lite take shapes."""
    return ";".join(f"{name}:{','.join(map(str, shape))}" for name, shape in shapes.items())
