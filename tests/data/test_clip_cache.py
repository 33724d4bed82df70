"""Whatever happens to the cache, training sees the same bits."""

import errno
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from memory_videos import MemoryVideos, soft_frames

from msnoah.config import ClipCacheConfig
from msnoah.data import frame_container
from msnoah.data.clip_cache import CachedVideos, CompressedVideo, PreparedVideo
from msnoah.data.frame_container import DamagedContainer, FrameContainer, write_container
from msnoah.errors import DataError

KEY = bytes(range(32))


def cached(source, folder, interpolation="bilinear", **kwargs):
    cache = ClipCacheConfig(**{"path": str(folder), "short_side": 24, "quality": 90, **kwargs})
    return CachedVideos(source, cache, interpolation)


def only_file(folder):
    (path,) = folder.iterdir()
    return path


class FileVideos(MemoryVideos):
    """Videos that claim to come from files, so that the files' state is asked."""

    def __init__(self, *paths):
        super().__init__(*[40] * len(paths), names=[str(path) for path in paths])


@pytest.fixture
def original(tmp_path):
    path = tmp_path / "original.mp4"
    path.write_bytes(b"an original")
    return path


@pytest.mark.parametrize("quality", [90, None])
def test_cold_warm_and_unkept_are_the_same_bits(tmp_path, original, quality, monkeypatch):
    cold, warm = FileVideos(original), FileVideos(original)
    first = cached(cold, tmp_path / "cache", quality=quality).video(0).read([5, 0, 39, 5])
    video = cached(warm, tmp_path / "cache", quality=quality).video(0)
    assert len(video) == 40 and isinstance(video, PreparedVideo)
    assert np.array_equal(video.read([5, 0, 39, 5]), first) and first.shape == (4, 24, 31, 3)
    assert warm.opened == [] and cold.videos[0].read_frames == list(range(40))

    monkeypatch.setattr(frame_container, "replacing", full_disk)
    video = cached(FileVideos(original), tmp_path / "full", quality=quality).video(0)
    assert len(video) == 40 and isinstance(video, CompressedVideo)
    assert np.array_equal(video.read([5, 0, 39, 5]), first)


def full_disk(path):
    from msnoah.atomic_file import replacing

    class Full:
        def __enter__(self):
            self.inner = replacing(path)
            self.inner.__enter__()
            return self

        def open(self, mode):
            raise OSError(errno.ENOSPC, "No space left on device")

        def __exit__(self, *exception):
            return self.inner.__exit__(*exception)

    return Full()


def test_png_keeps_every_bit_and_small_frames_their_size(tmp_path):
    source = MemoryVideos(9)
    found = cached(source, tmp_path, short_side=48, quality=None).video(0).read([8, 1])
    assert np.array_equal(found, source.videos[0].frames[[8, 1]])


