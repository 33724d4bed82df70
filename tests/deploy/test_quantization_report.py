"""The report's section on int8 and float16, from a record as the command writes it."""

import pytest
from page_checks import HOSTILE, read_page

from msnoah.deploy.report import write_report
from msnoah.errors import RunFolderError
from msnoah.run_folder import write_json


def make_record(run, **changes):
    verification = {"agreement": 0.996, "max_rel": 0.03, "passed": True}
    steps = [{"kept": kept, "float_groups": ["head"][:kept], "int8_macs": 1 - kept / 4, "drop": 0.02 * (1 - kept),
              "accuracy": {"top1": 0.9 + 0.02 * kept, "images": 355}, "good": bool(kept)} for kept in (0, 1)]
    int8 = {"settings": {"method": "percentile", "percentile": 99.9, "accuracy_budget": 0.005, "scan_images": 64,
                         "weight_bits": 8},
            "calibration": {"source": "digits", "split": "train", "samples": 256}, "finished": True, "chosen": 1,
            "sensitivity": [{"group": f"layer.{number}", "nodes": 1, "macs": 9, "damage": 1e-4, "sqnr_db": 40.0}
                            for number in range(20)],
            "steps": steps, "file": "model_int8.onnx", "size_bytes": 300, "float_groups": ["head"],
            "accuracy": {"top1": 0.92, "images": 355}, "verification": verification}
    return {"model": "m", "made_from": run.export_record()["artifacts"]["onnx"]["sha256"], "measure": "top1",
            "measure_name": "top-1", "chip": "EPYC", "onnxruntime": "1.32.0", "created": "now", "msnoah": "0.1.0",
            "fp32": {"file": "model.onnx", "size_bytes": 1000, "accuracy": {"top1": 0.92, "images": 355}},
            "int8": {**int8, **changes}}


def page_of(run, record):
    write_json(run.quantization_path, record)
    return read_page(write_report(run)).text


def test_accuracy_the_scan_and_what_was_chosen(exported_run):
    text = page_of(exported_run, make_record(exported_run))
    for words in ("model_int8.onnx", "30%", "92.00%", "99.6%", "layer.0", "And 8 more", "percentile 99.9", "75.0%",
                  "256 of digits", "chosen", "355 held-out samples"):
        assert words in text, words
    assert "quantise again" not in text and "none was written" not in text


def test_a_model_exported_anew_and_a_budget_not_met(exported_run):
    record = make_record(exported_run, chosen=None)
    for key in ("file", "float_groups", "accuracy", "verification", "size_bytes"):
        del record["int8"][key]
    text = page_of(exported_run, {**record, "made_from": "00"})
    assert "quantise again" in text and "No int8 form loses 0.50 points" in text and "model_int8.onnx" not in text


def test_a_search_that_is_not_finished_shows_nothing(exported_run):
    assert "int8 and float16" not in page_of(exported_run, make_record(exported_run, finished=False))


def test_names_are_escaped(exported_run):
    record = make_record(exported_run, float_groups=[HOSTILE])
    record["int8"]["sensitivity"][0]["group"] = HOSTILE
    assert HOSTILE in page_of(exported_run, {**record, "chip": HOSTILE})


@pytest.mark.parametrize("key", ["measure", "fp32", "made_from", "chip"])
def test_a_damaged_record_costs_one_line(exported_run, key):
    record = make_record(exported_run)
    del record[key]
    write_json(exported_run.quantization_path, record)
    with pytest.raises(RunFolderError, match="quantization.json: damaged") as caught:
        write_report(exported_run)
    assert "\n" not in str(caught.value)
