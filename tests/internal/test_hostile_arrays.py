"""Arrays in files of strangers: headers that are no header, sizes that are not so, and chunks that are not there."""

import io
import json
import os
import struct
import zipfile

import numpy as np
import pytest
import zarr

from superposition.activations.read import read_array
from superposition.errors import ConfigError, CorruptError, SuperpositionError
from superposition.llm.packing import token_array
from tests.support.processes import python

ROWS = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)
IDS = np.arange(24).reshape(3, 8)


def npy(header: bytes | str, data: bytes = b"", version: int = 1) -> bytes:
    """A .npy of any header."""
    header = header.encode() if isinstance(header, str) else header
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + data


def described(shape="(64, 6)", descr="'<f4'", order="False"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"


HEADERS = {
    "not closed": "{'descr':'<f4','shape':(8,20)",
    "many signs": "-" * 9000,
    "deep": "(" * 9000,
    "deep lists": described(shape="(" + "[" * 4000 + "]" * 4000 + ")"),
    "unclosed string": "{'descr': '<f4",
    "bytes": b"\xff\xfe" * 40,
    "zeros": b"\0" * 118,
    "empty": "",
    "a call": described(shape="(__import__('os').system('true'),)"),
    "negative": described("(-64, -6)"),
    "negative one": described("(-1, 6)"),
    "huge": described("(999999999999, 999999999)"),
    "2**64": described(f"({2**64}, 6)"),
    "digits": described(f"({'9' * 5000},)"),
    "float": described("(64.0, 6)"),
    "True": described("(True, 6)"),
    "rank": described("(" + "1," * 80 + ")"),
    "no shape": "{'descr': '<f4', 'fortran_order': False, }",
    "twice": "{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': (64, 6), }",
    "another key": "{'descr': '<f4', 'fortran_order': False, 'shape': (64, 6), 'x': 1, }",
    "dtype": described(descr="'<f3'"),
    "no dtype": described(descr="'spam'"),
    "no bytes": described(descr="'<U0'"),
    "order": described(order="'False'"),
    "behind": described().strip() + " or 1",
}


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_header_that_is_none_is_one_line(tmp_path, name, suffix, version):
    data = npy(HEADERS[name], ROWS.tobytes(), version)
    path = tmp_path / f"x{suffix}"
    if suffix == ".npy":
        path.write_bytes(data)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.npy", data)
    for read in (read_array, lambda p: token_array(p, vocab=100)):
        with pytest.raises(CorruptError, match=f"x{suffix}") as caught:
            read(path)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500


def test_objects_and_records_are_refused_and_nothing_is_run(tmp_path):
    for i, descr in enumerate(("'|O'", "'object'", "[('a', '<f4'), ('b', '<f4')]", "[('a', '|O')]")):
        path = tmp_path / f"{i}.npy"
        path.write_bytes(npy(described(descr=descr), ROWS.tobytes()))
        with pytest.raises(ConfigError, match="never loaded" if i < 2 else "several fields"):
            read_array(path)


@pytest.mark.parametrize(
    "header",
    [
        described(),
        "{'descr':'<f4','fortran_order':False,'shape':(64,6)}",
        '{"shape": (64L, 6L,), "fortran_order": False, "descr": "<f4"}   \n',
        "  {\n'shape' : ( 64 , 6 ) ,\n'fortran_order' : False , 'descr' : 'float32' } ",
    ],
)
def test_headers_as_others_write_them_are_read(tmp_path, header):
    (tmp_path / "x.npy").write_bytes(npy(header, ROWS.tobytes()))
    np.testing.assert_array_equal(read_array(tmp_path / "x.npy"), ROWS)


@pytest.mark.parametrize("shape", [(), (3,), (0, 4), (2, 3, 4), (5, 7)])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<i8", ">u2", "|b1", "<U3", "<c8", "|V2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_numpy_writes_comes_back(tmp_path, shape, dtype, order):
    array = np.asarray(np.arange(np.prod(shape, dtype=int)) % 2, "u2").reshape(shape)
    array = np.asarray(array.view(dtype) if dtype == "|V2" else array.astype(dtype), order=order)
    np.save(tmp_path / "x.npy", array)
    np.savez_compressed(tmp_path / "x.npz", a=array)
    for path in (tmp_path / "x.npy", tmp_path / "x.npz"):
        found = read_array(path)
        assert (found.dtype.str, found.shape) == (array.dtype.str, array.shape)
        np.testing.assert_array_equal(found, array)


def test_a_file_has_exactly_the_bytes_that_it_says(tmp_path):
    np.save(tmp_path / "x.npy", ROWS)
    whole = (tmp_path / "x.npy").read_bytes()
    for data in (whole[:-1], whole[:200], whole[:9], b"", whole + b"\0", whole + whole):
        (tmp_path / "x.npy").write_bytes(data)
        with pytest.raises(CorruptError, match=r"x\.npy"):
            read_array(tmp_path / "x.npy")


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "x.npy")
    os.mkfifo(tmp_path / "x.safetensors")
    (tmp_path / "y.npz").symlink_to("/dev/zero")
    for name in ("x.npy", "x.safetensors", "y.npz"):
        with pytest.raises(ConfigError, match="regular file"):
            read_array(tmp_path / name)
    with pytest.raises(ConfigError, match="regular file"):
        token_array(tmp_path, vocab=100)


