"""Camera motion: clips of a window that stands, pans, tilts or zooms over real footage, labelled by how it was moved.

The films are real and the camera's move is made up, so the label is known without anybody having watched the clip. It
names what the *camera* does: in `pan_left` the window moves to the left and the picture to the right. What it leaves
out: a moving window has no parallax, and the footage moves by itself, so the label says how the window moves over it.
To keep that noise small, a sample takes the calmest of a few places drawn. Shot tagging, not action recognition.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from msnoah.config import DataConfig
from msnoah.data.footage import Footage, open_footage
from msnoah.data.resize import resize
from msnoah.errors import DataError


@dataclass(frozen=True)
class Motion:
    """What the camera does in a clip: the directions of x (right) and y (down), and 1 for a widening view."""

    name: str
    x: int = 0
    y: int = 0
    widening: int = 0


MOTIONS = (
    Motion("static"),
    Motion("pan_left", x=-1),
    Motion("pan_right", x=1),
    Motion("tilt_up", y=-1),
    Motion("tilt_down", y=1),
    Motion("zoom_in", widening=-1),
    Motion("zoom_out", widening=1),
)

_SAMPLES_PER_CLASS = {"train": 480, "val": 80}
_SPLIT_KEYS = {"train": 0, "val": 1}
_GREEN = 1
_PLACES = 8              # drawn for a sample; the calmest is taken
_SIDES = (0.35, 0.6)     # of the window in mid-clip, as a part of the frame's shorter side
_TRAVELS = (0.25, 0.6)   # of a pan or tilt from the first to the last frame, in window sides
_ZOOMS = (1.25, 1.7)     # how much wider the view at one end of a zoom is than at the other


@dataclass(frozen=True)
class Place:
    """Where a window moves, by how much if it pans or tilts (`travel`, pixels), and by which factor if it zooms.

    It is drawn without regard to the motion, with room for any of them, so a frame in mid-clip does not tell the label.
    """

    footage: Footage
    start: int            # the first frame of the stretch
    centre: np.ndarray    # (2,) x and y in mid-clip, pixels of the footage
    side: float           # of the window in mid-clip, pixels
    travel: float
    zoom: float

    @property
    def reach(self) -> float:
        """How far from the centre any motion's window gets, in pixels to each side."""
        return self.side / 2 * max(1 + self.travel / self.side, self.zoom ** 0.5)

    def boxes(self, motion: Motion, span: int) -> np.ndarray:
        """The window in each frame: (span, 4) left, top, right, bottom."""
        time = np.linspace(-0.5, 0.5, span)[:, None] if span > 1 else np.zeros((1, 1))
        centres = self.centre + self.travel * time * [motion.x, motion.y]        # (span, 2)
        halves = self.side / 2 * self.zoom ** (motion.widening * time)           # (span, 1)
        return np.concatenate([centres - halves, centres + halves], axis=1)


class MovingWindow:
    """A Video: what a square window sees on its way; frames are cut out and resized when they are read."""

    def __init__(self, frames: np.ndarray, boxes: np.ndarray, size: int):
        """Takes the footage (span, H, W, 3) uint8 and a box for each of its frames (span, 4)."""
        self._frames, self._boxes, self._size = frames, boxes, size

    def __len__(self) -> int:
        return len(self._boxes)

    def read(self, indices: Sequence[int]) -> np.ndarray:
        """Frames by index, (len(indices), size, size, 3) uint8 RGB."""
        return np.stack([self._frame(index) for index in indices])

    def _frame(self, index: int) -> np.ndarray:
        left, top, right, bottom = self._boxes[index]
        x, y = int(left), int(top)
        around = self._frames[index, y:math.ceil(bottom), x:math.ceil(right)]   # the resizer copies what it is given
        return resize(around, self._size, self._size, "bilinear", (left - x, top - y, right - x, bottom - y))


class CameraMotion:
    """A VideoSource: one split, the classes in turn. Sample i is the same clip whenever and by whom it is asked for."""

    def __init__(self, footage: list[Footage], split: str, span: int, size: int):
        """Takes films of at least `span` frames; videos are `span` frames of size x size."""
        self._footage, self._split, self._span, self._size = footage, split, span, size
        self._places: dict[int, Place] = {}
        self.classes = [motion.name for motion in MOTIONS]
        self.labels = np.tile(np.arange(len(MOTIONS), dtype=np.int32), _SAMPLES_PER_CLASS[split])

    def __len__(self) -> int:
        return len(self.labels)

    def video(self, index: int) -> MovingWindow:
        """The clip of a sample."""
        place, span = self.place(index), self._span
        frames = place.footage.frames[place.start:place.start + span]
        return MovingWindow(frames, place.boxes(MOTIONS[self.labels[index]], span), self._size)

    def name(self, index: int) -> str:
        """The sample's number and class."""
        return f"camera_motion {self._split} clip {index} ({self.classes[self.labels[index]]})"

    def place(self, index: int) -> Place:
        """Where a sample's clip is cut from."""
        if index not in self._places:
            self._places[index] = self._calmest(index)   # two threads would find the same one
        return self._places[index]

    def _calmest(self, index: int) -> Place:
        random = np.random.Generator(np.random.Philox(key=_SPLIT_KEYS[self._split], counter=(0, index, 0, 0)))
        footage = self._footage[random.integers(len(self._footage))]
        return min((self._draw(footage, random) for _ in range(_PLACES)), key=self._restlessness)

    def _draw(self, footage: Footage, random: np.random.Generator) -> Place:
        start = int(random.integers(len(footage.frames) - self._span + 1))
        height, width = footage.frames.shape[1:3]
        side = min(height, width) * random.uniform(*_SIDES)
        place = Place(footage, start, np.zeros(2), side, side * random.uniform(*_TRAVELS), random.uniform(*_ZOOMS))
        room = np.array([width, height]) - place.reach
        return replace(place, centre=random.uniform(place.reach, room))

    def _restlessness(self, place: Place) -> float:
        """How far the footage moves by itself around a place, in pixels, roughly: its change in time over its slope.

        The slope is the smaller one of across and down: plain and striped places, where no motion shows, count as bad.
        """
        (left, top), (right, bottom) = ((place.centre + sign * place.reach).astype(int) for sign in (-1, 1))
        moments = place.start + np.array([0, self._span // 2, self._span - 1])
        pictures = place.footage.frames[moments, top:bottom:2, left:right:2, _GREEN].astype(np.float32)
        change, down, across = (np.abs(np.diff(pictures, axis=axis)).mean() for axis in range(3))
        return (change + 1) / (min(down, across) + 1e-6)


def open_camera_motion(data: DataConfig, split: str) -> CameraMotion:
    """The clips of a split, data.clip.span frames of image_size x image_size each; both splits show films of their own.

    Raises:
        DataError: a flip that would swap the labels, no films, or a film of fewer frames than a clip.
    """
    flip, span = data.augment.horizontal_flip, data.clip.span
    if flip:
        raise DataError(f"data.augment.horizontal_flip is {flip:g}, but camera_motion's pan_left is a pan_right in the "
                        "mirror: set it to 0")
    footage = open_footage(data, split)
    for film in footage:
        if len(film.frames) < span:
            raise DataError(f"{film.name} has {len(film.frames)} frames, but a clip spans {span}: "
                            "lower data.clip.frames or data.clip.interval")
    return CameraMotion(footage, split, span, data.image_size)
