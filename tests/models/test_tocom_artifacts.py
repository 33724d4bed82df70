"""DeiT-Ti that merges tokens, from Cell to ONNX: parity in two runtimes, and the same decisions on photographs."""

import mindspore as ms
import numpy as np
import onnxruntime
import pytest
from mindspore import nn, ops

from msnoah.export.cell_conversion import export_onnx
from msnoah.export.mindir import mindir_bytes
from msnoah.export.reference_runs import run_mindir
from msnoah.nn.fusing import fuse
from msnoah.nn.gathering_token_merging import with_gathering
from msnoah.nn.token_merging import match_tokens, merged_count, rank_descending
from msnoah.registry import create_model
from tests.goldens.slab_goldens import deit_value, fill
from tests.goldens.tocom_goldens import golden_images
from tests.models.photographs import fashion_articles, photographs

pytestmark = pytest.mark.slow
GATE = 1e-5     # absolute, on logits of unit variance
FORMS = {"matrix": lambda model: model, "gather": with_gathering}
DEGREES = [0, 4, 8, 13, 16]
IMAGES, BATCH = 120, 20
NEAR_TIE = 1e-6     # cosines in float32, after up to 12 blocks


def deit_tiny(count: int) -> nn.Cell:
    model = create_model("deit_tiny_patch16_224", tokens_merged=count)
    fill(model, deit_value)
    return model


def session_of(contents: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(contents, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("count", DEGREES)
def test_artifacts_give_the_logits_of_the_model(count, form):
    model = deit_tiny(count)
    images = golden_images("r8").asnumpy()
    expected = model(ms.Tensor(images)).asnumpy()
    fused = FORMS[form](fuse(model))
    graph = export_onnx(fused, images[:1], dynamic=())
    session = session_of(graph.SerializeToString())
    in_onnx = np.concatenate([session.run(None, {session.get_inputs()[0].name: image[None]})[0] for image in images])
    in_mindir = run_mindir(mindir_bytes(fused, [images]), 2)([images])[0]
    figures = {"ONNX Runtime": np.abs(in_onnx - expected).max(), "MindSpore graph": np.abs(in_mindir - expected).max()}
    print(f"r={count} {form}: " + ", ".join(f"{name} {figure:.1e}" for name, figure in figures.items()))
    assert max(figures.values()) <= GATE


class Deciding(nn.Cell):
    """A model that tells its decisions. Images -> of each block that merges, as (B, candidates): the place of the best
    target, 1 where the candidate is merged, its similarity, and by how much that is above the second best target's."""

    def __init__(self, model: nn.Cell):
        super().__init__()
        self.model = model

    def construct(self, images):
        x, size, outputs = self.model.embed(images), None, ()
        for block in self.model.blocks:
            attended, metric = block.attn(block.norm1(x), size)
            count = merged_count(block.merge.count, x.shape[1], 1)
            target, similarity = match_tokens(metric, 1)
            merged = (rank_descending(similarity) < count).astype(ms.float32)
            outputs = outputs + (target.astype(ms.float32), merged, similarity, lead_of_best(metric))
            x, size = block.merge(x + attended, size, metric)
            x = x + block.mlp(block.norm2(x))
        return outputs


def lead_of_best(metric):
    """How much more similar each candidate's best target is than its second best. (B, N, d) -> (B, candidates)"""
    unit = metric / ops.sqrt((metric * metric).sum(-1, keepdims=True))
    best = ops.topk(ops.BatchMatMul(transpose_b=True)(unit[:, 2::2], unit[:, 1::2]), 2)[0]
    return best[:, :, 0] - best[:, :, 1]


def first_difference(ours: list[np.ndarray], theirs: list[np.ndarray]) -> tuple[int, float] | None:
    """Of one image: the first block that decides otherwise, and by how much a cosine had to differ for that."""
    for block in range(len(ours) // 4):
        (target, merged, similarity, lead), (other_target, other_merged) = (
            outputs[4 * block:4 * block + count] for outputs, count in ((ours, 4), (theirs, 2)))
        swapped = merged != other_merged
        moved = (merged == 1) & (other_merged == 1) & (target != other_target)
        if swapped.any():
            boundary = similarity[merged == 1].min(), similarity[merged == 0].max(initial=-1)
            return block, max(abs(similarity[swapped] - np.mean(boundary)))
        if moved.any():
            return block, lead[moved].max()
    return None


@pytest.mark.parametrize("images", [photographs, fashion_articles], ids=["photographs", "Fashion-MNIST"])
@pytest.mark.parametrize("count", [8, 16])
def test_both_runtimes_decide_alike_on_real_images_but_for_near_ties(images, count):
    """Weights are random, so flat parts of an image give tokens that differ by their tiny positions alone."""
    samples, cell = images(IMAGES), Deciding(deit_tiny(count))
    session = session_of(export_onnx(cell, samples[:BATCH], dynamic=()).SerializeToString())
    differences, margins = [], []
    for start in range(0, IMAGES, BATCH):
        batch = samples[start:start + BATCH]
        ours = [output.asnumpy() for output in cell(ms.Tensor(batch))]
        theirs = session.run(None, {session.get_inputs()[0].name: batch})
        for row in range(BATCH):
            differences.append(first_difference([output[row] for output in ours], [output[row] for output in theirs]))
            margins.append(min(output[row].min() for output in ours[3::4]))
    flipped = [difference for difference in differences if difference]
    blocks = sum(12 if difference is None else difference[0] + 1 for difference in differences)
    decisions = sum(ours[4 * block].shape[1] for difference in differences
                    for block in range(12 if difference is None else difference[0] + 1))
    print(f"r={count} {images.__name__}: {len(flipped)} of {IMAGES} images and of {blocks} blocks with {decisions} "
          f"candidates decided otherwise, first at blocks {sorted(block + 1 for block, _ in flipped)}, by cosines that "
          f"differ by {max((margin for _, margin in flipped), default=0):.1e} at most; smallest lead of a best target "
          f"in an image: median {np.median(margins):.1e}, least {min(margins):.1e}")
    assert all(margin <= NEAR_TIE for _, margin in flipped)
