import shutil

import numpy as np
import pytest
from odd_videos import BROKEN, VIDEOS, frame_numbers

from msnoah.config import DataConfig
from msnoah.data import open_source
from msnoah.errors import DataError

CLIP = VIDEOS / "grey.mp4"


@pytest.fixture
def root(tmp_path):
    """A folder of videos in folders of classes; lists lie in lists/."""
    for name in ("walk dog/a b.mp4", "walk dog/c.mp4", "run/d.mp4", "run/e.mp4"):
        place = tmp_path / "videos" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CLIP, place)
    (tmp_path / "lists").mkdir()
    return tmp_path


def write_list(root, name, content):
    path = root / "lists" / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def open_list(root, split="train", source="video_list", **keys):
    return open_source(DataConfig(source=source, path=str(root / "videos"), clip={}, **keys), split)


PLAIN = "walk dog/a b.mp4 1\nrun/d.mp4 0\nwalk dog/c.mp4 1\n"
ENCODINGS = {
    "plain": PLAIN.encode(),
    "byte order mark": PLAIN.encode("utf-8-sig"),
    "CRLF": PLAIN.replace("\n", "\r\n").encode(),
    "tabs": PLAIN.replace("mp4 ", "mp4\t").encode(),
    "no last line end, blank lines": b"\n  " + PLAIN.replace("\n", "\n\n").strip().encode(),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_lines_of_path_and_label(root, encoding):
    videos = open_list(root, train_list=write_list(root, "train.txt", ENCODINGS[encoding]))
    assert videos.labels.tolist() == [1, 0, 1] and videos.labels.dtype == np.int32
    assert videos.classes == ["run", "walk dog"]   # each label has one folder
    assert videos.name(0) == str(root / "videos" / "walk dog/a b.mp4")
    assert frame_numbers(videos.video(2).read([4, 0])) == [4, 0]


# What names the classes: (classes.txt, data.classes, the list, expected classes, expected labels)
CLASSES = {
    "data.classes": ("r\nw\n", ["x", "y", "z"], PLAIN, ["x", "y", "z"], [1, 0, 1]),
    "classes.txt": ("r\nw x\n", [], PLAIN, ["r", "w x"], [1, 0, 1]),
    "a gap in the labels": (None, [], "run/d.mp4 2\nwalk dog/c.mp4 0\n", ["walk dog", "1", "run"], [2, 0]),
    "folders of two labels": (None, [], "run/d.mp4 0\nrun/e.mp4 1\n", ["0", "1"], [0, 1]),
}


@pytest.mark.parametrize("case", CLASSES)
def test_names_of_classes(root, case):
    names, configured, content, classes, labels = CLASSES[case]
    if names:
        write_list(root, "classes.txt", names)
    videos = open_list(root, train_list=write_list(root, "train.txt", content), classes=configured)
    assert videos.classes == classes and videos.labels.tolist() == labels


def test_classes_of_the_val_split_are_those_of_the_train_split(root):
    val_list = write_list(root, "val.txt", "walk dog/c.mp4 1\n")
    videos = open_list(root, "val", train_list=write_list(root, "train.txt", PLAIN), val_list=val_list)
    assert videos.classes == ["run", "walk dog"] and videos.labels.tolist() == [1]


KINETICS = ("label,youtube_id,time_start,time_end,split\n"
            "walk dog,-ab_cd12345,1,11,train\n\"run, fast\",xy,20.0,30.0,train\n")
PLACES = ["{label}/{file}.mp4", "train/{label_}/{file}.mkv", "{file}.mp4", "train/{file}.webm"]


@pytest.mark.parametrize("place", PLACES)
def test_csv_of_kinetics(root, place):
    for label, file in (("walk dog", "-ab_cd12345_000001_000011"), ("run, fast", "xy_000020_000030")):
        path = root / "videos" / place.format(label=label, label_=label.replace(" ", "_"), file=file)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CLIP, path)
    videos = open_list(root, train_list=write_list(root, "train.csv", KINETICS))
    assert videos.classes == ["run, fast", "walk dog"] and videos.labels.tolist() == [1, 0]
    assert len(videos.video(1)) == 5 and videos.name(1) == str(path)
    videos = open_list(root, train_list=str(root / "lists/train.csv"), classes=["walk dog", "run, fast"])
    assert videos.labels.tolist() == [0, 1]


