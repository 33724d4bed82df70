"""Videos that tests make: numbered frames, and files that are broken or odd in one way each.

tests/data/videos holds forms that OpenCV cannot write, of the same 48 frames, written with ffmpeg and x264: open GOPs,
B-frames, variable frame rate and dropped frames (21 to 35 and every fifth are left), an edit list (from 0.7 s on), deep
and grey pixels, a change of size, and one frame for each codec. hidden_frames.webm shows moving noise, since VP8 needs
something to refer to.
"""

import os
import struct
import wave
from pathlib import Path

import cv2
import numpy as np

VIDEOS = Path(__file__).parent / "videos"
WIDTH, HEIGHT = 64, 48
_MATRIX_OFFSET = 44   # of a tkhd box's matrix, after the four letters of its name (version 0)
_QUARTER_TURN = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)


def numbered_frame(number: int) -> np.ndarray:
    """(48, 64, 3) uint8 RGB: grey that rises with the number, and a red square that moves."""
    frame = np.full((HEIGHT, WIDTH, 3), 10 + 5 * number, np.uint8)
    left = 2 * number % 56
    frame[8:16, left:left + 8] = 250, 10, 10
    return frame


def frame_numbers(frames: np.ndarray) -> list[int]:
    """The numbers of decoded frames, read off the grey of their lower half (OpenCV's MPEG-4 is up to 4 too dark)."""
    return [round((float(frame[24:].mean()) - 8.5) / 5) for frame in frames]


def write_video(path: Path, count: int = 24, codec: str = "MJPG", size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 25, size)
    for number in range(count):
        writer.write(cv2.resize(numbered_frame(number)[..., ::-1], size))
    writer.release()
    return path


def cut(source: Path, path: Path, part: float) -> Path:
    content = source.read_bytes()
    path.write_bytes(content[:int(part * len(content))])
    return path


def break_frame(path: Path, number: int) -> Path:
    """Overwrites one frame of an MJPG file with zeros."""
    content = bytearray(path.read_bytes())
    place = content.index(b"movi")
    for _ in range(number + 1):
        place = content.index(b"00dc", place + 1)
    size = int.from_bytes(content[place + 4:place + 8], "little")
    content[place + 8:place + 8 + size] = bytes(size)
    path.write_bytes(content)
    return path


def turn(source: Path, path: Path) -> Path:
    """A copy of an MP4 file whose header says that it is to be shown turned by a quarter."""
    content = bytearray(source.read_bytes())
    place = content.index(b"tkhd") + _MATRIX_OFFSET
    content[place:place + len(_QUARTER_TURN)] = _QUARTER_TURN
    path.write_bytes(content)
    return path


def write_tone(path: Path) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(2000))
    return path


def _write(content: bytes):
    def write(path: Path) -> Path:
        path.write_bytes(content)
        return path
    return write


def _half(name: str, part: float = 0.5):
    return lambda path: cut(VIDEOS / name, path, part)


def _half_avi(path: Path) -> Path:
    return cut(write_video(path.with_name("whole.avi")), path, 0.5)


def _fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _self_link(path: Path) -> Path:
    path.symlink_to(path)
    return path


def _five_broken(path: Path) -> Path:
    write_video(path)
    for number in range(5):
        break_frame(path, number)
    return path


_PLAYLIST = b"#EXTM3U\n#EXTINF:5,\nhttp://10.255.255.1/a.ts\n"
_WITHOUT_INDEX = b"\0\0\0\x10ftypisom\0\0\2\0" + b"\0\0\0\x10mdat" + bytes(8)
# What is wrong: (file name, how it is made, what the one line says)
BROKEN = {
    "missing": ("missing.mp4", lambda path: path, "no such file"),
    "zero bytes": ("zero.mp4", _write(b""), r"is empty \(0 bytes\)"),
    "text": ("text.mp4", _write(b"no video, but a note\n"), "no video but text that begins with 'no video, but"),
    "playlist": ("list.mp4", _write(_PLAYLIST), "text that begins with '#EXTM3U"),
    "noise": ("noise.mp4", _write(np.random.default_rng(0).bytes(5000)), "holds no video stream"),
    "audio alone": ("audio.mp4", write_tone, "holds no video stream: audio alone, or no video file"),
    "an MP4 of audio": ("tone.mp4", _half("tone.mp4", 1), "holds no video stream: audio alone, or no video file"),
    "folder": ("folder.mp4", _folder, "is a folder, not a video file"),
    "pipe": ("pipe.mp4", _fifo, "is a pipe, not a video file"),
    "link to itself": ("link.mp4", _self_link, "cannot be read: Too many levels of symbolic links"),
    "half an AVI": ("half.avi", _half_avi, r"cut short or damaged: its header counts 24 frames, but it holds \d+$"),
    "half an MP4": ("half.mp4", _half("open_gop.mp4"), "cut short: it has 1,8.. bytes of"),
    "MP4 without index": ("unfinished.mp4", _write(_WITHOUT_INDEX), "no 'moov' box"),
    "half a Matroska": ("half.mkv", _half("variable_rate.mkv"), "cut short: it has 1,325 bytes of 2,650"),
    "first frame": ("first.avi", lambda path: break_frame(write_video(path), 0), "its first frame cannot be decoded"),
    "two sizes": ("two.ts", _half("size_change.ts", 1), "its frames change from 64 x 48 to 32 x 32; cut it"),
    "five frames": ("five.avi", _five_broken, "of its 24 frames only 19 can be decoded"),
}
