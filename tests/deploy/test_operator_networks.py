"""Small networks as msnoah exports them, run by real profilers: every node's time and every product has its module."""

import importlib.util

import numpy as np
import pytest

from msnoah.deploy.artifact import Artifact, TensorSpec
from msnoah.deploy.artifact_file import open_artifact, read_model
from msnoah.deploy.operator_pass import OperatorPass
from msnoah.deploy.operator_sums import mapped_share, sum_by_kind, sum_by_module, sum_by_role
from msnoah.deploy.rows import Row
from msnoah.deploy.worker_process import WorkerProcess
from msnoah.export.complexity import count_macs

UNMAPPED = 0.01   # share of the time that may be without a module; none was seen
NETWORKS = {   # name: arguments, shape of an input, modules that must have products
    "slab_deit_t": ({"image_size": 32, "patch_size": 8, "depth": 3, "embed_dim": 48, "num_classes": 10}, (3, 32, 32),
                    {"patch_embed.proj", "blocks.*.attn.qkv", "blocks.*.attn.product", "blocks.*.attn.dwc",
                     "blocks.*.attn.proj", "blocks.*.mlp.fc1", "blocks.*.mlp.fc2"}),
    "squeezetime_r10": ({"image_size": 32, "num_frames": 4, "base_width": 16, "num_classes": 10}, (3, 4, 32, 32),
                        {"backbone.net.conv1", "cls_head.fc_cls"}),
}


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """{name: its ONNX file}, and the MindIR of the first under "mindir"."""
    import onnx

    from msnoah.export.cell_conversion import export_onnx
    from msnoah.export.mindir import write_mindir
    from msnoah.nn.fusing import fuse
    from msnoah.registry import create_model

    folder, paths = tmp_path_factory.mktemp("networks"), {"mindir": None}
    for name, (arguments, shape, _) in NETWORKS.items():
        cell, image = fuse(create_model(name, **arguments).set_train(False)), np.zeros((1, *shape), np.float32)
        paths[name] = folder / f"{name}.onnx"
        onnx.save(export_onnx(cell, image, dynamic=()), paths[name])
        if paths["mindir"] is None:
            paths["mindir"] = folder / f"{name}.mindir"
            write_mindir(cell, [image], paths["mindir"])
    return paths


def take(runtime, artifact):
    """A row after the pass over operators."""
    row = Row(runtime, 1, artifact)
    with WorkerProcess() as row.worker:
        row.worker.start(runtime, artifact, 1, 1)
        OperatorPass(runs=2, batch_size=1).take(row)
    return row


def present(runtime, module):
    """The runtime, to be skipped where its package is missing."""
    missing = importlib.util.find_spec(module) is None
    return pytest.param(runtime, marks=pytest.mark.skipif(missing, reason=f"{module} is not installed"))


@pytest.mark.parametrize(
    "runtime", [present("onnxruntime", "onnxruntime"), present("openvino", "openvino"), present("mnn", "MNN")])
@pytest.mark.parametrize("network", NETWORKS)
def test_time_and_products_land_on_modules(network, runtime, networks):
    row = take(runtime, open_artifact(networks[network]))
    assert row.notes == [] and 1 - mapped_share(row.operators) <= UNMAPPED
    expected = sum(count_macs(read_model(networks[network])).values())
    assert sum(one.macs for one in sum_by_module(row.operators)) == expected
    places = {one.name: one for one in sum_by_role(row.operators)}
    assert all(places[name].macs > 0 and places[name].ms > 0 for name in NETWORKS[network][2])
    assert sum(one.ms for one in sum_by_kind(row.operators)) == pytest.approx(sum(time.ms for time in row.operators))


def test_blocks_that_are_alike_have_equal_work(networks):
    row = take("onnxruntime", open_artifact(networks["slab_deit_t"]))
    blocks = {one.name: one for one in sum_by_module(row.operators, 2)}
    first, second = blocks["blocks.0"], blocks["blocks.1"]   # the last one's end works on the mean of the tokens
    assert (first.macs, first.bytes, first.count) == (second.macs, second.bytes, second.count)


def test_mindspore_names_its_nodes_by_number(networks):
    path = networks["mindir"]
    spec = TensorSpec("x", (1, *NETWORKS["slab_deit_t"][1]), "float32")
    row = take("mindspore", Artifact(path, "mindir", "small", "0" * 64, 1, "float32", batch=1, inputs=(spec,)))
    assert row.notes == [] and 1 - mapped_share(row.operators) <= UNMAPPED
    places = {one.name: one for one in sum_by_role(row.operators)}
    assert all(places[name].macs > 0 for name in NETWORKS["slab_deit_t"][2])
