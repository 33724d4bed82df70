import itertools
import logging
import threading
import time

import numpy as np
import pytest

from msnoah.config import DataConfig
from msnoah.data import BatchLoader, preprocess
from msnoah.errors import DataError
from msnoah.train_config import MixupConfig

SIZE = 12


class NumberedSource:
    """Image i is noise of seed i, larger than the model's input; `broken` ones raise, reading takes `delay_s`."""

    def __init__(self, count, channels=3, broken=(), delay_s=0.0):
        self.classes = ["a", "b", "c"]
        self.labels = np.arange(count, dtype=np.int32) % 3
        self._channels, self._broken, self._delay_s = channels, broken, delay_s
        self.reads = []

    def __len__(self):
        return len(self.labels)

    def image(self, index):
        time.sleep(self._delay_s)
        self.reads.append(index)
        if index in self._broken:
            raise DataError(f"{self.name(index)}: not a whole image")
        return np.random.default_rng(index).integers(0, 256, (14, 17, self._channels), np.uint8)

    def name(self, index):
        return f"folder/{index}.jpg"


def config(workers=2, **kwargs):
    augment = {"crop": "random_resized", "horizontal_flip": 0.5, "color_jitter": 0.4, "rand_augment": {}, "random_erasing": 0.5}
    return DataConfig(**{"source": "image_folder", "image_size": SIZE, "workers": workers, "augment": augment, **kwargs})


def loader(count=23, batch_size=5, training=True, source=None, seed=3, **kwargs):
    mixing = {"mixup": MixupConfig(), "label_smoothing": 0.1} if training else {}
    return BatchLoader(source or NumberedSource(count), config(**kwargs), batch_size=batch_size, training=training, seed=seed, **mixing)


def assert_same(batches, others):
    batches, others = list(batches), list(others)
    assert len(batches) == len(others) > 0
    for one, other in zip(batches, others):
        for field in ("images", "targets", "labels"):
            assert np.array_equal(getattr(one, field), getattr(other, field))


def data_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("msnoah-data")]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_worker_count_changes_no_bit(workers):
    assert_same(loader(workers=1).epoch(4), loader(workers=workers).epoch(4))


@pytest.mark.parametrize("start", [0, 1, 3])
def test_entering_an_epoch_late_changes_no_bit(start):
    assert_same(itertools.islice(loader().epoch(2), start, None), loader().epoch(2, start=start))


def test_entering_at_the_end_gives_nothing():
    assert list(loader().epoch(2, start=len(loader()))) == []


def test_epochs_and_seeds_differ():
    first = next(loader().epoch(0)).images
    assert not np.array_equal(first, next(loader().epoch(1)).images)
    assert not np.array_equal(first, next(loader(seed=4).epoch(0)).images)


def test_training_reads_every_image_once_and_drops_the_rest():
    source = NumberedSource(23)
    batches = list(loader(source=source).epoch(0))
    assert len(batches) == 4 and all(batch.count == 5 for batch in batches)
    assert len(source.reads) == len(set(source.reads)) == 20


def test_training_batch_has_the_promised_types():
    batch = next(loader().epoch(0))
    assert batch.images.shape == (5, 3, SIZE, SIZE) and batch.images.dtype == np.float32
    assert batch.targets.shape == (5, 3) and batch.targets.dtype == np.float32 and batch.labels.dtype == np.int32
    assert np.allclose(batch.targets.sum(1), 1, atol=1e-6)  # float32 sums of three terms


@pytest.mark.parametrize("fill, colors", [("pixel", range(3, 200)), ("color", range(1, 2))])
def test_erasing_fills_as_the_config_says(fill, colors):
    augment = {"random_erasing": 1.0, "erasing_fill": fill}
    source = NumberedSource(5)
    plain, erased = (BatchLoader(source, config(augment=each), batch_size=5, training=True) for each in ({}, augment))
    for before, after in zip(next(plain.epoch(0)).images, next(erased.epoch(0)).images):
        box = after[:, (before != after).all(0)]
        assert len(np.unique(box, axis=1).T) in colors


def test_evaluation_keeps_order_and_pads_with_zeros():
    source = NumberedSource(7)
    batches = list(loader(source=source, training=False, batch_size=5).epoch(0))
    assert [batch.count for batch in batches] == [5, 2]
    assert np.concatenate([batch.labels for batch in batches])[:7].tolist() == source.labels.tolist()
    assert not batches[1].images[2:].any() and not batches[1].targets[2:].any()
    assert np.array_equal(batches[1].images[1], preprocess(source.image(6), config()))
    assert np.array_equal(batches[1].targets[:2], np.eye(3)[source.labels[5:7]])


def test_grey_source_of_a_colour_model():
    batch = next(loader(source=NumberedSource(6, channels=1)).epoch(0))
    assert batch.images.shape == (5, 3, SIZE, SIZE)


