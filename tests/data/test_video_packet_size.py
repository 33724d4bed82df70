import cv2
import pytest
from odd_videos import VIDEOS, write_video

from msnoah.data.packet_size import frame_size
from msnoah.data.video_capture import codec_name, open_capture
from msnoah.data.video_index import read_packets

# Files, and the size that their first packet states: interlaced H.264 is padded to pairs of 16 lines.
SIZES = {
    "open_gop.mp4": (64, 48),
    "open_gop.ts": (64, 48),
    "grey.mp4": (64, 48),
    "h264_matrices.mp4": (64, 48),
    "h264_interlaced.mp4": (64, 64),
    "hevc.mp4": (64, 48),
    "mpeg2.ts": (64, 48),
    "vp8.webm": (64, 48),
    "vp9.webm": (64, 48),
    "mjpg.avi": (72, 40),
    "packed_b_frames.avi": None,   # MPEG-4 part 2 states it in a header that AVI files need not repeat
}


def first_packet(path):
    capture = open_capture(str(path), raw=True)
    assert capture.grab()
    return codec_name(capture), capture.retrieve()[1].tobytes(), capture


@pytest.mark.parametrize("name", SIZES)
def test_size_that_the_first_packet_states(name, tmp_path):
    path = VIDEOS / name if (VIDEOS / name).exists() else write_video(tmp_path / name, 1, size=(72, 40))
    codec, packet, capture = first_packet(path)
    assert frame_size(codec, packet) == SIZES[name]
    assert (capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)) in ((64, 48), (72, 40))


@pytest.mark.parametrize("name", [name for name in SIZES if SIZES[name] and name != "mjpg.avi"])
def test_cut_and_foreign_packets_state_no_size(name):
    codec, packet, _ = first_packet(VIDEOS / name)
    assert {frame_size(codec, packet[:end]) for end in range(60)} <= {None, SIZES[name]}
    assert frame_size(codec, packet[:3]) is frame_size(codec, bytes(60)) is frame_size("none", packet) is None


def test_hidden_frames_are_not_counted():
    capture = open_capture(str(VIDEOS / "hidden_frames.webm"), raw=True)
    packets = sum(iter(capture.grab, False))
    times, keys, _ = read_packets(VIDEOS / "hidden_frames.webm")
    assert packets == 64 and len(times) == 60 and keys[0] == 0
