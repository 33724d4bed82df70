"""Published .pth files, read without PyTorch. Most files here are built by hand, byte by byte, so that they can be wrong or hostile."""

import collections
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from msnoah.errors import CheckpointError
from msnoah.torch_checkpoint import read_torch_checkpoint

SAVED = Path(__file__).parent / "checkpoints"


class Global:
    """Pickles as a bare global, whether or not such a module exists here."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Call:
    """Pickles as a call of a global: what an object's __reduce__ leaves in the file."""

    def __init__(self, module, name, *args, state=None):
        self.function, self.args, self.state = Global(module, name), args, state


class Storage:
    def __init__(self, key, content, kind="FloatStorage", count=None):
        self.key, self.content, self.kind = key, content, kind
        self.count = len(content) // 4 if count is None else count


def tensor(storage, shape, strides, offset=0, rebuild="_rebuild_tensor_v2"):
    return Call("torch._utils", rebuild, storage, offset, shape, strides, False, collections.OrderedDict())


def floats(values, key="0"):
    values = np.asarray(values, np.float32)
    strides = tuple(stride // 4 for stride in values.strides)
    return tensor(Storage(key, values.tobytes()), values.shape, strides)


class Writer:
    """Writes pickle opcodes of plain data, globals, calls and storages."""

    def __init__(self):
        self.storages = {}

    def dump(self, value):
        return b"\x80\x02" + self.write(value) + b"."

    def write(self, value):
        if isinstance(value, Global):
            return f"c{value.module}\n{value.name}\n".encode()
        if isinstance(value, Call):
            state = b"" if value.state is None else self.write(value.state) + b"b"
            return self.write(value.function) + self.write(tuple(value.args)) + b"R" + state
        if isinstance(value, Storage):
            self.storages[value.key] = value.content
            kind = value.kind if isinstance(value.kind, Global) else Global("torch", value.kind)
            return self.write(("storage", kind, value.key, "cpu", value.count)) + b"Q"
        if isinstance(value, tuple):
            return b"(" + b"".join(map(self.write, value)) + b"t"
        if isinstance(value, list):
            return b"](" + b"".join(map(self.write, value)) + b"e"
        if isinstance(value, collections.OrderedDict):
            return self.write(Call("collections", "OrderedDict")) + self._items(value)
        if isinstance(value, dict):
            return b"}" + self._items(value)
        return pickle.dumps(value, 2)[2:-1]

    def _items(self, mapping):
        return b"(" + b"".join(self.write(key) + self.write(value) for key, value in mapping.items()) + b"u"


def save(path, content, *, storages=None, compression=zipfile.ZIP_STORED, extra=()):
    writer = Writer()
    data = content if isinstance(content, bytes) else writer.dump(content)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", data)
        for key, stored in (writer.storages if storages is None else storages).items():
            archive.writestr(f"archive/data/{key}", stored)
        for name, stored in extra:
            archive.writestr(name, stored)
    return path


def test_file_of_torch_reads_to_the_last_bit():
    """torch 2.13 wrote it: views of one storage, all dtypes, a Parameter. int8 100 fits every integer type."""
    arrays = read_torch_checkpoint(SAVED / "torch_2_13_plain.pth")
    base = np.arange(24, dtype=np.float32).reshape(4, 6)
    views = {"f32": base, "transposed": base.T, "offset": base[1:3, 2:5], "shared": base, "expanded": np.ones((5, 3)),
             "scalar": np.float32(7.5), "empty": np.zeros((0, 3)), "parameter": np.ones((2, 2)), "bool": [True, False]}
    for name, expected in views.items():
        assert arrays[name].shape == np.shape(expected) and np.array_equal(arrays[name], expected), name
    for name in ("float64", "float16", "int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64"):
        assert arrays[name].dtype == name and arrays[name].tolist() == [1, 2, 3, 100], name
    assert arrays["bfloat16"].dtype == np.float32 and arrays["bfloat16"].tolist() == [1, 2, 3, 100]
    assert arrays["complex64"].tolist() == [1 + 2j]


def test_file_of_torch_with_optimizer_config_and_arguments():
    """The published layout: model, optimizer, lr_scheduler, a CfgNode, an argparse.Namespace with a Path, a NumPy scalar."""
    arrays = read_torch_checkpoint(SAVED / "torch_2_13_published.pth")
    assert {name: array.shape for name, array in arrays.items()} == {
        "0.weight": (4, 4), "0.bias": (4,), "1.weight": (4,), "1.bias": (4,),
        "1.running_mean": (4,), "1.running_var": (4,), "1.num_batches_tracked": (),
    }


@pytest.mark.parametrize("wrap", [
    lambda state: state,
    lambda state: {"model": state, "epoch": 300},
    lambda state: {"state_dict": state, "optimizer": {"state": {0: {"step": floats([1.0], "9")}}}},
    lambda state: {"model_ema": state, "args": Call("argparse", "Namespace")},
    lambda state: {"model": {f"module.{name}": value for name, value in state.items()}},
    lambda state: {"model": Call("torch.nn", "Whole"), "state_dict": state},
])
def test_state_dict_is_found_under_the_usual_keys(tmp_path, wrap):
    state = collections.OrderedDict(weight=floats([[1, 2], [3, 4]], "0"), bias=floats([5], "1"))
    arrays = read_torch_checkpoint(save(tmp_path / "x.pth", wrap(state)))
    assert arrays.keys() == {"weight", "bias"} and arrays["weight"].tolist() == [[1, 2], [3, 4]]


def test_big_endian_file(tmp_path):
    content = np.array([1.5, -2], ">f4").tobytes()
    path = save(tmp_path / "x.pth", {"w": tensor(Storage("0", content), (2,), (1,))}, extra=[("archive/byteorder", "big")])
    assert read_torch_checkpoint(path)["w"].tolist() == [1.5, -2]


def hostile_calls(trace):
    write = f"open({str(trace)!r}, 'w').close()"
    return {
        "os.system": Call("posix", "system", f"touch {trace}"),
        "exec": Call("builtins", "exec", write),
        "eval": Call("__builtin__", "eval", write),
        "subprocess": Call("subprocess", "Popen", ["touch", str(trace)]),
        "getattr": Call("builtins", "getattr", Global("posix", "system"), "__call__"),
        "chained": Call("torch._utils", "_rebuild_parameter", Call("posix", "system", f"touch {trace}"), False, ()),
        "state": Call("argparse", "Namespace", state={"a": Call("builtins", "exec", write)}),
        "import": Call("importlib", "import_module", "antigravity"),
    }


@pytest.mark.parametrize("name", hostile_calls(Path("x")))
@pytest.mark.parametrize("place", ["beside", "inside", "alone"])
def test_hostile_pickle_runs_nothing(tmp_path, name, place):
    trace = tmp_path / "was-run"
    hostile, weight = hostile_calls(trace)[name], floats([1, 2])
    content = {"beside": {"model": {"w": weight}, "args": hostile}, "inside": {"w": weight, "x": hostile}, "alone": hostile}[place]
    path = save(tmp_path / "x.pth", content)
    if place == "beside":
        assert read_torch_checkpoint(path)["w"].tolist() == [1, 2]
    else:
        with pytest.raises(CheckpointError, match="an object of the unknown|no state dict"):
            read_torch_checkpoint(path)
    assert not trace.exists()


def test_hostile_file_is_hostile(tmp_path):
    """The files above would run in pickle.loads: the builder does write working pickles."""
    trace = tmp_path / "was-run"
    pickle.loads(Writer().dump(hostile_calls(trace)["exec"]))
    assert trace.exists()


def test_a_pickle_cannot_change_our_functions(tmp_path):
    """BUILD with a slot state sets attributes on whatever it finds; the reader's own functions must not take them."""
    change = b"ctorch._utils\n_rebuild_parameter\nN}(U\x0c__defaults__(K\x01tu\x86b"
    with pytest.raises(CheckpointError, match="attributes on a function"):
        read_torch_checkpoint(save(tmp_path / "x.pth", b"\x80\x02" + change + b"."))


FEW = np.zeros(6, np.float32).tobytes()


@pytest.mark.parametrize("value, message", [
    (tensor(Storage("0", FEW, count=7), (7,), (1,)), "24 bytes, but 7 of float32"),
    (tensor(Storage("0", FEW, count=5), (5,), (1,)), "24 bytes, but 5 of float32"),
    (tensor(Storage("0", FEW), (7,), (1,)), "last element is number 6 of a storage of 6"),
    (tensor(Storage("0", FEW), (2, 2), (5, 1)), "last element is number 6"),
    (tensor(Storage("0", FEW), (2,), (1,), offset=5), "last element is number 6"),
    (tensor(Storage("0", FEW), (2,), (-1,), offset=1), "impossible shape"),
    (tensor(Storage("0", FEW), (-1,), (1,)), "impossible shape"),
    (tensor(Storage("0", FEW), (2,), (1, 1)), "impossible shape"),
    (tensor(Storage("0", FEW), (1,) * 33, (1,) * 33), "impossible shape"),
    (tensor(Storage("0", FEW), (True,), (1,)), "impossible shape"),
    (tensor(Storage("0", FEW), (2**62, 2**62), (0, 0)), "damaged"),
    (tensor(Storage("0", FEW), "ab", (1, 1)), "impossible shape"),
    (tensor("storage", (1,), (1,)), "no known storage"),
    (tensor(Storage("0", FEW, "QInt8Storage"), (1,), (1,)), "unknown kind torch.QInt8Storage"),
    (tensor(Storage("0", FEW, Global("os", "FloatStorage")), (1,), (1,)), "unknown kind os.FloatStorage"),
    (tensor(Storage("0", FEW, count=-1), (1,), (1,)), "no storage"),
    (tensor(Storage("../../etc/passwd", FEW), (6,), (1,)), None),
    (7, "no state dict: it holds a int"),
    ({"lr": 0.1}, "no state dict: it holds the keys 'lr'"),
    ({"w": floats([1]), 3: floats([2], "1")}, "entry 3 is"),
    ({"w": floats([1]), "n": 3}, "entry 'n' is a int"),
])
def test_wrong_descriptions_are_refused(tmp_path, value, message):
    path = save(tmp_path / "x.pth", {"w": value} if isinstance(value, Call) else value)
    if message is None:  # a name that climbs out of the archive is only a name: nothing is unpacked
        assert read_torch_checkpoint(path)["w"].tolist() == [0] * 6
    else:
        with pytest.raises(CheckpointError, match=f"x.pth: .*{message}"):
            read_torch_checkpoint(path)


def test_expanded_tensor_takes_no_memory(tmp_path):
    path = save(tmp_path / "x.pth", {"w": tensor(Storage("0", FEW), (10**6, 10**6), (0, 0))})
    assert read_torch_checkpoint(path)["w"].shape == (10**6, 10**6)  # 4 TB, were it copied


@pytest.mark.parametrize("opcodes, message", [
    (b"\x80\x02r\xff\xff\xff\xff.", "memo 4294967295|not a readable"),
    (b"\x80\x02}r\xff\xff\xff\xff.", "memo 4294967295"),
    (b"\x80\x02\x82\x01.", "opcode EXT1"),
    (b"(iposix\nsystem\n.", "opcode INST"),
    (b"P1\n.", "opcode PERSID"),
    (b"\x80\x02\x8b\xff\xff\xff\x7f.", "not a readable pickle"),
    (b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b".", "not a readable pickle"),
    (b"\x80\x02" + b"(" * 5000 + b"t" * 5000, "not a readable pickle"),
    (b"\x80\x02" + b"]" * 20, "not a readable pickle"),
    (b"", "not a readable pickle"),
    (b"\x80\x02U\x01a0Q.", "not a readable pickle"),
    (b"\x80\x02U\x01aQ.", "persistent id that is no storage"),
])
def test_damaged_pickle_is_refused(tmp_path, opcodes, message):
    with pytest.raises(CheckpointError, match=message):
        read_torch_checkpoint(save(tmp_path / "x.pth", opcodes))


def test_missing_storage_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="tensor 'w': its storage '0' is not in the archive"):
        read_torch_checkpoint(save(tmp_path / "x.pth", {"w": floats([1])}, storages={}))


