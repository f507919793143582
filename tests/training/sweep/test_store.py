"""A sweep's results on disk: never overwritten, mended, and continued after a full disk."""

import pytest

from superposition._internal.lock import held
from superposition.errors import ConfigError, StoreError
from superposition.toy import ReLUOutput
from superposition.training import sweep
from superposition.training.toy import ToyRun
from tests.support.sweeps import AXES, TINY, same


def test_existing_results_are_never_overwritten(tmp_path):
    out = tmp_path / "a.zarr"
    first = sweep(TINY, AXES, out=out).load()
    with pytest.raises(ConfigError, match="exists; give --resume"):
        sweep(TINY, AXES, out=out)
    with pytest.raises(ConfigError, match=r"run\.steps is 40 there and 41 here"):
        sweep(ToyRun(ReLUOutput(2, 1), steps=41, batch_size=32), AXES, out=out, resume=True)
    with pytest.raises(ConfigError, match=r"axes\.density"):
        sweep(TINY, AXES | {"density": (1.0, 0.3, 0.2)}, out=out, resume=True)
    assert same(first, sweep(TINY, AXES, out=out, resume=True))
    (tmp_path / "b.zarr").mkdir()
    with pytest.raises(ConfigError, match="not a Zarr store"):
        sweep(TINY, AXES, out=tmp_path / "b.zarr", resume=True)


def test_a_damaged_block_is_noticed_and_trained_again(tmp_path):
    out = tmp_path / "a.zarr"
    first = sweep(TINY, AXES, out=out).load()
    chunk = next(p for p in sorted((out / "W" / "c").rglob("*")) if p.is_file())
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 4
    chunk.write_bytes(data)
    with pytest.warns(UserWarning, match="damaged and will be trained again"):
        again = sweep(TINY, AXES, out=out, resume=True)
    assert same(first, again)


def test_one_writer_at_a_time(tmp_path):
    out = tmp_path / "a.zarr"
    with (
        held(tmp_path / "a.zarr.partial", out),
        pytest.raises(StoreError, match="another process"),
    ):
        sweep(TINY, AXES, out=out)
    assert not out.exists()


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    """No space at any write of a sweep: a StoreError, and resuming completes to the same bits."""
    from superposition.training.store import records

    expected = sweep(TINY, AXES)
    real, writes = records.write, []

    def put(*args, **kwargs):
        writes.append(1)
        if len(writes) > allowed:
            raise OSError(28, "No space left on device")
        return real(*args, **kwargs)

    monkeypatch.setattr(records, "write", put)
    allowed = 10**9
    sweep(TINY, AXES, out=tmp_path / "whole.zarr")
    total = len(writes)
    assert total > 15
    for allowed in (0, 1, total // 3, total // 2, total - 7, total - 2, total - 1):
        out = tmp_path / f"{allowed}.zarr"
        writes.clear()
        with pytest.raises(StoreError, match="No space left"):
            sweep(TINY, AXES, out=out)
        monkeypatch.setattr(records, "write", real)
        assert same(expected, sweep(TINY, AXES, out=out, resume=True))
        monkeypatch.setattr(records, "write", put)
