import json
import os
import resource
import stat
import subprocess
import sys

import mindspore
import numpy as np
import pytest
import safetensors.numpy
from mindspore import Parameter, Tensor, nn

from msnoah.checkpoint import load_checkpoint, save_weights
from msnoah.errors import CheckpointError, RunFolderError
from msnoah.mindspore_checkpoint import write_mindspore_checkpoint
from msnoah.nn.rep_norm import token_norm
from msnoah.nn.step_inputs import weights
from msnoah.state_file import read_metadata, read_state, save_state


class Net(nn.Cell):
    """A little of everything that has a name of its own: Dense, a norm by kind, batch statistics, a step input."""

    def __init__(self, norm="prep_bn", classes=3, seed=0):
        super().__init__()
        self.embed = nn.Dense(4, 6)
        self.norm = token_norm(norm, 6, 1e-6)
        self.head = nn.Dense(6, classes)
        self.keep_scale = Parameter(Tensor(np.ones(2, np.float32)), requires_grad=False)
        random = np.random.default_rng(seed)
        for parameter in weights(self).values():
            parameter.set_data(Tensor(random.normal(size=parameter.shape).astype(np.float32)))


def test_a_compiled_model_computes_with_what_is_loaded_into_it(tmp_path):
    """A compiled function keeps the memory that it saw first: weights put in its place would be ignored without a word."""
    dense, other = nn.Dense(4, 3), nn.Dense(4, 3)
    compute, x = mindspore.jit(dense), Tensor(np.ones((1, 4), np.float32))
    compute(x)
    save_weights(other, tmp_path / "other.ckpt", {})
    load_checkpoint(dense, tmp_path / "other.ckpt")
    np.testing.assert_allclose(compute(x).asnumpy(), other(x).asnumpy(), rtol=1e-5)   # two orders of a sum of four


def arrays_of(net):
    return {name: parameter.asnumpy().copy() for name, parameter in weights(net).items()}


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype and np.array_equal(found[name], array), name


PUBLISHED = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def published_names(arrays):
    def rename(name):
        parent, dot, last = name.rpartition(".")
        return f"{parent}{dot}{PUBLISHED.get(last, last)}"

    return {rename(name): array for name, array in arrays.items()}


def write_ckpt(path, net):
    save_weights(net, path, {"epoch": 3})


def write_mindspore(path, net):
    mindspore.save_checkpoint([{"name": n, "data": p} for n, p in weights(net).items()], str(path))


def write_safetensors(path, net):
    safetensors.numpy.save_file(arrays_of(net), path)


def write_published(path, net):
    buffers = {"norm.warm": 0, "norm.iter": 7, "norm.total_step": 9, "norm.norm2.bn.num_batches_tracked": 5, "attn.relative_position_index": 1}
    extra = {name: np.array(value) for name, value in buffers.items()}
    safetensors.numpy.save_file({**published_names(arrays_of(net)), **extra}, path)


def write_last(path, net):
    state = {"optimizer.moment1.head.weight": np.ones((3, 6), np.float32), "ema.head.weight": np.ones((3, 6), np.float32)}
    save_state(path, {**arrays_of(net), **state}, {"step": 1})


@pytest.mark.parametrize("write", [write_ckpt, write_mindspore, write_safetensors, write_published, write_last])
@pytest.mark.parametrize("suffix", [".ckpt", ".pth", ""])
def test_round_trip_whatever_the_suffix(tmp_path, write, suffix):
    trained, fresh = Net(seed=1), Net(seed=2)
    path = tmp_path / f"model{suffix}"
    write(tmp_path / "written.ckpt", trained)
    os.replace(tmp_path / "written.ckpt", path)
    report = load_checkpoint(fresh, path)
    assert_equal(arrays_of(fresh), arrays_of(trained))
    assert set(report.loaded) == set(arrays_of(trained)) and "keep_scale" not in report.loaded
    assert not report.missing and not report.unexpected and not report.mismatched


