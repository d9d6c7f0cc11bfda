"""What PyTorch's recurrent layers compute: writes tests/models/reference/sequences/NAME.npz, a few KB each.

    .venv/bin/python scripts/reference_sequences.py

needs PyTorch; `tests/models/test_sequences.py`, which reads the files, does not. Weights, biases and inputs are drawn
from a tensor's name on both sides (`random_tensor`, the same few lines in both files). The sequences have different
lengths and are packed; the head is a dense layer over all steps. Everything is computed in float64.
"""

import json
import zlib
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

FOLDER = Path(__file__).parents[1] / "tests" / "models" / "reference" / "sequences"
LENGTHS, INPUTS, HIDDEN, OUTPUTS, VOCABULARY = (4, 6, 1), 3, 4, 2, 5

CELLS = {
    "elman": (nn.RNN, {}),
    "elman_relu": (nn.RNN, {"nonlinearity": "relu"}),
    "lstm": (nn.LSTM, {}),
    "gru": (nn.GRU, {}),
}
CASES = [*product(("elman", "lstm", "gru"), (1, 2), (False, True)), ("elman_relu", 2, True)]  # cell, layers, directions


class Network(nn.Module):
    """[B, T, D], or tokens [B, T] -> outputs [B, T, O], and the last states."""

    def __init__(self, cell: str, depth: int, both: bool, tokens: bool):
        super().__init__()
        layer, options = CELLS[cell]
        self.rnn = layer(INPUTS, HIDDEN, depth, batch_first=True, bidirectional=both, **options)
        self.head = nn.Linear(HIDDEN * (1 + both), VOCABULARY if tokens else OUTPUTS)
        self.embedding = nn.Embedding(VOCABULARY, INPUTS) if tokens else nn.Identity()

    def forward(self, x):
        packed = pack_padded_sequence(self.embedding(x), torch.tensor(LENGTHS), batch_first=True, enforce_sorted=False)
        y, last = self.rnn(packed)
        y, _ = pad_packed_sequence(y, batch_first=True)
        return self.head(y), last if isinstance(last, tuple) else (last,)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for cell, depth, both in CASES:
        write(f"{cell}_{depth}{'_both' * both}", record(cell, depth, both, False))
    write("language_model", record("lstm", 2, False, True))


def write(name: str, arrays: dict[str, np.ndarray]) -> None:
    np.savez_compressed(FOLDER / f"{name}.npz", **arrays)


def record(cell: str, depth: int, both: bool, tokens: bool) -> dict[str, np.ndarray]:
    """Outputs, last states, and the gradients of sum(outputs * cotangent) over the real steps, all in one array."""
    module = Network(cell, depth, both, tokens).double()
    for name, p in module.named_parameters():
        p.data = torch.tensor(random_tensor(name, tuple(p.shape))).double()
    shape = (len(LENGTHS), max(LENGTHS))
    if tokens:
        x = torch.arange(shape[0] * shape[1]).reshape(shape) % VOCABULARY
    else:
        x = torch.tensor(random_tensor("x", (*shape, INPUTS))).double().requires_grad_()
    y, last = module(x)
    real = torch.arange(shape[1]) < torch.tensor(LENGTHS)[:, None]
    cotangent = torch.tensor(random_tensor("cotangent", tuple(y.shape))) * real[..., None]
    (y * cotangent).sum().backward()
    gradients = {name: p.grad for name, p in module.named_parameters()} | ({} if tokens else {"x": x.grad})
    arrays = {"outputs": y * real[..., None], "states": torch.stack(last), "lengths": torch.tensor(LENGTHS)}
    arrays["gradients"] = torch.cat([gradient.flatten() for gradient in gradients.values()])
    arrays = {
        key: a.detach().numpy().astype(np.float32 if a.is_floating_point() else np.int32) for key, a in arrays.items()
    }
    return arrays | {"shapes": np.array(json.dumps({name: gradient.shape for name, gradient in gradients.items()}))}


def random_tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform numbers between -1 and 1 drawn from a name, float32."""
    return np.random.Generator(np.random.SFC64(zlib.crc32(name.encode()))).random(shape, np.float32) * 2 - 1


if __name__ == "__main__":
    main()
