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
    with pytest.raises(AssertionError, match=r"^(encode|steer) returns nothing yet: write its body"):
        exec("#" + cells[first], names)


def test_there_are_exercises():
    assert [path.stem for path in EXERCISES] == ["06_sae", "11_steering_and_ablation"]
