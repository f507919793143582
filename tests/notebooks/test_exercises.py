"""Exercises: the student's version fails at its first check, the solution passes, wrong answers are told what is wrong."""

import numpy as np
import pytest

from notebooks import build, lab

EXERCISES = [path for path in build.lessons() if 'tags=["solution"]' in build.source(path)]


def relu(z):
    return np.maximum(z, 0)


def right_encode(p, h):
    return relu((h - p["b_dec"]) @ p["W_enc"] + p["b_enc"])


def right_decode(p, f):
    return f @ p["W_dec"] + p["b_dec"]


def right_loss(p, h, penalty):
    f = right_encode(p, h)
    return (error(p, h).sum(1) + penalty * f @ np.linalg.norm(p["W_dec"], axis=1)).mean()


def error(p, h):
    return (h - right_decode(p, right_encode(p, h))) ** 2


def sparse(p, h):
    return right_encode(p, h) @ np.linalg.norm(p["W_dec"], axis=1)


WRONG = [
    (lab.check_encode, lambda p, h: None, "encode returns nothing yet"),
    (lab.check_encode, lambda p, h: ..., "encode returns nothing yet"),
    (lab.check_encode, lambda p, h: right_encode(p, h).T, r"encode returns shape \(6, 50\); it should be \(50, 6\)"),
    (lab.check_encode, lambda p, h: (h - p["b_dec"]) @ p["W_enc"] + p["b_enc"], "negative: apply the ReLU"),
    (lab.check_encode, lambda p, h: relu((h - p["b_dec"]) @ p["W_enc"]), "b_enc is not added"),
    (lab.check_encode, lambda p, h: relu(h @ p["W_enc"] + p["b_enc"]), "b_dec is not subtracted"),
    (lab.check_encode, lambda p, h: relu((h - p["b_dec"]) @ p["W_enc"]) + p["b_enc"], "it belongs inside"),
    (lab.check_encode, lambda p, h: 2 * right_encode(p, h), r"encode is not f = ReLU.* differs by up to"),
    (lab.check_decode, lambda p, f: f @ p["W_dec"], "b_dec is not added"),
    (lab.check_decode, lambda p, f: relu(right_decode(p, f)), "a reconstruction may be negative"),
    (lab.check_decode, lambda p, f: right_decode(p, f)[:1], r"it should be \(50, 4\)"),
    (lab.check_decode, lambda p, f: f @ p["W_dec"] - p["b_dec"], "decode is not h_hat"),
    (lab.check_loss, lambda p, h, penalty: None, "loss returns nothing yet"),
    (lab.check_loss, lambda p, h, penalty: error(p, h).sum(1), r"it should be \(\)"),
    (lab.check_loss, lambda p, h, penalty: error(p, h).sum(1).mean(), "the penalty is missing"),
    (lab.check_loss, lambda p, h, penalty: error(p, h).mean() + penalty * sparse(p, h).mean(), "take their sum"),
    (lab.check_loss, lambda p, h, penalty: (error(p, h).sum(1) + penalty * right_encode(p, h).sum(1)).mean(),
     "norms of their decoder rows"),
    (lab.check_loss, lambda p, h, penalty: error(p, h).sum() + penalty * sparse(p, h).sum(), "take the mean"),
    (lab.check_loss, lambda p, h, penalty: penalty * sparse(p, h).mean(), "the squared error is missing"),
    (lab.check_loss, lambda p, h, penalty: 3 * right_loss(p, h, penalty), "loss is not mean"),
]  # fmt: skip


def strongest_share(a, s, n):
    order = np.argsort(-a)[:n]
    top = order[a[order] > 0]
    return s[top].mean() if len(top) else 0.0


def of_top(a, s, n):
    return s[np.argsort(-a)[:n]]


def firing(a, n):
    return np.argsort(-a)[: min(n, (a > 0).sum())]


def weights(s, rarity):
    return np.where(s, rarity / s.sum(), (1 - rarity) / (~s).sum())


def right_ap(a, s, rarity, *, w=None, silent=False, n=None):
    """Average precision, with one thing changed at a time."""
    w = weights(s, rarity) if w is None else w
    order = np.argsort(-a, kind="stable")
    precision = np.cumsum((w * s)[order]) / np.cumsum(w[order])
    found = s[order] & ((a[order] > 0) | silent)
    return precision[found].sum() / (s.sum() if n is None else n(found))


def upward_ap(a, s, rarity):
    order = np.argsort(a, kind="stable")
    w = weights(s, rarity)
    precision = np.cumsum((w * s)[order]) / np.cumsum(w[order])
    return precision[s[order] & (a[order] > 0)].sum() / s.sum()


def of_all(a, s, rarity):
    order, w = np.argsort(-a, kind="stable"), weights(s, rarity)
    return (np.cumsum((w * s)[order]) / np.cumsum(w[order])).mean()


