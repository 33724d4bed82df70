import io
import pickle
import tarfile

import numpy as np
import pytest

from msnoah.config import DataConfig
from msnoah.data import open_source
from msnoah.errors import DataError

CIFAR10_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def batch(seed, count=4, classes=10):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, 3072)).astype(np.uint8), random.integers(0, classes, count).tolist()


def python_pickle(content):
    """Protocol 2 with bytes keys, as Python 2 wrote the published files."""
    return pickle.dumps(content, protocol=2)


def cifar10_python():
    files = {"batches.meta": python_pickle({b"label_names": [n.encode() for n in CIFAR10_NAMES], b"num_vis": 3072})}
    for seed, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        images, labels = batch(seed)
        files[name] = python_pickle({b"batch_label": b"x", b"labels": labels, b"data": images, b"filenames": [b"a.png"] * 4})
    return "cifar-10-batches-py", "cifar-10-python.tar.gz", files


def cifar10_binary():
    files = {"batches.meta.txt": ("\n".join(CIFAR10_NAMES) + "\n\n").encode()}
    for seed, name in enumerate([*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]):
        images, labels = batch(seed)
        files[name] = b"".join(bytes([label]) + image.tobytes() for label, image in zip(labels, images))
    return "cifar-10-batches-bin", "cifar-10-binary.tar.gz", files


def cifar100_python():
    files = {"meta": python_pickle({b"fine_label_names": [f"class{n}".encode() for n in range(100)]})}
    for seed, name in ((0, "train"), (1, "test")):
        images, labels = batch(seed, classes=100)
        files[name] = python_pickle({b"fine_labels": labels, b"coarse_labels": [0] * 4, b"data": images})
    return "cifar-100-python", "cifar-100-python.tar.gz", files


def cifar100_binary():
    files = {"fine_label_names.txt": "\n".join(f"class{n}" for n in range(100)).encode()}
    for seed, name in ((0, "train.bin"), (1, "test.bin")):
        images, labels = batch(seed, classes=100)
        files[name] = b"".join(bytes([7, label]) + image.tobytes() for label, image in zip(labels, images))
    return "cifar-100-binary", "cifar-100-binary.tar.gz", files


def lay_out(root, version, place):
    """Writes a version as its folder or archive; returns the data.path that `place` means."""
    folder, archive, files = version
    if place.startswith("archive"):
        with tarfile.open(root / archive, "w:gz") as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(f"{folder}/{name}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return root / archive if place == "archive" else root
    (root / folder).mkdir()
    for name, content in files.items():
        (root / folder / name).write_bytes(content)
    return root / folder if place == "folder" else root


def config(source, path):
    return DataConfig(source=source, path=str(path))


@pytest.mark.parametrize("place", ["folder", "folder inside", "archive", "archive inside"])
@pytest.mark.parametrize("source, version, classes", [
    ("cifar10", cifar10_python(), CIFAR10_NAMES), ("cifar10", cifar10_binary(), CIFAR10_NAMES),
    ("cifar100", cifar100_python(), None), ("cifar100", cifar100_binary(), None),
], ids=["10-python", "10-binary", "100-python", "100-binary"])
def test_every_version_gives_the_same_images(tmp_path, place, source, version, classes):
    data = config(source, lay_out(tmp_path, version, place))
    train, val = open_source(data, "train"), open_source(data, "val")
    images, labels = batch(0, classes=len(train.classes))
    assert len(train) == (20 if source == "cifar10" else 4) and len(val) == 4
    assert train.classes == (classes or [f"class{n}" for n in range(100)])
    assert train.labels[:4].tolist() == labels
    assert np.array_equal(train.image(3), images[3].reshape(3, 32, 32).transpose(1, 2, 0))


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


def replaced(name, content):
    folder, archive, files = cifar10_python()
    return folder, archive, {**files, name: content}


@pytest.mark.parametrize("content, message", [
    (b"", "not a readable pickle"),
    (b"text", "not a readable pickle"),
    (python_pickle({b"labels": [1]}), "holds no 'data'"),
    (python_pickle({b"labels": [1, 2], b"data": np.zeros((1, 3072), np.uint8)}), "2 labels for 1 images"),
    (python_pickle({b"labels": ["a"], b"data": np.zeros((1, 3072), np.uint8)}), "expected one integer"),
    (python_pickle({b"labels": [1], b"data": np.zeros((1, 100), np.uint8)}), "holds no 'data' of 3072"),
    (python_pickle({b"labels": [1], b"data": np.zeros((1, 3072))}), "holds no .data. of 3072 bytes"),
    (python_pickle([1, 2]), "holds a list"),
    (cifar10_python()[2]["test_batch"][:9000], "not a readable pickle"),
    (python_pickle({b"labels": [77] * 4, b"data": batch(0)[0]}), "names 10 classes"),
])
def test_damaged_pickle_is_refused(tmp_path, content, message):
    path = lay_out(tmp_path, replaced("test_batch", content), "folder")
    with pytest.raises(DataError, match=message):
        open_source(config("cifar10", path), "val")


def test_hostile_pickle_runs_nothing(tmp_path):
    trace = tmp_path / "was-run"
    path = lay_out(tmp_path, replaced("test_batch", python_pickle({b"labels": [1], b"data": Hostile(trace)})), "folder")
    with pytest.raises(DataError, match=r"test_batch: names (__builtin__|builtins).exec, which is not allowed"):
        open_source(config("cifar10", path), "val")
    assert not trace.exists()


def test_cut_record_file_is_refused(tmp_path):
    path = lay_out(tmp_path, cifar10_binary(), "folder")
    (path / "test_batch.bin").write_bytes((path / "test_batch.bin").read_bytes()[:-1])
    with pytest.raises(DataError, match="no whole number of 3073-byte records"):
        open_source(config("cifar10", path), "val")


@pytest.mark.parametrize("place", ["folder", "archive"])
def test_missing_file_is_named(tmp_path, place):
    folder, archive, files = cifar10_python()
    del files["test_batch"]
    path = lay_out(tmp_path, (folder, archive, files), place)
    with pytest.raises(DataError, match="test_batch"):
        open_source(config("cifar10", path), "val")


def test_cut_archive_is_refused(tmp_path):
    path = lay_out(tmp_path, cifar10_python(), "archive")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match="not a whole .tar.gz"):
        open_source(config("cifar10", path), "train")


def test_nothing_there_says_what_is_expected(tmp_path):
    with pytest.raises(DataError, match="holds no CIFAR-100; expected cifar-100-python/ or cifar-100-python.tar.gz"):
        open_source(config("cifar100", tmp_path), "train")
