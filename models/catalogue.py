"""The zoo's networks in their usual form: what `purezoo list` shows, and what the contract test runs over.

A network enters with one line here. `tests/models/test_catalogue.py` fails for a network that has none.
"""

from typing import Any, NamedTuple

from .lenet import LeNet
from .linear_regression import LinearRegression
from .logistic_regression import LogisticRegression
from .mlp import MLP


class Entry(NamedTuple):
    """A network with the shape of one example and what they give."""

    network: Any  # an instance of the dataclass
    input: tuple[int, ...]  # shape of one example
    output: tuple[int, ...]
    parameters: int


CATALOGUE: dict[str, Entry] = {
    "linear_regression": Entry(LinearRegression(), (10,), (1,), 11),
    "logistic_regression": Entry(LogisticRegression(), (28, 28, 1), (10,), 7_850),
    "mlp": Entry(MLP(), (28, 28, 1), (10,), 535_818),
    "mlp_batch_norm": Entry(MLP(batch_norm=True, dropout=0.5), (28, 28, 1), (10,), 536_586),
    "lenet": Entry(LeNet(), (28, 28, 1), (10,), 61_706),
}
