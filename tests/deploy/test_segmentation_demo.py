"""msnoah demo of a segmentation artifact: pictures of images and folders, films, and one line for faults."""

import json

import cv2
import numpy as np
import pytest
from clip_artifact import IMAGE, write_artifact
from interrupted_demo import run_interrupted
from PIL import Image
from segmentation_artifact import CLASSES, PALETTE, PREPROCESSING, blocks, paint, write_segmenter

from msnoah.cli import main
from msnoah.deploy.film import FilmWriter
from msnoah.deploy.segmentation_overlay import draw_beside, draw_labelled
from msnoah.run_folder import write_json

LABELS = blocks(32, 32)
LEGEND = 220   # pixels of width
WIDE = [[240, 20, 30], [20, 230, 10], [10, 30, 250]]   # near the palette, and far from its edges


@pytest.fixture
def artifact(tmp_path):
    (tmp_path / "run").mkdir()
    return write_segmenter(tmp_path / "run" / "model.onnx")


def _demo(capsys, *arguments) -> tuple[int, str, str]:
    code = main(["demo", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err.split("\r")[-1].strip()   # without the progress bar


def _picture(path):
    return cv2.imread(str(path))[:, :, ::-1]


def _save(path, pixels, **options):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels, **options).save(path)
    return path


def test_an_image_beside_its_overlay_and_legend(tmp_path, artifact, capsys):
    image = paint(LABELS, WIDE)
    code, out, err = _demo(capsys, _save(tmp_path / "street.png", image), artifact)
    line, times, path = out.splitlines()
    assert (code, err) == (0, "") and path == str(tmp_path / "run" / "demo" / "street.png")
    shares = {name: (LABELS == number).mean() for number, name in enumerate(CLASSES) if (LABELS == number).any()}
    assert line.startswith("street.png  ") and all(f"{name} {share:.1%}" for name, share in shares.items())
    assert times.startswith("CPU time of an image: p50 ")
    expected = draw_beside(image, draw_labelled(image, LABELS, np.array(PALETTE, np.uint8), CLASSES))
    assert np.array_equal(_picture(path), expected) and expected.shape == (32, 64 + LEGEND, 3)


def _forms(folder):
    """One picture of red, green and blue, as files of many kinds."""
    image = paint(LABELS, WIDE)
    _save(folder / "plain.png", image)
    _save(folder / "alpha.png", np.dstack([image, np.full((32, 32), 9, np.uint8)]))
    Image.fromarray(image).quantize(8).save(folder / "palette.png")
    cv2.imwrite(str(folder / "deep.png"), image[..., ::-1].astype(np.uint16) * 257)
    cv2.imwrite(str(folder / "deep.tif"), image[..., ::-1].astype(np.uint16) * 257)
    return folder


def test_images_of_every_kind_are_read_as_the_same_pixels(tmp_path, artifact, capsys):
    code, out, err = _demo(capsys, _forms(tmp_path / "photos"), artifact, "--json")
    *records, last = map(json.loads, out.splitlines())
    assert (code, err, len(records)) == (0, "", 5) and all(row["shares"] == records[0]["shares"] for row in records)
    assert last["summary"]["images"] == 5 and last["summary"]["shares"] == pytest.approx(records[0]["shares"])
    assert sorted(path.name for path in (tmp_path / "run" / "demo").iterdir()) == [
        "alpha.png", "deep.png.png", "deep.tif.png", "palette.png", "plain.png"]


@pytest.mark.parametrize("dtype, factor", [(np.uint8, 1), (np.uint16, 257)])
def test_grey_images_are_read_in_full_depth(tmp_path, artifact, capsys, dtype, factor):
    grey = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    _save(tmp_path / "photos" / "grey.png", grey.astype(dtype) * factor)
    _, out, _ = _demo(capsys, tmp_path / "photos" / "grey.png", artifact, "--json")
    picture = _picture(json.loads(out.splitlines()[0])["picture"])
    assert np.array_equal(picture[:, :32], np.repeat(grey[..., None], 3, 2))


def test_unreadable_images_of_a_folder_cost_a_line_each(tmp_path, artifact, capsys):
    folder = tmp_path / "photos"
    _save(folder / "a.png", paint(LABELS))
    (folder / "b.png").write_text("no image")
    (folder / "c.jpg").touch()
    (folder / "notes.txt").write_text("not looked at")
    _save(folder / "d.png", paint(blocks(70, 45)))
    code = main(["demo", str(folder), str(artifact), "--output", str(tmp_path / "out")])
    out, err = capsys.readouterr()
    lines = [line.split("\r")[-1].strip() for line in err.splitlines()]
    lines = [line for line in lines if line.startswith("msnoah demo")]
    assert code == 0 and len(lines) == 2 and "b.png: not a whole image" in lines[0] and "c.jpg" in lines[1]
    assert "2 images, 2 more cannot be read: " in out and out.splitlines()[-1] == str(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "d.png"]
    assert _picture(tmp_path / "out" / "d.png").shape == (70, 90 + LEGEND, 3)


def test_images_of_a_run_folder_into_a_named_file(tmp_path, exported_run, make_export_record, capsys):
    write_segmenter(exported_run.onnx_path, output="logits")
    write_json(exported_run.export_path, make_export_record(exported_run.onnx_path))
    image = _save(tmp_path / "a.png", paint(LABELS))
    code, out, _ = _demo(capsys, image, exported_run.path, "--output", tmp_path / "b.png")
    assert code == 0 and out.splitlines()[-1] == str(tmp_path / "b.png") and (tmp_path / "b.png").is_file()


def _write_film(path, count=6, height=64, width=96):
    with FilmWriter(path, 10) as film:
        for number in range(count):
            film.write(paint(np.full((height, width), number % 3, np.uint8)), number / 10)
    return path


def test_a_film_is_drawn_over(tmp_path, artifact, capsys):
    code, out, err = _demo(capsys, _write_film(tmp_path / "street.mp4"), artifact, "--stride", 2)
    *frames, totals, times, _, factor, path = out.splitlines()
    assert (code, err) == (0, "") and path == str(tmp_path / "run" / "demo" / "street.mp4")
    found = [line.split() for line in frames]
    assert [words[0] for words in found] == ["0.00", "0.20", "0.40"]
    assert [words[2] for words in found] == ["road", "tree", "sky"]   # of frames 0, 2 and 4
    assert totals.startswith("6 frames, 3 labelled: ") and factor.endswith(" times the film's 10 frames/s")
    film = cv2.VideoCapture(path)
    shapes = [film.read()[1].shape for _ in range(6)]
    assert shapes == [(64, 96 + LEGEND, 3)] * 6 and not film.read()[0]


def test_without_film_nothing_is_written(tmp_path, artifact, capsys):
    _demo(capsys, _write_film(tmp_path / "street.mp4"), artifact, "--no-film")
    _, out, _ = _demo(capsys, _save(tmp_path / "a.png", paint(LABELS)), artifact, "--no-film", "--json")
    assert json.loads(out.splitlines()[0])["picture"] is None and not (tmp_path / "run" / "demo").exists()


# arguments, with {dir} for the test's own folder; then what the one line must say
@pytest.mark.parametrize("arguments, words", [
    (("{dir}/none.png", "{dir}/run/model.onnx"), "none.png: cannot be read: No such file"),
    (("{dir}/text.png", "{dir}/run/model.onnx"), "text.png: not a whole image"),
    (("{dir}/text.txt", "{dir}/run/model.onnx"), "text.txt: "),
    (("{dir}/none", "{dir}/run/model.onnx"), "none: no such file"),
    (("{dir}/empty", "{dir}/run/model.onnx"), "empty: holds no images"),
    (("{dir}/bad", "{dir}/run/model.onnx"), "bad: none of its 2 images can be read"),
    (("{dir}/good", "{dir}/run/model.onnx", "--output", "{dir}/good"), "good/a.png: is one of the images themselves"),
    (("{dir}/good/a.png", "{dir}/run/model.onnx", "--output", "{dir}/good/a.png"), "a.png: is one of the images"),
    (("{dir}/good/a.png", "{dir}/run/model.onnx", "--output", "{dir}/b.gif"), "b.gif: expected a folder, or a file"),
    (("{dir}/good/a.png", "{dir}/run/model.onnx", "--output", "{dir}/text.txt/x.png"), "x.png: cannot be written"),
    (("{dir}/good/a.png", "{dir}/run/model.onnx", "--smoothing", "0.2"), "--smoothing is for classifiers"),
    (("{dir}/good/a.png", "{dir}/run/model.onnx", "--stride", "2"), "--stride is for films"),
    (("{dir}/film.mp4", "{dir}/run/model.onnx", "--stride", "0"), "stride 0: expected at least 1"),
    (("{dir}/good", "{dir}/image.onnx"), "good: a folder; "),
])
def test_wrong_use_costs_one_line(tmp_path, artifact, capsys, arguments, words):
    write_artifact(tmp_path / "image.onnx", IMAGE)
    (tmp_path / "empty").mkdir()
    original = _save(tmp_path / "good" / "a.png", paint(LABELS)).read_bytes()
    for name in ("text.png", "text.txt", "bad/a.png", "bad/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("some words")
    _write_film(tmp_path / "film.mp4")
    code, out, err = _demo(capsys, *(argument.format(dir=tmp_path) for argument in arguments))
    assert (code, out) == (2, "") and words in err.splitlines()[-1] and "Traceback" not in err
    assert (tmp_path / "good" / "a.png").read_bytes() == original


def test_without_mindspore_and_interrupted(tmp_path, artifact):
    """In a process of its own, where mindspore cannot be imported; the interrupt comes with the second image."""
    for name in "abcd":
        _save(tmp_path / "photos" / f"{name}.png", paint(LABELS))
    answer = run_interrupted(tmp_path / "photos", artifact, line=2)
    assert "2 images: " in answer.stdout
    assert sorted(path.name for path in (tmp_path / "run" / "demo").iterdir()) == ["a.png", "b.png"]


def test_grey_models_see_colours_as_grey(tmp_path, capsys):
    grey = {**PREPROCESSING, "channels": 1, "mean": [0.5], "std": [0.25], "color": "grey"}
    artifact = write_segmenter(tmp_path / "grey.onnx", grey, colors=[[29], [76], [150]])   # luma of blue, red, green
    code, out, _ = _demo(capsys, _save(tmp_path / "a.png", paint(np.ones((32, 32), np.uint8))), artifact)
    assert code == 0 and out.startswith("a.png  tree 100.0%")
