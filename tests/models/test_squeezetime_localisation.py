"""The localiser: small, it fuses, computes the same in ONNX and trains; its head learns to find planted segments."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from msnoah.checkpoint import save_weights
from msnoah.commands.models import measure_size
from msnoah.data.temporal_segments import assign_targets, decode_segments, temporal_points
from msnoah.errors import ModelError
from msnoah.export import export_onnx
from msnoah.export.verification import run_onnx
from msnoah.metrics.detection import segment_metrics
from msnoah.metrics.detections import Annotations
from msnoah.metrics.non_maximum_suppression import soft_suppress
from msnoah.models.squeezetime_localisation import LocalisationHead
from msnoah.nn.fusing import fuse
from msnoah.nn.step_inputs import weights
from msnoah.registry import create_model
from msnoah.training.detection_losses import localisation_loss
from tests.goldens.slab_goldens import relative_error
from tests.goldens.squeezetime_goldens import fill_squeezetime

GATE = 1e-5   # folding and ONNX Runtime's sums each round once more
SMALL = {"num_frames": 4, "image_size": 32, "depth": 10, "base_width": 8}
LOCALISER = {**SMALL, "num_classes": 3, "length": 6, "channels": 16, "levels": 2}
WINDOWS = np.random.default_rng(0).standard_normal((12, 3, 4, 32, 32)).astype(np.float32)   # of two videos


def test_fused_localiser_computes_the_same_in_onnx():
    model = create_model("squeezetime_r50_thumos14", **LOCALISER)
    fill_squeezetime(model)
    expected = [output.asnumpy() for output in model(Tensor(WINDOWS))]
    assert [output.shape for output in expected] == [(2, 9, 3), (2, 9, 2)] and len(temporal_points(6, 2)) == 9
    assert (expected[1] > 0).all() and model.input_shapes() == [[6, *WINDOWS.shape[1:]]]
    fused = fuse(model)
    assert nn.BatchNorm2d not in {type(cell) for _, cell in fused.cells_and_names()}
    graph = export_onnx(fused, WINDOWS, dynamic=())
    assert "BatchNormalization" not in {node.op_type for node in graph.graph.node}
    for output, reference in zip(run_onnx(graph)([WINDOWS]), expected, strict=True):
        assert relative_error(output, reference) <= GATE
    features = fused.features(Tensor(WINDOWS[6:]))                          # (6, 32 + 64), the second video's
    alone = fused.head(features.expand_dims(0).swapaxes(1, 2))
    assert all(relative_error(a.asnumpy()[0], b[1]) <= GATE for a, b in zip(alone, expected))


def test_features_are_the_means_of_stages_3_and_4():
    model = create_model("squeezetime_r50_features", **SMALL)
    fill_squeezetime(model)
    *_, stage3, stage4 = (stage.asnumpy() for stage in model.backbone(Tensor(WINDOWS[:2])))
    expected = np.concatenate([stage3.mean((2, 3)), stage4.mean((2, 3))], 1)
    assert expected.shape == (2, model.out_channels) == (2, 96)
    assert relative_error(model(Tensor(WINDOWS[:2])).asnumpy(), expected) <= GATE


@pytest.mark.parametrize("name, prefix, sizes", [
    ("squeezetime_r50_ava", "", {**SMALL, "position_sizes": (8, 4, 2, 2)}), ("squeezetime_r50_features", "", SMALL),
    ("squeezetime_r50_thumos14", "features.", LOCALISER),
])
def test_backbone_starts_from_a_recogniser_of_another_image_size(name, prefix, sizes, tmp_path):
    recogniser = create_model("squeezetime_r10", **{**SMALL, "image_size": 64}, num_classes=7)
    fill_squeezetime(recogniser)
    save_weights(recogniser, tmp_path / "recogniser.ckpt", {})
    model = create_model(name, checkpoint=tmp_path / "recogniser.ckpt", strict=False, **sizes)
    theirs, ours = weights(recogniser), weights(model)
    for weight in (n for n in ours if n.startswith(f"{prefix}backbone.") and not n.endswith("pos_embed")):
        assert np.array_equal(ours[weight].asnumpy(), theirs[weight.removeprefix(prefix)].asnumpy()), weight
    first = "backbone.net.layer1.0.conv1.spatial_conv.pos_embed"            # (1, 16, 8, 8) from (1, 16, 16, 16)
    corners = (slice(None), slice(None), slice(None, None, 7), slice(None, None, 7))
    assert np.allclose(ours[prefix + first].asnumpy()[corners], theirs[first].asnumpy()[:, :, ::15, ::15], atol=1e-6)


@pytest.mark.slow   # the head alone trains below, the backbone with the detector
def test_a_step_lowers_the_loss_and_reaches_the_first_layer():
    ms.set_seed(0)
    model = create_model("squeezetime_r50_thumos14", **LOCALISER).set_train()
    truths = [Annotations([[1, 4]], [0]), Annotations([[0, 5]], [2])]
    pairs = [assign_targets(temporal_points(6, 2), video, 3) for video in truths]
    classes, distances = (Tensor(np.stack(part)) for part in zip(*pairs))
    optimizer = nn.SGD(model.trainable_params(), 0.01)

    def loss(windows):
        return localisation_loss(*model(windows), classes, distances)

    first, gradients = ms.value_and_grad(loss, None, optimizer.parameters)(Tensor(WINDOWS))
    optimizer(gradients)
    by_name = {p.name: np.abs(g.asnumpy()).max() for p, g in zip(optimizer.parameters, gradients)}
    assert by_name["features.backbone.net.conv1.weight"] > 0 and by_name["head.classifier.4.bias"] > 0
    assert float(loss(Tensor(WINDOWS))) < float(first)


STEPS, FEATURES, CLASSES, LEVELS, BATCH = 64, 12, 3, 3, 16
PATTERNS = np.random.default_rng(7).standard_normal((CLASSES, FEATURES))
POINTS = temporal_points(STEPS, LEVELS)


def plant(rng: np.random.Generator) -> tuple[np.ndarray, Annotations]:
    """Noise (FEATURES, STEPS), in which up to three segments show their class's pattern for as long as they last."""
    bounds = np.sort(rng.uniform(0, STEPS, 6)).reshape(3, 2)
    bounds = bounds[bounds[:, 1] - bounds[:, 0] >= 2]
    labels, at = rng.integers(0, CLASSES, len(bounds)), np.arange(STEPS)
    shown = np.clip(np.minimum(at + 0.5, bounds[:, 1:]) - np.maximum(at - 0.5, bounds[:, :1]), 0, 1)
    sequence = PATTERNS[labels].T @ shown + rng.normal(0, 0.7, (FEATURES, STEPS))
    return sequence.astype(np.float32), Annotations(bounds, labels)