def test_compressed_archive_is_refused(tmp_path):
    bomb = tensor(Storage("0", bytes(4 << 20)), (1 << 20,), (1,))
    with pytest.raises(CheckpointError, match="compressed zip"):
        read_torch_checkpoint(save(tmp_path / "x.pth", {"w": bomb}, compression=zipfile.ZIP_DEFLATED))


def test_directory_that_declares_too_much_is_refused(tmp_path):
    path = save(tmp_path / "x.pth", {"w": floats(np.zeros(100))})
    content = bytearray(path.read_bytes())
    central = content.rindex(b"PK\x01\x02")
    content[central + 20:central + 28] = struct.pack("<II", 1 << 31, 1 << 31)
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="declares more data than the file holds"):
        read_torch_checkpoint(path)


@pytest.mark.parametrize("content, message", [
    (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.rest", "before PyTorch 1.6; resave"),
    (b"\0" * 257 + b"ustar" + b"\0" * 250, "before PyTorch 1.6; resave"),
    (b"", "no whole file of torch.save"),
    (b"<html>404</html>", "no whole file of torch.save"),
    (b"PK\x03\x04 and nothing else", "no whole file of torch.save"),
])
def test_other_files_are_refused(tmp_path, content, message):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=f"x.pth: .*{message}"):
        read_torch_checkpoint(tmp_path / "x.pth")


