"""Recurrent networks in Flax Linen, with whichever of its cells a form names."""

import jax.numpy as jnp
from flax import linen as nn
from workloads import EMBEDDING, HIDDEN, VOCABULARY

FUSED, APART = "OptimizedLSTMCell", "LSTMCell"
CELLS = {FUSED: nn.OptimizedLSTMCell, APART: nn.LSTMCell, "GRUCell": nn.GRUCell}


class PixelRNN(nn.Module):
    """Images pixel by pixel."""

    cell: str

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.RNN(CELLS[self.cell](128))(x.reshape(len(x), -1, 1))
        return nn.Dense(10)(x[:, -1])


class LanguageModel(nn.Module):
    """Tokens [B, T] to logits [B, T, V]; `step` of one token with the state before it, and the state after it."""

    cell: str

    def setup(self):
        normal = nn.initializers.normal(1.0)  # as purezoo's and PyTorch's
        self.embedding = nn.Embed(VOCABULARY, EMBEDDING, embedding_init=normal)
        self.head = nn.Dense(VOCABULARY)
        self.recurrent = CELLS[self.cell](HIDDEN)
        self.rnn = nn.RNN(self.recurrent)

    def __call__(self, x, train=False):
        return self.head(self.rnn(self.embedding(x)))

    def step(self, state, token):
        state, x = self.recurrent(state, self.embedding(token))
        return state, self.head(x)

    def start(self):
        return tuple(jnp.zeros(HIDDEN) for _ in range(2))
