"""SqueezeTime at its full size against what the authors' models compute, weights filled by their published names."""

import mindspore as ms
import numpy as np
from mindspore import nn

from msnoah.models.squeezetime import ClassificationHead
from msnoah.nn.fusing import fuse
from msnoah.nn.step_inputs import BUFFERS, count_parameters, weights
from msnoah.registry import create_model
from tests.goldens.slab_goldens import published_name, relative_error, watch
from tests.goldens.squeezetime_goldens import CONTRACT, MODELS, clip_batch, fill_squeezetime

GATE = 1e-5  # float32 against float64 of the authors' models: 6e-7
PLACES = [key.split("/")[2] for key in MODELS.files if key.endswith("/shape")]


def test_model_computes_what_the_authors_model_does_and_fuses_exactly():
    model, clips = create_model("squeezetime_r50"), clip_batch()
    shapes = {published_name(name): list(parameter.shape) for name, parameter in weights(model).items()}
    assert shapes == dict(map(tuple, CONTRACT["state_dict"]))
    assert count_parameters(model) == CONTRACT["params"] == 29_706_688
    assert round(count_parameters(model.backbone) / 1e6, 3) == 28.887
    fill_squeezetime(model)
    seen = watch(model, PLACES)
    output = model(clips).asnumpy()
    for place in PLACES:
        assert seen[place].shape == tuple(MODELS[f"k400/mid/{place}/shape"])
        assert relative_error(_sample(seen[place]), MODELS[f"k400/mid/{place}"]) <= GATE, place
    assert relative_error(output, MODELS["k400/output"]) <= GATE
    head = ClassificationHead(2048, 51, 0.5)
    fill_squeezetime(head, "cls_head.")
    features = ms.Tensor(seen["backbone.net.layer4"])      # of the same weights in the model of 51 classes
    assert relative_error(head(features).asnumpy(), MODELS["hmdb51/output"]) <= GATE
    fused = fuse(model)
    assert relative_error(fused(clips).asnumpy(), output) <= GATE
    assert nn.BatchNorm2d not in {type(cell) for _, cell in fused.cells_and_names()}
    assert not any(name.endswith(BUFFERS) for name in weights(fused))


def _sample(output: np.ndarray) -> np.ndarray:
    if output.size < 2000:
        return output.reshape(-1)
    return output.reshape(-1)[np.linspace(0, output.size - 1, 2000).astype(np.int64)][::20]
