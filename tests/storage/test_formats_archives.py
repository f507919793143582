"""Archives that lie, .npz and .pt: one clear error each, nothing executed, memory bounded."""

import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from superposition.errors import ConfigError, CorruptError
from superposition.storage import formats
from superposition.storage.formats import _torch
from tests.support.formats import params_of
from tests.support.hostile_formats import JUMP, refused, save

CANARY = "superposition_formats_canary"

# npz


def npz(path, members, compression=zipfile.ZIP_STORED):
    path.mkdir(exist_ok=True)
    with zipfile.ZipFile(path / "params.npz", "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def npy(array, **changes):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), allow_pickle=True)
    data = buffer.getvalue()
    for old, new in changes.values():
        assert len(old) == len(new)
        data = data.replace(old, new)
    return data


def good_members():
    return {f"{name}.npy": npy(array) for name, array in params_of(JUMP).items()}


class Payload:
    def __reduce__(self):
        return os.mkdir, (CANARY,)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_npz_files_that_lie(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = good_members()
    loaded = formats.load(npz(tmp_path / "good", good.items()))
    turned = good | {"b_dec.npy": npy(np.asarray(loaded.params["b_dec"], ">f4"))}
    turned = formats.load(npz(tmp_path / "big endian", turned.items()))
    np.testing.assert_array_equal(turned.params["b_dec"], loaded.params["b_dec"])
    huge = npy(np.zeros(5, np.float32), shape=(b"(5,), }" + b" " * 20, b"(99999999999999,), }" + b" " * 7))
    bad = {
        "objects": good | {"b_dec.npy": npy(np.array([Payload()] * 3, object))},
        "a pickle": good | {"b_dec.npy": pickle.dumps(Payload())},
        "float64": good | {"b_dec.npy": npy(np.zeros(3))},
        "integers": good | {"b_dec.npy": npy(np.zeros(3, int))},
        "records": good | {"b_dec.npy": npy(np.zeros(3, [("a", "<f4")]))},
        "a huge shape": good | {"b_enc.npy": huge},
        "one more": good | {"W_up.npy": npy(np.zeros(3, np.float32))},
        "one less": {n: d for n, d in good.items() if n != "b_dec.npy"},
        "another place": {("../../b_dec.npy" if n == "b_dec.npy" else n): d for n, d in good.items()},
        "no array": good | {"readme.txt": b"hello"},
        "data after": good | {"b_dec.npy": npy(np.zeros(3, np.float32)) + b"\0" * 4},
        "data short": good | {"b_dec.npy": npy(np.zeros(3, np.float32))[:-4]},
        "a vector for a matrix": good | {"W_enc.npy": npy(np.zeros(15, np.float32))},
        "a shape that does not fit": good | {"W_dec.npy": npy(np.zeros((4, 3), np.float32))},
        "a long header": good | {"b_dec.npy": npy(np.zeros(3, np.float32)).replace(b"'", b"''")},
    }
    for name, members in bad.items():
        refused(npz(tmp_path / name, members.items()), CorruptError)
    refused(
        npz(tmp_path / "again", bad["a huge shape"].items()),
        CorruptError,
        r"expected 399999999999996 bytes for shape",
    )
    refused(
        npz(tmp_path / "twice", [*good.items(), ("b_dec.npy", good["b_dec.npy"])]), CorruptError, "distinct"
    )
    cross = good | {"W_dec.npy": npy(np.zeros((5, 2, 3), np.float32))}
    refused(npz(tmp_path / "cross-layer", cross.items()), ConfigError, "cross-layer")
    assert not Path(CANARY).exists()


def test_a_zip_bomb_is_not_unpacked(tmp_path):
    wide = npy(np.zeros((3, 10**7), np.float32))
    members = good_members() | {"W_enc.npy": wide, "W_dec.npy": npy(np.zeros((10**7, 3), np.float32))}
    path = npz(tmp_path / "bomb", members.items(), zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    refused(path, CorruptError, "expected arrays of <= 20 times")
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


# PyTorch checkpoints


def checkpoint(tmp_path, program, storages=None):
    path = tmp_path / "pt"
    path.mkdir(exist_ok=True)
    config = {"trainer": {"dict_class": "AutoEncoder"}}
    (path / "config.json").write_text(json.dumps(config))
    with zipfile.ZipFile(path / "ae.pt", "w") as archive:
        archive.writestr("archive/data.pkl", program)
        for name, data in (storages or {}).items():
            archive.writestr(f"archive/data/{name}", data)
    return path


def reducing(call, *arguments):
    class Evil:
        def __reduce__(self):
            return call, arguments

    return Evil()


def test_a_checkpoint_is_read_only_on_demand(tmp_path):
    path = save(tmp_path, "dictionary-learning")
    refused(path, ConfigError, "allow_pt=True", allow_pt=False)


EVIL = {
    "posix.mkdir": pickle.dumps(reducing(os.mkdir, CANARY), 2),
    "builtins.exec": pickle.dumps(reducing(exec, f"open({CANARY!r}, 'w')"), 4),
    "builtins.eval": pickle.dumps({"encoder.weight": reducing(eval, "1")}, 2).replace(
        b"__builtin__", b"builtins"
    ),
    "torch._utils._rebuild_tensor": b"\x80\x02ctorch._utils\n_rebuild_tensor\n)R.",
    "torch.load": b"\x80\x02ctorch\nload\nX\x01\x00\x00\x00a\x85R.",
    "INST": b"\x80\x02(iposix\nmkdir\n.",
    "OBJ": b"\x80\x02(ccollections\nOrderedDict\no.",
    "NEWOBJ": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
    "EXT1": b"\x80\x02\x82\x01.",
    "PERSID": b"\x80\x02Pabc\n.",
    "not a storage": b"\x80\x02X\x01\x00\x00\x00aX\x01\x00\x00\x00bX\x01\x00\x00\x00c\x87)\x86Q.",
    "attributes": b"\x80\x02]}b.",
    "calls collections OrderedDict": b"\x80\x02ccollections\nOrderedDict\n]]a\x85R.",
    "exhausted": b"\x80\x02}",
    "not a state dict": b"\x80\x02.",
    "instruction": b"\x80\x02}0.",
    "dict of tensors": b"\x80\x02}X\x01\x00\x00\x00a]s.",
    "no string": b"\x80\x02}" + b")" + b"\x86".join([b"q\x00h\x00"] * 60) + b"\x86K\x01s.",
}


@pytest.mark.parametrize("name", EVIL)
def test_pickles_are_not_run(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    message = refused(checkpoint(tmp_path, EVIL[name]), CorruptError)
    assert name in message or name in ("not a storage", "no string")
    assert not Path(CANARY).exists()


def tensor(shape, strides, offset=0, size=4, kind=b"FloatStorage", key=b"0"):
    """The program of {"a": one tensor of storage 0}."""

    def ints(values):
        return b"(" + b"".join(b"\x8a\x09" + v.to_bytes(9, "little", signed=True) for v in values) + b"t"

    storage = b"(X\x07\x00\x00\x00storagectorch\n" + kind + b"\nX" + struct.pack("<I", len(key)) + key
    storage += b"X\x03\x00\x00\x00cpu" + ints([size])[1:-1] + b"tQ"
    whole = b"(" + storage + ints([offset])[1:-1] + ints(shape) + ints(strides) + b"\x89}t"
    return b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n" + whole + b"Rs."


def test_tensors_stay_inside_their_storage(tmp_path):
    four = {"0": np.arange(4, dtype="<f4").tobytes()}
    file = checkpoint(tmp_path, tensor([2, 2], [1, 2]), four) / "ae.pt"
    assert _torch.read_torch(file)["a"].tolist() == [[0, 2], [1, 3]]
    bad = [
        tensor([10**6, 10**6], [0, 0]),
        tensor([5], [1]),
        tensor([5], [0]),
        tensor([4], [2]),
        tensor([2], [1], offset=3),
        tensor([2], [1], offset=-1),
        tensor([2], [-1], offset=3),
        tensor([-2], [1]),
        tensor([2, 2], [1]),
        tensor([1] * 9, [1] * 9),
        tensor([8], [1], size=8),
        tensor([4], [1], key=b"../1"),
        tensor([4], [1], kind=b"ComplexFloatStorage"),
        tensor([2**60], [0]),
    ]
    for program in bad:
        refused(checkpoint(tmp_path, program, four), CorruptError)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", tensor([10**6], [1], size=10**6))
        archive.writestr("archive/data/0", b"\0" * 4 * 10**6)
    refused(tmp_path / "pt", CorruptError, "stored as they are")


def test_programs_with_any_byte_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = save(tmp_path, "dictionary-learning") / "ae.pt"
    with zipfile.ZipFile(source) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    program, good = parts["archive/data.pkl"], _torch.read_torch(source)
    rng, changed = np.random.default_rng(0), 0
    for _ in range(600):
        at, length = int(rng.integers(len(program))), int(rng.integers(0, 3))
        broken = program[:at] + rng.bytes(int(rng.integers(0, 3))) + program[at + length :]
        with zipfile.ZipFile(source, "w") as archive:
            for name, data in parts.items():
                archive.writestr(name, broken if name.endswith("data.pkl") else data)
        try:
            state = _torch.read_torch(source)
        except CorruptError:
            changed += 1
        else:
            assert all(array.size <= 15 for array in state.values())
    assert changed > 280
    assert len(good) == 6
    assert os.listdir(tmp_path) == ["dictionary-learning"]


def test_views_of_one_storage_cost_no_more_than_the_file(tmp_path):
    body = tensor([1000], [1], size=1000)[9:-2]  # after the dict and the key "a"
    items = [b"X\x02\x00\x00\x00" + f"{index:02d}".encode() + body + b"s" for index in range(60)]
    path = checkpoint(tmp_path, b"\x80\x02}" + b"".join(items) + b".", {"0": b"\0" * 4000})
    refused(path, CorruptError, "of no more numbers than bytes")
