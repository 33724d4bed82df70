"""MindIR files on disk: the graph as a protobuf message, the weights as views of the file they lie in.

A weight is found by walking protobuf's wire format, Model.graph.parameter.raw_data, so that protobuf neither copies nor
sees it. Above 1 GB MindSpore writes `<name>_graph.mindir` and the weights to `<name>_variables/data_0`, `data_1`, ...
"""

from pathlib import Path

from google.protobuf.message import Message

from msnoah.errors import ConversionError
from msnoah.export.mapped_file import map_file
from msnoah.export.schema import MESSAGES, parse_model
from msnoah.export.wire_format import Field, encode_prefix, read_fields

_GRAPH = MESSAGES["Model"]["graph"][0]
_PARAMETER = MESSAGES["Graph"]["parameter"][0]
_RAW_DATA = MESSAGES["Tensor"]["raw_data"][0]

MAX_SHOWN = 200
"""Characters of a name that error messages quote."""

DATA_HEADER = 64
"""Bytes before the first weight of a data file; the first of them is 1 if the machine was little-endian."""


class MindirFile:
    """An open MindIR file.

    Attributes:
        model: the Model message; its parameters have no raw_data.
        where: a word for the file in error messages.
    """

    def __init__(self, source: str | Path | bytes):
        """Opens a file, or takes its bytes; of a split model either name does, `net.mindir` or `net_graph.mindir`.

        Raises:
            ConversionError: what `map_file` and `parse_model` refuse.
        """
        self.path = None if isinstance(source, bytes) else _find(Path(source))
        self.where = "MindIR data" if self.path is None else str(self.path)
        contents = memoryview(source) if self.path is None else map_file(self.path)
        graph, self._weights = _split(contents)
        self.model = parse_model(graph, self.where)
        self._data_files: dict[str, memoryview] = {}

    def read_weight(self, index: int, where: str) -> memoryview:
        """The bytes of a parameter of the main graph, by its place in the list.

        Raises:
            ConversionError: they lie in another file that is missing, cut off, or outside the model's folder.
        """
        tensor = self.model.graph.parameter[index]
        if tensor.HasField("external_data") and tensor.external_data.location:
            return self._read_external(tensor.external_data, where)
        return self._weights[index] if index < len(self._weights) else memoryview(tensor.raw_data)

    def _read_external(self, entry: Message, where: str) -> memoryview:
        if entry.location not in self._data_files:
            self._data_files[entry.location] = self._open_data(entry.location, where)
        data = self._data_files[entry.location]
        end = entry.offset + entry.length
        if entry.offset < DATA_HEADER or entry.length < 0 or end > len(data):
            raise ConversionError(
                f"{where} is at bytes {entry.offset} to {end} of {_shown(entry.location)}, which has {len(data)}; it "
                "is cut off, or belongs to another export")
        return data[entry.offset:end]

    def _open_data(self, location: str, where: str) -> memoryview:
        place = f"{where} lies in {_shown(location)}"
        if self.path is None:
            raise ConversionError(f"{place}; pass the path of the model, not its contents")
        folder = self.path.parent.resolve()
        try:
            path = (folder / location).resolve()
            exists = path.is_file()
        except (OSError, ValueError):  # no name that a file can have
            raise ConversionError(f"{place}, which is no name of a file") from None
        if folder not in path.parents:
            raise ConversionError(f"{place}, outside the model's folder, where nothing is read")
        if not exists:
            raise ConversionError(f"{place}, which is not in {folder}; copy it beside the model")
        data = map_file(path)
        if len(data) and data[0] == 0:
            raise ConversionError(f"{path} was written on a big-endian machine, or not to its end; export it again")
        return data


def _shown(location: str) -> str:
    return ascii(location[:MAX_SHOWN])


def _find(path: Path) -> Path:
    split = path.with_name(f"{path.stem}_graph.mindir") if path.suffix == ".mindir" else path
    return split if not path.exists() and split.exists() else path


def _split(contents: memoryview) -> tuple[bytes, list[memoryview]]:
    """The file without its weights, and the weights; everything, and none, if it is not laid out as MindSpore does."""
    try:
        graphs = [field for field in read_fields(contents, 0, len(contents)) if field.number == _GRAPH]
        if len(graphs) != 1:
            return bytes(contents), []
        graph, weights = _split_graph(contents, graphs[0])
    except ValueError:
        return bytes(contents), []
    prefix = encode_prefix(_GRAPH, len(graph))
    return b"".join([contents[:graphs[0].start], prefix, graph, contents[graphs[0].end:]]), weights


def _split_graph(contents: memoryview, graph: Field) -> tuple[bytes, list[memoryview]]:
    pieces, weights = [], []
    for field in read_fields(contents, graph.contents, graph.end):
        if field.number != _PARAMETER:
            pieces.append(contents[field.start:field.end])
            continue
        inner = list(read_fields(contents, field.contents, field.end))
        kept = b"".join(contents[part.start:part.end] for part in inner if part.number != _RAW_DATA)
        found = [contents[part.contents:part.end] for part in inner if part.number == _RAW_DATA]
        pieces += encode_prefix(_PARAMETER, len(kept)), kept
        weights.append(found[-1] if found else memoryview(b""))
    return b"".join(pieces), weights
