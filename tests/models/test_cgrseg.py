"""CGRSeg-T at its full size against what the authors' model computes, every weight filled by its published name."""

import functools

import numpy as np
import pytest
from mindspore import nn

from msnoah.nn.fusing import fuse
from msnoah.nn.step_inputs import BUFFERS, count_parameters, weights
from msnoah.registry import create_model
from tests.goldens.cgrseg_goldens import CONTRACT, MODELS, UNREAD, cgrseg_image, cgrseg_name, fill_cgrseg, watch_calls

GATE = 1e-5  # absolute; logits reach 2, maps 7; the authors' float32 logits are off their float64 ones by 1.9e-6
TIES = {512: 0, 256: 1}  # pixels of another class: at 256x256 one pixel's two best logits are 5e-10 apart
SIZES = [512, pytest.param(256, marks=pytest.mark.slow)]
FUSED_TIES = 2  # folding rounds anew; the two best logits of 5 and 2 pixels are within float32's noise, 2e-6

# What our Cell of a place leaves to its parent.
COMPLETIONS = {
    "decode_head.linear_fuse": lambda output, x: np.maximum(output, 0),
    "decode_head.lgc": lambda output, x: output - x,
}


@functools.lru_cache(1)
def filled(size: int) -> nn.Cell:
    model = create_model("cgrseg_t", image_size=size)
    fill_cgrseg(model)
    return model


@pytest.mark.parametrize("size", SIZES)
def test_model_computes_what_the_authors_model_does(size):
    model = filled(size)
    shapes = {cgrseg_name(name): list(parameter.shape) for name, parameter in weights(model).items()}
    assert shapes == {name: shape for name, shape in CONTRACT["state_dict"] if name.rsplit(".", 1)[-1] not in UNREAD}
    assert count_parameters(model) == CONTRACT["params"] == 9_364_647
    assert count_parameters(model.backbone) == CONTRACT["params_backbone"]
    places = [key.split("/")[1] for key in MODELS.files if key.startswith(f"{size}/") and key.endswith("/shape")]
    seen = watch_calls(model, {_cell_of(place) for place in places})
    logits = model(cgrseg_image(size, size)).asnumpy()
    for place in places:
        check_place(f"{size}/{place}", _output(seen, place))
    assert np.abs(logits.reshape(-1)[::101] - MODELS[f"{size}/logits"]).max() <= GATE
    assert (logits.argmax(1) == MODELS[f"{size}/classes"]).all()
    assert count_other_pixels(logits, size) <= TIES[size]


@pytest.mark.slow
@pytest.mark.parametrize("size", TIES)
def test_fused_model_computes_the_same_without_norms(size):
    model, image = filled(size), cgrseg_image(size, size)
    fused = fuse(model)
    logits = fused(image).asnumpy()
    assert np.abs(logits.reshape(-1)[::101] - MODELS[f"{size}/logits"]).max() <= GATE
    assert (logits.argmax(1) == MODELS[f"{size}/classes"]).all()
    assert count_other_pixels(logits, size) <= FUSED_TIES
    assert nn.BatchNorm2d not in {type(cell) for _, cell in fused.cells_and_names()}
    left = [name for name in weights(fused) if name.endswith((*BUFFERS, "gamma", "beta")) or "scale" in name]
    assert left == [f"decode_head.lgc.channel_mul_conv.1.{last}" for last in ("gamma", "beta")]


def check_place(key: str, output: np.ndarray) -> None:
    assert output.shape == tuple(MODELS[f"{key}/shape"])
    assert np.abs(output.reshape(-1)[:2000:20] - MODELS[f"{key}/first"]).max() <= GATE, key
    whole = output.astype(np.float64)
    stats = [whole.mean(), whole.std(), np.abs(whole).max()]
    assert np.abs(stats - MODELS[f"{key}/stats"]).max() <= GATE, key


def count_other_pixels(logits: np.ndarray, size: int) -> int:
    """Pixels whose class, after resizing to the image's size, is not the authors'."""
    count = logits.shape[-1]
    at = np.clip((np.arange(size) + 0.5) * count / size - 0.5, 0, count - 1)
    matrix = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(count)))
    resized = matrix @ logits.astype(np.float64) @ matrix.T             # (1, K, size, size)
    theirs = np.take_along_axis(resized, MODELS[f"{size}/pixel_classes"][:, None].astype(np.int64), 1)
    return int((theirs[:, 0] < resized.max(1)).sum())


def _cell_of(place: str) -> str:
    return place.removesuffix(".in0").removesuffix(".call0").removesuffix(".call1")


def _output(seen: dict[str, list[np.ndarray]], place: str) -> np.ndarray:
    if place.endswith((".call0", ".call1")):
        return seen[_cell_of(place)][int(place[-1])]
    output = seen[place][0]
    return COMPLETIONS[place](output, seen[f"{place}.in0"][0]) if place in COMPLETIONS else output
