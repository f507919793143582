r"""PyTorch's zip checkpoints without PyTorch, and without ever running a pickle.

A checkpoint is an uncompressed zip: <root>/data.pkl, a pickle of tensors by reference, and the storages
<root>/data/<n>, raw little-endian numbers. A pickle is a program; ours is run by a machine that knows only
the instructions that build dicts, lists, tuples, strings and numbers, and three names: OrderedDict,
_rebuild_tensor_v2 and _rebuild_parameter, of which it makes arrays itself. Nothing is imported or called.
"""

import io
import math
import pickletools
import struct
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from superposition._internal import arrays as stranger_arrays
from superposition._internal import foreign
from superposition.errors import CorruptError
from superposition.storage.formats import _read
from superposition.storage.formats._read import Arrays

MAX_PICKLE = 1 << 20  # bytes
MAX_MEMBERS = 4096
MAX_TENSORS = 64
NOTES = "archive/superposition/"  # where a checkpoint of ours has what torch does not look at
FLOATS = {"FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16"}
OTHERS = {
    "DoubleStorage": "<f8", "LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2",
    "CharStorage": "<i1", "ByteStorage": "<u1", "BoolStorage": "<u1",
}  # fmt: skip
KNOWN = {
    "collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter",
    *(f"torch {name}" for name in (*FLOATS, *OTHERS)),
}  # fmt: skip


class _Name(NamedTuple):
    """A global of the pickle: only ever a word."""

    name: str


class _Storage(NamedTuple):
    kind: str
    key: str
    size: int


class _Mark:
    """Where the items of a tuple, list or dict begin on the stack."""


def read_torch(path: Path) -> Arrays:
    """The state dict of a checkpoint: floats as float32, other numbers as they are; CorruptError for all else."""
    with stranger_arrays.open_zip(_read.regular(path)) as archive:
        members = {info.filename: info for info in archive.infolist()}
        if len(members) < len(archive.infolist()) or len(members) > MAX_MEMBERS:
            raise CorruptError(f"{path}: expected <= {MAX_MEMBERS} distinct members")
        size = path.stat().st_size
        for info in members.values():  # stored, so no member is larger than the file
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.file_size > size:
                raise CorruptError(f"{path}: expected members stored as they are, got {info.filename[:80]!r}")
        roots = [name[: -len("data.pkl")] for name in members if name.endswith("/data.pkl")]
        if len(roots) != 1 or roots[0].count("/") != 1:
            raise CorruptError(f"{path}: expected one <root>/data.pkl, got {sorted(members)[:8]}")
        root = roots[0]
        order = f"{root}byteorder"
        if order in members and archive.read(order)[:8] != b"little":
            raise CorruptError(f"{path}: expected little-endian numbers")
        if members[f"{root}data.pkl"].file_size > MAX_PICKLE:
            raise CorruptError(f"{path}: expected <= {MAX_PICKLE} bytes of data.pkl")

        def storage(it: _Storage) -> np.ndarray:
            info = members.get(f"{root}data/{it.key}")
            if info is None:
                raise CorruptError(f"{path}: expected the storage data/{it.key[:80]}, which is not there")
            data = archive.read(info)
            floats = FLOATS.get(it.kind)
            flat = _read.to_float32(floats, data) if floats else np.frombuffer(data, OTHERS[it.kind])
            if flat.size != it.size:
                raise CorruptError(f"{path}: data/{it.key}: expected {it.size} numbers, got {flat.size}")
            return flat

        state = _Machine(path, storage, size).run(archive.read(f"{root}data.pkl"))
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, np.ndarray) for name, value in state.items()
    ):
        raise CorruptError(f"{path}: expected a dict of tensors by name")
    return state


def note(path: Path, name: str) -> bytes | None:
    """What `write_torch` put beside the tensors under this name, None where there is nothing."""
    with stranger_arrays.open_zip(path) as archive:
        found = [info for info in archive.infolist() if info.filename == f"{NOTES}{name}"]
        small = [info for info in found if max(info.file_size, info.compress_size) <= _read.MAX_JSON]
        return archive.read(small[0]) if small else None