def trained_head(steps: int) -> nn.Cell:
    ms.set_seed(0)
    head, rng = LocalisationHead(CLASSES, FEATURES, 32, LEVELS, depth=1).set_train(), np.random.default_rng(0)
    optimizer = nn.Adam(head.trainable_params(), 0.01)

    def loss(sequences, classes, distances):
        return localisation_loss(*head(sequences), classes, distances)

    compute = ms.value_and_grad(loss, None, optimizer.parameters)

    @ms.jit
    def step(sequences, classes, distances):
        value, gradients = compute(sequences, classes, distances)
        optimizer(gradients)
        return value

    for _ in range(steps):
        sequences, annotations = zip(*[plant(rng) for _ in range(BATCH)])
        targets = zip(*[assign_targets(POINTS, truths, CLASSES) for truths in annotations])
        step(*[Tensor(np.stack(part)) for part in (sequences, *targets)])
    return head.set_train(False)


def mean_average_precision(scores, distances, annotations) -> float:
    metrics = segment_metrics(CLASSES)
    for *outputs, truths in zip(scores, distances, annotations):
        metrics.update(soft_suppress(decode_segments(*outputs, POINTS)), truths)
    return metrics.result()["map"]


def test_a_trained_head_finds_planted_segments_from_its_onnx_form():
    rng = np.random.default_rng(1)
    sequences, annotations = zip(*[plant(rng) for _ in range(32)])
    sequences, head = np.stack(sequences), trained_head(steps=60)
    run = run_onnx(export_onnx(fuse(head), sequences, dynamic=()))
    outputs, eager = run([sequences]), [output.asnumpy() for output in head(Tensor(sequences))]
    assert all(relative_error(a, b) <= GATE for a, b in zip(outputs, eager))
    scores, distances = 1 / (1 + np.exp(-outputs[0])), outputs[1]
    assert mean_average_precision(scores, distances, annotations) > 0.6    # 0.82 when this was written
    other = np.roll(np.arange(32), 1)                                      # what was found in another sequence
    assert mean_average_precision(scores[other], distances[other], annotations) < 0.1
    assert mean_average_precision(rng.random(scores.shape), rng.uniform(0.5, 4, distances.shape), annotations) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("name, shape, parameters, gmacs", [
    ("squeezetime_localisation_head", [3072, 128], 4_149_782, 0.550),
    ("squeezetime_r50_features", [3, 16, 96, 96], 28_705_968, 1.009),
    ("squeezetime_r50_thumos14", [128, 3, 16, 96, 96], 28_705_968 + 4_149_782, 129.697),    # 128 times 1.009, and 0.55
    ("squeezetime_r50_ava", [3, 16, 256, 256], 28_879_920 + 81 * 129, 10.272),
])
def test_sizes_are_counted_with_all_inputs(name, shape, parameters, gmacs):
    record = measure_size(name)
    assert (record["input"], record["parameters"]["trained"]) == (shape, parameters)
    assert record["macs"] / 1e9 == pytest.approx(gmacs, abs=1e-3)


@pytest.mark.parametrize("message, name, changes", [
    ("length=0", "squeezetime_r50_thumos14", {**LOCALISER, "length": 0}),
    ("levels=0", "squeezetime_r50_thumos14", {**LOCALISER, "levels": 0}),
    ("num_classes=0", "squeezetime_localisation_head", {"num_classes": 0}),
    ("depth=0", "squeezetime_localisation_head", {"depth": 0}),
])
def test_sizes_that_make_no_sense_are_refused(message, name, changes):
    with pytest.raises(ModelError, match=message):
        create_model(name, **changes)
