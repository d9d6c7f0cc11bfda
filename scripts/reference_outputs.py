"""What PyTorch computes for every layer and network of the zoo: writes tests/models/reference/NAME.npz.

    .venv/bin/python scripts/reference_outputs.py NAME...

writes those alone, and without a name all. It needs PyTorch; `tests/models/test_reference.py`, which reads the files,
does not. A new layer enters with one line in LAYERS (reference_layers.py), a network with one in NETWORKS
(reference_small_networks.py), and one of the same name there. Inputs, weights and biases are random and not zero. The
numbers are computed in float64 and stored in float32, channels last, kernels [*window, in, out], under our names.
"""

import argparse
import copy
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from reference_layers import LAYERS
from reference_small_networks import NETWORKS
from torch import nn

FOLDER = Path(__file__).parents[1] / "tests" / "models" / "reference"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    names = parser.parse_args().names or [*LAYERS, *NETWORKS]
    if unknown := [name for name in names if name not in LAYERS and name not in NETWORKS]:
        parser.error(f"neither in LAYERS nor in NETWORKS: {', '.join(unknown)}")
    FOLDER.mkdir(exist_ok=True)
    for name in names:
        if name in LAYERS:
            write(name, layer_record(*LAYERS[name], generator(name)))
        else:
            write(name, network_record(*NETWORKS[name], generator(name)))
    print(f"{len(names)} files in {FOLDER}")


def layer_record(module: nn.Module, shape: tuple[int, ...], random: torch.Generator) -> dict:
    """The output, and the gradients of sum(output * cotangent) with respect to the input and the parameters."""
    randomize(module, random)
    x = torch.randn(shape, generator=random).double().requires_grad_()
    record = {"x": positions_last(module, x), "params": tree(module, "parameters"), "state": tree(module, "buffers")}
    y = module(x)
    cotangent = torch.randn(y.shape, generator=random).double()
    (y * cotangent).sum().backward()
    arrays = {"y": y, "cotangent": cotangent, "x_gradient": x.grad}
    record |= {name: positions_last(module, tensor) for name, tensor in arrays.items()}
    record["gradients"] = tree(module, "parameters", lambda p: p.grad)
    record["state_after"] = tree(module, "buffers") if module.training else {}
    return record


def network_record(module: nn.Module, shape: tuple[int, ...], classes: int, random: torch.Generator) -> dict:
    """Logits, loss and gradients in training, then three steps of SGD at rate 0.1.

    Of a gradient and of a parameter's way in three steps the norm is kept, which keeps the files small.
    """
    randomize(module, random)
    x = torch.randn(shape, generator=random).double()
    outputs = copy.deepcopy(module)(x).shape  # [B, classes], for each pixel [B, classes, H, W]
    if classes:
        y, criterion = torch.randint(classes, (outputs[0], *outputs[2:]), generator=random), nn.CrossEntropyLoss()
    else:
        y, criterion = torch.randn(outputs, generator=random).double(), nn.MSELoss()
    start = tree(module, "parameters")
    target = y.numpy() if classes else positions_last(module, y)
    record = {"x": positions_last(module, x), "y": target, "params": start, "state": tree(module, "buffers")}
    optimizer, losses = torch.optim.SGD(module.parameters(), lr=0.1), []
    for step in range(3):
        optimizer.zero_grad()
        logits = module(x)
        loss = criterion(logits, y)
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            record["logits"] = positions_last(module, logits)
            record["gradient_norms"] = norms(tree(module, "parameters", lambda p: p.grad))
        optimizer.step()
    record["way_norms"] = norms({name: p - start[name] for name, p in tree(module, "parameters").items()})
    record |= {"losses": np.array(losses), "state_after": tree(module, "buffers")}
    return record | {"logits_after": positions_last(module, module.eval()(x))}


def norms(arrays: dict) -> dict:
    return {name: np.linalg.norm(array) for name, array in arrays.items()}


def generator(name: str) -> torch.Generator:
    """Random numbers of a case's own: adding a case leaves the others as they are."""
    return torch.Generator().manual_seed(zlib.crc32(name.encode()))


def randomize(module: nn.Module, random: torch.Generator) -> None:
    """Multiples of 1/128, so that the files compress."""
    for layer in module.modules():
        for name, p in [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]:
            if not p.is_floating_point():
                continue
            value = torch.randn(p.shape, generator=random)
            if p.ndim > 1:
                value *= p[0].numel() ** -0.5
            elif name == "running_var":
                value = 1 + value.abs()
            elif name == "weight":  # the scale of a normalisation
                value = 1 + value / 4
            p.data = (torch.sign(value) * torch.clamp((value.abs() * 128).round(), min=1) / 128).to(p.dtype)
    module.double()


def tree(module: nn.Module, kind: str, of=lambda tensor: tensor) -> dict:
    """Parameters or buffers, or what `of` makes of them, as {"layer/name": array} in our names and layouts."""
    found = {}
    for path, layer in module.named_modules():
        for name, tensor in getattr(layer, f"named_{kind}")(recurse=False):
            if name != "num_batches_tracked":
                ours, order = name_and_axes(layer, name, tensor.ndim)
                array = of(tensor).detach().numpy().transpose(order)
                found["/".join([*path.split("."), ours]).lstrip("/")] = array.copy()
    return found


def name_and_axes(layer: nn.Module, name: str, ndim: int) -> tuple[str, tuple[int, ...]]:
    window = tuple(range(2, ndim))
    if isinstance(layer, nn.Embedding):
        return "embedding", (0, 1)
    if name == "weight" and isinstance(layer, (nn.ConvTranspose1d, nn.ConvTranspose2d)):
        return "kernel", (*window, 0, 1)
    if name == "weight" and ndim > 1:
        return "kernel", (*window, 1, 0)
    return {"weight": "scale", "running_mean": "mean", "running_var": "var"}.get(name, name), tuple(range(ndim))


def positions_last(module: nn.Module, tensor: torch.Tensor) -> np.ndarray:
    """[B, C, ...] as [B, ..., C], but for the layers that have the channels last in PyTorch as well."""
    array = tensor.detach().numpy()
    return array if isinstance(module, (nn.Linear, nn.LayerNorm)) else np.moveaxis(array, 1, -1)


def write(file: str, record: dict) -> None:
    """Arrays as they are, {"params": {"kernel": ...}} as "params/kernel"; float64 becomes float32."""
    arrays: dict[str, Any] = {}
    for key, value in record.items():
        arrays |= {f"{key}/{name}": a for name, a in value.items()} if isinstance(value, dict) else {key: value}
    arrays = {key: a.astype(np.float32 if a.dtype == np.float64 else np.int32) for key, a in arrays.items()}
    np.savez_compressed(FOLDER / f"{file}.npz", **arrays)


if __name__ == "__main__":
    main()
