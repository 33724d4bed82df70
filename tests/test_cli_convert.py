"""`msnoah convert` and `msnoah verify` as a user meets them: what is printed, exit codes, one line an error."""

import json
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import onnx
import onnxruntime
import pytest
from mindspore import Tensor, nn, ops
from test_cli import answer

ROOT = Path(__file__).parents[1]
HANDLER = '''
from msnoah.export import Const, handles


@handles("AsinhGrad")
def asinh_grad(g, y, gradient):
    return g.op("Div", gradient, g.op("Cosh", y))
'''


class Classifier(nn.Cell):
    """A convolution, and a Dense layer over what a Reshape makes of each image."""

    def __init__(self):
        super().__init__()
        self.conv, self.dense = nn.Conv2d(3, 4, 3, 2, pad_mode="pad", padding=1), nn.Dense(64, 5)

    def construct(self, x):
        return self.dense(ops.relu(self.conv(x)).reshape(x.shape[0], 64))


class Lookup(nn.Cell):
    """Integers in, two outputs; one of the second's rows stands for two of the batch."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(10, 4)

    def construct(self, ids, scale):
        x = self.table(ids) * scale.expand_dims(-1)
        return x, ops.cat((x, x), 0)


class NotANumber(nn.Cell):
    def construct(self, x):
        return ops.log(x)


class Unhandled(nn.Cell):
    """Uses primitives that no handler of ours knows."""

    def __init__(self):
        super().__init__()
        self.gradient = ops.auto_generate.AsinhGrad()

    def construct(self, x):
        return self.gradient(x, x)


def export(cell: nn.Cell, path: Path, *inputs: np.ndarray) -> Path:
    ms.export(cell, *map(Tensor, inputs), file_name=str(path), file_format="MINDIR")
    return path


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """MindIR files, and what was made from them."""
    folder, cell, lookup = tmp_path_factory.mktemp("convert"), Classifier(), Lookup()
    for batch in (1, 2, 3):
        export(cell, folder / f"net_b{batch}.mindir", zeros(batch, 3, 8, 8))
    export(Classifier(), folder / "other.mindir", zeros(2, 3, 8, 8))
    for batch in (2, 3):
        export(lookup, folder / f"lookup_b{batch}.mindir", np.zeros((batch, 6), np.int32), zeros(batch, 6))
    export(Classifier(), folder / "other_b3.mindir", zeros(3, 3, 8, 8))
    export(NotANumber(), folder / "nan.mindir", zeros(2, 3))
    export(Unhandled(), folder / "unhandled.mindir", zeros(2, 3))
    (folder / "text.mindir").write_text("no MindIR at all")
    (folder / "empty.mindir").touch()
    (folder / "cut.mindir").write_bytes((folder / "net_b2.mindir").read_bytes()[:-100])
    (folder / "fails.py").write_text("import msnoah\n\nmsnoah.nothing\n")
    (folder / "syntax.py").write_text("def f(:\n")
    (folder / "nothing.py").write_text("import msnoah\n")
    (folder / "twice.py").write_text(HANDLER.replace("AsinhGrad", "ReLU"))
    (folder / "handler.py").write_text(HANDLER)
    np.savez(folder / "wrong.npz", y=zeros(2, 3, 8, 8))
    np.savez(folder / "shape.npz", x=zeros(2, 3, 8, 9))
    np.savez(folder / "good.npz", x=np.ones((4, 3, 8, 8), np.float32))
    return folder


@pytest.fixture(scope="module")
def converted(folder):
    from msnoah.export.file_conversion import convert_files

    convert_files([folder / "net_b2.mindir", folder / "net_b3.mindir"], folder / "net.onnx")
    convert_files([folder / "net_b2.mindir"], folder / "fixed.onnx")
    convert_files([folder / "lookup_b2.mindir", folder / "lookup_b3.mindir"], folder / "lookup.onnx")
    convert_files([folder / "nan.mindir"], folder / "nan.onnx")
    return folder


def test_one_file(folder, tmp_path, capsys):
    code, out, err = answer(capsys, "convert", folder / "net_b2.mindir", "-o", tmp_path / "net.onnx")
    lines = out.splitlines()
    model = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert (code, len(lines)) == (0, 4) and not err.strip()
    assert lines[0].startswith(f"{tmp_path}/net.onnx: ")
    assert f" {len(model.graph.node)} operators, opset 17, " in lines[0]
    assert lines[1:3] == ["input   x       float32[2, 3, 8, 8]", "output  output  float32[2, 5]"]
    assert {"Conv 1", "Relu 1", "Reshape 1"} <= set(lines[3].split(", "))


def test_the_output_lies_beside_the_input(folder, tmp_path, capsys):
    (tmp_path / "a.mindir").write_bytes((folder / "net_b2.mindir").read_bytes())
    assert answer(capsys, "convert", tmp_path / "a.mindir")[0] == 0
    assert (tmp_path / "a.onnx").is_file()


def test_two_exports_give_one_file_of_any_batch(folder, tmp_path, capsys):
    target = tmp_path / "net.onnx"
    files = folder / "net_b2.mindir", folder / "net_b3.mindir"
    options = "--opset", 20, "--inputs", "image", "--outputs", "logits", "--passes=-merge_gelus", "--json"
    code, out, _ = answer(capsys, "convert", *files, "-o", target, *options)
    record = json.loads(out)
    assert code == 0 and record["opset"] == 20 and record["size_bytes"] == target.stat().st_size
    assert record["inputs"] == [{"name": "image", "shape": ["batch", 3, 8, 8], "dtype": "float32"}]
    assert record["outputs"] == [{"name": "logits", "shape": ["batch", 5], "dtype": "float32"}]
    session = onnxruntime.InferenceSession(target)
    assert [session.run(None, {"image": zeros(n, 3, 8, 8)})[0].shape for n in (1, 7)] == [(1, 5), (7, 5)]


def test_axes_get_the_names_that_are_given(folder, tmp_path, capsys):
    files = [folder / f"lookup_b{n}.mindir" for n in (2, 3)]
    code, out, _ = answer(capsys, "convert", *files, "-o", tmp_path / "n.onnx", "--dynamic", "sentences")
    assert code == 0 and "int32[sentences, 6]" in out and "float32[2*sentences, 6, 4]" in out


def test_handlers_from_outside(folder, tmp_path, capsys, no_new_handlers):
    arguments = folder / "unhandled.mindir", "-o", tmp_path / "net.onnx", "--handlers", folder / "handler.py"
    code, out, _ = answer(capsys, "convert", *arguments)
    assert code == 0 and "Cosh 1, Div 1" in out
    x = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    np.testing.assert_allclose(session.run(None, {"x": x})[0], x / np.cosh(x), rtol=1e-5)  # one division


def test_primitives_are_listed_with_what_they_are_tested_against(capsys):
    code, out, _ = answer(capsys, "convert", "--list-primitives")
    lines = out.splitlines()
    assert code == 0 and lines[-1].startswith(f"{len(lines) - 1} primitives: ")
    assert "tested against MindSpore" in lines[-1]
    _, out, _ = answer(capsys, "convert", "--list-primitives", "--json")
    assert len(json.loads(out)) == len(lines) - 1 and {"name", "operators", "compared_with"} == set(json.loads(out)[0])


def test_passes_are_listed(capsys):
    code, out, _ = answer(capsys, "convert", "--list-passes", "--json")
    assert code == 0 and "remove_dead_code" in {entry["name"] for entry in json.loads(out)}
    assert "remove_dead_code" in answer(capsys, "convert", "--list-passes")[1]


WITHOUT_MINDSPORE = """
import sys
sys.modules["mindspore"] = None
from msnoah.cli import main
sys.exit(main(sys.argv[1:]))
"""


def run_without_mindspore(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", WITHOUT_MINDSPORE, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_a_machine_without_mindspore_converts(folder, tmp_path):
    files = folder / "net_b2.mindir", folder / "net_b3.mindir"
    answered = run_without_mindspore("convert", *files, "-o", tmp_path / "net.onnx")
    assert answered.returncode == 0, answered.stderr
    assert "float32[batch, 3, 8, 8]" in answered.stdout


def test_a_machine_without_mindspore_is_told_so(converted):
    answered = run_without_mindspore("verify", converted / "net_b2.mindir", converted / "net.onnx")
    assert (answered.returncode, answered.stdout) == (2, "")
    assert "MindSpore is not installed" in answered.stderr and answered.stderr.count("\n") == 1


@pytest.mark.parametrize("kind", ["weights", "all"])
def test_float16(folder, tmp_path, capsys, kind):
    source = folder / "net_b2.mindir"
    assert answer(capsys, "convert", source, "-o", tmp_path / "small.onnx", "--float16", kind)[0] == 0
    types = {tensor.data_type for tensor in onnx.load(tmp_path / "small.onnx").graph.initializer}
    assert onnx.TensorProto.FLOAT16 in types
    assert answer(capsys, "verify", source, tmp_path / "small.onnx", "--tolerance", "1e-2")[0] == 0
    assert answer(capsys, "verify", source, tmp_path / "small.onnx", "--tolerance", "1e-7")[0] == 1


# --- verify


def test_verified_at_several_batches(converted, capsys):
    code, out, err = answer(capsys, "verify", converted / "net_b2.mindir", converted / "net.onnx")
    lines = out.splitlines()
    assert (code, err) == (0, "") and " ".join(lines[0].split()) == "output shape max abs max rel noise verdict"
    assert lines[1].startswith("output  [batch, 5]") and lines[1].endswith("same")
    assert lines[2] == "verified on random inputs (seed 0), batch 1, 2, 5 (tolerance 1e-05)"


def test_a_record_of_every_check(converted, capsys):
    arguments = converted / "net_b3.mindir", converted / "net.onnx", "--batches", "1,7", "--seed", 3, "--json"
    code, out, _ = answer(capsys, "verify", *arguments)
    record = json.loads(out)
    assert code == 0 and record["passed"] and [check["batch"] for check in record["checks"]] == [1, 7]
    assert 0 < record["noise"]["output"] < 1e-5 and all(0 <= check["max_rel"] < 1e-5 for check in record["checks"])


def test_given_inputs(converted, capsys):
    arguments = converted / "net_b2.mindir", converted / "net.onnx", "--inputs", converted / "good.npz"
    code, out, _ = answer(capsys, "verify", *arguments)
    assert code == 0 and out.endswith("verified on given inputs, batch 4 (tolerance 1e-05)\n")


def test_integers_and_outputs_that_cannot_be_cut_by_rows(converted, capsys):
    arguments = converted / "lookup_b2.mindir", converted / "lookup.onnx", "--integers", "3:10"
    code, out, _ = answer(capsys, "verify", *arguments)
    assert code == 0 and "[2*batch, 6, 4]" in out and "batch 2 " in out
    code, _, err = answer(capsys, "verify", *arguments, "--batches", "1,2")
    assert code == 2 and "batch 1, 2 cannot be compared: not every output has one row for each row" in err


def test_another_network_differs(converted, capsys):
    code, out, err = answer(capsys, "verify", converted / "other.mindir", converted / "net.onnx")
    assert code == 1 and out.splitlines()[1].endswith("DIFFERENT") and "NOT verified" in out
    assert "output 'output' at batch" in err and "one unit in the last place of the inputs moves it by" in err


def test_numbers_that_are_not_finite(converted, capsys):
    code, out, err = answer(capsys, "verify", converted / "nan.mindir", converted / "nan.onnx")
    assert code == 1 and "NOT verified" in out and "is NaN, infinite or of another shape" in err


# --- wrong use: arguments, with {dir} for the folder and {tmp} for the test's own; then what the one line must say
NET, OUT = "{dir}/net_b2.mindir", "{tmp}/net.onnx"
WRONG_USE = [
    (("convert",), "no MindIR file given"),
    (("convert", "{dir}/none.mindir"), "none.mindir: cannot be read (No such file or directory)"),
    (("convert", "{dir}"), "cannot be read (Is a directory)"),
    (("convert", "{dir}/text.mindir", "-o", OUT), "text.mindir"),
    (("convert", "{dir}/empty.mindir", "-o", OUT), "empty.mindir is empty"),
    (("convert", "{dir}/cut.mindir", "-o", OUT), "cut.mindir"),
    (("convert", NET, "-o", NET), "is the input; give the output another name"),
    (("convert", NET, "-o", "{tmp}"), "is a folder; give the name of a file"),
    (("convert", NET, "-o", "{tmp}/none/net.onnx"), "none: no such folder"),
    (("convert", NET, "-o", OUT, "--opset", "5"), "opset 5"),
    (("convert", NET, "-o", OUT, "--opset", "99"), "opset 99"),
    (
        ("convert", NET, "-o", OUT, "--passes", "merge_gelu"),
        "no pass is called 'merge_gelu'; did you mean 'merge_gelus'?",
    ),
    (("convert", NET, "-o", OUT, "--inputs", "a,b"), "1 different input names are needed; given: a, b"),
    (("convert", NET, "-o", OUT, "--outputs", "a,b"), "1 different output names are needed; given: a, b"),
    (("convert", NET, "-o", OUT, "--dynamic", "batch"), "alone does not show what depends on batch"),
    (("convert", NET, "{dir}/other.mindir", "-o", OUT), "no input changes its batch separately"),
    (("convert", NET, "{dir}/other_b3.mindir", "-o", OUT), "or the exports have different weights"),
    (
        ("convert", NET, "{dir}/net_b3.mindir", "-o", OUT, "--dynamic", "batch,height"),
        "no input changes its height separately",
    ),
    (("convert", NET, "{dir}/lookup_b3.mindir", "-o", OUT), "operators at different sizes"),
    (("convert", NET, "-o", OUT, "--handlers", "{dir}/none.py"), "none.py: no such file"),
    (
        ("convert", NET, "-o", OUT, "--handlers", "{dir}/fails.py"),
        "fails.py:3: AttributeError: module 'msnoah' has no attribute",
    ),
    (("convert", NET, "-o", OUT, "--handlers", "{dir}/syntax.py"), "syntax.py:1: SyntaxError"),
    (("convert", NET, "-o", OUT, "--handlers", "{dir}/nothing.py"), "nothing.py adds no handler"),
    (("convert", NET, "-o", OUT, "--handlers", "{dir}/twice.py"), "twice.py:5: ReLU has a handler already"),
    (("convert", "{dir}/unhandled.mindir", "-o", OUT), 'AsinhGrad (1, first AsinhGrad'),
    (("verify", "{dir}/none.mindir", "{dir}/net.onnx"), "none.mindir: cannot be read"),
    (("verify", NET, "{dir}/none.onnx"), "none.onnx: no such file"),
    (("verify", NET, "{dir}/text.mindir"), "text.mindir: ONNX Runtime cannot load it"),
    (
        ("verify", "{dir}/nan.mindir", "{dir}/net.onnx"),
        "do not belong together: input 'x' is float32[2, 3] and float32[batch, 3, 8, 8]",
    ),
    (("verify", "{dir}/lookup_b2.mindir", "{dir}/net.onnx"), "do not belong together: 2 and 1 inputs"),
    (("verify", "{dir}/net_b1.mindir", "{dir}/fixed.onnx"), "float32[1, 3, 8, 8] and float32[2, 3, 8, 8]"),
    (("verify", NET, "{dir}/fixed.onnx", "--batches", "5"), "only the shapes of the MindIR (float32[2, 3, 8, 8]) can"),
    (("verify", NET, "{dir}/net.onnx", "--inputs", "{dir}/wrong.npz"), "the ONNX graph has the inputs x; given: y"),
    (
        ("verify", NET, "{dir}/net.onnx", "--inputs", "{dir}/shape.npz"),
        "input 'x' is float32[2, 3, 8, 9]; the files take float32[2, 3, 8, 8]",
    ),
    (("verify", NET, "{dir}/net.onnx", "--inputs", "{dir}/none.npz"), "none.npz: cannot be read: No such file"),
    (("verify", NET, "{dir}/net.onnx", "--inputs", "{dir}/fails.py"), "fails.py: cannot be read: no .npz file"),
    (("verify", NET, "{dir}/net.onnx", "--inputs", "{dir}/good.npz", "--batches", "2"), "leave --batches out"),
]


@pytest.mark.parametrize("arguments,message", WRONG_USE, ids=[" ".join(a) for a, _ in WRONG_USE])
def test_wrong_use_costs_one_line_and_exit_code_2(arguments, message, capsys, converted, tmp_path):
    before = (converted / "net_b2.mindir").read_bytes()
    code, out, err = answer(capsys, *(a.format(dir=converted, tmp=tmp_path) for a in arguments))
    assert (code, out) == (2, "")
    assert message in err and "Traceback" not in err
    assert err.strip().count("\n") == 0, err
    assert not list(tmp_path.iterdir()) and (converted / "net_b2.mindir").read_bytes() == before


NO_NUMBERS = [("--batches", "0"), ("--batches", "two"), ("--integers", "5:5"), ("--tolerance", "small")]


@pytest.mark.parametrize("option", NO_NUMBERS)
def test_arguments_that_are_no_numbers(option, capsys):
    with pytest.raises(SystemExit) as caught:
        answer(capsys, "verify", "a.mindir", "a.onnx", *option)
    assert caught.value.code == 2 and "Traceback" not in capsys.readouterr().err
