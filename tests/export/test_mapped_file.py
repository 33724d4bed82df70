"""Arrays that are views of a file."""

import os
import threading

import numpy as np
import pytest

from msnoah.errors import ConversionError
from msnoah.export.mapped_file import drop_pages, map_file

NUMBERS = np.arange(50_000, dtype=np.float32).reshape(200, 250)
VIEWS = {
    "whole": lambda x: x,
    "transposed": lambda x: x.T,
    "rows": lambda x: x[17:19],
    "columns": lambda x: x[:, 3:5],
    "backwards": lambda x: x[::-1, ::-2],
    "one": lambda x: x[-1, -1:],
    "none": lambda x: x[:0],
    "copy": lambda x: x.copy(),
}


@pytest.mark.parametrize("header", [0, 3, 4096])
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_dropped_pages_are_read_again(view, header, tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(bytes(header) + NUMBERS.tobytes())
    array = view(np.frombuffer(map_file(path)[header:], np.float32).reshape(NUMBERS.shape))
    before = array.copy()
    drop_pages(array)
    assert np.array_equal(array, before) and np.array_equal(array, view(NUMBERS))


def test_arrays_in_memory_are_left():
    drop_pages(NUMBERS)
    drop_pages(np.frombuffer(b"1234", np.uint8))
    assert NUMBERS[0, 1] == 1


def test_an_empty_file_has_no_bytes(tmp_path):
    (tmp_path / "empty").touch()
    assert len(map_file(tmp_path / "empty")) == 0


def test_a_pipe_is_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"contents",))
    writer.start()
    assert bytes(map_file(tmp_path / "pipe")) == b"contents"
    writer.join()


@pytest.mark.parametrize("name", ["missing", "."])
def test_what_is_no_file_is_refused(name, tmp_path):
    with pytest.raises(ConversionError, match="cannot be read"):
        map_file(tmp_path / name)