def test_jpeg_is_near(tmp_path):
    frames = np.clip(soft_frames(1, 40, 52) // 4 + np.arange(9)[:, None, None, None], 0, 255).astype(np.uint8)
    source = MemoryVideos(9)
    source.videos[0].frames = frames
    found = cached(source, tmp_path, short_side=40, quality=95).video(0).read(list(range(9)))
    assert abs(found.astype(int) - frames).mean() < 4   # blocks of full-range colour lose chroma at their edges


def test_a_full_disk_is_one_line_and_one_try(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(frame_container, "replacing", full_disk)
    source = MemoryVideos(40, 40)
    videos = cached(source, tmp_path)
    with caplog.at_level(logging.WARNING):
        for index in (0, 1, 0):
            videos.video(index).read([3])
    assert len(caplog.messages) == 1
    assert "No space left on device" in caplog.text and "decodes what the cache lacks" in caplog.text
    assert list(tmp_path.iterdir()) == []
    assert len(source.videos[1].read_frames) < 10   # what identifies it and what was asked for: it was not prepared


@pytest.mark.parametrize("damage", [
    lambda content: content[:10],
    lambda content: content[:-1],
    lambda content: content + b"\0",
    lambda content: b"",
    lambda content: b"X" + content[1:],                              # magic
    lambda content: content[:8] + b"\2" + content[9:],               # version
    lambda content: content[:12] + b"\xff" * 4 + content[16:],       # count
    lambda content: content[:20] + b"\xff" + content[21:],           # key
    lambda content: content[:60] + b"\xff" + content[61:],           # table
    lambda content: content[:-100] + bytes(99) + content[-1:],       # the last frame
], ids=["cut in the header", "cut", "longer", "empty", "magic", "version", "count", "key", "table", "a frame"])
def test_a_damaged_file_is_made_anew(tmp_path, original, damage):
    folder = tmp_path / "cache"
    expected = cached(FileVideos(original), folder).video(0).read([39, 7])
    path, whole = only_file(folder), only_file(folder).read_bytes()
    path.write_bytes(damage(whole))
    videos = cached(FileVideos(original), folder)
    assert np.array_equal(videos.video(0).read([39, 7]), expected)
    assert np.array_equal(videos.video(0).read([39, 7]), expected)
    assert only_file(folder).read_bytes() == whole


def test_a_file_that_goes_while_it_is_used(tmp_path, original):
    video = cached(FileVideos(original), tmp_path / "cache").video(0)
    expected = video.read([4])
    only_file(tmp_path / "cache").unlink()
    assert np.array_equal(video.read([4]), expected)


def test_a_changed_video_is_never_served_stale(tmp_path, original):
    folder = tmp_path / "cache"
    cached(FileVideos(original), folder).video(0)
    os.utime(original, ns=(0, 1))
    changed = FileVideos(original)
    changed.videos[0].frames = soft_frames(50, 40, 52, seed=9)
    video = cached(changed, folder).video(0)
    fresh = cached(changed, tmp_path / "other").video(0)
    assert len(video) == 50 and np.array_equal(video.read([0, 49]), fresh.read([0, 49]))
    assert len(list(folder.iterdir())) == 1   # the old one's place is taken


def test_a_changed_file_in_a_folder_of_frames(tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    (frames / "1.jpg").write_bytes(b"one")
    source = FileVideos(frames)
    for _ in range(2):
        cached(source, tmp_path / "cache").video(0)
    assert len(source.opened) == 1
    (frames / "1.jpg").write_bytes(b"another")
    cached(source, tmp_path / "cache").video(0)
    assert len(source.opened) == 2


def test_a_changed_video_that_is_no_file(tmp_path):
    source = MemoryVideos(9)
    cached(source, tmp_path).video(0)
    source.videos[0].frames = soft_frames(9, 40, 52, seed=9)
    again = cached(source, tmp_path).video(0)
    assert np.array_equal(again.read([2]), cached(source, tmp_path / "other").video(0).read([2]))


@pytest.mark.parametrize("name", ["no such file.mp4", "n" * 5000, "nul\0", "a broken link"],
                         ids=["missing", "too long", "null byte", "broken link"])
def test_a_name_that_is_no_file(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a broken link").symlink_to("nowhere")
    source = MemoryVideos(9, names=[name])
    for _ in range(2):
        assert isinstance(cached(source, tmp_path / "cache").video(0), PreparedVideo)
    assert source.videos[0].read_frames.count(1) == 1   # prepared once


@pytest.mark.parametrize("change", [{"short_side": 20}, {"quality": 80}, {"quality": None},
                                    {"interpolation": "bicubic"}])
def test_settings_have_files_of_their_own(tmp_path, original, change):
    cached(FileVideos(original), tmp_path / "cache").video(0)
    cached(FileVideos(original), tmp_path / "cache", **change).video(0)
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_an_unreadable_video_is_not_kept(tmp_path):
    source = MemoryVideos(80, broken=[70])
    videos = cached(source, tmp_path)
    for _ in range(2):
        video = videos.video(0)
        assert video.read([3]).shape == (1, 24, 31, 3)
        with pytest.raises(DataError, match="a frame cannot be decoded"):
            video.read([70])
    assert list(tmp_path.iterdir()) == []
    assert source.videos[0].read_frames.count(1) == 1   # the second time, nobody tried to prepare it


def test_a_missing_video_is_the_sources_error(tmp_path):
    source = MemoryVideos(4)
    source.video = lambda index: (_ for _ in ()).throw(DataError("a.mp4: no such file"))
    with pytest.raises(DataError, match="a.mp4: no such file"):
        cached(source, tmp_path).video(0)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match=r"file/cache: data.cache.path cannot be made: Not a directory"):
        cached(MemoryVideos(4), tmp_path / "file" / "cache")


@pytest.mark.parametrize("sources", [1, 2])
def test_threads_prepare_a_video_once(tmp_path, original, sources):
    """Also where the training and the validation list name one video."""
    originals = [FileVideos(original) for _ in range(sources)]
    caches = [cached(source, tmp_path / "cache") for source in originals]
    start = threading.Barrier(4)

    def read(number):
        start.wait()
        return caches[number % sources].video(0).read([number, 39])

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(read, range(4)))
    assert sum(len(source.opened) for source in originals) == 1
    expected = cached(FileVideos(original), tmp_path / "other").video(0)
    assert all(np.array_equal(frames, expected.read([number, 39])) for number, frames in enumerate(found))


def test_a_killed_writer_leaves_nothing(tmp_path):
    def frames():
        yield b"one"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_container(tmp_path / "a.frames", KEY, 2, frames())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("frames", [[], [b"a"], [b"one", b"", b"three"]])
def test_container_gives_back_what_was_written(tmp_path, frames):
    path = tmp_path / "a.frames"
    write_container(path, KEY, len(frames), frames)
    container = FrameContainer(path, KEY)
    order = list(range(len(frames)))[::-1] * 2
    assert len(container) == len(frames) and container.read(order) == frames[::-1] * 2
    with pytest.raises(DamagedContainer, match="was written for other frames"):
        FrameContainer(path, bytes(32))
