"""The data of a run: examples in memory, explicit splits, and what prediction needs to repeat the preparation."""

from .config import Data
from .dataset import Dataset, load, peek
from .info import Info
from .inputs import Inputs, read_inputs
from .split import load_splits, save_splits

__all__ = ["Data", "Dataset", "Info", "Inputs", "load", "load_splits", "peek", "read_inputs", "save_splits"]