# --- archives


def bomb(path, compression=zipfile.ZIP_DEFLATED, rows=5_000_000):
    """80 MB of zeros in 80 kB."""
    with zipfile.ZipFile(path, "w", compression) as archive, archive.open("tokens.npy", "w") as file:
        file.write(npy(described(f"({rows}, 4)"))[:-4] + b"    ")
        for _ in range(rows // 50_000):
            file.write(bytes(16 * 50_000))


READ = """
import resource, sys
from pathlib import Path
from superposition._internal import arrays
from superposition.errors import ConfigError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    with arrays.open_npz(Path(sys.argv[1])) as archive:
        archive.read("tokens")
except ConfigError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)
"""


def test_a_bomb_is_refused_with_its_sizes_before_it_takes_memory(tmp_path):
    bomb(tmp_path / "x.npz")
    for read in (read_array, lambda p: token_array(p, vocab=100)):
        with pytest.raises(
            ConfigError, match=r"bytes claim to hold 80,000,\d+, more than 100 times.*np\.save"
        ):
            read(tmp_path / "x.npz")
    done = python("-c", READ, tmp_path / "x.npz", check=True)
    assert int(done.stdout.split()[0]) < 20_000  # kB


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_numpy_never_writes_is_not_unpacked(tmp_path, compression):
    bomb(tmp_path / "x.npz", compression, 50_000)
    with pytest.raises(CorruptError, match="stored or deflated"):
        read_array(tmp_path / "x.npz")


def test_members_that_lie_about_their_sizes(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", a=ROWS)
    whole = (tmp_path / "x.npz").read_bytes()
    entry = whole.index(b"PK\x01\x02")
    for at, size in ((24, 2**31), (24, 100), (24, ROWS.nbytes + 129), (20, 10)):
        lie = bytearray(whole)
        lie[entry + at : entry + at + 4] = struct.pack("<I", size)
        (tmp_path / "x.npz").write_bytes(lie)
        with pytest.raises((CorruptError, ConfigError), match=r"x\.npz"):
            read_array(tmp_path / "x.npz")


def test_arrays_that_compress_well_are_read(tmp_path):
    sparse = ROWS.repeat(400, 0) * (np.arange(25600)[:, None] % 40 == 0)
    np.savez_compressed(tmp_path / "x.npz", a=sparse)
    np.testing.assert_array_equal(read_array(tmp_path / "x.npz"), sparse)
    np.savez_compressed(tmp_path / "y.npz", a=np.zeros((500, 500), np.float32))  # 1 MB, 1 kB packed
    assert read_array(tmp_path / "y.npz").shape == (500, 500)
    np.savez(tmp_path / "z.npz", a=np.zeros((1000, 5000), np.float32))
    assert read_array(tmp_path / "z.npz").nbytes == 20_000_000


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "names",
    [
        ["a.npy", "a.npy"], ["/etc/a.npy"], ["../a.npy"], ["b/../../a.npy"], ["a\x1b[31m.npy"], ["a\u202e.npy"],
        ["a" * 300 + ".npy"], [f"{i}.npy" for i in range(5000)], ["..\\a.npy"],
    ],
    ids=range(9),
)  # fmt: skip
def test_odd_members_are_refused(tmp_path, names):
    buffer = io.BytesIO()
    np.save(buffer, IDS)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        for name in names:
            archive.writestr(name, buffer.getvalue())
    for read in (read_array, lambda p: token_array(p, vocab=100)):
        with pytest.raises(CorruptError, match="members") as caught:
            read(tmp_path / "x.npz")
        assert str(caught.value).isprintable()


def test_a_member_that_is_no_array_is_passed_over(tmp_path):
    np.savez(tmp_path / "x.npz", a=IDS)
    with zipfile.ZipFile(tmp_path / "x.npz", "a") as archive:
        archive.writestr("README.txt", "about")
    np.testing.assert_array_equal(read_array(tmp_path / "x.npz"), IDS)
    np.testing.assert_array_equal(token_array(tmp_path / "x.npz", vocab=100).tokens, IDS)


# --- Zarr


def test_a_zarr_array_without_its_chunks_is_an_error(tmp_path):
    path = tmp_path / "x.zarr"
    zarr.create_array(path, shape=(100_000, 4000), chunks=(1000, 4000), dtype="f4")
    assert sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) < 2000
    with pytest.raises(CorruptError, match=r"claim to hold 1,600,000,000: chunks are missing"):
        read_array(path)


