"""msnoah demo as a user meets it: lines, JSON, the film, and one line for what cannot be done."""

import json
import wave

import cv2
import numpy as np
import onnx
import pytest
from clip_artifact import CLASSES, IMAGE, write_artifact, write_film
from interrupted_demo import run_interrupted

from msnoah.cli import main
from msnoah.deploy.overlay import BAR
from msnoah.run_folder import write_json


@pytest.fixture
def artifact(tmp_path):
    return write_artifact(tmp_path / "clip.onnx")


def _demo(capsys, *arguments) -> tuple[int, str, str]:
    code = main(["demo", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err.split("\r")[-1].strip()   # without the progress bar


def _frames(path):
    film = cv2.VideoCapture(str(path))
    frames = []
    while (read := film.read())[0]:
        frames.append(read[1][:, :, ::-1])
    return frames


def test_a_film_is_annotated_beside_the_artifact(tmp_path, artifact, capsys):
    film = write_film(tmp_path / "street.mp4", 30, 120, 160, frames_per_s=10)
    code, out, err = _demo(capsys, film, artifact, "--stride", 6)
    *windows, totals, times, speed, factor, path = out.splitlines()
    assert (code, err) == (0, "") and path == str(tmp_path / "demo" / "street.mp4")
    assert [line.split()[:2] for line in windows] == [[f"{t:.2f}", "s"] for t in (0.9, 1.5, 2.1, 2.7)]
    assert all(line.split("%")[1].strip() in CLASSES for line in windows)
    assert totals.startswith("30 frames, 4 windows: ") and times.startswith("CPU time of a window: p50 ")
    assert " frames/s, " in speed and factor.endswith(" times the film's 10 frames/s")
    frames, plain = _frames(path), _frames(film)
    assert len(frames) == 30 and cv2.VideoCapture(path).get(cv2.CAP_PROP_FPS) == 10
    changes = np.abs(np.stack(frames).astype(int) - np.stack(plain)).mean(3)   # (30, 120, 160)
    assert (changes[:, -30:, :60].mean((1, 2)) > 15).all()   # the panel
    assert (changes[:, :60].mean((1, 2)) < 8).all()          # compressed twice


def test_json_lines_and_their_summary(tmp_path, artifact, capsys):
    film = write_film(tmp_path / "street.mp4", 27)
    code, out, _ = _demo(capsys, film, artifact, "--json", "--no-film", "--smoothing", 0)
    *windows, last = map(json.loads, out.splitlines())
    assert code == 0 and [window["last_frame"] for window in windows] == [9, 13, 17, 21, 25]
    assert all(window[key] == window[f"window_{key}"] for window in windows for key in ("label", "probability"))
    summary = last["summary"]
    assert (summary["frames"], summary["windows"], summary["stride"], summary["film"]) == (27, 5, 4, None)
    assert sum(summary["labels"].values()) == pytest.approx(1) and summary["cpu_ms"]["p50"] <= summary["cpu_ms"]["p90"]
    assert summary["real_time_factor"] == pytest.approx(summary["frames_per_s"] / 25)
    assert not (tmp_path / "demo").exists()


def test_a_film_shorter_than_a_clip_shows_its_label_from_the_start(tmp_path, artifact, capsys):
    _demo(capsys, write_film(tmp_path / "short.mp4", 6, 120, 160), artifact)
    panels = np.stack(_frames(tmp_path / "demo" / "short.mp4"))[:, -30:].astype(int)   # (6, 30, 160, 3)
    bars = (np.abs(panels - BAR).max(3) < 60).any(1).sum(1)
    assert len(bars) == 6 and min(bars) > max(bars) / 2   # the bar of a film that waits for its clip would grow


def test_images_of_a_run_folder(tmp_path, exported_run, make_export_record, capsys):
    write_artifact(exported_run.onnx_path, IMAGE, ["run", "跑步", "été"])
    write_json(exported_run.export_path, make_export_record(exported_run.onnx_path))
    code, out, err = _demo(capsys, write_film(tmp_path / "street.mp4", 3), exported_run.path)
    assert code == 0 and len(out.splitlines()) == 3 + 5 and (exported_run.path / "demo" / "street.mp4").is_file()


@pytest.mark.parametrize("verified", [True, False])
def test_an_artifact_that_is_not_verified_is_said(tmp_path, verified, capsys):
    artifact = write_artifact(tmp_path / "image.onnx", IMAGE, verified=verified)
    main(["demo", str(write_film(tmp_path / "street.mp4", 2)), str(artifact), "--no-film"])
    assert ("image.onnx: not verified" in capsys.readouterr().err) is not verified


def _write_sound(path):
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(np.zeros(8000, np.int16).tobytes())
    return path


def _without_metadata(path):
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, path)
    return path


# arguments, with {dir} for the test's own folder; then what the one line must say
@pytest.mark.parametrize("arguments, words", [
    (("{dir}/none.mp4", "{dir}/clip.onnx"), "none.mp4: no such file"),
    (("{dir}/empty.mp4", "{dir}/clip.onnx"), "empty.mp4: is empty"),
    (("{dir}/sound.wav", "{dir}/clip.onnx"), "sound.wav: "),
    (("{dir}/film.mp4", "{dir}/none.onnx"), "none.onnx: cannot be read: No such file"),
    (("{dir}/film.mp4", "{dir}/bare.onnx"), "bare.onnx: its metadata say nothing of classes and preprocessing"),
    (("{dir}/film.mp4", "{dir}"), "holds no config.yaml"),
    (("{dir}/film.mp4", "{dir}/clip.onnx", "--output", "{dir}/film.mp4"), "film.mp4: is the source itself"),
    (("{dir}/film.mp4", "{dir}/clip.onnx", "--output", "{dir}/film.gif"), "film.gif: expected a file that ends in"),
    (("{dir}/film.mp4", "{dir}/clip.onnx", "--stride", "0"), "stride 0"),
    (("{dir}/film.mp4", "{dir}/clip.onnx", "--camera"), "--camera: expected the number of a camera"),
])
def test_wrong_use_costs_one_line(tmp_path, artifact, capsys, arguments, words):
    (tmp_path / "empty.mp4").touch()
    _write_sound(tmp_path / "sound.wav")
    _without_metadata(write_artifact(tmp_path / "bare.onnx"))
    film = write_film(tmp_path / "film.mp4", 12).read_bytes()
    code, out, err = _demo(capsys, *(argument.format(dir=tmp_path) for argument in arguments))
    assert (code, out) == (2, "") and words in err and err.count("\n") == 0 and "Traceback" not in err
    assert (tmp_path / "film.mp4").read_bytes() == film


def test_without_mindspore_and_interrupted(tmp_path, artifact):
    """In a process of its own, where mindspore cannot be imported; the interrupt comes with the third window."""
    film = write_film(tmp_path / "street.mp4", 40)
    answer = run_interrupted(film, artifact, line=3)
    assert "17 frames, 3 windows" in answer.stdout
    assert len(_frames(tmp_path / "demo" / "street.mp4")) == 17   # the frame of the third window was not drawn any more