def test_lists_of_ucf101(root):
    write_list(root, "classInd.txt", "1 walk dog\r\n2 run\r\n")
    lists = {"train_list": write_list(root, "trainlist01.txt", "walk dog/c.mp4 1\r\nrun/d.mp4 2\r\n"),
             "val_list": write_list(root, "testlist01.txt", "run/e.mp4\r\nwalk dog/a b.mp4\r\n")}
    train, val = open_list(root, "train", **lists), open_list(root, "val", **lists)
    assert train.classes == val.classes == ["walk dog", "run"]
    assert train.labels.tolist() == [0, 1] and val.labels.tolist() == [1, 0]
    assert len(val.video(1)) == 5


@pytest.mark.parametrize("is_flat", [False, True])
def test_splits_of_hmdb51(root, is_flat):
    write_list(root, "run_test_split1.txt", "d.mp4 1 \ne.mp4 2 \n")
    write_list(root, "walk dog_test_split1.txt", "a b.mp4 0 \nc.mp4 1 \n")
    if is_flat:
        for path in (root / "videos").rglob("*.mp4"):
            path.rename(root / "videos" / path.name)
    splits = {"train_list": f"{root}/lists:1", "val_list": f"{root}/lists:1"}
    train, val = open_list(root, "train", **splits), open_list(root, "val", **splits)
    assert train.classes == val.classes == ["run", "walk dog"]
    assert train.labels.tolist() == [0, 1] and val.labels.tolist() == [0]
    assert val.name(0).endswith("e.mp4") and len(val.video(0)) == len(train.video(1)) == 5


def test_lists_are_found_in_data_path_and_paths_start_at_the_list_without_it(root, monkeypatch):
    (root / "videos" / "train.txt").write_text(PLAIN)
    assert len(open_list(root, train_list="train.txt")) == 3
    monkeypatch.chdir(root)
    videos = open_source(DataConfig(source="video_list", clip={}, train_list="videos/train.txt"), "train")
    assert len(videos.video(1)) == 5


