"""Whole models of SLAB against what the authors' models compute, with every weight filled by its published name."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import ops

from msnoah.nn.fusing import fuse
from msnoah.nn.step_inputs import count_parameters, set_layer_norm_share, weights
from msnoah.registry import create_model
from tests.goldens.slab_goldens import (
    CONTRACTS,
    MODELS,
    TRAINING,
    deit_value,
    fill,
    image_batch,
    published_name,
    relative_error,
    slab_value,
    watch,
)

GATE = 1e-5  # float32 against float64 of the authors' models: 2e-7 to 4e-7
VALUES = {"deit_tiny_patch16_224": deit_value}
UNREAD = {"slab_deit_t": 192}  # the class token that nothing reads: counted in the authors' fused model, not in ours


# One of every architecture by default; the others share all of their code with these and the variants' tests.
NAMES = [name if name.startswith("slab") else pytest.param(name, marks=pytest.mark.slow) for name in CONTRACTS]


@pytest.mark.parametrize("name", NAMES)
def test_model_computes_what_the_authors_model_does_and_fuses_exactly(name):
    model, contract = create_model(name), CONTRACTS[name]
    shapes = {published_name(n): list(parameter.shape) for n, parameter in weights(model).items()}
    assert shapes == dict(map(tuple, contract["state_dict"]))
    assert count_parameters(model) == contract["params"]
    fill(model, VALUES.get(name, slab_value))
    places = _places(name)
    seen, images = watch(model, places), image_batch()
    output = model(images).asnumpy()
    for place in places:
        sample = _sample(seen[place], tuple(MODELS[f"{name}/mid/{place}/shape"]))
        assert relative_error(sample, MODELS[f"{name}/mid/{place}"]) <= GATE, place
    assert relative_error(output, MODELS[f"{name}/output"]) <= GATE
    fused = fuse(model)
    assert count_parameters(fused) == contract["fused"] - UNREAD.get(name, 0)
    assert relative_error(fused(images[:1]).asnumpy(), output[:1]) <= GATE     # one of the two: half the time


@pytest.mark.parametrize("name", ["slab_deit_t", pytest.param("deit_t_prepbn", marks=pytest.mark.slow)])
def test_training_step_has_the_authors_loss_gradients_and_statistics(name):
    golden = {key.split("/", 1)[1]: TRAINING[key] for key in TRAINING.files if key.startswith(f"{name}/")}
    model = create_model(name)
    fill(model)
    model.set_train()
    set_layer_norm_share(model, 0.5)
    names, parameters = zip(*((n, p) for n, p in weights(model).items() if p.requires_grad))
    targets = ms.Tensor(np.array([3, 977], np.int32))

    def loss_and_logits(images):
        logits = model(images)
        return ops.cross_entropy(logits, targets, label_smoothing=0.1), logits

    (loss, logits), found = ms.value_and_grad(loss_and_logits, None, parameters, has_aux=True)(image_batch())
    gradients = {published_name(n): gradient.asnumpy() for n, gradient in zip(names, found)}
    assert relative_error(logits.asnumpy(), golden["out"]) <= GATE
    assert relative_error(loss.asnumpy(), golden["loss"]) <= GATE
    unread = set(gradients) - set(golden["grad_names"].tolist())
    assert unread == ({"cls_token"} if name in UNREAD else set()) and not any(gradients[n].any() for n in unread)
    norms = [np.linalg.norm(gradients[n].astype(np.float64)) for n in golden["grad_names"]]
    assert relative_error(norms, golden["grad_norms"]) <= GATE
    for key in (key for key in golden if key.startswith("grad/")):
        first = gradients[key[5:]].reshape(-1)[:golden[key].size]
        assert relative_error(first, golden[key].reshape(-1)) <= GATE, key
    ours = {published_name(n): parameter.asnumpy() for n, parameter in weights(model).items()}
    for key in (key for key in golden if key.endswith(("running_mean", "running_var"))):
        assert relative_error(ours[key[6:]], golden[key]) <= GATE, key


def _places(name: str) -> list[str]:
    keys = [key.split("/")[2] for key in MODELS.files if key.startswith(f"{name}/mid/") and not key.endswith("/shape")]
    return [key for key in keys if key != "stage1_conv_embed"]  # a list of layers in ours, so no Cell has its output


def _sample(output: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    tokens = output if output.shape == shape else output.swapaxes(1, 2)     # CSWin's attention has its tokens last
    assert tokens.shape == shape
    return tokens.reshape(-1)[np.linspace(0, tokens.size - 1, 2000).astype(np.int64)][::20]
