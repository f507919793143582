"""What a set of pages must not contradict itself in: lengths, references and ids, before a byte is written."""

import base64
import binascii
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from superposition.errors import ConfigError

PANELS = ("stats", "histogram", "tokens", "table", "curve", "examples", "empty")
_TOKENS = ("top", "promoted")


def index(value: Mapping[str, Any]) -> None:
    """ConfigError unless the columns are of one length, the ids distinct and every reference in the dictionary."""
    _keys(
        value,
        ("version", "kind", "title", "about", "unit", "dictionary", "columns", "sorts", "texts"),
        "the index",
    )
    if strange := {name: value[name] for name in ("title", "unit") if not isinstance(value[name], str)}:
        raise ConfigError(f"expected strings, got {strange}")
    columns = value["columns"]
    _keys(columns, ("id", "name", "label", "x", "y", *_TOKENS), "the columns")
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ConfigError(f"the columns must be of one length, got {lengths}")
    ids = columns["id"]
    if wrong := [i for i in ids if type(i) is not int or not 0 <= i < 2**53]:
        raise ConfigError(f"ids must be whole numbers >= 0, got {wrong[:5]!r}")
    if len(set(ids)) < len(ids):
        raise ConfigError(f"ids must be distinct, got {len(ids)} of which {len(set(ids))} are")
    if not ids:
        raise ConfigError("a set of pages needs at least one feature, got none")
    if not value["sorts"]:
        raise ConfigError("a set of pages needs at least one key to sort by, got none")
    if missing := [name for name, *_ in value["sorts"] if name not in columns]:
        raise ConfigError(f"the sort keys {missing} are no columns; there are {sorted(columns)}")
    for name in _TOKENS:
        _refs([ref for row in columns[name] for ref in row], value["dictionary"], f"column {name}")


def feature(value: Mapping[str, Any], wanted: int | None, ids: Collection[int]) -> None:
    """ConfigError unless this is feature `wanted`, of known panels whose references and lengths fit."""
    _keys(value, ("id", "name", "dictionary", "panels", "dead"), f"feature {wanted}")
    if type(value["id"]) is not int or value["id"] != wanted:
        raise ConfigError(f"expected feature {wanted}, as in the index, got {value['id']!r}")
    words = value["dictionary"]
    for panel in value["panels"]:
        kind = panel.get("type")
        where = f"feature {wanted}, panel {panel.get('title')!r}"
        if kind not in PANELS:
            raise ConfigError(f"{where}: expected one of {PANELS}, got {kind!r}")
        _keys(panel, ("title", "note"), where)
        if kind == "tokens":
            _refs([ref for side in ("positive", "negative") for ref, _ in panel[side]], words, where)
        elif kind == "table":
            cells = [cell for row in panel["rows"] for cell in row if isinstance(cell, Mapping)]
            _refs([cell["t"] for cell in cells if "t" in cell], words, where)
            if lost := [cell["f"] for cell in cells if "f" in cell and cell["f"] not in ids]:
                raise ConfigError(f"{where}: links to {lost[:5]}, which are not in the index")
            if any(len(row) != len(panel["head"]) for row in panel["rows"]):
                raise ConfigError(f"{where}: expected {len(panel['head'])} cells in every row")
        elif kind == "examples":
            _examples(panel, words, where)


def text(value: Mapping[str, Any], wanted: str | None, ids: Collection[int]) -> None:
    """ConfigError unless the columns of a text are k to a token, of known features."""
    where = f"text {wanted!r}"
    _keys(value, ("name", "dictionary", "tokens", "k", "features", "act", "direct", "scale_direct"), where)
    tokens = _column(value["tokens"], "<u2", None, where)
    _refs(tokens, value["dictionary"], where)
    n = len(tokens) * value["k"]
    features = _column(value["features"], "<i4", n, where)
    for name, dtype in (("act", "u1"), ("direct", "i1")):
        _column(value[name], dtype, n, where)
    if lost := sorted(set(features.tolist()) - set(ids) - {-1}):
        raise ConfigError(f"{where}: features {lost[:5]} are not in the index")


def _examples(panel: Mapping[str, Any], words: Collection[str], where: str) -> None:
    _keys(panel, ("groups", "source", "place", "peak", "length", "tokens", "act", "scale_act"), where)
    lengths = panel["length"]
    for name in ("source", "place", "peak"):
        if len(panel[name]) != len(lengths):
            raise ConfigError(f"{where}: {name} has {len(panel[name])} rows, length has {len(lengths)}")
    if any(not 0 <= peak < length for peak, length in zip(panel["peak"], lengths, strict=True)):
        raise ConfigError(f"{where}: every peak must lie inside its row")
    n = sum(lengths)
    _refs(_column(panel["tokens"], "<u4" if panel.get("wide") else "<u2", n, where), words, where)
    for name, dtype in (("act", "u1"), ("full", "i1"), ("direct", "i1")):
        if name in panel:
            _column(panel[name], dtype, n, where)
    rows = [row for group in panel["groups"] for row in group["rows"]]
    if rows and not 0 <= min(rows) <= max(rows) < len(lengths):
        raise ConfigError(f"{where}: groups name rows up to {max(rows)}, there are {len(lengths)}")


def _keys(value: Mapping[str, Any], names: Collection[str], where: str) -> None:
    if missing := [name for name in names if name not in value]:
        raise ConfigError(f"{where}: lacks {missing}")


def _column(data: str, dtype: str, n: int | None, where: str) -> np.ndarray:
    try:
        column = np.frombuffer(base64.b64decode(data, validate=True), dtype)
    except (binascii.Error, ValueError, TypeError) as error:
        raise ConfigError(f"{where}: expected base64 of {dtype}: {error}") from error
    if n is not None and len(column) != n:
        raise ConfigError(f"{where}: expected {n} numbers, got {len(column)}")
    return column


def _refs(refs: Any, words: Collection[str], where: str) -> None:
    refs = np.asarray(refs)
    if refs.size and (refs.dtype.kind not in "iu" or refs.min() < 0 or refs.max() >= len(words)):
        raise ConfigError(
            f"{where}: references must be whole numbers below {len(words)}, the words there are"
        )