def by_count(a, s, rarity):
    order, w = np.argsort(-a), weights(s, rarity)
    precision = np.cumsum((w * s)[order]) / np.arange(1, len(a) + 1)
    return precision[s[order] & (a[order] > 0)].sum() / s.sum()


def unsorted_weights(a, s, rarity):
    order, w = np.argsort(-a), weights(s, rarity)
    precision = np.cumsum(w * s[order]) / np.cumsum(w)
    return precision[s[order] & (a[order] > 0)].sum() / s.sum()


def right_scores(says, fires):
    both = (says & fires).sum()
    p, r = both / max(says.sum(), 1), both / max(fires.sum(), 1)
    return p, r, 2 * p * r / (p + r) if both else 0.0


def plain_scores(says, fires):
    p, r = (says & fires).sum() / says.sum(), (says & fires).sum() / fires.sum()
    return p, r, 2 * p * r / (p + r)


def by_python(says, fires):
    both, yes, on = (int(a.sum()) for a in (says & fires, says, fires))
    return both / yes, both / on, 2 * both / (yes + on)


SAME_F1 = (0.4, 0.8, 0.4 * 0.8 * 2 / 1.2)
WRONG += [
    (lab.check_share_of_top, lambda a, s, n: None, "share_of_top returns nothing yet"),
    (lab.check_share_of_top, lambda a, s, n: s[np.argsort(a)[:n]].mean(), "the weakest tokens"),
    (lab.check_share_of_top, lambda a, s, n: of_top(a, s, n).mean(), "tokens on which the unit is silent are counted"),
    (lab.check_share_of_top, lambda a, s, n: s[firing(a, n)].sum() / n, "fewer than n: divide by how many"),
    (lab.check_share_of_top, lambda a, s, n: s[firing(a, n)].sum(), "this is the number of tokens"),
    (lab.check_share_of_top, lambda a, s, n: s[firing(a, n)].sum() / s.sum(), "share of the script that is among"),
    (lab.check_share_of_top, lambda a, s, n: s[firing(a, n)].mean(), "never fires has share 0; got nan"),
    (lab.check_share_of_top, lambda a, s, n: s[firing(a, n)], r"shape \(6,\); it should be \(\)"),
    (lab.check_share_of_top, lambda a, s, n: 0.123, "share_of_top is not the share"),
    (lab.check_average_precision, lambda a, s, r: ..., "average_precision returns nothing yet"),
    (lab.check_average_precision, lambda a, s, r: right_ap(a, s, r, w=np.ones(len(a))), "rarity is not used"),
    (lab.check_average_precision, lambda a, s, r: right_ap(a, s, r, silent=True), "the order of the file"),
    (lab.check_average_precision, lambda a, s, r: right_ap(a, s, r, n=np.sum), "count, too, with 0"),
    (lab.check_average_precision, of_all, "the mean is over all tokens"),
    (lab.check_average_precision, upward_ap, "the weakest tokens come first"),
    (lab.check_average_precision, by_count, "precision is a share of weight"),
    (lab.check_average_precision, unsorted_weights, "weights belong to tokens"),
    (lab.check_average_precision, lambda a, s, r: 0.5, "average_precision is not the mean"),
    (lab.check_scores, lambda says, fires: None, "scores returns nothing yet"),
    (lab.check_scores, lambda says, fires: SAME_F1[0], r"it should be \(3,\)"),
    (lab.check_scores, lambda says, fires: (SAME_F1[1], SAME_F1[0], SAME_F1[2]), "precision and recall are exchanged"),
    (lab.check_scores, lambda says, fires: (0.4, 0.8, 0.6), "not the mean of precision and recall"),
    (lab.check_scores, lambda says, fires: (0.4, 0.8, SAME_F1[2] / 2), "F1 misses its 2"),
    (lab.check_scores, lambda says, fires: [100 * v for v in SAME_F1], "percentages"),
    (lab.check_scores, lambda says, fires: ((says == fires).mean(), 0.8, 0.5), "this is accuracy"),
    (lab.check_scores, lambda says, fires: (0.1, 0.8, 0.5), "scores is not"),
    (lab.check_scores, by_python, "divides by 0 for a rule that never says yes"),
    (lab.check_scores, plain_scores, "a rule that never says yes has scores 0; got nan"),
    *((lambda answer, check=lab.check_rule: check(answer, TEXT, FIRES), answer, message) for answer, message in [
        (lambda before, token: None, "rule returns nothing yet"),
        (lambda before, token: token, "rule returns 'The'; it should be True or False"),
        (lambda before, token: before[-1] == "x", "fails at the beginning of a text, .* IndexError"),
        (lambda before, token: False, "rule never says yes"),
        (lambda before, token: True, "rule always says yes"),
        (lambda before, token: len(token) > 2, "precision 0.50, recall 1.00, F1 0.67; it says yes .* ' cat', 'and', ' dog'"),
        (lambda before, token: token == "The", "recall 0.33, F1 0.50; it says no where the latent fires, .* ' the'"),
    ]),
]  # fmt: skip
TEXT = [["The", " cat", "and", " the", " dog"], ["a", "b", " the", "c", "d"]]
FIRES = np.array([[word.strip().lower() == "the" for word in row] for row in TEXT])


