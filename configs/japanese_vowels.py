"""Nine speakers told apart by how they say two vowels: 12 coefficients a step, 7 to 29 steps.

FILE is JapaneseVowels_TRAIN.ts of the UEA archive (it also lies in the package sktime), with JapaneseVowels_TEST.ts
beside it. Kudo, Toyama and Shimbo 1999, doi:10.1016/S0167-8655(99)00077-X.

`purezoo train japanese_vowels --data.source FILE --train.seeds 5`

Measured on the test split: accuracy 98.81 ± 0.31 % (5 seeds), 31,113 parameters,
15 s in all one after another, cpu (2 cores, x86_64), jax 0.10.2.
"""

from ..models import RNN
from ..train.config import Experiment, Train
from ..train.data import Data
from ..train.optimizers import Optimizer, Schedule
from ..train.tasks import Classification

EXPERIMENT = Experiment(
    model=RNN(outputs=9, cell="gru", hidden=64, bidirectional=True, read="mean", dropout=0.4),
    data=Data(source="JapaneseVowels_TRAIN.ts", validation=0.1),
    task=Classification(label_smoothing=0.1),
    optimizer=Optimizer(name="adam", learning_rate=3e-3, ema=0.99, clip=1.0, schedule=Schedule("cosine_decay")),
    train=Train(batch_size=32, epochs=60),
)
