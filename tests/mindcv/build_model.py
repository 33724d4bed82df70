"""One MindCV model in a process of its own: its MindIR, reference outputs, and the native exporter's ONNX.

Run by `sweep.py`. Needs mindspore and mindcv only, nothing of msnoah. Usage: python build_model.py NAME FOLDER [CALM]

CALM, 1 by default, scales the factors of every norm: a deep network of random weights may be so ill-conditioned that
rounding its input changes all of its output, which no comparison can see through. With 0.3 it is not.
"""

import json
import os
import re
import shutil
import sys
import time
from pathlib import Path

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
os.environ.setdefault("GLOG_v", "4")

import mindcv
import mindspore as ms
import numpy as np
from mindcv.models.registry import _model_to_module, get_pretrained_cfg_value
from mindspore import Tensor, nn

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def image_size(name: str) -> int:
    """From the name (mobilenet_v2_035_96), else from the model's settings, else 224."""
    in_name = re.search(r"_(96|128|160|192|224|240|256|384|448)$", name)
    if in_name and not name.startswith("mobilenet_v2_050_0"):
        return int(in_name.group(1))
    size = get_pretrained_cfg_value(name, "input_size")
    return size[-1] if size else {"inception": 299, "swinv2": 256}.get(name.split("_")[0], 224)


def randomise_norms(net: nn.Cell, rng: np.random.Generator) -> None:
    """Statistics and factors of every BatchNorm, so that folding one wrongly shows."""
    for _, cell in net.cells_and_names():
        if isinstance(cell, NORMS):
            size = cell.moving_mean.shape
            draws = [rng.normal(0, 0.1, size), *rng.uniform(0.5, 1.5, (2, *size)), rng.normal(0, 0.1, size)]
            parameters = cell.moving_mean, cell.moving_variance, cell.gamma, cell.beta
            for parameter, draw in zip(parameters, draws, strict=True):
                parameter.set_data(Tensor(draw.astype(np.float32)))


def calm_norms(net: nn.Cell, calm: float) -> None:
    for _, cell in net.cells_and_names():
        if isinstance(cell, (*NORMS, nn.GroupNorm)):
            cell.gamma.set_data(cell.gamma * calm)


def flatten(outputs) -> list[np.ndarray]:
    if isinstance(outputs, tuple | list):
        return [array for output in outputs for array in flatten(output)]
    return [outputs.asnumpy()]


def run(net: nn.Cell, image: np.ndarray, folder: Path, record: dict) -> None:
    try:
        outputs = flatten(net(Tensor(image)))
    except Exception as error:  # No CPU kernel, most often: the graph can be converted, but not be compared.
        record["run_error"] = describe(error)
        outputs = []
    np.savez(folder / "reference.npz", image, *outputs)


def save(folder: Path, record: dict) -> None:
    (folder / "record.json").write_text(json.dumps(record))


def describe(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def build(name: str, folder: Path, calm: float, record: dict) -> None:
    ms.set_seed(0)
    np.random.seed(0)
    rng = np.random.default_rng(0)
    record["step"] = "build"
    net = mindcv.create_model(name, pretrained=False)
    randomise_norms(net, rng)
    calm_norms(net, calm)
    net.set_train(False)
    record["parameters"] = int(sum(np.prod(p.shape) for p in net.get_parameters()))
    size = record["image_size"] = image_size(name)
    image = rng.normal(size=(1, 3, size, size)).astype(np.float32)
    record["step"] = "mindir"
    ms.export(net, Tensor(image), file_name=str(folder / "net.mindir"), file_format="MINDIR")
    run(net, image, folder, record)
    record["step"] = "native"
    save(folder, record)  # The native exporter may hang and be killed.
    ms.export(net, Tensor(image), file_name=str(folder / "native.onnx"), file_format="ONNX")
    record["step"] = "done"


def main() -> None:
    name, folder, calm = sys.argv[1], Path(sys.argv[2]).resolve(), float(sys.argv[3]) if len(sys.argv) > 3 else 1.0
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.chdir(folder)
    record = {"model": name, "family": _model_to_module[name], "calm": calm}
    record |= {"mindspore": ms.__version__, "mindcv": mindcv.__version__}
    start = time.process_time()
    try:
        build(name, folder, calm, record)
    except Exception as error:  # A failure of the model or of MindSpore is a result of the sweep.
        record["error"] = describe(error)
    finally:
        record["cpu_s"] = round(time.process_time() - start, 1)
        save(folder, record)


if __name__ == "__main__":
    main()