@pytest.mark.parametrize("version", [2, 3])
def test_one_missing_chunk_is_an_error(tmp_path, version):
    path = tmp_path / "x.zarr"
    array = zarr.create_array(path, shape=ROWS.shape, chunks=(16, 3), dtype="f4", zarr_format=version)
    array[:] = ROWS
    np.testing.assert_array_equal(read_array(path), ROWS)
    next(p for p in path.rglob("*") if p.is_file() and p.suffix != ".json" and p.name[0] != ".").unlink()
    with pytest.raises(CorruptError, match=r"expected 8 chunks.*write_empty_chunks=True"):
        read_array(path)


def test_a_chunk_missing_inside_a_shard_is_an_error(tmp_path):
    path = tmp_path / "x.zarr"
    array = zarr.create_array(path, shape=ROWS.shape, chunks=(16, 3), shards=(32, 6), dtype="f4")
    array[:] = ROWS
    np.testing.assert_array_equal(read_array(path), ROWS)
    array[:16, :3] = 0
    with pytest.raises(CorruptError, match="inside its shards"):
        read_array(path)
    whole = zarr.create_array(
        tmp_path / "y.zarr", shape=ROWS.shape, chunks=(16, 3), shards=(32, 6), dtype="f4",
        config={"write_empty_chunks": True},
    )  # fmt: skip
    whole[:] = np.where(np.arange(64)[:, None] < 16, 0, ROWS)
    assert not read_array(tmp_path / "y.zarr")[:16].any()


def test_zarr_metadata_that_ask_for_too_much(tmp_path):
    path = tmp_path / "x.zarr"
    array = zarr.create_array(path, shape=ROWS.shape, chunks=(64, 6), dtype="f4")
    array[:] = ROWS
    good = json.loads((path / "zarr.json").read_text())
    for shape, chunk in (((10**15, 6), (1, 1)), ((64, 6), (10**6, 10**6)), ((10**9, 10**9), (10**9, 10**9))):
        lie = {
            **good,
            "shape": shape,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        }
        (path / "zarr.json").write_text(json.dumps(lie))
        with pytest.raises(CorruptError, match=r"x\.zarr"):
            read_array(path)


def test_zarr_of_objects_runs_nothing(tmp_path):
    path = tmp_path / "x.zarr"
    path.mkdir()
    for filters in ([{"id": "pickle"}], [{"id": "vlen-utf8"}, {"id": "pickle"}]):
        meta = {"zarr_format": 2, "shape": [2, 2], "chunks": [2, 2], "dtype": "|O", "compressor": None,
                "fill_value": 0, "order": "C", "filters": filters}  # fmt: skip
        (path / ".zarray").write_text(json.dumps(meta))
        target = tmp_path / "run"
        (path / "0.0").write_bytes(b"cos\nsystem\n(S'touch " + os.fsencode(target) + b"'\ntR.")
        with pytest.raises(SuperpositionError):
            read_array(path)
        assert not target.exists()
