import cv2
import numpy as np
import pytest
from odd_videos import HEIGHT, WIDTH, frame_numbers, numbered_frame
from PIL import Image

from msnoah.config import DataConfig
from msnoah.data import open_source
from msnoah.data.frame_folder import FrameFolder
from msnoah.errors import DataError

EXIF_ORIENTATION = 0x0112


def write_frames(folder, names, numbers=None):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in zip(numbers or range(len(names)), names):
        cv2.imwrite(str(folder / name), numbered_frame(number)[..., ::-1])
    return folder


# File names in another order than their numbers
NAMES = {
    "img_00001.jpg": [f"img_{number:05d}.jpg" for number in range(1, 13)],
    "frame000001.png": [f"frame{number:06d}.png" for number in range(1, 13)],
    "0001.jpg": [f"{number:04d}.jpg" for number in range(12)],
    "no leading zeros": [f"v2_{number}.JPG" for number in range(7, 19)],
    "optical flow beside": [f"img_{number}.jpg" for number in range(12)] + ["flow_x_1.jpg", "flow_y_1.jpg", "mean.png"],
}


@pytest.mark.parametrize("form", NAMES)
def test_frames_are_read_in_the_order_of_their_numbers(tmp_path, form):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thumbs.db").write_text("")
    video = FrameFolder(write_frames(tmp_path / "a", NAMES[form]))
    assert len(video) == 12
    frames = video.read([11, 0, 10, 0])
    assert frames.shape == (4, HEIGHT, WIDTH, 3) and frames.dtype == np.uint8
    assert frame_numbers(frames) == [11, 0, 10, 0] and video.read([]).shape == (0, HEIGHT, WIDTH, 3)
    assert frames[1, 12, 4, 0] > 200 > 60 > frames[1, 12, 4, 2]   # the red square of frame 0
    with pytest.raises(IndexError, match="of 0 to 11"):
        video.read([12])


def test_exif_turns_nothing(tmp_path):
    image = Image.fromarray(numbered_frame(5))
    exif = image.getexif()
    exif[EXIF_ORIENTATION] = 6   # to be shown turned by a quarter
    image.save(tmp_path / "1.jpg", exif=exif)
    assert FrameFolder(tmp_path).read([0]).shape == (1, HEIGHT, WIDTH, 3)


# What is wrong with a folder: (files, the one line says)
WRONG = {
    "gap": (["1.jpg", "2.jpg", "5.jpg", "7.jpg"], r"of frames 1 to 7 3 are missing, as 3$"),
    "wide gap": (["1.jpg", "99999999999999.jpg"], r"99999999999997 are missing, as 2$"),
    "two of one number": (["01.jpg", "1.png"], "01.jpg and 1.png are both frame 1"),
    "two series": (["a_1.jpg", "b_1.jpg"], "holds 2 series of numbered images"),
    "no numbers": (["a.jpg", "b.jpg"], "holds no numbered images, as in img_00001.jpg"),
    "nothing": ([], "holds no numbered images"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_a_folder_is_one_clear_line(tmp_path, case):
    names, message = WRONG[case]
    with pytest.raises(DataError, match=message):
        FrameFolder(write_frames(tmp_path / "a", names))


def test_no_folder_and_a_file_are_one_clear_line(tmp_path):
    with pytest.raises(DataError, match="none: no such folder"):
        FrameFolder(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file: is no folder of frames: Not a directory"):
        FrameFolder(tmp_path / "file")


def test_a_frame_of_another_size_or_damaged_is_one_clear_line(tmp_path):
    folder = write_frames(tmp_path / "a", ["1.jpg", "2.jpg", "3.jpg"])
    cv2.imwrite(str(folder / "2.jpg"), np.zeros((20, 30, 3), np.uint8))
    (folder / "3.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DataError, match="2.jpg: is 30 x 20, but other frames of its folder are 64 x 48"):
        FrameFolder(folder).read([0, 1])
    with pytest.raises(DataError, match="3.jpg: not a whole image"):
        FrameFolder(folder).read([2])


# Lines of a list: (content, totals are checked)
LISTS = {
    "folder total label": ("walk/a 3 1\nrun/b 4 0\n", True),
    "folder label": ("walk/a 1\nrun/b 0\n", False),
    "only some lines have a third word": ("walk 7 1\nrun/b 0\n", False),
}


@pytest.mark.parametrize("form", LISTS)
def test_lists_of_frame_folders(tmp_path, form):
    content, has_totals = LISTS[form]
    write_frames(tmp_path / ("walk/a" if "walk/a" in content else "walk 7"), ["1.jpg", "2.jpg", "3.jpg"])
    write_frames(tmp_path / "run/b", ["1.jpg", "2.jpg", "3.jpg"])
    (tmp_path / "train.txt").write_text(content)
    source = open_source(DataConfig(source="frame_list", path=str(tmp_path), train_list="train.txt", clip={}), "train")
    assert source.labels.tolist() == [1, 0]
    assert len(source.video(0)) == 3 and source.name(1) == str(tmp_path / "run/b")
    if has_totals:
        with pytest.raises(DataError, match="train.txt:2: .*run/b: has 3 frames, but the list says 4"):
            source.video(1)


def test_a_line_of_another_form_is_one_clear_line(tmp_path):
    (tmp_path / "train.txt").write_text("run/b 3 0\nrun/c 3 x\n")
    with pytest.raises(DataError, match="train.txt:2: expected '<folder> <total_frames> <label>' or '<folder> <l"):
        open_source(DataConfig(source="frame_list", path=str(tmp_path), train_list="train.txt", clip={}), "train")
