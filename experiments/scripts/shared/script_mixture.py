"""The mixture of the frequency sweep: English and code, forty rare contexts, and two scripts whose share is set.

Arabic script (Arabic, Persian, Urdu) and Hebrew script (Hebrew) are each `share` of the tokens. Every other context keeps
its share whatever that is; English and code give way. Bricken et al. (2023) report 0.13 % Arabic in their text.
"""

import fnmatch
import lzma
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.llm.text import read_text

SEPARATOR = "\n<|endoftext|>\n"
SCRIPTS = {"arabic": ("arabic", "persian", "urdu"), "hebrew": ("hebrew", "yiddish")}
CONTEXT, LANGUAGE = (
    0.002,
    0.0005,
)  # of the tokens: each context, each language of which only the UDHR is at hand
ENGLISH = 0.75  # of what the scripts and contexts leave; the rest is code

# Weights are shared only where the text's licence lets them be. These sources are non-commercial, under the GPL or GFDL, for
# research only, for verbatim copies only, or state no licence.
NOT_TO_BE_SHARED = (
    "english/anarchist_faq", "english/brown_corpus", "english/novels_100", "english/rfcs", "english/tf1_fables",
    "code/latex_stacks", "formats/logs_loghub", "*.progit", "*.ruby_lang", "*.fortunes", "rare/arabic.hindawi",
    "rare/arabic.openiti_classical", "rare/hebrew.wiki", "rare/hindi.sevasadan", "rare/urdu.fasdh_literature", "rare/urdu.ud",
    "rare/yiddish.reyd_literature",
)  # fmt: skip

# The UDHR's files of languages that no other source has, most of them in scripts of their own; none in those of the sweep.
UDHR = (
    "amh", "ben", "bod", "chr_cased", "div", "guj", "hun", "ind", "kan", "khm", "lao", "mal", "mya", "nld", "pan", "pol",
    "por_PT", "sin", "swh", "tam", "tel", "yor", "zgh",
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """Documents of one file, and the group whose share they are part of."""

    group: str
    documents: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of UTF-8."""
        return sum(len(document.encode()) for document in self.documents)


def group_of(name: str) -> str:
    """The group of a source: a script of the sweep, "english", "code", or a context of its own.

    >>> group_of("rare/persian.ud"), group_of("latin/german.eltec"), group_of("code/css")
    ('arabic', 'german', 'code')
    """
    folder, _, file = name.partition("/")
    context = file.split(".")[0]
    for script, languages in SCRIPTS.items():
        if context in languages:
            return script
    if folder in ("english", "code"):
        return folder
    return f"udhr {context}" if folder == "udhr" else context


def read_sources(folder: Path, udhr: Path | None = None) -> dict[str, Source]:
    """The sources that may be trained on, by name; `udhr`: a folder of translations in scripts of which there is no other text.

    Raises ConfigError where a script of the sweep, English or code is missing.
    """
    found: dict[str, Source] = {}
    for path in sorted(folder.glob("*/*.txt.xz")):
        name = f"{path.parent.name}/{path.name.removesuffix('.txt.xz')}"
        if path.parent.name == "heldout" or any(fnmatch.fnmatchcase(name, p) for p in NOT_TO_BE_SHARED):
            continue
        found[name] = Source(group_of(name), tuple(read_documents(path)))
    if udhr is not None:
        for name, documents in read_text(udhr).items():
            if Path(name).name in UDHR:
                found[f"udhr/{Path(name).name}"] = Source(f"udhr {Path(name).name}", tuple(documents))
    missing = {"english", "code", *SCRIPTS} - {source.group for source in found.values()}
    if missing:
        raise ConfigError(
            f"{folder} holds no text of {', '.join(sorted(missing))}; give the folder of english/, code/, rare/ ..."
        )
    return found


def read_documents(path: Path) -> list[str]:
    """The documents of one file packed with xz, which a line with <|endoftext|> separates."""
    with lzma.open(path, "rt", encoding="utf-8") as file:
        return [document for document in file.read().split(SEPARATOR) if document.strip()]


def hold_out(
    documents: tuple[str, ...], fraction: float = 0.02, most: float = 0.1
) -> tuple[list[str], list[str]]:
    """Documents to train on, and whole ones from the end to measure on.

    The latter are about `fraction` of the characters; where that takes more than `most` of them, there are none.
    """
    validate.in_range("fraction", fraction, 0, 0.5)
    total, held = sum(map(len, documents)), 0
    count = 0
    while held < fraction * total and count < len(documents) - 1:
        count += 1
        held += len(documents[-count])
    if held > most * total:
        count = 0
    return list(documents[: len(documents) - count]), list(documents[len(documents) - count :])


def group_shares(groups: set[str], share: float) -> Mapping[str, float]:
    """The share of the tokens that each group gets; they add up to 1.

    >>> shares = group_shares({"arabic", "hebrew", "english", "code", "german"}, 0.01)
    >>> round(sum(shares.values()), 9), shares["german"]
    (1.0, 0.002)
    """
    validate.in_range("share", share, 0, 0.4, open_low=True)
    shares = {g: share if g in SCRIPTS else LANGUAGE if g.startswith("udhr ") else CONTEXT for g in groups}
    left = 1 - sum(s for g, s in shares.items() if g not in ("english", "code"))
    return shares | {"english": ENGLISH * left, "code": (1 - ENGLISH) * left}
