"""A state dict as PyTorch writes it, with what its format has to offer: writes tests/train/reference/state_dict.pth.

    .venv/bin/python scripts/reference_pth.py

needs PyTorch; `tests/train/test_pth.py`, which reads the file and knows its numbers, does not.
"""

from pathlib import Path

import torch

FILE = Path(__file__).parents[1] / "tests" / "train" / "reference" / "state_dict.pth"


def main() -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 1), torch.nn.BatchNorm2d(3))
    for parameter in net.parameters():
        parameter.data = torch.arange(parameter.numel(), dtype=torch.float32).reshape(parameter.shape)
    state = net.state_dict()  # an OrderedDict with metadata; the batches counted are an int64 scalar
    table = torch.arange(12.0).reshape(3, 4)
    state |= {
        "shared": table,
        "transposed": table.T,  # a view: the same storage, other strides
        "middle": table[1:, 1:3],
        "parameter": torch.nn.Parameter(torch.tensor([1.5, -2.0])),
        "empty": torch.zeros(0, 3),
    }
    for dtype in (torch.float16, torch.bfloat16, torch.float64, torch.int32, torch.int16, torch.int8, torch.uint8):
        state[f"dtype.{dtype}".replace("torch.", "")] = torch.tensor([1, 2, 3], dtype=dtype)
    state["dtype.bool"] = torch.tensor([True, False])
    FILE.parent.mkdir(exist_ok=True)
    torch.save({"epoch": 3, "state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, FILE)
    print(FILE, FILE.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
