"""From MindIR files to one ONNX file: what `msnoah convert` does."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from tqdm import tqdm

from msnoah.errors import ConversionError, RunFolderError
from msnoah.export.converter import mindir_to_onnx
from msnoah.export.dynamic_axes import WITHOUT_SIZES, make_axes_dynamic
from msnoah.export.onnx_file import save_onnx
from msnoah.export.onnx_summary import describe_model
from msnoah.export.user_handlers import load_handlers


def convert_files(
    mindirs: Sequence[str | Path], output: str | Path | None = None, *, dynamic: Sequence[str] = (),
    handlers: str | Path | None = None, **options: Any,
) -> dict[str, Any]:
    """Converts one MindIR file, or merges several exports of one network at different sizes, and writes ONNX.

    Args:
        mindirs: files of static shapes.
        output: the file to write; by default the first MindIR's name with `.onnx`.
        dynamic: names of the axes in which the exports differ, in the order of the inputs' axes; by default the batch.
        handlers: a Python file with handlers of your own.
        **options: more arguments of `mindir_to_onnx`.

    Returns:
        A record: file, size_bytes, opset, operators by count, inputs, outputs, the seconds it took, and `untried`: the
        axes that are free on the word of these sizes alone.

    Raises:
        ConversionError: a file that cannot be read or converted, or exports that cannot be merged.
        RunFolderError: the output cannot be written there, or is one of the inputs.
    """
    started = time.perf_counter()
    sources = [Path(mindir) for mindir in mindirs]
    target = Path(output) if output else sources[0].with_suffix(".onnx")
    _check_target(target, sources)
    if dynamic and len(sources) == 1:
        raise ConversionError(
            f"{sources[0]} alone does not show what depends on {', '.join(dynamic)}; give exports at other sizes "
            "beside it")
    if handlers:
        load_handlers(handlers)
    if len(dynamic) > 1:
        options = {"passes": WITHOUT_SIZES, **options}
    model = _convert(sources, dynamic or ("batch",), options)
    save_onnx(model, target)
    size = sum(path.stat().st_size for path in (target, target.with_name(f"{target.name}.data")) if path.exists())
    seconds = round(time.perf_counter() - started, 2)
    record = {"file": str(target), "size_bytes": size, **describe_model(model), "seconds": seconds}
    return record | {"untried": [axis for axis in dynamic if axis != "batch"]}


def describe_conversion(record: dict[str, Any]) -> str:
    """A record of `convert_files` as lines for a terminal."""
    operators, size = record["operators"], _size(record["size_bytes"])
    figures = f"{size}, {sum(operators.values())} operators, opset {record['opset']}, {record['seconds']:.1f} s"
    lines = [f"{record['file']}: {figures}"]
    values = [(kind, value) for kind in ("input", "output") for value in record[f"{kind}s"]]
    width = max((len(value["name"]) for _, value in values), default=0)
    for kind, value in values:
        lines.append(f"{kind:6}  {value['name']:{width}}  {value['dtype']}[{', '.join(map(str, value['shape']))}]")
    lines.append(", ".join(f"{name} {number}" for name, number in operators.items()))
    if record["untried"]:
        axes = " and ".join(record["untried"])
        lines.append(f"{axes}: holds for sizes like those given (multiples of the same strides); verify before others")
    return "\n".join(lines)


def _convert(sources: list[Path], axes: Sequence[str], options: dict[str, Any]) -> onnx.ModelProto:
    with tqdm(total=len(sources), desc="converting", unit="file", leave=False, delay=1) as progress:
        models = []
        for source in sources:
            models.append(mindir_to_onnx(source, **options))
            progress.update()
        return make_axes_dynamic(models, axes) if len(models) > 1 else models[0]


def _check_target(target: Path, sources: Sequence[Path]) -> None:
    if target.is_dir():
        raise RunFolderError(f"{target} is a folder; give the name of a file, as in {target / 'net.onnx'}")
    if not target.parent.is_dir():
        raise RunFolderError(f"{target.parent}: no such folder, so {target.name} cannot be written there")
    for source in sources:
        if target.resolve() == source.resolve():
            raise RunFolderError(f"{target} is the input; give the output another name with -o")


def _size(size: int) -> str:
    return f"{size / 1e6:.2f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
