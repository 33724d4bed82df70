"""The models by name, and how large they are."""

import argparse
import inspect
import json
import sys
import typing
from typing import Any

from msnoah.commands.records import declare_json, print_record
from msnoah.errors import ModelError, MsnoahError


def models(arguments: argparse.Namespace) -> None:
    """Lists the models by name, with what each is; with --macs, what each costs."""
    from msnoah.registry import find_factory, list_models

    names = list_models(arguments.pattern)
    if not names:
        raise MsnoahError(f"no model matches '{arguments.pattern}'; `msnoah models` lists all")
    if arguments.macs:
        _print_sizes(names, arguments)
        return
    summaries = {name: (find_factory(name).__doc__ or "").split("\n")[0] for name in names}
    width = max(map(len, names))
    print_record(summaries, arguments, text="\n".join(f"{name:{width}}  {text}" for name, text in summaries.items()))


def measure_size(name: str) -> dict[str, Any]:
    """What a registered model costs at its default size: parameters, and multiply-accumulates of its fused ONNX graph.

    A model of several inputs, or of none that `default_input` knows, has a method `input_shapes`.

    Returns:
        model, input (shape of one image or clip, or of all windows of a video), parameters (trained, fused), macs,
        macs_by_operator.

    Raises:
        ConversionError: a graph that has no ONNX form, or whose operators cannot be counted.
    """
    import numpy as np

    from msnoah.export.cell_conversion import export_onnx
    from msnoah.export.complexity import count_macs
    from msnoah.nn.fusing import fuse
    from msnoah.nn.step_inputs import count_parameters
    from msnoah.registry import create_model

    model = create_model(name)
    shapes = model.input_shapes() if hasattr(model, "input_shapes") else [[1, *default_input(name)]]
    fused, first = fuse(model), shapes[0]
    counts = count_macs(export_onnx(fused, *[np.zeros(shape, np.float32) for shape in shapes], dynamic=()))
    parameters = {"trained": count_parameters(model), "fused": count_parameters(fused)}
    sums = {"macs": sum(counts.values()), "macs_by_operator": counts}
    return {"model": name, "input": first[1:] if first[0] == 1 else first, "parameters": parameters, **sums}


def default_input(name: str) -> list[int]:
    """The shape of one sample that a model is built for unless told otherwise: [C, S, S], or [C, T, S, S] for clips."""
    from msnoah.registry import find_factory

    signature = inspect.signature(typing.get_type_hints(find_factory(name))["return"]).parameters
    sizes = {key: parameter.default for key, parameter in signature.items()}
    if not {"in_channels", "image_size"} <= set(sizes):
        raise ModelError(f"model '{name}' has no default input: its arguments are {', '.join(sizes)}")
    frames = [sizes["num_frames"]] if "num_frames" in sizes else []
    return [sizes["in_channels"], *frames, sizes["image_size"], sizes["image_size"]]


def declare_models(parser: argparse.ArgumentParser) -> None:
    """The arguments of models."""
    parser.add_argument("pattern", nargs="?", default="*", help="a shell pattern, as in 'slab_*'")
    parser.add_argument(
        "--macs", action="store_true",
        help="parameters and multiply-accumulates, counted in the fused ONNX graph of each model")
    declare_json(parser)


def _print_sizes(names: list[str], arguments: argparse.Namespace) -> None:
    """Rows as they come, since a large model takes half a minute; with --json one array at the end."""
    from tqdm import tqdm

    records = (_try_size(name, names) for name in tqdm(names, unit="model", disable=len(names) == 1, leave=False))
    if arguments.json:
        print(json.dumps(list(records), indent=2))
        return
    width = max(map(len, names))
    print(f"{'model':{width}}  {'input':14}  {'trained M':>9}  {'fused M':>9}  {'GMACs':>7}", flush=True)
    for record in records:
        tqdm.write(f"{record['model']:{width}}  {_figures(record)}")
        sys.stdout.flush()


def _try_size(name: str, names: list[str]) -> dict[str, Any]:
    """A record of `measure_size`; of a list, one that fails says so in its row."""
    try:
        return measure_size(name)
    except MsnoahError as error:
        if len(names) == 1:
            raise
        return {"model": name, "failure": str(error)}


def _figures(record: dict[str, Any]) -> str:
    if "failure" in record:
        return record["failure"]
    trained, fused = (f"{record['parameters'][key] / 1e6:9.3f}" for key in ("trained", "fused"))
    return f"{'x'.join(map(str, record['input'])):14}  {trained}  {fused}  {record['macs'] / 1e9:7.3f}"
