"""Results and claims as JSON files hold them, and the verdicts on record that a run is compared with."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from experiments.lab.claim import Claim, Comparison, Evidence, Result, Source, Verdict
from experiments.lab.files import plain, rounded, write_text

RECORD = Path(__file__).parent.parent / "recorded.json"
"""Experiment -> claim -> the verdict when figures were committed; `python -m experiments --record` writes it."""


def result_to_json(name: str, title: str, result: Result, seconds: float) -> dict[str, Any]:
    """Return everything the picture and the report are made from, as values that JSON has."""
    return {
        "experiment": name,
        "title": title,
        "config": plain(asdict(result.config)),
        "claims": [to_json(claim) for claim in result.claims],
        "numbers": plain(dict(result.numbers)),
        "arrays": {k: rounded(v) for k, v in result.arrays.items()},
        "seconds": round(seconds, 1),
    }


def to_json(claim: Claim) -> dict[str, Any]:
    """Return a claim with its verdict as values that JSON has."""
    several = isinstance(claim.evidence, Sequence)
    parts = claim.evidence if isinstance(claim.evidence, Sequence) else [claim.evidence]
    evidence = [plain(asdict(part)) if isinstance(part, Comparison) else bool(part) for part in parts]
    content = {
        "figure": claim.figure,
        "claim": claim.claim,
        "paper": claim.paper,
        "measured": claim.measured,
        "source": claim.source.value,
        "evidence": evidence if several else evidence[0],
        "verdict": claim.verdict.value,
    }
    return content | ({"restates": claim.restates} if claim.restates else {})


def from_json(content: dict[str, Any]) -> Claim:
    """Return the claim that `to_json` wrote; its verdict is computed anew from the evidence."""
    evidence = content["evidence"]
    parts: Evidence = [_part(part) for part in evidence] if isinstance(evidence, list) else _part(evidence)
    figure, claim, paper, measured = (str(content[key]) for key in ("figure", "claim", "paper", "measured"))
    return Claim(
        figure, claim, paper, measured, parts, Source(content["source"]), content.get("restates", "")
    )


def _part(content: Any) -> bool | Comparison:
    if isinstance(content, bool):
        return content
    value, interval = content["value"], content["interval"]
    ends = None if interval is None else tuple(float("nan") if end is None else end for end in interval)
    return Comparison(
        float("nan") if value is None else value,
        content["relation"],
        content["bar"],
        ends,  # type: ignore[arg-type]
    )


def with_record(experiment: str, claims: Iterable[Claim]) -> list[Claim]:
    """Return the claims of an experiment, each with the verdict on record."""
    known = record().get(experiment, {})
    return [
        replace(claim, recorded=Verdict(known[claim.claim]) if claim.claim in known else None)
        for claim in claims
    ]


def record() -> dict[str, dict[str, str]]:
    """Return the verdicts on record by experiment and claim."""
    if not RECORD.exists():
        return {}
    verdicts: dict[str, dict[str, str]] = json.loads(RECORD.read_text(encoding="utf-8"))
    return verdicts


def collect(folder: Path) -> dict[str, list[Claim]]:
    """Return the claims of every experiment in a folder, each with the verdict on record."""
    contents = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    return {
        content["experiment"]: with_record(content["experiment"], map(from_json, content["claims"]))
        for content in contents
    }


def write_record(folder: Path) -> None:
    """Put the verdicts of the experiments in `folder` on record."""
    verdicts = {name: {c.claim: c.verdict.value for c in claims} for name, claims in collect(folder).items()}
    write_text(RECORD, json.dumps(verdicts, indent=1, ensure_ascii=False) + "\n")
