"""The list of slow tests names single tests, and whole ones that are slow in all their parameters together."""

from tests.support import times


def test_what_is_slow_alone_or_together_is_listed_once(tmp_path, monkeypatch):
    monkeypatch.setattr(times, "LIST", tmp_path / "slow.txt")
    many = [f"3.00 tests/a.py::whole[{i}]" for i in range(3)]
    lines = [*many, "2.10 tests/a.py::one[x::y-[0]]", "1.90 tests/a.py::one[z]", "9.00 superposition/b.py::b"]
    (tmp_path / "measured").write_text("\n".join(lines))
    times.write_list(tmp_path / "measured")
    assert times.listed() == {"tests/a.py::whole", "tests/a.py::one[x::y-[0]]"}
    assert {times.function(name) for name in ("tests/a.py::f[x]", "tests/a.py::f")} == {"tests/a.py::f"}
