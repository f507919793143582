"""The claims of `privileged_basis`, each held against what was measured."""

from itertools import combinations

import numpy as np

from experiments.lab.claim import Claim, Comparison, Source, at_least, at_most, more_than
from experiments.toy_models.privileged_basis.config import MODEL, Found
from superposition import geometry
from superposition.geometry.neurons import Group, Neurons, neurons

ALL = tuple(range(MODEL.n_hidden))
SIX = "1 monosemantic + 6 pairs of 4"


def _at(found: list[Found], low: float, high: float) -> list[Found]:
    return [f for f in found if low <= f.density <= high]


def _said(found: list[Found]) -> str:
    return "; ".join(f"{f.neurons.name} at {f.density:g}" for f in found)


def regimes(found: list[Found]) -> list[Claim]:
    """The paper's six regimes, by the structure of the best model."""
    dense, binary, five, six, eight, pairs = (
        _at(found, *ends)
        for ends in ((0.5, 1), (0.2, 0.49), (0.15, 0.15), (0.12, 0.12), (0.05, 0.08), (0, 0.04))
    )
    sparsest, between = _at(found, 0, 0.02), _at(found, 0.1, 0.4)
    codes = [g for f in found for g in f.neurons.groups if g.name == "binary code" and f.density >= 0.2]
    angles = [_binary_cosines(f.best.W, g) for f in found for g in f.neurons.groups if g in codes]
    flags = [_important(f.neurons) for f in eight]
    middle = [_important(neurons(f.finalists[SIX].W)) for f in six if SIX in f.finalists]
    absolute = [neurons(f.best.W, sign="absolute").name for f in pairs]
    wanted = {frozenset(pair) for pair in combinations(ALL, 2)}
    distinct = [len(_words(f.neurons) & wanted) for f in pairs]
    return [
        Claim(
            "F17",
            "1-S >= 0.5: every feature that is represented has a neuron to itself",
            "5 monosemantic neurons",
            _said(dense),
            [_wins(f, "5 monosemantic") for f in dense],
            source=Source.PAPER,
        ),
        Claim(
            "F17",
            "1-S from 0.2 to 0.5: the three most important features have a neuron each, the next three share two",
            "3 monosemantic neurons and a binary code",
            _said(binary),
            all(_holds_most_important(f, "3 monosemantic + binary code", 6) for f in binary),
            source=Source.PAPER,
        ),
        Claim(
            "F17",
            "in the binary code the (1,1) feature is orthogonal to the others, which are antipodal (|cos| < 0.15, cos < -0.9)",
            "(1,1) orthogonal; the other two an antipodal pair",
            "; ".join(f"cos {a:.2f} and {b:.2f}, {c:.2f}" for a, b, c in angles) or "no binary code",
            bool(angles) and all(abs(a) < 0.15 and abs(b) < 0.15 and c < -0.9 for a, b, c in angles),
            source=Source.PAPER,
        ),
        Claim(
            "F17",
            "1-S = 0.15: two monosemantic neurons, and five features in the other three",
            "5 in 3",
            _said(five) + "".join(f", {_margin(f)}" for f in five),
            [_wins(f, "2 monosemantic + 5 in 3") for f in five],
            source=Source.PAPER,
        ),
        Claim(
            "F17",
            "1-S = 0.12: one monosemantic neuron, and six features in the other four",
            "6 in 4",
            _said(six) + "".join(f", {_margin(f)}" for f in six),
            [_wins(f, SIX) for f in six],
            source=Source.PAPER,
        ),
        Claim(
            "F17",
            "1-S = 0.12: six features in four neurons come within 1 % of the least loss",
            "6 in 4",
            "; ".join(
                f"{100 * f.finalists[SIX].gap:.2f} % above it" if SIX in f.finalists else "not met"
                for f in six
            ),
            all(SIX in f.finalists and f.finalists[SIX].gap < 0.01 for f in six),
            source=Source.RESTATED,
            restates="1-S = 0.12: one monosemantic neuron",
        ),
        Claim(
            "F17",
            "six in four: one neuron tells important features, each two of the other three, from unimportant ones, one each",
            "a neuron for importance; pairs of the other three, or one of them",
            "; ".join(said for said, _, _ in middle) or "not met",
            bool(middle) and all(swapped == 0 for _, _, swapped in middle),
            source=Source.READING,
        ),
        Claim(
            "F17",
            "1-S from 0.05 to 0.08: eight features in five neurons, a flag and one other or three others than it",
            "8 in 5; one neuron tells important from unimportant, then three of the others or one",
            _said(eight) + "".join(f"; at {f.density:g} {_margin(f)}" for f in eight),
            [_wins(f, "8 in 5, flagged") for f in eight],
            source=Source.PAPER,
        ),
        Claim(
            "F17",
            "1-S from 0.05 to 0.08: that code it is, but a ninth feature may have the flag alone",
            "8 in 5",
            _said(eight),
            all(f.neurons.groups[0].flag is not None and f.neurons.groups[0].neurons == ALL for f in eight),
            source=Source.RESTATED,
            restates="1-S from 0.05 to 0.08: eight features",
        ),
        Claim(
            "F17",
            "1-S from 0.05 to 0.08: the flag's features are exactly the less important of the eight",
            "one neuron tells important from unimportant",
            "; ".join(said for said, _, _ in flags),
            all(swapped == 0 for _, _, swapped in flags),
            source=Source.PAPER,
        ),
        Claim(
            "F17",
            "1-S from 0.05 to 0.08: but for one exchange they are, and less important on average",
            "one neuron tells important from unimportant",
            "; ".join(f"ranks {on:.1f} on average, the others {off:.1f}" for _, (on, off), _ in flags),
            all(swapped <= 1 and on > off for _, (on, off), swapped in flags),
            source=Source.RESTATED,
            restates="1-S from 0.05 to 0.08: the flag's features",
        ),
        Claim(
            "F17",
            "1-S <= 0.04: every feature is a pair of neurons, all C(5, 2) = 10 of them distinct",
            "10 pairs",
            "; ".join(
                f"{k} of 10 pairs at {f.density:g} ({f.neurons.name})"
                for k, f in zip(distinct, pairs, strict=True)
            )
            + f"; |W| in place of its positive part, which counts inhibition too, would give {', '.join(absolute)}",
            all(k == 10 for k in distinct),
            source=Source.PAPER,
        ),
        Claim(
            "F17",
            "1-S <= 0.02: every feature is a pair of neurons, all C(5, 2) = 10 of them distinct",
            "10 pairs at 1-S <= 0.04",
            _said(sparsest),
            [_wins(f, "10 pairs of 5") for f in sparsest],
            source=Source.RESTATED,
            restates="1-S <= 0.04: every feature",
        ),
        Claim(
            "F17",
            "as sparsity grows, monosemantic neurons only ever become fewer",
            "there's a shift from monosemantic to polysemantic neurons as sparsity increases",
            ", ".join(f"{len(f.neurons.monosemantic)} at {f.density:g}" for f in found),
            _never_more([len(f.neurons.monosemantic) for f in found]),
            source=Source.PAPER,
        ),
        Claim(
            "F17",
            "all neurons are monosemantic for 1-S >= 0.5, none for 1-S <= 0.02; both kinds meet in one model from 0.1 to 0.4",
            "monosemantic neurons in some regimes, polysemantic in others, both in the same model",
            ", ".join(
                f"{len(f.neurons.monosemantic)} at {f.density:g}" for f in (*dense, *between, *sparsest)
            ),
            all(len(f.neurons.monosemantic) == MODEL.n_hidden for f in dense)
            and all(f.neurons.monosemantic and f.neurons.polysemantic for f in between)
            and not any(f.neurons.monosemantic for f in sparsest),
            source=Source.RESTATED,
            restates="as sparsity grows, monosemantic",
        ),
    ]


