import jax
import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.llm import LanguageModel
from superposition.llm.packing import Tokens
from superposition.llm.stream import lm_stream
from superposition.llm.torch_source import TorchModel, torch_stream

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.GPT2Config(n_layer=2, n_embd=32, n_head=4, vocab_size=97, n_positions=16, bos_token_id=0,
                                     eos_token_id=0)  # fmt: skip
    theirs = transformers.GPT2LMHeadModel(config).eval()
    folder = tmp_path_factory.mktemp("gpt2")
    theirs.save_pretrained(folder)
    return TorchModel(theirs), LanguageModel.from_hf(folder)


def rows(n=64):
    ids = np.random.default_rng(0).integers(1, 97, (n, 16)).astype(np.uint16)
    usable = np.ones(ids.shape, bool)
    usable[:, 0] = False
    return Tokens(ids, usable, np.zeros(n, np.int32), ("random",))


def test_the_stream_is_that_of_our_own_decoder_on_the_same_weights(both):
    torch_model, lm = both
    key, tokens = jax.random.key(1), rows()
    a = torch_stream(key, torch_model, tokens, "transformer.h.0.mlp.act", "transformer.h.1")
    b = lm_stream(key, lm, tokens, "blocks.0.mlp.hook_post", "blocks.1.hook_resid_post")
    for mine, ours in zip(a.sample(100, batch=50)[:2], b.sample(100, batch=50)[:2], strict=True):
        np.testing.assert_allclose(mine, ours, rtol=2e-5, atol=2e-6)


def test_what_is_given_out_is_a_copy(both):
    torch_model, _ = both
    seen = []

    def remember(module, inputs, output):
        seen.append(output)

    handle = torch_model.modules["transformer.wte"].register_forward_hook(remember)
    (got,) = torch_model.run(rows().tokens[:2], ("transformer.wte",))
    handle.remove()
    before = got.copy()
    seen[0].data.mul_(2)
    np.testing.assert_array_equal(got, before)
    assert not np.shares_memory(got, seen[0].detach().numpy())


def test_hooks_are_gone_afterwards_and_nothing_runs_past_the_last_one(both):
    torch_model, _ = both
    ran = []
    handle = torch_model.modules["transformer.h.1"].register_forward_hook(lambda *a: ran.append(1))
    torch_model.run(rows().tokens[:2], ("transformer.h.0",))
    handle.remove()
    assert not ran
    assert not torch_model.modules["transformer.h.0"]._forward_hooks


def test_an_sae_trains_on_it(both):
    from superposition.sae import TopK
    from superposition.training import SAERun, fit
    from superposition.training.optimizer import Adam

    torch_model, _ = both
    stream = torch_stream(jax.random.key(1), torch_model, rows(), "transformer.h.0.mlp.act")
    run = SAERun(TopK(d_in=128, d_sae=64, k=8), Adam(5e-3), steps=40, batch_size=60)
    history = fit(run, stream)[0].history["fvu"]
    assert history[-1] < 0.8 * history[0]


def ghost():
    import torch

    return torch.nn.Identity()


def test_modules_that_are_not_there_or_give_no_token_are_refused(both):
    torch_model, _ = both
    with pytest.raises(ConfigError, match=r"did you mean transformer\.h\.1\.mlp"):
        torch_stream(jax.random.key(0), torch_model, rows(), "transformer.h.1.mpl")
    torch_model.modules["ghost"] = ghost()
    with pytest.raises(ConfigError, match="never ran"):
        torch_model.run(rows().tokens[:1], ("ghost",))
    del torch_model.modules["ghost"]
    with pytest.raises(ConfigError, match="no activation per token"):
        torch_stream(jax.random.key(0), TorchModel(pooled()), rows(), "pool")
    with pytest.raises(ConfigError, match="no activation per token"):
        torch_stream(jax.random.key(0), TorchModel(pooled()), rows(), "shared")


def pooled():
    """A model that forgets its tokens on the way."""
    import torch

    class Pooled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.pool = torch.nn.Embedding(97, 8), torch.nn.Linear(8, 8)
            self.shared = torch.nn.Linear(8, 8)  # of the first row alone, for all rows

        def forward(self, input_ids, use_cache):
            x = self.embed(input_ids)
            return self.pool((x + self.shared(x[:1])).mean(1))

    return Pooled()


def test_a_folder_that_cannot_be_loaded_is_a_clear_error(tmp_path):
    with pytest.raises(ConfigError, match="cannot be loaded by transformers"):
        TorchModel.from_hf(str(tmp_path))
