"""Latency of DeiT-S that merges r tokens a block, in ONNX Runtime, against DeiT-S that merges none.

    python -m pytest tests/benchmarks/test_token_merging_latency.py -m slow -s

CPU time of one thread at 224x224 and batch 1 (built in, which takes fewer compilations than a free batch), in one
process, in rounds that take turns. Forms: *gather* (TopK, Gather), *matrix* (signs and products), and *scatter*, the
plain static graph: merging as ToMe's authors write it, without two passes.

Each is compared with two graphs that merge nothing: *own*, with all passes, and *plain*, without `take_rows_early` and
`separate_heads`. Through `take_rows_early` the last block computes the class token only. That saves 7 % of the
multiplications where nothing is merged, but 1 % at r = 16, where few tokens are left for it. So the ratio to *own* has
a lower ideal than that to *plain*; the table gives both, the ratios of multiplications that the graphs do.

Weights are 88 MB, read once a run whatever r is. Of 197 tokens a product hides that; of 37 it took 11 % longer with
weights from memory than from the cache. So ratios fall on a machine whose memory others use as well.
"""

import numpy as np
import onnx
import pytest
from plain_token_merging import with_scattering
from test_artifact_latency import InProcess, by_round, open_session

from msnoah.deploy.interleaving import interleave
from msnoah.export import export_onnx
from msnoah.export.complexity import count_macs
from msnoah.nn.fusing import fuse
from msnoah.nn.gathering_token_merging import with_gathering
from msnoah.registry import create_model
from tests.goldens.slab_goldens import deit_value, fill

DEGREES = (8, 16)
REPEATS = 60
PLAIN = ("-take_rows_early", "-separate_heads")
GATE = 1e-5
"""Absolute, on logits of unit variance."""
LEAST = {8: 1.15, 16: 1.45}
"""Ratios to *plain*. Far below what a quiet machine gives, since the tests' machine is shared."""


FORMS = {"gather": (with_gathering, None), "matrix": (lambda model: model, None), "scatter": (with_scattering, PLAIN)}


def export(image: np.ndarray, tokens_merged: int, form=lambda model: model, passes=None) -> onnx.ModelProto:
    model = create_model("deit_small_patch16_224", tokens_merged=tokens_merged)
    fill(model, deit_value)
    return export_onnx(form(fuse(model)), image, dynamic=(), passes=passes)


def export_all(image: np.ndarray) -> dict[tuple[int, str], onnx.ModelProto]:
    artifacts = {(0, "own"): export(image, 0), (0, "plain"): export(image, 0, passes=PLAIN)}
    return artifacts | {(count, form): export(image, count, *FORMS[form]) for count in DEGREES for form in FORMS}


def interval(ratios: np.ndarray) -> str:
    """The median of ratios by round, and where 95 % of resampled medians lie."""
    generator = np.random.default_rng(0)
    medians = np.median(generator.choice(ratios, (2000, len(ratios))), axis=1)
    low, high = np.percentile(medians, (2.5, 97.5))
    return f"{np.median(ratios):.3f} ({low:.3f}-{high:.3f})"


def report(times: dict[tuple[int, str], np.ndarray], macs: dict[tuple[int, str], int]) -> None:
    heads = "".join(f"{f'to {name}':>23}{'least':>8}{'ideal':>8}" for name in ("own", "plain"))
    print(f"\n{'r':>3} {'form':8}{'p50 ms':>9}{'least':>8}{'G done':>8}{heads}")
    for key, ms in times.items():
        columns = ""
        for reference in ((0, "own"), (0, "plain")):
            other = times[reference]
            columns += f"{interval(other / ms):>23}{other.min() / ms.min():8.3f}{macs[reference] / macs[key]:8.3f}"
        print(f"{key[0]:3} {key[1]:8}{np.median(ms):9.2f}{ms.min():8.2f}{macs[key] / 1e9:8.3f}{columns}")


@pytest.mark.slow
def test_merging_tokens_pays():
    image = np.random.default_rng(1).standard_normal((1, 3, 224, 224), np.float32)
    artifacts = export_all(image)
    candidates = {key: InProcess(open_session(artifact), {artifact.graph.input[0].name: image})
                  for key, artifact in artifacts.items()}
    logits = {key: candidate.run()[0] for key, candidate in candidates.items()}
    for count, form in logits:
        assert np.abs(logits[count, form] - logits[count, "gather" if count else "own"]).max() <= GATE
    samples = interleave(list(candidates.values()), warmup=2, repeats=REPEATS)
    times = dict(zip(candidates, map(by_round, samples), strict=True))
    report(times, {key: sum(count_macs(artifact).values()) for key, artifact in artifacts.items()})
    for count in DEGREES:
        assert np.median(times[0, "plain"] / times[count, "gather"]) >= LEAST[count]