@pytest.mark.parametrize("members, message", [
    (["notes.txt"], "without <name>/data.pkl"),
    (["a/data.pkl", "b/data.pkl"], "without <name>/data.pkl"),
    (["a/data.pkl", "a/constants.pkl", "a/code/x.py"], "TorchScript"),
])
def test_other_zip_archives_are_refused(tmp_path, members, message):
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        for member in members:
            archive.writestr(member, b"}.")
    with pytest.raises(CheckpointError, match=message):
        read_torch_checkpoint(tmp_path / "x.pth")


@pytest.mark.parametrize("place", ["gone.pth", "."])
def test_unreadable_path(tmp_path, place):
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_torch_checkpoint(tmp_path / place)


def damage(content, number):
    random = np.random.default_rng(number)
    if number < 20:
        return content[:len(content) * number // 20]
    changed = bytearray(content)
    changed[random.integers(len(changed))] ^= 1 << random.integers(8)
    return bytes(changed)


@pytest.mark.parametrize("number", range(220))
def test_damage_never_gives_other_numbers(tmp_path, number):
    """20 lengths, 200 flipped bits. Bits that mean nothing (zip dates, versions) may flip: then the numbers are right."""
    original = SAVED / "torch_2_13_published.pth"
    (tmp_path / "x.pth").write_bytes(damage(original.read_bytes(), number))
    try:
        arrays = read_torch_checkpoint(tmp_path / "x.pth")
    except CheckpointError as error:
        assert "x.pth" in str(error) and "\n" not in str(error)
    else:
        expected = read_torch_checkpoint(original)
        assert number >= 20 and all(np.array_equal(arrays[name], array) for name, array in expected.items())


def test_nothing_is_imported(tmp_path):
    import sys

    name = "msnoah_never_imported"
    (tmp_path / f"{name}.py").write_text("raise SystemExit")
    before = os.getcwd(), list(sys.path)
    os.chdir(tmp_path)
    try:
        read_torch_checkpoint(save(tmp_path / "x.pth", {"model": {"w": floats([1])}, "config": Call(name, "Thing")}))
    finally:
        os.chdir(before[0])
    assert name not in sys.modules
