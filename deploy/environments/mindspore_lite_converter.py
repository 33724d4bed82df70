"""`python mindspore_lite_converter.py fixed.onnx model`: ONNX -> model.ms by MindSpore Lite, for Python 3.7.

Runs in MindSpore Lite's environment and imports nothing of msnoah. The converter writes its reasons to standard error
among much else; what decided is put on the last line.
"""

import os
import re
import sys

ABSENT = re.compile(r"OP TYPE: (\w+)")
UNKNOWN_SHAPE = re.compile(r"InferShape failed, name: (\S+), type: (\w+)")
LOG_LINE = re.compile(r"\[ERROR\] .*?\] \w+\] (.+)")
LOG_FILE = "mindspore_lite.log"


def main(source, target):
    """Writes target + ".ms", float32, with inputs in the order that the graph has."""
    kept = os.dup(2)
    log = os.open(LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    error = convert(source, target)
    os.dup2(kept, 2)
    if error:
        with open(LOG_FILE, errors="replace") as file:
            sys.exit(explain(file.read()) or (str(error) or type(error).__name__).splitlines()[0])


def convert(source, target):
    """The exception that the converter raised; None if all went well."""
    import mindspore_lite

    converter = mindspore_lite.Converter()
    converter.save_type = mindspore_lite.ModelType.MINDIR_LITE
    converter.input_format = mindspore_lite.Format.NCHW   # else inputs with four axes become channels-last
    try:
        converter.convert(mindspore_lite.FmkType.ONNX, source, target)
    except RuntimeError as error:
        return error
    return None


def explain(log):
    """What a log says of the reason, on one line; None if it says nothing."""
    absent = sorted(set(ABSENT.findall(log)))
    if absent:
        return "MindSpore Lite has no " + ", ".join(absent)
    unknown = UNKNOWN_SHAPE.search(log)
    if unknown:
        return "MindSpore Lite finds no shape for %s (%s)" % unknown.groups()
    lines = LOG_LINE.findall(log)
    return lines[0] if lines else None


if __name__ == "__main__":
    main(*sys.argv[1:])