# What is wrong with a list: (file name, content, the one line says)
WRONG = {
    "no label": ("a.txt", "run/d.mp4 0\nrun/e.mp4\n", "a.txt:2: expected '<path> <label>' with .* found 'run/e.mp4'"),
    "a label that is no number": ("a.txt", "run/d.mp4 zero\n", "a.txt:1: expected"),
    "a negative label": ("a.txt", "run/d.mp4 -1\n", "a.txt:1: expected"),
    "a label alone": ("a.txt", "7\n", "a.txt:1: expected"),
    "a huge label": ("a.txt", "run/d.mp4 9999999999999999\n", "has label 9999999999999999; expected 0 to 99999"),
    "nothing": ("a.txt", " \n\n", "a.txt: is empty"),
    "no text": ("a.txt", b"\xff\xfe\0\0", "a.txt: is no text in UTF-8"),
    "two labels": ("a.txt", "run/d.mp4 0\nrun/d.mp4 1\n", "a.txt:2: run/d.mp4 has label 1, but 0 at .*a.txt:1"),
    "csv without labels": ("a.csv", "youtube_id,time_start,time_end\nab,1,2\n", "a.csv:1: has no column 'label'"),
    "csv without rows": ("a.csv", "label,youtube_id,time_start,time_end\n", "a.csv: has a header but no videos"),
    "csv of words": ("a.csv", KINETICS + "run,ab,one,11,train\n", r"a.csv:4: time_start, time_end are \['one', '11'\]"),
    "csv cut short": ("a.csv", KINETICS + "run,ab\n", r"a.csv:4: time_start, time_end are \['', ''\]"),
    "other videos": ("a.txt", "x/d.mp4 0\ny/e.mp4 1\n", "none of its 2 videos is there, as .*x/d.mp4; is data.path"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_a_list_is_one_clear_line(root, case):
    name, content, message = WRONG[case]
    with pytest.raises(DataError, match=message) as caught:
        open_list(root, train_list=write_list(root, name, content))
    assert "\n" not in str(caught.value)


# What does not fit together: (keys of data, the one line says)
MISFITS = {
    "no list": ({}, "data.train_list is not set; video_list needs the list"),
    "no such list": ({"train_list": "none.txt"}, "none.txt: cannot be read: No such file or directory; expected a list of videos"),
    "a folder": ({"train_list": "run"}, "run: cannot be read: Is a directory; expected a list of videos"),
    "no such split": ({"train_list": "run:4"}, r"run: holds no files <class>_test_split4.txt"),
    "too few classes": ({"train_list": "l.txt", "classes": ["a"]}, "l.txt:1: label 1, but the classes are 0 to 0"),
    "two classes of one name": ({"train_list": "l.txt", "classes": ["a", "a"]}, "two of its 2 classes have one name"),
    "an unknown class": ({"train_list": "k.csv", "classes": ["walk dig", "x"]},
                         "k.csv:2: class 'walk dog' is none of the 2 classes; the nearest is 'walk dig'"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_what_does_not_fit_together_is_one_clear_line(root, case):
    keys, message = MISFITS[case]
    (root / "videos/l.txt").write_text(PLAIN)
    (root / "videos/k.csv").write_text(KINETICS)
    with pytest.raises(DataError, match=message):
        open_list(root, **keys)


UCF = {
    "a label beyond": ("run/d.mp4 3\n", "1 walk\n2 run\n", "a.txt:1: label 3; classInd.txt beside it has 1 to 2"),
    "label 0": ("run/d.mp4 0\n", "1 walk\n2 run\n", "a.txt:1: label 0; classInd.txt"),
    "no class": ("d.mp4\n", "1 walk\n", "a.txt:1: expected '<class>/<video>'"),
    "unknown class": ("runn/d.mp4\n", "1 walk\n2 run\n", "a.txt:1: class 'runn' is none of .* the nearest is 'run'"),
    "broken index": ("run/d.mp4 1\n", "1 walk\n3 run\n", "classInd.txt:2: expected '2 <class>', found '3 run'"),
}


@pytest.mark.parametrize("case", UCF)
def test_what_is_wrong_with_lists_of_ucf101_is_one_clear_line(root, case):
    content, index, message = UCF[case]
    write_list(root, "classInd.txt", index)
    with pytest.raises(DataError, match=message):
        open_list(root, train_list=write_list(root, "a.txt", content))


def test_hmdb51_lines_of_another_form_are_one_clear_line(root):
    write_list(root, "run_test_split1.txt", "d.mp4 1\ne.mp4 3\n")
    with pytest.raises(DataError, match="run_test_split1.txt:2: expected '<video> 0', 1 or 2, found 'e.mp4 3'"):
        open_list(root, train_list=f"{root}/lists:1")


def test_a_video_that_is_missing_or_broken_is_kept_and_names_its_line(root):
    name, make, _ = BROKEN["text"]
    make(root / "videos" / name)
    videos = open_list(root, train_list=write_list(root, "a.txt", f"run/none.mp4 0\n{name} 0\nrun/d.mp4 0\n"))
    assert len(videos) == 3 and len(videos.video(2)) == 5
    for index, line in enumerate((r"a.txt:1: .*run/none.mp4: no such file$", r"a.txt:2: .*text.mp4: holds no video")):
        with pytest.raises(DataError, match=line):
            videos.video(index)


def test_repeated_lines_count_once(root, caplog):
    videos = open_list(root, train_list=write_list(root, "a.txt", PLAIN + PLAIN))
    assert len(videos) == 3 and "3 of its lines are repeated" in caplog.text