def _words(one: Neurons) -> set[frozenset[int]]:
    return {frozenset(code) for group in one.groups for code in group.codes}


def _holds_most_important(found: Found, name: str, count: int) -> bool:
    """The structure is `name`, on the `count` most important features, the first ones being monosemantic."""
    own = found.neurons
    alone = {group.features[0] for group in own.groups if group.name == "monosemantic"}
    return (
        own.name == name
        and alone == set(range(len(alone)))
        and own.dropped == tuple(range(count, MODEL.n_features))
    )


def _binary_cosines(W: np.ndarray, group: Group) -> tuple[float, float, float]:
    """Cosines of the (1,1) feature with the two others, and of those with each other."""
    both, *others = sorted(
        group.features, key=lambda i: -len(group.codes[group.features.index(i)])
    )  # codes 11, 10, 01
    cosines = geometry.cosines(W)
    return (
        float(cosines[both, others[0]]),
        float(cosines[both, others[1]]),
        float(cosines[others[0], others[1]]),
    )


def _important(one: Neurons) -> tuple[str, tuple[float, float], int]:
    """How well one neuron of the largest group parts important features from unimportant ones.

    Of the neurons that may be the flag the one whose features are the least important. Returns words, the mean rank
    of the features on and off it, and how many would have to be exchanged for an exact split; a feature that has the
    neuron alone is left out.
    """
    group = one.groups[0] if one.groups else Group((), (), (), "")
    words = {i: set(code) for i, code in zip(group.features, group.codes, strict=True)}
    best = ("no neuron that parts them", (0.0, 0.0), MODEL.n_features)
    for k in group.neurons if group.flag is None else (group.flag,):
        on = sorted(i for i, word in words.items() if k in word and len(word) > 1)
        off = sorted(i for i, word in words.items() if k not in word)
        swapped = sum(i not in sorted(on + off)[len(off) :] for i in on)
        if on and off and swapped < best[2]:
            said = f"neuron {k} is on for features {on}, off for {off}"
            best = (said, (float(np.mean(on)), float(np.mean(off))), swapped)
    return best


