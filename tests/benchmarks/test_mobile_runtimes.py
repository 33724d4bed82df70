"""Token merging in ONNX Runtime, MNN and ncnn: which form each of them gets right, and how long it takes.

    python -m pytest tests/benchmarks/test_mobile_runtimes.py -m slow -s

DeiT-T at 224x224, batch 1, one thread, CPU time; every form and runtime in its own process, in rounds that take turns.
Forms: *scatter*, as ToMe's authors write it (TopK, GatherElements, ScatterElements, -inf for the class token), *gather*
and *matrix*. The difference is to MindSpore's logits, relative to the largest.
"""

from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import onnx
import pytest
from mindspore import Tensor
from plain_token_merging import with_scattering

from msnoah.deploy.artifact import TensorSpec
from msnoah.deploy.artifact_file import open_artifact
from msnoah.deploy.interleaving import interleave
from msnoah.deploy.measurement import Samples, largest_relative_difference, make_feeds
from msnoah.deploy.statistics import percentile
from msnoah.deploy.worker_process import WorkerProcess
from msnoah.errors import ProfileError
from msnoah.export import export_onnx
from msnoah.nn.fusing import fuse
from msnoah.nn.gathering_token_merging import with_gathering
from msnoah.registry import create_model
from tests.goldens.slab_goldens import deit_value, fill

DEGREES = (8, 16)
RUNTIMES = ("onnxruntime", "mnn", "ncnn")
REPEATS = 60
GATE = 1e-5
"""Relative: float32 in other orders through 12 blocks; another decision about one token is above 1e-3."""
RIGHT = [("matrix", runtime) for runtime in RUNTIMES] + [("gather", "onnxruntime"), ("gather", "mnn"),
                                                         ("scatter", "onnxruntime")]


FORMS = {"scatter": with_scattering, "gather": with_gathering, "matrix": lambda model: model}


@dataclass
class Row:
    """A form in a runtime, and what came of it."""

    degree: int
    form: str
    runtime: str
    worker: WorkerProcess | None = None
    difference: float | None = None
    same_class: bool = False
    samples: Samples | None = None
    error: str | None = None

    def load(self, path, expected: np.ndarray, stack: ExitStack) -> None:
        self.worker = stack.enter_context(WorkerProcess())
        try:
            self.worker.start(self.runtime, open_artifact(path), 1, 1)
            [logits] = self.worker.outputs()
        except ProfileError as error:
            self.error = str(error)
            return
        self.difference = largest_relative_difference([logits], [expected])
        self.same_class = bool((logits.argmax(-1) == expected.argmax(-1)).all())

    def __str__(self) -> str:
        start = f"{self.degree:3} {self.form:8}{self.runtime:12}"
        if self.error:
            return f"{start}{self.error[:150]}"
        ms = percentile(self.samples.cpu_ms, 50)
        return f"{start}{self.difference:12.1e}{'same' if self.same_class else 'other':>8}{ms:9.1f}"


def export_all(degree: int, folder, image: np.ndarray) -> tuple[dict[str, str], np.ndarray]:
    """Paths by form, and MindSpore's logits."""
    model = create_model("deit_tiny_patch16_224", tokens_merged=degree)
    fill(model, deit_value)
    expected = model(Tensor(image)).asnumpy()
    paths = {}
    for form, take in FORMS.items():
        paths[form] = folder / f"{form}_{degree}.onnx"
        onnx.save(export_onnx(take(fuse(model)), image, input_names=["image"], dynamic=()), paths[form])
    return paths, expected


@pytest.mark.slow
@pytest.mark.parametrize("degree", DEGREES)
def test_forms_of_merging_in_mobile_runtimes(degree, tmp_path):
    [image] = make_feeds([TensorSpec(name="image", shape=(1, 3, 224, 224), dtype="float32")], 1)
    paths, expected = export_all(degree, tmp_path, image)
    rows = [Row(degree, form, runtime) for form in FORMS for runtime in RUNTIMES]
    with ExitStack() as stack:
        for row in rows:
            row.load(paths[row.form], expected, stack)
        measured = [row for row in rows if row.error is None]
        for row, samples in zip(measured, interleave([row.worker for row in measured], 3, REPEATS), strict=True):
            row.samples = samples
    print(f"\n{'r':>3} {'form':8}{'runtime':12}{'difference':>12}{'class':>8}{'CPU ms':>9}", *rows, sep="\n")
    for row in rows:
        missing = row.error is not None and "pip install" in row.error
        if (row.form, row.runtime) in RIGHT and not missing:
            assert row.error is None and row.difference <= GATE and row.same_class, str(row)
