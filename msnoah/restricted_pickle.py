"""Reads pickles without running what they name: every global comes from a table of ours, is inert, or is refused."""

import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

Known = Mapping[tuple[str, str], Callable | str]

# What a pickle of plain data, arrays and unknown objects is made of. Left out: the extension registry, text persistent ids,
# out-of-band buffers and the calls of protocol 0, which nothing that is read here needs.
_OPCODES = frozenset("""
    PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE INT LONG BININT BININT1 BININT2 LONG1 LONG4 FLOAT BINFLOAT
    STRING BINSTRING SHORT_BINSTRING UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8
    EMPTY_LIST APPEND APPENDS LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT DICT SETITEM SETITEMS EMPTY_SET ADDITEMS
    FROZENSET PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET GLOBAL STACK_GLOBAL REDUCE BUILD NEWOBJ NEWOBJ_EX BINPERSID
""".split())
_MEMO_WRITES = {"PUT", "BINPUT", "LONG_BINPUT"}

# What the standard unpickler raises on damaged bytes.
_FAULTS = (pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, AttributeError, OverflowError, MemoryError,
           RecursionError, ImportError, ArithmeticError)


class PickleFault(Exception):
    """A pickle that is damaged, or that names or does what its reader does not allow; str() says which."""


class Placeholder:
    """Stands for an object of an unknown class: it keeps nothing, calls nothing and imports nothing."""

    def __new__(cls, *args, **kwargs):
        return object.__new__(cls)

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, item: Any) -> None:
        """Forgets an item of a list subclass."""

    def extend(self, items: Any) -> None:
        """Forgets the items of a list subclass."""

    def add(self, item: Any) -> None:
        """Forgets an item of a set subclass."""


class Dictionary(dict):
    """Takes the place of dict subclasses; attributes that the pickle would set on it are dropped."""

    def __setstate__(self, state: Any) -> None:
        pass


class _Replacement:
    """A callable of the table, wrapped so that a pickle cannot set attributes on it."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable):
        self._call = call

    def __call__(self, *args):
        return self._call(*args)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("sets attributes on a function")


class _Unpickler(pickle.Unpickler):
    def __init__(self, content: bytes, known: Known, placeholders: bool, encoding: str, storage: Callable | None):
        super().__init__(io.BytesIO(content), encoding=encoding)
        self._known, self._placeholders, self._storage = known, placeholders, storage

    def find_class(self, module: str, name: str) -> Callable:
        if (module, name) in self._known:
            replacement = self._known[module, name]
            return _Replacement(replacement) if callable(replacement) else replacement
        if not self._placeholders:
            raise PickleFault(f"names {module}.{name}, which is not allowed in such a file")
        return type(f"{module}.{name}", (Placeholder,), {})

    def persistent_load(self, pid: Any) -> Any:
        if self._storage is None:
            raise PickleFault("refers to data outside itself")
        return self._storage(pid)


def restricted_loads(content: bytes, known: Known, *, placeholders: bool = False, encoding: str = "ASCII",
                     storage: Callable[[Any], Any] | None = None) -> Any:
    """The object that a pickle describes, built from `known` and plain Python data only.

    Args:
        known: (module, name) -> what is called in its place, or a string that stands for it. Nothing is ever imported.
        placeholders: another global becomes a class of inert objects, named "module.name", instead of a fault.
        encoding: of Python 2 strings, as for pickle.loads.
        storage: turns a persistent id into an object.

    Raises:
        PickleFault: damaged bytes, or a global, opcode or memo number that is not allowed.
    """
    try:
        _check_opcodes(content)
        return _Unpickler(content, known, placeholders, encoding, storage).load()
    except _FAULTS as error:
        raise PickleFault(f"not a readable pickle: {str(error) or type(error).__name__}") from error


def _check_opcodes(content: bytes) -> None:
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name not in _OPCODES:
            raise PickleFault(f"uses the pickle opcode {opcode.name}, which is not allowed in such a file")
        # The memo is an array: one huge number would fill the memory.
        if opcode.name in _MEMO_WRITES and argument > len(content):
            raise PickleFault(f"writes pickle memo {argument}, beyond its own {len(content)} bytes")
