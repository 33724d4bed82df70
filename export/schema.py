"""The MindIR container: protobuf messages built at run time from a table of the fields that the reader needs.

MindSpore ships the schema only inside its own package, whose import costs seconds. Names and numbers below are facts of
the format (mind_ir, MindSpore 2.x); fields that are not listed are skipped by protobuf.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from msnoah.errors import ConversionError

NEWEST_VERSION = 3
"""The newest `mind_ir_version` that this reader knows (MindSpore 2.10)."""

ENCRYPTION_MAGIC = bytes.fromhex("d85e3a7f")
"""The first bytes of each block of a file that was exported with `enc_key`."""

# Message -> field -> (number, type); a trailing * is a repeated field, a capital letter another message. Enums travel
# as int32.
MESSAGES = {
    "ExternalData": {"location": (1, "string"), "offset": (2, "int64"), "length": (3, "int64")},
    "Tensor": {
        "dims": (1, "int64*"), "data_type": (2, "int32"), "name": (7, "string"), "raw_data": (9, "bytes"),
        "external_data": (12, "ExternalData"), "ref_key": (13, "string"), "compression_type": (16, "int32"),
    },
    "Attribute": {
        "name": (1, "string"), "f": (2, "float"), "i": (3, "int64"), "d": (4, "double"), "s": (5, "bytes"),
        "floats": (8, "float*"), "doubles": (9, "double*"), "ints": (10, "int64*"), "strings": (11, "bytes*"),
        "tensors": (12, "Tensor*"), "type": (16, "int32"), "values": (17, "Attribute*"),
    },
    "ValueInfo": {"name": (1, "string"), "tensor": (2, "Tensor*"), "denotation": (4, "string")},
    "Node": {
        "input": (1, "string*"), "output": (2, "string*"), "op_type": (4, "string"), "attribute": (5, "Attribute*"),
        "domain": (7, "string"),
    },
    "Graph": {
        "node": (1, "Node*"), "name": (2, "string"), "parameter": (3, "Tensor*"), "input": (5, "ValueInfo*"),
        "output": (6, "ValueInfo*"),
    },
    "Primitive": {"name": (1, "string"), "op_type": (2, "string"), "attribute": (3, "Attribute*")},
    "Model": {
        "ir_version": (1, "string"), "graph": (7, "Graph"), "functions": (8, "Graph*"),
        "little_endian": (10, "bool"), "primitives": (12, "Primitive*"), "mind_ir_version": (13, "int64"),
    },
}

FieldProto = descriptor_pb2.FieldDescriptorProto


def _describe(name: str, number: int, kind: str) -> FieldProto:
    field = FieldProto(name=name, number=number)
    field.label = FieldProto.LABEL_REPEATED if kind.endswith("*") else FieldProto.LABEL_OPTIONAL
    kind = kind.rstrip("*")
    if kind[0].isupper():
        field.type, field.type_name = FieldProto.TYPE_MESSAGE, f".msnoah.mindir.{kind}"
    else:
        field.type = getattr(FieldProto, f"TYPE_{kind.upper()}")
    return field


def _build_classes() -> dict[str, type]:
    # The format is proto2; read as proto3, text that is not UTF-8 is refused while parsing.
    file = descriptor_pb2.FileDescriptorProto(name="msnoah/mindir.proto", package="msnoah.mindir", syntax="proto3")
    for message_name, fields in MESSAGES.items():
        file.message_type.add(name=message_name, field=[_describe(name, *rest) for name, rest in fields.items()])
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    descriptors = {name: pool.FindMessageTypeByName(f"msnoah.mindir.{name}") for name in MESSAGES}
    return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in descriptors.items()}


CLASSES = _build_classes()
"""Message class by the names of `MESSAGES`."""


def parse_model(data: bytes, where: str) -> message.Message:
    """Parses the contents of a MindIR file; returns the Model message. `where` names the file in error messages.

    Raises:
        ConversionError: the file is empty, encrypted, damaged, cut off, no MindIR, or newer than `NEWEST_VERSION`.
    """
    if not data:
        raise ConversionError(f"{where} is empty; expected a MindIR file")
    if data.startswith(ENCRYPTION_MAGIC):
        raise ConversionError(f"{where} is encrypted; export it without enc_key")
    model = CLASSES["Model"]()
    try:
        model.ParseFromString(data)
    except (message.DecodeError, UnicodeDecodeError) as error:
        raise ConversionError(f"{where} is damaged, cut off, or no MindIR file ({error})") from None
    _check_header(model, where)
    return model


def _check_header(model: message.Message, where: str) -> None:
    if not model.ir_version or not model.HasField("graph"):
        raise ConversionError(
            f"{where} is no MindIR file: it has no version and graph of one; expected the output of "
            "ms.export")
    if not model.mind_ir_version:
        raise ConversionError(f"{where} is cut off, or older than MindSpore 2.3: it names no mind_ir_version")
    if not 0 < model.mind_ir_version <= NEWEST_VERSION:
        raise ConversionError(
            f"{where} has MindIR version {model.mind_ir_version}; this release reads up to "
            f"{NEWEST_VERSION}")
    if not model.little_endian:
        raise ConversionError(f"{where} was written on a big-endian machine; export it on a little-endian one")