@pytest.mark.parametrize("count, training", [(4, True), (0, False)])
def test_no_batch_is_an_error(count, training):
    with pytest.raises(DataError, match=f"has {count} samples, fewer than one batch of 5"):
        loader(count, training=training)


@pytest.mark.parametrize("training", [True, False])
def test_unreadable_image_fails_by_name(training):
    with pytest.raises(DataError, match="folder/6.jpg: not a whole image"):
        list(loader(source=NumberedSource(20, broken=[6]), training=training).epoch(0))
    assert not data_threads()


def test_skipping_draws_another_image_and_says_so_once(caplog):
    def batches(workers):
        return loader(source=NumberedSource(20, broken=range(0, 20, 3)), workers=workers, corrupt="skip").epoch(1)

    with caplog.at_level(logging.WARNING, "msnoah.data"):
        taken = list(batches(2))
    assert len(taken) == 4 and all(batch.count == 5 for batch in taken)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[:-1] == [f"skipped: folder/{number}.jpg: not a whole image" for number in sorted(range(0, 20, 3), key=str)]
    assert lines[-1] == "epoch 2: 12 samples skipped"
    assert_same(taken, batches(1))


def test_skipping_in_evaluation_leaves_the_row_out():
    batches = list(loader(source=NumberedSource(10, broken=[1, 8]), training=False, corrupt="skip").epoch(0))
    assert [batch.count for batch in batches] == [4, 4]
    assert batches[0].labels[:4].tolist() == [0, 2, 0, 1]


def test_nothing_readable_is_an_error_also_when_skipping():
    with pytest.raises(DataError, match="unreadable samples in a row"):
        list(loader(source=NumberedSource(10, broken=range(10)), corrupt="skip").epoch(0))


def test_image_that_cannot_be_transformed_is_named():
    source = NumberedSource(10)
    source.image = lambda index: np.zeros((0, 5, 3), np.uint8)
    with pytest.raises(DataError, match=r"folder/\d.jpg: an image of 0x5x3 cannot be transformed"):
        list(loader(source=source).epoch(0))


@pytest.mark.parametrize("end", ["close", "delete", "exception"])
def test_early_end_leaves_no_thread(end):
    batches = loader(source=NumberedSource(400, delay_s=0.002), workers=3).epoch(0)
    next(batches)
    assert data_threads()
    if end == "close":
        batches.close()
    elif end == "delete":
        del batches
    else:
        with pytest.raises(KeyboardInterrupt):
            batches.throw(KeyboardInterrupt)
    assert not data_threads()


def test_an_early_end_waits_for_one_image_not_for_a_batch():
    batches = loader(source=NumberedSource(90, delay_s=0.05), workers=2, batch_size=30).epoch(0)
    next(batches)
    started = time.monotonic()
    batches.close()
    assert time.monotonic() - started < 0.7  # the last batch takes 1.5 s of reading, an image 0.05 s


def test_batches_are_built_ahead():
    source = NumberedSource(100)
    batches = loader(source=source, workers=2).epoch(0)
    next(batches)
    deadline = time.monotonic() + 10
    while len(source.reads) < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert 20 <= len(source.reads) <= 25  # the one that was taken and workers + 1 more, 5 images each
    batches.close()


def test_repeated_augmentation_deals_copies_side_by_side_each_augmented_anew():
    plain = config(augment={"crop": "random_resized", "random_erasing": 1.0})
    source = NumberedSource(24)

    def repeated(repeats, seed=3):
        return BatchLoader(source, plain, batch_size=6, training=True, seed=seed, repeats=repeats)

    once, thrice = list(repeated(1).epoch(1)), list(repeated(3).epoch(1))
    assert len(once) == len(thrice) == 4
    labels = np.concatenate([batch.labels for batch in thrice])
    # 8 of the 24 samples, in the order of an epoch without copies
    assert np.array_equal(labels, np.repeat(np.concatenate([batch.labels for batch in once])[:8], 3))
    first = [image.tobytes() for batch in thrice for image in batch.images]
    assert len(set(first)) == 24, "two copies are the same view"
    assert first[0] == once[0].images[0].tobytes(), "the first copy is the one of an epoch without copies"
    assert_same(repeated(3).epoch(1, start=2), thrice[2:])
    assert not np.array_equal(next(iter(repeated(3, seed=4).epoch(1))).labels, thrice[0].labels)


@pytest.mark.parametrize("count, repeats, distinct", [(23, 3, 8), (23, 1, 23), (5, 7, 1)])
def test_an_epoch_of_copies_has_as_many_samples(count, repeats, distinct):
    source = NumberedSource(count)
    batches = list(BatchLoader(source, config(workers=1), batch_size=1, training=True, repeats=repeats).epoch(0))
    assert len(batches) == len(source.reads) == count
    assert len(set(source.reads)) == distinct
    assert all(one == other for one, other in zip(source.reads, source.reads[1:repeats]))
