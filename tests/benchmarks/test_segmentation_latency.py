"""Latency of CGRSeg-T's artifacts in ONNX Runtime: labels, or logits, of every pixel of an image of 512x512.

    python -m pytest tests/benchmarks/test_segmentation_latency.py -m slow -s

CPU time of one thread, in one process, in rounds that take turns. `logits` end at stride 8; `full` forms resize them to
the image's size, and `argmax` ones take the class of the largest, which is what a label map does without them. The peak
is the rate of plain products of the stages' sizes, (N, C)(C, 4C)(4C, C), in the same rounds; the share is the rate of
the multiplications as published over it. Weights are random, which is hard on the label map: 17 of 150 classes can win
in a cell of 8x8 pixels, where one or two can when the network is certain of an object.

Passes fold the norms of the unfused graph too, so both logits take equally long. In a profile 57 % of their time are
convolutions and 9 % products, at about the peak's rate, and 23 % are exact GELU, which ONNX Runtime cannot put inside a
convolution.
"""

import numpy as np
import pytest
from test_artifact_latency import InProcess, by_round, open_session, peak

from msnoah.deploy.interleaving import interleave
from msnoah.export import export_onnx
from msnoah.export.label_map import as_label_map, with_full_logits
from msnoah.nn.fusing import fuse
from msnoah.registry import create_model
from tests.goldens.cgrseg_goldens import MODELS, cgrseg_image, fill_cgrseg

PUBLISHED = 4.527e9
"""Multiply-accumulates of an image's logits at stride 8."""
PRODUCTS = [(16384, 32, 3), (4096, 48, 3), (1024, 120, 9), (256, 224, 6)]
REPEATS = 30
TIES = 8
"""Pixels of 262144 whose two best logits are the same to float32: other orders of summation decide them anew."""
LARGEST_RATIO = 0.70


@pytest.mark.slow
def test_label_map_costs_a_fraction_of_resized_logits():
    model, image = create_model("cgrseg_t", image_size=512), cgrseg_image(512, 512).asnumpy()
    fill_cgrseg(model)
    names = {"input_names": ["image"], "output_names": ["logits"]}
    fused, unfused = export_onnx(fuse(model), image, **names), export_onnx(model, image, **names)
    artifacts = {
        "logits": fused, "label map": as_label_map(fused), "full": with_full_logits(fused),
        "full argmax": with_full_logits(fused, labels=True), "unfused logits": unfused,
        "unfused full": with_full_logits(unfused), "unfused full argmax": with_full_logits(unfused, labels=True),
    }
    candidates = {name: InProcess(open_session(artifact), {"image": image}) for name, artifact in artifacts.items()}
    labels = {name: candidates[name].run()[0] for name in ("label map", "full argmax", "unfused full argmax")}
    others = {name: int((found != MODELS["512/pixel_classes"]).sum()) for name, found in labels.items()}
    print(f"\npixels of another class than the authors': {others}")
    assert max(others.values()) <= TIES
    reference, reference_macs = peak(PRODUCTS)
    *samples, reference_samples = interleave([*candidates.values(), reference], warmup=2, repeats=REPEATS)
    times = dict(zip(candidates, map(by_round, samples), strict=True))
    report(times, reference_macs / (by_round(reference_samples) / 1e3))
    for form in ("full argmax", "unfused full argmax"):
        assert np.median(times["label map"] / times[form]) <= LARGEST_RATIO


def report(times: dict[str, np.ndarray], rates: np.ndarray) -> None:
    print(f"products alone {np.median(rates) / 1e9:.1f} G multiply-accumulates/s")
    print(f"{'':20}{'ms':>9}{'least':>9}{'to unfused full argmax':>24}{'share, published':>18}")
    for name, ms in times.items():
        ratio, share = np.median(ms / times["unfused full argmax"]), np.median(PUBLISHED / (ms / 1e3) / rates)
        print(f"{name:20}{np.median(ms):9.1f}{ms.min():9.1f}{ratio:24.3f}{share:18.1%}")