@pytest.mark.parametrize(("check", "answer", "message"), WRONG)
def test_a_wrong_answer_is_told_what_is_wrong(check, answer, message):
    with pytest.raises(lab.Wrong, match=message):
        check(answer)


MOVED = [
    (lab.check_steer, lambda h, W, j, a: None, "steer returns nothing yet"),
    (lab.check_steer, lambda h, W, j, a: h, "nothing is added"),
    (lab.check_steer, lambda h, W, j, a: h + W[j], "the dose is missing"),
    (lab.check_steer, lambda h, W, j, a: h - a * W[j], "taken away; add it"),
    (lab.check_steer, lambda h, W, j, a: h + a * W[j] / np.linalg.norm(W[j]), "scaled to length 1"),
    (lab.check_steer, lambda h, W, j, a: a * W[j] + 0 * h, "the activations are replaced"),
    (lab.check_steer, lambda h, W, j, a: h + 2 * a * W[j], "steer is not h"),
    (lab.check_selectivity, lambda m, i: m[i], "the other sets are missing"),
    (lab.check_selectivity, lambda m, i: m[i] - m.max(), "the own set is among"),
    (lab.check_selectivity, lambda m, i: m[i] - np.delete(m, i).mean(), "distance from the mean"),
    (lab.check_selectivity, lambda m, i: m[i] / np.delete(m, i).max(), "subtracted, not divided"),
    (lab.check_selectivity, lambda m, i: np.delete(m, i).max() - m[i], "the sign is turned"),
    (lab.check_selectivity, lambda m, i: m[i] - np.abs(np.delete(m, i)).max(), "not the largest size"),
    (lab.check_ablate, lambda h, f, W, j: h, "nothing is taken out"),
    (lab.check_ablate, lambda h, f, W, j: h - W[j], "the activation of the latent is missing"),
    (lab.check_ablate, lambda h, f, W, j: h + f[..., j, None] * W[j], "added; take it away"),
    (lab.check_ablate, lambda h, f, W, j: np.delete(f, j, -1) @ np.delete(W, j, 0), "start from h"),
    (lab.check_ablate, lambda h, f, W, j: f[..., j, None] * W[j], "only the part of the latent is left"),
    (lab.check_ablate, lambda h, f, W, j: h - f @ W, "takes every latent out"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "answer", "message"), MOVED)
def test_a_wrong_answer_of_lesson_11_is_told_what_is_wrong(check, answer, message):
    with pytest.raises(lab.Wrong, match=message):
        check(answer)


def test_right_answers_pass():
    lab.check_steer(lambda h, W, j, a: h + a * W[j])
    lab.check_selectivity(lambda moved, own: moved[own] - np.delete(moved, own).max())
    lab.check_ablate(lambda h, f, W, j: h - f[..., j, None] * W[j])
    lab.check_encode(right_encode)
    lab.check_decode(right_decode)
    lab.check_loss(right_loss)
    lab.check_pseudo_identity(25.5, 0.001, 0.0)
    lab.check_share_of_top(strongest_share)
    lab.check_average_precision(right_ap)
    lab.check_scores(right_scores)
    lab.check_rule(lambda before, token: token.strip().lower() == "the", TEXT, FIRES)


@pytest.mark.parametrize(("scores", "message"), [
    ((25.5, 0.1, 0.0), "10% of the variance is lost"),
    ((1.2, 0.001, 0.0), "only 1.2 latents are active"),
    ((25.5, 0.001, 0.9), "90% of the features are found"),
])  # fmt: skip
def test_what_is_no_pseudo_identity_is_told(scores, message):
    with pytest.raises(lab.Wrong, match=message):
        lab.check_pseudo_identity(*scores)


@pytest.mark.parametrize("path", EXERCISES, ids=lambda path: path.stem)
def test_the_students_version_fails_at_exactly_its_first_check(path, tmp_path, monkeypatch):
    """Every cell before it runs as it stands; the check says that the first function is still to be written."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.syspath_prepend(str(build.HERE))
    text = build.FAST.sub(r"\1\3\2", build.student(path))
    cells = [cell for cell in text.split("# %%") if not cell.startswith(" [markdown]")]
    first = next(i for i, cell in enumerate(cells) if cell.startswith(' tags=["check"]'))
    names = {"__name__": "__main__"}
    for cell in cells[:first]:
        exec("#" + cell, names)
    with pytest.raises(
        AssertionError, match=r"(encode|share_of_top|scores|steer) returns nothing yet: write its body"
    ):
        exec("#" + cells[first], names)


def test_there_are_exercises():
    assert [path.stem[:2] for path in EXERCISES] == ["06", "08", "09", "11"]
