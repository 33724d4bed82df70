"""Latency of SqueezeTime-R50's artifacts in ONNX Runtime: fused, fused with fast convolutions, not fused, and plain.

    python -m pytest tests/benchmarks/test_squeezetime_latency.py -m slow -s

CPU time of one thread, one clip of 16 frames at 224x224, in one process, in rounds that take turns. Plain is the fused
network as it is converted, without any pass over the graph. The peak is the rate of plain products of the bottlenecks'
sizes, (N, C)(C, 4C)(4C, C) for the N places and C channels of each stage, in the same rounds; the shares are the rates
of artifacts over it, for the multiplications of the network as published and for those that the artifact does.

ONNX Runtime's blocked convolutions reach the rate of such products by themselves and fold norms on their own, so passes
and fusing change little: more than nine tenths of the time is convolutions, and a network without gates and positions
at all would save three percent at most. What saves more is doing less, which is what fast convolutions are.
"""

import numpy as np
import pytest
from test_artifact_latency import REPEATS, InProcess, by_round, create, open_session, peak

from msnoah.deploy.interleaving import interleave
from msnoah.export import export_onnx, filter_minimally
from msnoah.export.complexity import count_macs
from msnoah.nn.fusing import fuse

PUBLISHED = 5.482e9
"""Multiply-accumulates of a clip."""
PRODUCTS = [(3136, 64, 3), (784, 128, 4), (196, 256, 6), (49, 512, 3)]
TOLERANCE = 1e-5
"""Relative to the largest logit: float32 sums in another order."""
LARGEST_RATIO, SMALLEST_SHARE = 0.95, 0.93


@pytest.mark.slow
def test_fast_convolutions_are_fastest():
    model = create("squeezetime_r50", num_classes=400)
    clip = np.random.default_rng(1).standard_normal((1, 3, 16, 224, 224), np.float32)
    fused, names = fuse(model), {"input_names": ["clip"], "output_names": ["logits"]}
    artifacts = {"fused": export_onnx(fused, clip, **names), "unfused": export_onnx(model, clip, **names)}
    artifacts["plain"] = export_onnx(fused, clip, passes=("fold_constants", "remove_dead_code"), **names)
    artifacts["fast"] = filter_minimally(artifacts["fused"])
    candidates = {name: InProcess(open_session(artifact), {"clip": clip}) for name, artifact in artifacts.items()}
    logits = {name: candidate.run()[0] for name, candidate in candidates.items()}
    for found in logits.values():
        assert np.abs(found - logits["unfused"]).max() <= TOLERANCE * np.abs(logits["unfused"]).max()
    reference, reference_macs = peak(PRODUCTS)
    *samples, reference_samples = interleave([*candidates.values(), reference], warmup=2, repeats=REPEATS)
    times = dict(zip(candidates, map(by_round, samples), strict=True))
    rates = reference_macs / (by_round(reference_samples) / 1e3)
    macs = {name: sum(count_macs(artifact).values()) for name, artifact in artifacts.items()}
    report(times, macs, rates)
    assert np.median(PUBLISHED / (times["fast"] / 1e3) / rates) >= SMALLEST_SHARE
    for slower in ("unfused", "plain"):
        assert np.median(times["fast"] / times[slower]) <= LARGEST_RATIO


def report(times: dict[str, np.ndarray], macs: dict[str, int], rates: np.ndarray) -> None:
    print(f"\nproducts alone {np.median(rates) / 1e9:.1f} G multiply-accumulates/s")
    heads = f"{'to plain':>10}{'to unfused':>12}{'share, published':>18}{'share, done':>13}{'G done':>9}"
    print(f"{'':10}{'ms':>9}{'least':>9}{heads}")
    for name, ms in times.items():
        ratios = [np.median(ms / times[other]) for other in ("plain", "unfused")]
        published, done = (np.median(count / (ms / 1e3) / rates) for count in (PUBLISHED, macs[name]))
        print(f"{name:10}{np.median(ms):9.1f}{ms.min():9.1f}{ratios[0]:10.3f}{ratios[1]:12.3f}{published:18.1%}{done:13.1%}"
              f"{macs[name] / 1e9:9.2f}")
