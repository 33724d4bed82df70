"""Clips of videos in memory: what is read, in which shapes, and what goes wrong in one line."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from memory_videos import MemoryVideos

from msnoah.config import DataConfig
from msnoah.data.clip_transforms import view_crops
from msnoah.data.clip_views import ClipViews
from msnoah.data.views import SkippedSample, open_views
from msnoah.errors import ConfigError, DataError


def config(short="loop", **kwargs):
    clip = {"frames": 4, "interval": 2, "short_side": 32, "short": short,
            "val": {"clips": 2, "crops": 3, "short_side": 36, "size": 28},
            "test": {"clips": 5, "crops": 1, "short_side": 40, "size": 36}}
    augment = {"crop": "multi_scale", "horizontal_flip": 0.5, "color_jitter": 0.4}
    defaults = {"source": "video_list", "image_size": 24, "interpolation": "bilinear", "clip": clip, "augment": augment}
    return DataConfig(**{**defaults, **kwargs})


def test_open_views_gives_clips():
    views = open_views(MemoryVideos(20), config(), "test")
    assert isinstance(views, ClipViews)
    assert views.count == 5 and views.pixel_shape == (4, 36, 36, 3)


@pytest.mark.parametrize("kind, count, size", [("val", 6, 28), ("test", 5, 36)])
@pytest.mark.parametrize("total", [20, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(kind, count, size, total, channels):
    data = config(channels=channels, mean=[0.5] * channels, std=[0.5] * channels)
    views = ClipViews(MemoryVideos(total), data, kind)
    assert views.count == count and views.pixel_shape == (4, size, size, channels)
    found = views.evaluation(0)
    assert found.shape == (count, *views.pixel_shape) and found.dtype == np.uint8
    training = ClipViews(MemoryVideos(total), data, "train")
    trained = training.training(0, np.random.default_rng(0))
    assert trained.shape == training.pixel_shape == (4, 24, 24, channels) and trained.dtype == np.uint8


def test_evaluation_is_each_clip_by_itself():
    source = MemoryVideos(20)
    found = ClipViews(source, config(), "val").evaluation(0)
    for clip, start in enumerate([0, 13]):   # 20 - 7 frames of room
        frames = source.videos[0].frames[start:start + 7:2]
        expected = view_crops(frames, config().clip.val, 28, config())
        assert np.array_equal(found[3 * clip:3 * clip + 3], expected)


@pytest.mark.parametrize("total, chosen", [
    (20, [0, 2, 4, 6, 13, 15, 17, 19]),
    (8, list(range(8))),
    (3, [0, 1, 2]),
    (1, [0]),
])
def test_a_frame_is_read_once_and_in_order(total, chosen):
    source = MemoryVideos(total)
    ClipViews(source, config(), "val").evaluation(0)
    assert source.videos[0].read_frames == chosen and source.opened == [0]


def test_long_evaluations_are_read_in_parts():
    source = MemoryVideos(300)
    clip = {"frames": 40, "interval": 1, "short_side": 32, "val": {"short_side": 32}}
    views = ClipViews(source, config(clip=clip), "val")
    assert views.evaluation(0).shape == (1, 40, 24, 24, 3)
    assert source.videos[0].read_frames == list(range(130, 170))


def test_training_reads_only_its_frames():
    source = MemoryVideos(100)
    ClipViews(source, config(), "val").training(0, np.random.default_rng(0))
    frames = source.videos[0].read_frames
    assert len(frames) == 4 and np.diff(frames).tolist() == [2, 2, 2]


def test_training_of_a_short_video_loops():
    clip = ClipViews(MemoryVideos(3), config(augment={}), "val").training(0, np.random.default_rng(0))
    assert np.array_equal(clip[3], clip[0]) and not np.array_equal(clip[1], clip[0])   # frames 0 2 1 0


def test_threads_change_no_bit():
    views = ClipViews(MemoryVideos(20, 30, 9, 3), config(), "val")

    def both(number):
        return views.training(number % 4, np.random.default_rng(number)), views.evaluation(number % 4)

    alone = [both(number) for number in range(12)]
    with ThreadPoolExecutor(4) as pool:
        for (trained, seen), (trained_alone, seen_alone) in zip(pool.map(both, range(12)), alone):
            assert np.array_equal(trained, trained_alone) and np.array_equal(seen, seen_alone)
    assert views.timing.clips == 2 * 12 * 3   # one of training, two of evaluation


def test_rates_are_of_the_time_since_the_last_call():
    views = ClipViews(MemoryVideos(20), config(), "val")
    assert views.take_rates() == {}
    views.training(0, np.random.default_rng(0))
    views.evaluation(0)
    timing = views.timing
    expected = {"decode_clips_per_s": 3 / timing.decode_seconds, "transform_clips_per_s": 3 / timing.transform_seconds}
    assert views.take_rates() == pytest.approx(expected, abs=1e-3)   # rounded to three places
    assert views.take_rates() == {}


@pytest.mark.parametrize("act", [lambda views: views.training(1, np.random.default_rng(0)),
                                 lambda views: views.evaluation(1)], ids=["training", "evaluation"])
@pytest.mark.parametrize("short, error", [("skip", SkippedSample), ("fail", DataError)])
def test_short_videos_are_named(act, short, error):
    views = ClipViews(MemoryVideos(20, 6), config(short), "val")
    with pytest.raises(error, match="memory clip 1: has 6 frames, but a clip of 4 at interval 2 spans 7"):
        act(views)


def test_frames_that_cannot_be_transformed_are_named():
    source = MemoryVideos(20)
    source.videos[0].frames = np.zeros((20, 0, 5, 3), np.uint8)
    for act in (lambda views: views.training(0, np.random.default_rng(0)), lambda views: views.evaluation(0)):
        with pytest.raises(DataError, match=r"memory clip 0: frames of \dx0x5x3 cannot be transformed"):
            act(ClipViews(source, config(), "val"))


@pytest.mark.parametrize("kind, kwargs, message", [
    ("val", {"image_size": 40, "clip": {"val": {"short_side": 36}}},
     "data.clip.val.short_side is 36, but crops of 40 are cut from its frames; make it 40 or more"),
    ("test", {"clip": {"test": {"short_side": 40, "size": 41}}}, "data.clip.test.short_side is 40, but crops of 41"),
    ("train", {"image_size": 33, "augment": {}}, "data.clip.short_side is 32, but crops of 33 are cut from its frames"),
    ("train", {"cache": {"path": "x", "short_side": 31}},
     "data.cache.short_side is 31, but data.clip.short_side asks for frames of 32; make it 32 or more"),
    ("val", {"cache": {"path": "x", "short_side": 32}},
     "data.cache.short_side is 32, but data.clip.val.short_side asks for frames of 36"),
])
def test_sizes_that_do_not_fit_are_refused_at_once(kind, kwargs, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        ClipViews(MemoryVideos(20), config(**kwargs), kind)
    assert not list(tmp_path.iterdir())


def test_a_cache_folder_is_used(tmp_path):
    source = MemoryVideos(20)
    folder = tmp_path / "a" / "b"
    cached = ClipViews(source, config(cache={"path": str(folder), "short_side": 40, "quality": None}), "val")
    plain = ClipViews(source, config(), "val")
    assert np.array_equal(cached.evaluation(0), plain.evaluation(0))   # PNG keeps every bit
    assert len(list(folder.iterdir())) == 1


def test_small_training_frames_do_not_matter_to_random_crops():
    data = config(image_size=33, clip={"frames": 4, "short_side": 32})
    assert ClipViews(MemoryVideos(20), data, "train").training(0, np.random.default_rng(0)).shape == (4, 33, 33, 3)