def _wins(found: Found, name: str) -> Comparison | bool:
    """Whether the structure `name` is the best; undecided where the best two differ by less than their error."""
    if found.neurons.name == name:
        rival = found.finalists[found.rival] if found.rival else None
        return more_than(rival.gap, 0, 1.96 * rival.error) if rival else True
    own = found.finalists.get(name)
    return at_most(own.gap, 0, 1.96 * own.error) if own else False


def _margin(found: Found) -> str:
    if not found.rival:
        return "no other structure among the best"
    rival = found.finalists[found.rival]
    return f"{100 * rival.gap:.2f} % (standard error {100 * rival.error:.2f} %) below the best {found.rival}"


def _never_more(counts: list[int]) -> bool:
    return counts == sorted(counts, reverse=True)


def statistics(seeds: int, found: list[Found]) -> list[Claim]:
    """How typical the best model is, and how sure its choice."""
    typical = [f.every.most_common(1)[0][0] == f.neurons.name for f in found]
    needed = [
        np.log(0.1) / np.log1p(-f.share) if 0 < f.share < 1 else (1 if f.share else np.inf) for f in found
    ]
    sure = [not f.rival or f.finalists[f.rival].gap > 3 * f.finalists[f.rival].error for f in found]
    return [
        Claim(
            "F17",
            "the typical solution is like the best one: at half of the densities or more, the most frequent structure is its",
            "typical solutions are often similar to the minimal loss ones",
            f"at {sum(typical)} of {len(found)}; share of models with the best one's structure: "
            + ", ".join(f"{100 * f.share:.1f} % at {f.density:g}" for f in found),
            at_least(2 * sum(typical), len(found)),
            source=Source.READING,
        ),
        Claim(
            "F17",
            "for 1-S >= 0.35 the typical solution is like the best one: the most frequent structure is its",
            "typical solutions are often similar to the minimal loss ones",
            ", ".join(f"{f.every.most_common(1)[0][0]} at {f.density:g}" for f in found if f.density >= 0.35),
            all(same for same, f in zip(typical, found, strict=True) if f.density >= 0.35),
            source=Source.RESTATED,
            restates="the typical solution is like the best one: at half",
        ),
        Claim(
            "this lab",
            f"{seeds:,} short runs meet the best structure with 90 % probability, at all densities but one at most",
            "1,000 models a sparsity",
            "models needed: "
            + ", ".join(f"{np.ceil(k):.0f} at {f.density:g}" for k, f in zip(needed, found, strict=True))
            + " (inf: it appears only in models trained on)",
            at_least(sum(k <= seeds for k in needed), len(found) - 1),
        ),
        Claim(
            "this lab",
            "the best structure beats every other by over three standard errors, at all densities but one at most",
            "not asked",
            "; ".join(f"{f.density:g}: {_margin(f)}" for f in found if f.rival)
            + f"; training on had lowered the least loss by {100 * min(f.gain for f in found):.2f} to "
            f"{100 * max(f.gain for f in found):.1f} %",
            at_least(sum(sure), len(found) - 1),
        ),
    ]
