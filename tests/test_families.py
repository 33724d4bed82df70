"""Every variant of SLAB from Cell to ONNX: fused, one graph for every batch, no norm left, and the unfused Cell's numbers."""

import numpy as np
import onnxruntime
import pytest
from mindspore import Tensor

from msnoah.export.exporter import export_onnx
from msnoah.export.onnx_summary import count_operators
from msnoah.nn.fusing import fuse
from msnoah.registry import create_model
from tests.goldens.slab_goldens import fill, relative_error

TOLERANCE = 1e-5  # what `msnoah export` asks for; float32 noise of these weights is below 1e-6 (float64 beside float32)
BATCHES = (1, 2, 5)
NORMS = {"BatchNormalization", "LayerNormalization", "InstanceNormalization", "GroupNormalization"}

TINY = {
    "deit_t_prepbn": {"image_size": 32, "embed_dim": 24, "depth": 2},
    "slab_deit_t": {"image_size": 64, "embed_dim": 24, "depth": 2},
    "pvt_t_prepbn": {"image_size": 64, "embed_dims": [8, 16, 40, 64], "depths": [1, 1, 1, 1]},
    "slab_pvt_t": {"image_size": 64, "embed_dims": [8, 16, 40, 64], "depths": [1, 1, 1, 1]},
    "swin_t_prepbn": {"image_size": 56, "embed_dim": 24, "depths": [2, 2], "num_heads": [3, 6]},
    "slab_swin_t": {"image_size": 56, "embed_dim": 24, "depths": [1, 2], "num_heads": [3, 6], "attention_types": "LS"},
    "slab_cswin_t": {"image_size": 64, "embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 4, 8], "split_sizes": [1, 2, 2, 2]},
}
FULL = [
    "deit_t_prepbn", "deit_s_prepbn", "slab_deit_t", "slab_deit_s", "pvt_t_prepbn", "pvt_s_prepbn", "pvt_m_prepbn", "slab_pvt_t", "slab_pvt_s",
    "slab_pvt_m", "swin_t_prepbn", "slab_swin_t", "slab_swin_s", "slab_swin_b", "slab_cswin_t", "slab_cswin_s",
]


def check(name: str, batches: tuple[int, ...], **sizes) -> float:
    model = create_model(name, num_classes=10, **sizes)
    fill(model)
    size = sizes.get("image_size", 224)
    image = np.random.default_rng(0).standard_normal((max(batches), 3, size, size)).astype(np.float32)
    onnx_model = export_onnx(fuse(model), image[:1], input_names=["image"], output_names=["logits"])
    assert not NORMS & set(count_operators(onnx_model))
    session = onnxruntime.InferenceSession(onnx_model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = model(Tensor(image)).asnumpy()
    errors = [relative_error(session.run(None, {"image": image[:batch]})[0], expected[:batch]) for batch in batches]
    assert max(errors) <= TOLERANCE
    return max(errors)


@pytest.mark.parametrize(
    "name", [name if name.startswith("slab") else pytest.param(name, marks=pytest.mark.slow) for name in TINY])
def test_tiny_model_of_each_family(name):
    check(name, BATCHES, **TINY[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_full_size_variant(name):
    print(f"{name}: {check(name, BATCHES):.1e}")
