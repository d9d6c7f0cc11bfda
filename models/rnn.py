"""Recurrent networks: what was seen comes back as a state. Elman 1990, doi:10.1207/s15516709cog1402_1.

The LSTM is of Hochreiter and Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735; the GRU of Cho et al. 2014,
arXiv:1406.1078. The cells and their equations are in layers/cells.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from .core import Model, chain, named
from .layers import (
    Cell,
    as_pixels,
    as_steps,
    bidirectional,
    dense,
    dropout,
    elman,
    embedding,
    gru,
    lstm,
    minimal_gated_unit,
    on_values,
    read_out,
    recurrent,
    values,
)

CellName = Literal["elman", "elman_relu", "lstm", "lstm_peepholes", "lstm_norm", "gru", "gru_before", "mgu"]


@dataclass(frozen=True, kw_only=True)
class Layers:
    """What the recurrent layers of every network here can be told."""

    dropout: float = 0.0
    """probability of zeroing what a layer passes on, in training (Zaremba et al. 2014, arXiv:1409.2329)"""
    variational: bool = False
    """drop the same units at all steps, also of the input and of h (Gal and Ghahramani 2016, arXiv:1512.05287)"""
    forget_bias: float = 1.0
    """of an LSTM at the start: a larger one remembers longer"""
    carry: bool = False
    """begin each batch with the state that the last one ended with: windows of longer sequences,
    a stream, or generation"""
    chunk: int = 0
    """above 0, backpropagation keeps the state at every so many steps and computes the others again: less memory"""


@dataclass(frozen=True)
class RNN(Layers):
    """sequences [B, T, ...] -> outputs [B, outputs], or [B, T, outputs] of every step: logits, or numbers to predict.

    Layers of a recurrent cell one after another, a read-out, and a dense head. Sequences of different lengths come as
    `Padded(x, lengths)`. An image is read row by row. params: layer1, layer2, ..., head.
    Raises ValueError for an unknown cell or read-out, and for what `recurrent` refuses.
    """

    outputs: int = 10
    """classes to tell apart, or numbers to predict"""
    cell: CellName = "lstm"
    """elman (tanh), elman_relu, lstm, lstm_peepholes, lstm_norm (layer norm), gru (resets after the product, as
    PyTorch's), gru_before (as in the paper) or mgu (minimal gated unit)"""
    hidden: int = 128
    """units of a layer, in each direction"""
    depth: int = 1
    """recurrent layers"""
    bidirectional: bool = False
    """read from both ends"""
    read: Literal["last", "mean", "every"] = "last"
    """what the head sees: the last step (of the backward direction the first), the mean, or every step by itself"""
    pixels: bool = False
    """read images [B, H, W, C] pixel by pixel, in H W steps"""

    def build(self) -> Model:
        if self.carry and self.bidirectional:
            raise ValueError("no state can be carried in both directions: the backward one begins at the end")
        return chain(
            as_pixels if self.pixels else as_steps,
            *stack(self, self.bidirectional),
            read_out(self.read, bidirectional=self.bidirectional),
            named("head", dense(self.outputs)),
        )


@dataclass(frozen=True)
class RNNLanguageModel(Layers):
    """tokens [B, T] -> logits [B, T, vocabulary] of the token that follows each.

    Mikolov et al. 2010, doi:10.21437/Interspeech.2010-343; Graves 2013, arXiv:1308.0850.

    An embedding, layers of a recurrent cell, and a dense head. Tokens are integers; texts of different lengths come as
    `Padded(tokens, lengths)`. To generate, build the same network with `carry=True` and feed it one token at a time.
    params: embedding, layer1, layer2, ..., head. Raises ValueError as `RNN` does.
    """

    vocabulary: int = 256
    """different tokens; 256 for bytes"""
    embedding: int = 128
    """numbers that stand for a token"""
    cell: CellName = "lstm"
    """elman, elman_relu, lstm, lstm_peepholes, lstm_norm, gru, gru_before or mgu"""
    hidden: int = 512
    """units of a layer"""
    depth: int = 1
    """recurrent layers"""

    def build(self) -> Model:
        return chain(
            named("embedding", on_values(embedding(self.vocabulary, self.embedding))),
            *stack(self),
            values,
            named("head", dense(self.vocabulary)),
        )


CELLS: dict[str, Callable[..., Cell]] = {
    "elman": elman,
    "elman_relu": partial(elman, activation="relu"),
    "lstm": lstm,
    "lstm_peepholes": partial(lstm, peepholes=True),
    "lstm_norm": partial(lstm, norm=True),
    "gru": gru,
    "gru_before": partial(gru, reset="before"),
    "mgu": minimal_gated_unit,
}


def stack(network: RNN | RNNLanguageModel, both: bool = False) -> list[Model]:
    """The recurrent layers of a network, with dropout after each: [B, T, D] -> [B, T, hidden, or twice as many]."""
    if network.cell not in CELLS:
        raise ValueError(f"a cell is {', '.join(CELLS)}, not '{network.cell}'")
    if network.depth < 1:
        raise ValueError(f"a recurrent network has at least 1 layer, not {network.depth}")
    lstms = network.cell.startswith("lstm")
    cell = CELLS[network.cell](network.hidden, **({"forget_bias": network.forget_bias} if lstms else {}))
    rate = network.dropout if network.variational else 0.0
    if both:
        layer = bidirectional(cell, dropout=rate, chunk=network.chunk)
    else:
        layer = recurrent(cell, carry=network.carry, dropout=rate, chunk=network.chunk)
    drop = on_values(dropout(network.dropout, shared=(1,) if network.variational else ()))
    layers = [drop] if network.variational else []
    for n in range(1, network.depth + 1):
        layers += [named(f"layer{n}", layer), drop]
    return layers
