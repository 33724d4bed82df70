import io
import json
import pickle

import numpy as np
import pytest

from msnoah.data.ava import clip_indices, read_action_list, read_annotations, read_excluded, read_proposals
from msnoah.errors import DataError

ROWS = """-5KQ66BBWC4,0902,0.077,0.151,0.283,0.811,80,1
-5KQ66BBWC4,0902,0.077,0.151,0.283,0.811,9,1
-5KQ66BBWC4,0902,0.226,0.032,0.366,0.497,12,0
1j20qq1JyX4,0903,0.0,0.0,1.0,1.0,1,7
-5KQ66BBWC4,0901,,,,,,
"""
BOX = [0.1, 0.2, 0.5, 0.9]


def write(tmp_path, content, name="a.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("line_end,encoding", [("\n", "utf-8"), ("\r\n", "utf-8-sig")])
def test_rows_of_one_box_are_one_person_with_many_actions(tmp_path, line_end, encoding):
    first, second = read_annotations(write(tmp_path, ROWS.replace("\n", line_end).encode(encoding)))
    assert first.place == ("-5KQ66BBWC4", 902) and second.place == ("1j20qq1JyX4", 903)
    assert np.allclose(first.boxes, [[0.077, 0.151, 0.283, 0.811], [0.226, 0.032, 0.366, 0.497]])
    assert [np.flatnonzero(row).tolist() for row in first.labels] == [[9, 80], [12]]
    assert first.labels.shape == (2, 81) and first.labels.dtype == first.boxes.dtype == np.float32
    assert first.persons.tolist() == [1, 0]


def test_excluded_seconds_are_left_out(tmp_path):
    excluded = read_excluded(write(tmp_path, "1j20qq1JyX4,0903\n1j20qq1JyX4,0904\n", "excluded.csv"))
    assert excluded == {("1j20qq1JyX4", 903), ("1j20qq1JyX4", 904)}
    assert [frame.video for frame in read_annotations(write(tmp_path, ROWS), excluded)] == ["-5KQ66BBWC4"]


def test_version_1_has_no_persons(tmp_path):
    assert read_annotations(write(tmp_path, "a,902,0,0,1,1,3\n"))[0].persons.tolist() == [-1]


GOOD = "a,902,0,0,1,1,3,0\n"
# What is wrong with annotations: (content, the one line says)
WRONG = {
    "no file": (None, "a.csv: cannot be read: No such file"),
    "nothing": ("", "a.csv: holds no boxes; expected lines of video_id"),
    "no text": (b"\xff\xfe", "a.csv: is no text in UTF-8"),
    "columns": (GOOD + "a,902,0\n", "a.csv:2: has 3 columns; expected 7 or 8"),
    "header": ("video,time,x1,y1,x2,y2,action,person\n", "a.csv:1: second is 'time'; expected a whole number"),
    "huge second": ("a,99999999,0,0,1,1,3,0\n", "second is 99999999; expected 0 to 36000"),
    "a word for a number": (GOOD + "a,902,0,x,1,1,3,0\n", r"a.csv:2: a box of \['0', 'x', '1', '1'\]; expected four"),
    "pixels": ("a,902,10,20,300,400,3,0\n", r"a.csv:1: a box of \[10.0, 20.0, 300.0, 400.0\]; expected x1 <= x2"),
    "corners swapped": ("a,902,0.5,0,0.1,1,3,0\n", "a.csv:1: a box of"),
    "NaN": ("a,902,nan,0,1,1,3,0\n", "a.csv:1: a box of"),
    "action 81": (GOOD + "a,902,0,0,1,1,81,0\n", "a.csv:2: action_id 81; expected 1 to 80"),
    "action 0": ("a,902,0,0,1,1,0,0\n", "a.csv:1: action_id 0; expected 1 to 80"),
    "no action": ("a,902,0,0,1,1,,0\n", "a.csv:1: action_id is ''; expected a whole number"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_annotations_is_one_clear_line(tmp_path, case):
    content, message = WRONG[case]
    path = tmp_path / "a.csv" if content is None else write(tmp_path, content)
    with pytest.raises(DataError, match=message) as caught:
        read_annotations(path)
    assert "\n" not in str(caught.value)


ACTIONS = {
    "item": 'item {\n  name: "bend/bow (at the waist)"\n  id: 1\n}\nitem {\n  name: "it\'s"\n  id: 80\n}\n',
    "label": 'label {\n  name: "bend/bow (at the waist)"\n  label_id: 1\n  label_type: PERSON_MOVEMENT\n}\n'
             'label { label_id: 80 name: "it\'s" }',
}


@pytest.mark.parametrize("form", ACTIONS)
def test_action_lists(tmp_path, form):
    assert read_action_list(write(tmp_path, ACTIONS[form])) == {1: "bend/bow (at the waist)", 80: "it's"}


@pytest.mark.parametrize("content,message", [
    ("walk\nrun\n", "holds no actions; expected item"),
    ('item { name: "a" }', "expected a name and an id .* found 'name: \"a\"'"),
    ('item { name: "a" id: 1 } item { name: "b" id: 1 }', "an id of its own"),
])
def test_what_is_wrong_with_an_action_list_is_one_clear_line(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read_action_list(write(tmp_path, content))


def as_npz(arrays):
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


ARRAYS = {"film,0902": np.array([[*BOX, 0.75], [0, 0, 1, 1, 0.5]]), "film,0903": np.zeros((0, 5))}
# Proposals in all forms: (file name, content)
PROPOSALS = {
    **{f"pickle {protocol}": ("a.pkl", pickle.dumps(ARRAYS, protocol)) for protocol in (2, 3, 4)},
    "pickle of float32 in Fortran order": ("a.pkl", pickle.dumps(
        {key: np.asfortranarray(array.astype(np.float32)) for key, array in ARRAYS.items()}, 2)),
    "pickle, big-endian": ("a.pkl", pickle.dumps({key: array.astype(">f8") for key, array in ARRAYS.items()}, 2)),
    "npz": ("a.npz", as_npz(ARRAYS)),
    "json": ("a.json", json.dumps({key: array.tolist() for key, array in ARRAYS.items()})),
    "csv": ("a.csv", "film,0902,0.1,0.2,0.5,0.9,0.75\nfilm,0902,0,0,1,1,0.5\n"),
}


@pytest.mark.parametrize("form", PROPOSALS)
def test_proposals(tmp_path, form):
    name, content = PROPOSALS[form]
    proposals = read_proposals(write(tmp_path, content, name))
    found = proposals["film", 902]
    assert found.dtype == np.float32 and np.allclose(found, ARRAYS["film,0902"])
    assert form == "csv" or proposals["film", 903].shape == (0, 5)


def test_proposals_without_scores_count_fully(tmp_path):
    for name, content in (("a.csv", "film,0902,0.1,0.2,0.5,0.9\n"), ("a.json", json.dumps({"film,0902": [BOX]}))):
        assert np.allclose(read_proposals(write(tmp_path, content, name))["film", 902], [[*BOX, 1]])


class Evil:
    def __reduce__(self):
        return eval, ("1/0",)


# What is wrong with proposals: (file name, content, the one line says)
WRONG_PROPOSALS = {
    "pickle that runs code": ("a.pkl", pickle.dumps({"film,0902": Evil()}), "names .*eval, which is not allowed"),
    "pickle cut short": ("a.pkl", pickle.dumps(ARRAYS)[:50], "not a readable pickle"),
    "pickle of objects": ("a.pkl", pickle.dumps({"film,0902": np.array([None])}, 2), "no type of plain numbers"),
    "pickle of a list": ("a.pkl", pickle.dumps([1]), "holds a list; expected a dictionary of boxes under 'film,0902'"),
    "npz of objects": ("a.npz", as_npz({"film,0902": np.array([None])}), "is no .npz of arrays of numbers"),
    "npz that is none": ("a.npz", b"PK no", "is no .npz of arrays of numbers"),
    "json cut short": ("a.json", '{"film,0902": [', "is no JSON"),
    "key without a second": ("a.json", '{"film": []}', "'film' is no key of the form 'film,0902'"),
    "a word for a second": ("a.json", '{"film,x": []}', "'film,x': second is 'x'"),
    "three numbers": ("a.json", '{"film,1": [[0, 0, 1]]}', r"'film,1': an array of shape \(1, 3\); expected \(N, 5\)"),
    "ragged": ("a.json", '{"film,1": [[0, 0, 1, 1], [0]]}', "'film,1': .*; expected boxes of"),
    "pixels": ("a.json", '{"film,1": [[0, 0, 1, 1], [0, 0, 30, 40]]}', r"'film,1': a box of \[0.0, 0.0, 30.0, 40.0\]"),
    "score NaN": ("a.json", '{"film,1": [[0, 0, 1, 1, NaN]]}', "'film,1': a box of"),
    "nothing": ("a.json", "{}", "holds no proposals"),
    "another suffix": ("a.txt", "", "unknown form of proposals; known suffixes: .csv .json .npz .pkl"),
}


@pytest.mark.parametrize("case", WRONG_PROPOSALS)
def test_what_is_wrong_with_proposals_is_one_clear_line(tmp_path, case):
    name, content, message = WRONG_PROPOSALS[case]
    with pytest.raises(DataError, match=message) as caught:
        read_proposals(write(tmp_path, content, name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.npz", "a.pkl"])
def test_proposals_that_are_not_there_are_one_clear_line(tmp_path, name):
    with pytest.raises(DataError, match=f"{name}: cannot be read: No such file"):
        read_proposals(tmp_path / name)


# Frames around a key frame: (second, total, frames, interval, expected)
CLIPS = [
    (902, 1000, 4, 5, [50, 55, 60, 65]),
    (900, 1000, 4, 5, [0, 0, 0, 5]),
    (933, 1000, 5, 4, [982, 986, 990, 994, 998]),
    (933, 1000, 5, 8, [974, 982, 990, 998, 999]),
]


@pytest.mark.parametrize("second,total,frames,interval,expected", CLIPS)
def test_frames_around_a_key_frame(second, total, frames, interval, expected):
    assert clip_indices(second, total, frames, interval).tolist() == expected


def test_frames_of_a_second_that_the_video_does_not_have_are_refused():
    assert clip_indices(12, 300, 2, 1, frames_per_s=24, first_second=0).tolist() == [287, 288]
    for second in (899, 934):
        with pytest.raises(DataError, match=f"second {second} is frame .*, but the video has 1000 from second 900 on"):
            clip_indices(second, 1000)