class _Machine:
    """The few pickle instructions a state dict needs."""

    def __init__(self, path: Path, storage: Any, room: int) -> None:
        self.path, self.storage, self.room = path, storage, room
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.tensors = 0

    def run(self, data: bytes) -> Any:
        try:
            for opcode, argument, _ in pickletools.genops(data):
                if opcode.name == "STOP":
                    return self.stack.pop()
                self._step(opcode.name, argument)
        except CorruptError:
            raise
        except (
            Exception
        ) as error:  # any malformed program: an empty stack, a list for a key, a short argument
            raise CorruptError(f"{self.path}: data.pkl is not a state dict: {error!r:.200}") from error
        raise CorruptError(f"{self.path}: data.pkl has no end")

    def _step(self, name: str, argument: Any) -> None:
        stack, memo = self.stack, self.memo
        match name:
            case "PROTO" | "FRAME":
                pass
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(name == "NEWTRUE")
            case "MARK":
                stack.append(_Mark)
            case "TUPLE":
                stack.append(tuple(self._items()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE" | "SHORT_BINUNICODE":
                stack.append(argument)
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                self._set([key, value])
            case "SETITEMS":
                self._set(self._items())
            case "APPEND":
                value = stack.pop()
                self._extend([value])
            case "APPENDS":
                self._extend(self._items())
            case "GLOBAL":
                stack.append(self._name(argument))
            case "STACK_GLOBAL":
                attribute, module = stack.pop(), stack.pop()
                if type(module) is not str or type(attribute) is not str:
                    raise CorruptError(f"{self.path}: data.pkl names something that is not a string")
                stack.append(self._name(f"{module} {attribute}"))
            case "BINPERSID":
                stack.append(self._storage(stack.pop()))
            case "REDUCE":
                arguments, function = stack.pop(), stack.pop()
                stack.append(self._call(function, arguments))
            case "BUILD":  # the _metadata of a module's state dict: attributes, which we have no use for
                attributes = stack.pop()
                if type(stack[-1]) is not dict or type(attributes) is not dict:
                    raise CorruptError(f"{self.path}: data.pkl sets attributes of something not a dict")
            case _:
                raise CorruptError(
                    f"{self.path}: data.pkl uses the instruction {name}, which is not accepted"
                )

    def _items(self) -> list[Any]:
        items = []
        while (item := self.stack.pop()) is not _Mark:
            items.append(item)
        return items[::-1]

    def _set(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict:
            raise CorruptError(f"{self.path}: data.pkl sets items of something not a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Tuples of tuples can be shared until to hash or print one takes for ever: look at strings only.
            if type(key) is not str or key in target:
                raise CorruptError(f"{self.path}: data.pkl has a key that is no string, or is there twice")
            target[key] = value

    def _extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise CorruptError(f"{self.path}: data.pkl appends to something not a list")
        self.stack[-1].extend(items)

    def _name(self, name: str) -> _Name:
        if name not in KNOWN:
            raise CorruptError(
                f"{self.path}: data.pkl names {name.replace(' ', '.')[:120]}, which is not accepted"
                f" (only tensors are); it was not loaded"
            )
        return _Name(name)

    def _storage(self, persistent: Any) -> _Storage:
        kind, name, key, _, count = persistent
        if kind != "storage" or type(name) is not _Name or not name.name.startswith("torch "):
            raise CorruptError(f"{self.path}: data.pkl refers to something that is not a storage")
        if type(key) is not str or type(count) is not int or count < 0:
            raise CorruptError(f"{self.path}: data.pkl has a storage without a name or a size")
        return _Storage(name.name.split()[1], key, count)

    def _call(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        match function:
            case _Name("collections OrderedDict") if not arguments:
                return {}
            case _Name("torch._utils _rebuild_parameter"):
                data, _, _ = arguments
                return data
            case _Name("torch._utils _rebuild_tensor_v2"):
                return self._tensor(*arguments[:4])
        what = function.name if type(function) is _Name else type(function).__name__
        raise CorruptError(f"{self.path}: data.pkl calls {what}, which is not accepted")

    def _tensor(self, it: Any, offset: Any, shape: Any, strides: Any) -> np.ndarray:
        numbers = [offset, *shape, *strides]
        good = (
            type(it) is _Storage
            and type(shape) is type(strides) is tuple
            and len(shape) == len(strides) <= foreign.MAX_RANK
        )
        if not good or any(type(n) is not int or not 0 <= n <= _read.MAX_BYTES for n in numbers):
            raise CorruptError(
                f"{self.path}: data.pkl has a tensor {shape!r:.80} with strides {strides!r:.80}"
            )
        # A view may repeat a small storage without end, so a tensor may have no more numbers than its storage.
        last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        if math.prod(shape) > it.size or (math.prod(shape) and last >= it.size):
            raise CorruptError(f"{self.path}: a tensor {tuple(shape)} of a storage of {it.size} numbers")
        self.tensors += 1
        self.room -= math.prod(shape)  # a number takes a byte at least; views of one storage cost for each
        if self.tensors > MAX_TENSORS or self.room < 0:
            raise CorruptError(
                f"{self.path}: expected <= {MAX_TENSORS} tensors, of no more numbers than bytes"
            )
        if not math.prod(shape):
            return np.zeros(shape, np.float32)
        flat = self.storage(it)[offset:]
        steps = tuple(s * flat.itemsize for s in strides)
        return np.array(np.lib.stride_tricks.as_strided(flat, shape, steps, writeable=False), order="C")


def write_torch(arrays: Arrays, notes: dict[str, bytes] | None = None) -> bytes:
    """A checkpoint that torch.load(weights_only=True) reads: a dict of float32 and int32/int64 tensors, and notes."""
    storages = {"float32": "FloatStorage", "int32": "IntStorage", "int64": "LongStorage"}
    buffer, program = io.BytesIO(), [b"\x80\x02}("]
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:

        def put(name: str, data: bytes) -> None:
            archive.writestr(zipfile.ZipInfo(f"archive/{name}", (1980, 1, 1, 0, 0, 0)), data)

        for index, (name, array) in enumerate(arrays.items()):
            strides = [s // array.itemsize for s in np.ascontiguousarray(array).strides][: array.ndim]
            program += [_text(name), b"ctorch._utils\n_rebuild_tensor_v2\n((", _text("storage")]
            program += [f"ctorch\n{storages[str(array.dtype)]}\n".encode(), _text(str(index)), _text("cpu")]
            program += [_int(array.size), b"tQ", _int(0), _ints(array.shape), _ints(strides)]
            program += [b"\x89ccollections\nOrderedDict\n)RtR"]
        put("data.pkl", b"".join([*program, b"u."]))
        put("byteorder", b"little")
        for index, array in enumerate(arrays.values()):
            put(f"data/{index}", np.asarray(array, array.dtype.newbyteorder("<"), order="C").tobytes())
        put("version", b"3\n")
        for name, data in (notes or {}).items():
            put(f"{NOTES.removeprefix('archive/')}{name}", data)
    return buffer.getvalue()


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def _int(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


def _ints(values: Any) -> bytes:
    return b"(" + b"".join(map(_int, values)) + b"t"
