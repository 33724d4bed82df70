"""MindIR on disk: whole, loadable, compiled in evaluation mode, no litter."""

import mindspore
import numpy as np
import pytest
from mindspore import Tensor, nn

from msnoah.errors import ConversionError, RunFolderError
from msnoah.export.mindir import batch_free_mindir_bytes, count_primitives, evaluating, mindir_bytes, write_mindir
from msnoah.export.reference_runs import run_cell, run_mindir


class Classifier(nn.Cell):
    """Convolution, BatchNorm, dropout, mean over the pixels, linear layer."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, pad_mode="pad", has_bias=True)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(p=0.5)
        self.head = nn.Dense(4, 5)

    def construct(self, x):
        x = self.norm(self.conv(x))
        return self.head(self.drop(x.mean((2, 3))))   # (B, 4, H, W) -> (B, 5)


class BatchBound(nn.Cell):
    """Asks for the batch in a Python condition, which no graph with an unknown batch can answer when it is compiled."""

    def construct(self, x):
        if x.shape[0] > 1:
            x = x * 1.0
        else:
            x = x + 0.0
        return x.mean((2, 3))


class Broken(nn.Cell):
    def construct(self, x):
        return self.nothing(x)


def images(batch: int) -> np.ndarray:
    return np.random.default_rng(7).normal(size=(batch, 3, 8, 8)).astype(np.float32)


@pytest.mark.parametrize("name", ["model.mindir", "model", "model.v2"])
def test_file_has_the_given_name_and_loads(tmp_path, name):
    cell = Classifier().set_train(False)
    path = tmp_path / name
    path.write_bytes(b"an earlier file")
    write_mindir(cell, [images(2)], path)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    copy = tmp_path / "copy.mindir"
    copy.write_bytes(path.read_bytes())
    loaded = nn.GraphCell(mindspore.load(str(copy)))
    # Same kernels on both sides; a fused multiply-add may round once less.
    np.testing.assert_allclose(loaded(Tensor(images(2))).asnumpy(), cell(Tensor(images(2))).asnumpy(), rtol=1e-5, atol=1e-6)


def test_a_cell_in_training_is_written_in_evaluation_mode_and_keeps_its_modes():
    cell = Classifier().set_train(True)
    cell.norm.set_train(False)
    before = {name: part.training for name, part in cell.cells_and_names()}
    primitives = count_primitives(mindir_bytes(cell, [Tensor(images(1))]))
    assert {name: part.training for name, part in cell.cells_and_names()} == before
    assert primitives["Conv2D"] == 1 and primitives["BatchNorm"] == 1
    assert not any("ropout" in name for name in primitives), primitives


def test_modes_come_back_after_an_error():
    cell = Classifier().set_train(True)
    with pytest.raises(ZeroDivisionError), evaluating(cell):
        assert not cell.drop.training
        raise ZeroDivisionError
    assert cell.training and cell.drop.training


def test_cell_that_does_not_compile_is_one_line_and_no_litter(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.mindir").write_bytes(b"earlier")
    with pytest.raises(ConversionError, match="cannot compile Broken") as caught:
        write_mindir(Broken(), [images(1)], tmp_path / "model.mindir")
    assert "\n" not in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["model.mindir"]
    assert (tmp_path / "model.mindir").read_bytes() == b"earlier"


def test_folder_that_is_not_there(tmp_path):
    with pytest.raises(RunFolderError, match="cannot be written"):
        write_mindir(Classifier(), [images(1)], tmp_path / "none" / "model.mindir")


@pytest.mark.parametrize("cell,batch", [(Classifier(), None), (BatchBound(), 1)], ids=["any_batch", "batch_of_one"])
def test_batch_is_free_where_the_graph_stays_plain(cell, batch):
    contents, found = batch_free_mindir_bytes(cell, (3, 8, 8))
    assert found == batch
    predict = run_mindir(contents, found)
    for size in (1, 2, 5):
        ours, theirs = predict([images(size)])[0], run_cell(cell)([images(size)])[0]
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)  # as above