def test_mindspore_reads_what_we_write(tmp_path):
    trained, fresh = Net(seed=1), Net(seed=2)
    save_weights(trained, tmp_path / "model.ckpt", {"classes": ["a"]})
    mindspore.load_param_into_net(fresh, mindspore.load_checkpoint(str(tmp_path / "model.ckpt"), crc_check=True))
    assert_equal(arrays_of(fresh), arrays_of(trained))


DTYPES = ["float64", "float32", "float16", "bool", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8"]


def test_state_comes_back_in_the_same_bits(tmp_path):
    random = np.random.default_rng(0)
    arrays = {f"optimizer.{name}": random.integers(0, 2, (3, 4)).astype(name) for name in DTYPES}
    arrays |= {"scalar": np.float32(3.5).reshape(()), "empty": np.zeros((0,), np.float32), "nan": np.array([np.nan, np.inf, -0.0])}
    arrays |= {"transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T, "step": np.array(7), "name of ünïcode": np.ones(1)}
    metadata = {"step": 12, "best": 0.93, "text": "naïve", "nested": {"list": [1, None, True]}}
    save_state(tmp_path / "last.ckpt", arrays, metadata)
    found, found_metadata = read_state(tmp_path / "last.ckpt")
    assert found_metadata == metadata and found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].shape == array.shape and found[name].dtype == array.dtype, name
        assert found[name].tobytes() == array.tobytes(), name


def test_large_arrays_go_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("msnoah.mindspore_checkpoint._PIECE_BYTES", 64)
    arrays = {"a": np.arange(100, dtype=np.float32), "b": np.arange(3.0)}
    save_state(tmp_path / "last.ckpt", arrays, {})
    assert_equal(read_state(tmp_path / "last.ckpt")[0], arrays)
    assert mindspore.load_checkpoint(str(tmp_path / "last.ckpt"), crc_check=True)["a"].asnumpy().tolist() == list(range(100))


def test_bfloat16_is_read_as_float32(tmp_path):
    values = Parameter(Tensor([1.0, -2.5], mindspore.bfloat16), name="head.bias")
    mindspore.save_checkpoint([{"name": "head.bias", "data": values}], str(tmp_path / "model.ckpt"))
    net = Net(classes=2)
    load_checkpoint(net, tmp_path / "model.ckpt", strict=False)
    assert net.head.bias.asnumpy().tolist() == [1.0, -2.5]


@pytest.mark.parametrize("in_file, in_model", [(a, b) for a in ("rep_bn", "prep_bn", "layer_norm") for b in ("rep_bn", "prep_bn", "layer_norm") if a != b])
@pytest.mark.parametrize("names", ["ours", "published"])
def test_other_norm_layout_is_named(tmp_path, in_file, in_model, names):
    arrays = arrays_of(Net(norm=in_file))
    safetensors.numpy.save_file(arrays if names == "ours" else published_names(arrays), tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=f'norms of norm="{in_file}", the model those of norm="{in_model}"; .* norm="{in_file}"'):
        load_checkpoint(Net(norm=in_model), tmp_path / "x.safetensors")


def test_block_norm_that_is_called_norm2_is_no_progressive_layout():
    from msnoah.weight_names import _norm_layout

    assert _norm_layout({"blocks.0.norm2.bn.weight": 0, "blocks.0.norm2.alpha": 0}) == "rep_bn"
    assert _norm_layout({"blocks.0.norm2.norm2.bn.weight": 0}) == "prep_bn"


def test_other_class_count_has_its_hint_and_the_rest_loads(tmp_path):
    trained, net = Net(classes=5, seed=1), Net(classes=3, seed=2)
    save_weights(trained, tmp_path / "x.ckpt", {})
    before = arrays_of(net)
    with pytest.raises(CheckpointError, match="head is of 5 classes, not 3; strict=False loads everything else"):
        load_checkpoint(net, tmp_path / "x.ckpt")
    assert_equal(arrays_of(net), before)
    report = load_checkpoint(net, tmp_path / "x.ckpt", strict=False)
    assert report.mismatched == {"head.weight": ((5, 6), (3, 6)), "head.bias": ((5,), (3,))}
    assert np.array_equal(net.embed.weight.asnumpy(), trained.embed.weight.asnumpy())
    assert np.array_equal(net.head.weight.asnumpy(), before["head.weight"])


def without(name):
    return lambda arrays: {key: value for key, value in arrays.items() if key != name}


@pytest.mark.parametrize("change, message", [
    (without("head.bias"), r"1 missing \(head.bias\)"),
    (lambda arrays: {**arrays, "neck.weight": np.ones(2)}, r"1 unexpected \(neck.weight\)"),
    (lambda arrays: {**arrays, "embed.bias": np.ones((6, 1), np.float32)}, r"embed.bias: 6x1 in the file, 6 in the model"),
    (lambda arrays: {**arrays, "norm.norm1.weight": np.ones(6)}, r"1 unexpected \(norm.norm1.weight\)"),
    (lambda arrays: {**arrays, **{f"x{n}": np.ones(1) for n in range(20)}}, r"20 unexpected \(x0, x1, x2, x3, x4, x5, x6, x7 and 12 more\)"),
])
def test_strict_refuses_in_one_line_and_loads_nothing(tmp_path, change, message):
    net = Net(seed=2)
    before = arrays_of(net)
    save_state(tmp_path / "x.ckpt", change(arrays_of(Net(seed=1))), {})
    with pytest.raises(CheckpointError, match=f"x.ckpt: does not fit the model: .*{message}") as caught:
        load_checkpoint(net, tmp_path / "x.ckpt")
    assert "\n" not in str(caught.value)
    assert_equal(arrays_of(net), before)


def test_nothing_that_fits_is_an_error_also_without_strict(tmp_path):
    save_state(tmp_path / "x.ckpt", {"other.weight": np.ones(3)}, {})
    with pytest.raises(CheckpointError, match="does not fit"):
        load_checkpoint(Net(), tmp_path / "x.ckpt", strict=False)


def test_published_pth_loads(tmp_path):
    from test_checkpoint_torch import floats, save

    arrays = arrays_of(Net(seed=1))
    content = {name: floats(array, str(key)) for key, (name, array) in enumerate(published_names(arrays).items())}
    net = Net(seed=2)
    load_checkpoint(net, save(tmp_path / "slab.pth", {"model": content}))
    assert_equal(arrays_of(net), arrays)


@pytest.mark.parametrize("content, message", [
    (b"", "holds no arrays"),
    (b"hello, I am no checkpoint", "a field 13 where"),
    (b"\n\n\n\n text with a newline first", "no MindSpore .ckpt"),
    (b"\x08\0\0\0\0\0\0\0{}xxxxxx", "no .safetensors"),
    (b"\xff\xff\xff\xff\xff\xff\xff\x7f{", "no .safetensors"),
    (b"\n\xff\xff\xff\xff\x7fabc", "cut short"),
])
def test_other_files_are_refused(tmp_path, content, message):
    (tmp_path / "x.ckpt").write_bytes(content)
    with pytest.raises(CheckpointError, match=f"x.ckpt: .*{message}"):
        load_checkpoint(Net(), tmp_path / "x.ckpt")


@pytest.mark.parametrize("place", ["gone.ckpt", "."])
def test_unreadable_path(tmp_path, place):
    for read in (read_state, lambda path: load_checkpoint(Net(), path)):
        with pytest.raises(CheckpointError, match="cannot be read"):
            read(tmp_path / place)


def test_file_of_mindspore_is_no_training_state(tmp_path):
    write_mindspore(tmp_path / "x.ckpt", Net())
    with pytest.raises(CheckpointError, match="msnoah did not write"):
        read_state(tmp_path / "x.ckpt")


def damaged(content, number):
    random = np.random.default_rng(number)
    if number < 20:
        return content[:len(content) * number // 20]
    changed = bytearray(content)
    changed[random.integers(len(changed))] ^= 1 << random.integers(8)
    return bytes(changed)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    for write in (write_last, write_safetensors):
        write(folder / f"{write.__name__}.ckpt", Net(seed=1))
    return folder


@pytest.mark.parametrize("number", range(20 + 100))
def test_damaged_state_is_refused(tmp_path, written, number):
    (tmp_path / "x.ckpt").write_bytes(damaged((written / "write_last.ckpt").read_bytes(), number))
    for read in (read_state, lambda path: load_checkpoint(Net(), path, strict=False)):
        with pytest.raises(CheckpointError, match="x.ckpt") as caught:
            read(tmp_path / "x.ckpt")
        assert "\n" not in str(caught.value)


def test_every_length_of_a_cut_state_is_refused(tmp_path, written):
    content = (written / "write_last.ckpt").read_bytes()
    for length in range(len(content)):
        (tmp_path / "x.ckpt").write_bytes(content[:length])
        with pytest.raises(CheckpointError):
            read_state(tmp_path / "x.ckpt")


@pytest.mark.parametrize("number", range(20))
def test_cut_safetensors_is_refused(tmp_path, written, number):
    (tmp_path / "x.ckpt").write_bytes(damaged((written / "write_safetensors.ckpt").read_bytes(), number))
    with pytest.raises(CheckpointError, match="x.ckpt"):
        load_checkpoint(Net(), tmp_path / "x.ckpt")


def test_read_only_file_of_mindspore_is_replaced(tmp_path):
    write_mindspore(tmp_path / "x.ckpt", Net(seed=1))
    assert stat.S_IMODE((tmp_path / "x.ckpt").stat().st_mode) == 0o400
    for epoch in (1, 2):
        save_weights(Net(seed=2), tmp_path / "x.ckpt", {"epoch": epoch})
    assert read_state(tmp_path / "x.ckpt")[1] == {"epoch": 2}
    assert os.listdir(tmp_path) == ["x.ckpt"]


@pytest.mark.parametrize("place", ["gone/x.ckpt", "file/x.ckpt", "folder"])
def test_place_that_cannot_be_written(tmp_path, place):
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunFolderError, match="cannot be written"):
        save_weights(Net(), tmp_path / place, {})


def test_full_disk_keeps_the_earlier_file(tmp_path):
    """A limit on the file size stands for the full disk: the system refuses the same write call."""
    path = tmp_path / "last.ckpt"
    save_state(path, {"w": np.arange(3.0)}, {"step": 1})
    script = (
        "import resource, sys, numpy, msnoah.checkpoint as c\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, resource.RLIM_INFINITY))\n"
        "try: c.save_state(sys.argv[1], {'w': numpy.zeros(100000)}, {'step': 2})\n"
        "except c.CheckpointError: raise\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("RunFolderError") and "the earlier file is kept" in done.stdout, done.stderr
    assert read_state(path)[1] == {"step": 1} and os.listdir(tmp_path) == ["last.ckpt"]


def test_metadata_is_json_in_the_file(tmp_path):
    save_weights(Net(), tmp_path / "x.ckpt", {"classes": ["cat"]})
    stored = mindspore.load_checkpoint(str(tmp_path / "x.ckpt"))["msnoah.metadata"].asnumpy().tobytes()
    assert json.loads(stored) == {"classes": ["cat"]}


def test_metadata_is_read_from_the_head_alone(tmp_path):
    path, metadata = tmp_path / "last.ckpt", {"state": {"step": 3}, "long": "x" * 5000}
    save_state(path, {"w": np.zeros(100_000, np.float32)}, metadata)
    assert read_metadata(path) == metadata
    path.chmod(0o600)
    whole = path.read_bytes()
    path.write_bytes(whole[:20_000])
    assert read_metadata(path) == metadata   # of the rest read_state says that it is missing
    for damaged in (b"", b"\n", whole[:100], b"\xff" * 40):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="damaged, or no MindSpore .ckpt"):
            read_metadata(path)


def test_weights_of_others_have_no_metadata(tmp_path):
    write_mindspore_checkpoint(tmp_path / "w.ckpt", {"w": np.zeros(3, np.float32)})
    with pytest.raises(CheckpointError, match="that msnoah did not write"):
        read_metadata(tmp_path / "w.ckpt")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_metadata(tmp_path / "none.ckpt")
