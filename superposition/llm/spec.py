"""The architecture of a decoder as one frozen record; a model family is a function from config.json to it."""

from dataclasses import dataclass

from superposition._internal import validate
from superposition.errors import ConfigError

ACTIVATIONS = ("gelu", "gelu_tanh", "relu", "silu")
NORMS = ("layer", "rms", "rms_unit_offset")


@dataclass(frozen=True)
class Rotary:
    """Rotary positions over the first `dims` of d_head, half-rotation (Su et al. 2021, as Hugging Face stores it).

    scaling: () for none, ("linear", factor), or ("llama3", factor, low_freq_factor, high_freq_factor,
    original_max_position_embeddings).

    >>> Rotary(theta=10_000.0, dims=32)
    Rotary(theta=10000.0, dims=32, scaling=())
    """

    theta: float
    dims: int
    scaling: tuple[str | float, ...] = ()


@dataclass(frozen=True)
class Layer:
    """What may differ between layers.

    window: keys with query - key < window are seen, None for all. scale: factor of the attention scores.

    >>> Layer(scale=32**-0.5, window=128)
    Layer(scale=0.1767766952966369, window=128, rotary=None)
    """

    scale: float
    window: int | None = None
    rotary: Rotary | None = None


@dataclass(frozen=True)
class Spec:
    """A decoder-only transformer; every family of `FAMILIES` is a choice of these.

    norm: "layer" (two-pass variance, weight and bias), "rms" (cast, then weight), "rms_unit_offset" (1 + weight,
    then cast). parallel: attention and MLP both read the block's input, there is no hook_resid_mid.
    post_norms: a norm after attention and after the MLP, before the residual (Gemma 2, 3).
    qk_norm: RMS norm over d_head of queries and keys, of the same kind as norm. embed_scale: factor of the
    embedding, rounded to the weights' dtype first (Gemma). softcap: c tanh(x / c), before the mask.
    bos, eos: special tokens, None where there are none.

    >>> from superposition.llm import LanguageModel
    >>> spec = LanguageModel.from_hf().spec
    >>> spec.family, spec.n_layers, spec.d_model, spec.d_mlp
    ('gpt2', 1, 128, 512)
    """

    family: str
    d_model: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    d_mlp: int
    d_vocab: int
    n_ctx: int
    layers: tuple[Layer, ...]
    norm: str = "layer"
    norm_eps: float = 1e-5
    activation: str = "gelu_tanh"
    gated: bool = False
    learned_positions: bool = False
    parallel: bool = False
    post_norms: bool = False
    qk_norm: bool = False
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    tied: bool = True
    embed_scale: float | None = None
    attention_softcap: float | None = None
    logit_softcap: float | None = None
    bos: int | None = None
    eos: int | None = None

    def __post_init__(self) -> None:
        for name in ("d_model", "n_heads", "n_kv_heads", "d_head", "d_mlp", "d_vocab", "n_ctx"):
            validate.integer(name, getattr(self, name), 1, 2**31 - 1)
        if self.n_heads % self.n_kv_heads:
            raise ConfigError(
                f"n_heads must be a multiple of n_kv_heads; got {self.n_heads} and {self.n_kv_heads}"
            )
        if not self.layers:
            raise ConfigError("a model needs at least one layer; got none")
        validate.choice("norm", self.norm, NORMS)
        validate.choice("activation", self.activation, ACTIVATIONS)
        for layer in self.layers:
            if layer.window is not None:
                validate.integer("window", layer.window, 1)
            if layer.rotary is not None and not 0 < layer.rotary.dims <= self.d_head:
                raise ConfigError(f"rotary dims must lie in (0, {self.d_head}]; got {layer.rotary.dims}")

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        return len(self.layers)
