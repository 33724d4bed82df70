"""The ring of frames, by table, and a stream's windows against evaluation's views of the same film."""

import numpy as np
import pytest
from clip_artifact import CLIP, IMAGE, write_artifact, write_film

from msnoah.config import ClipConfig
from msnoah.data.clip_views import ClipViews
from msnoah.data.preprocessing import normalise, preprocess
from msnoah.data.video_file import VideoFile, open_stream
from msnoah.deploy.classifier import Classifier
from msnoah.deploy.streaming import FrameRing, StreamClassifier
from msnoah.errors import DataError


def _windows(clip: ClipConfig, stride: int, total: int) -> tuple[list[list[int]], int]:
    """The frames of each clip by number, and the most frames that were kept at a time."""
    ring, clips, most = FrameRing(clip, stride), [], 0
    for number in range(total):
        clips.append(ring.push(np.array(number) if ring.needs_next() else None))
        most = max(most, len(ring))
    return [found.tolist() for found in (*clips, ring.repeat()) if found is not None], most


# frames, interval, stride, length of the film -> the clips, the most frames kept at a time
@pytest.mark.parametrize("frames, interval, stride, total, expected, most", [
    (3, 2, 2, 9, [[0, 2, 4], [2, 4, 6], [4, 6, 8]], 4),
    (3, 2, 3, 9, [[0, 2, 4], [3, 5, 7]], 4),
    (3, 2, 1, 7, [[0, 2, 4], [1, 3, 5], [2, 4, 6]], 4),
    (3, 2, 10, 17, [[0, 2, 4], [10, 12, 14]], 4),          # clips that do not touch
    (3, 2, 5, 5, [[0, 2, 4]], 4),                          # exactly one clip
    (3, 2, 2, 4, [[0, 2, 0]], 4),                          # shorter than a clip: from its start again
    (3, 2, 2, 1, [[0, 0, 0]], 1),
    (4, 3, 2, 2, [[0, 1, 0, 1]], 2),
    (3, 2, 2, 0, [], 0),
    (1, 1, 1, 3, [[0], [1], [2]], 0),                      # images
    (1, 1, 2, 4, [[0], [2]], 0),
])
def test_ring_of_frames(frames, interval, stride, total, expected, most):
    assert _windows(ClipConfig(frames=frames, interval=interval), stride, total) == (expected, most)


@pytest.mark.parametrize("stride", [1, 3, 4, 16, 61, 100])
def test_memory_does_not_grow_with_the_film(stride):
    clips, most = _windows(ClipConfig(frames=16, interval=4), stride, 1000)
    assert len(clips) == (1000 - 61) // stride + 1 and most == 60
    assert [found[0] for found in clips] == [number * stride for number in range(len(clips))]
    assert all(np.diff(found).tolist() == [4] * 15 for found in clips)


SHARES = [(4, 16, 1 / 4), (4, 2, 1 / 2), (4, 1, 1.0), (1, 16, 1.0), (4, 100, 0.16)]


@pytest.mark.parametrize("interval, stride, share", SHARES)
def test_frames_that_no_clip_holds_are_not_preprocessed(interval, stride, share):
    ring, needed = FrameRing(ClipConfig(frames=16, interval=interval), stride), 0
    for number in range(2000):
        wanted = ring.needs_next()
        needed += wanted and number >= 61   # of a film's beginning all are kept
        ring.push(np.array(number) if wanted else None)
    assert needed / (2000 - 61) == pytest.approx(share, abs=0.01)


class _OneFilm:
    """A VideoSource of one film."""

    classes, labels = ["only"], np.zeros(1, np.int32)

    def __init__(self, path):
        self._path = path

    def __len__(self):
        return 1

    def video(self, index):
        return VideoFile(self._path)

    def name(self, index):
        return str(self._path)


def _stream(classifier, path, **settings):
    stream = StreamClassifier(classifier, **settings)
    found = [window for time_s, frame in open_stream(str(path)) if (window := stream.push(time_s, frame))]
    return [*found, *filter(None, [stream.finish(9.0)])]


@pytest.mark.parametrize("frames", [10, 7, 1])
@pytest.mark.parametrize("height, width", [(36, 48), (50, 30)])
def test_a_film_of_one_clip_or_less_gets_what_evaluation_gives_it(tmp_path, frames, height, width):
    film = write_film(tmp_path / "film.mp4", frames, height, width)
    classifier = Classifier(write_artifact(tmp_path / "clip.onnx"))
    pixels = ClipViews(_OneFilm(film), classifier.data, "val").evaluation(0)   # (1, 4, 16, 16, 3)
    (window,) = _stream(classifier, film)
    logits = classifier.logits_of_normalised(normalise(pixels, classifier.data))[0]
    expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    assert window.probabilities == pytest.approx(expected, rel=1e-6)   # softmax in float64 and in float32
    assert 0.01 < expected.max() < 0.999, "the weights must leave something to be told apart"
    assert (window.first_frame, window.last_frame) == (0, frames - 1)


def test_windows_of_a_longer_film(tmp_path):
    film = write_film(tmp_path / "film.mp4", 27)
    classifier = Classifier(write_artifact(tmp_path / "clip.onnx"))
    windows = _stream(classifier, film, stride=8, smoothing=0.25)
    assert [(window.first_frame, window.last_frame) for window in windows] == [(0, 9), (8, 17), (16, 25)]
    assert [window.time_s for window in windows] == pytest.approx([9 / 25, 17 / 25, 25 / 25])
    clip = np.stack([classifier.view(frame) for frame in VideoFile(film).read([16, 19, 22, 25])])
    assert np.array_equal(classifier.probabilities(clip[None])[0], windows[2].probabilities)
    smoothed = windows[0].probabilities
    for window in windows[1:]:
        smoothed = 0.25 * smoothed + 0.75 * window.probabilities
        assert np.allclose(window.smoothed, smoothed, rtol=1e-12) and window.label == smoothed.argmax()


def test_images_are_classified_frame_by_frame(tmp_path):
    film = write_film(tmp_path / "film.mp4", 5)
    classifier = Classifier(write_artifact(tmp_path / "image.onnx", IMAGE))
    windows = _stream(classifier, film, smoothing=0.0)
    frames = [frame for _, frame in open_stream(str(film))]
    images = np.stack([preprocess(frame, classifier.data) for frame in frames])   # (5, 3, 16, 16)
    logits = classifier.logits_of_normalised(images)
    assert [window.label for window in windows] == logits.argmax(1).tolist() and len(windows) == 5


@pytest.mark.parametrize("settings", [{"stride": 0}, {"smoothing": 1.0}, {"smoothing": -0.1}])
def test_settings_out_of_range(tmp_path, settings):
    with pytest.raises(DataError, match="expected at least 1, and from 0 to below 1"):
        StreamClassifier(Classifier(write_artifact(tmp_path / "clip.onnx", CLIP)), **settings)
