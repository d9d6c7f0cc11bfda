"""Recurrent networks in PyTorch, trained on whole sequences and used token by token.

An LSTM here has two biases that are only added: the second one is zero and is not trained.
"""

import torch
from torch import nn
from workloads import CHUNK, EMBEDDING, HIDDEN, VOCABULARY


class PixelRNN(nn.Module):
    """Images pixel by pixel."""

    def __init__(self):
        super().__init__()
        self.recurrent, self.head = one_bias(nn.LSTM(1, 128, batch_first=True)), nn.Linear(128, 10)

    def forward(self, x):
        return self.head(self.recurrent(x.flatten(1).unsqueeze(-1))[0][:, -1])


class LanguageModel(nn.Module):
    """Tokens [B, T] to logits [B, T, V]."""

    def __init__(self, layer: type[nn.Module]):
        super().__init__()
        self.embedding, self.head = nn.Embedding(VOCABULARY, EMBEDDING), nn.Linear(HIDDEN, VOCABULARY)
        self.recurrent = one_bias(layer(EMBEDDING, HIDDEN, batch_first=True))

    def forward(self, x):
        return self.head(self.recurrent(self.embedding(x))[0])


class LayerReader(LanguageModel):
    """A token [1] and the state before it to logits [1, V] and the state after it, through nn.LSTM."""

    def __init__(self):
        super().__init__(nn.LSTM)

    def forward(self, x, state):
        x, state = self.recurrent(self.embedding(x), state)
        return self.head(x), state

    def start(self):
        return torch.zeros(1, HIDDEN), torch.zeros(1, HIDDEN)


class CellReader(nn.Module):
    """The same through nn.LSTMCell."""

    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(VOCABULARY, EMBEDDING), nn.Linear(HIDDEN, VOCABULARY)
        self.recurrent = one_bias(nn.LSTMCell(EMBEDDING, HIDDEN))

    def forward(self, x, state):
        h, c = self.recurrent(self.embedding(x), state)
        return self.head(h), (h, c)

    start = LayerReader.start


def one_bias(layer: nn.Module) -> nn.Module:
    if isinstance(layer, (nn.LSTM, nn.LSTMCell)):
        second = next(parameter for name, parameter in layer.named_parameters() if name.startswith("bias_hh"))
        nn.init.zeros_(second.requires_grad_(False))
    return layer


NETWORKS = {"lstm": PixelRNN, "char_lstm": lambda: LanguageModel(nn.LSTM), "char_gru": lambda: LanguageModel(nn.GRU)}
TRAINING = ["eager, fused", "compiled, fused"]
ONE_BY_ONE = ["nn.LSTM", "nn.LSTMCell", "nn.LSTMCell, compiled", "nn.LSTMCell, compiled and frozen"]
FORMS = {"lstm": TRAINING, "char_lstm": TRAINING, "char_gru": TRAINING, "stream": ONE_BY_ONE, "generate": ONE_BY_ONE}


def one_by_one(workload: str, form: str):
    if "frozen" in form:
        torch._inductor.config.freezing = True
    torch.manual_seed(0)
    net = (CellReader if "Cell" in form else LayerReader)().eval()

    def likeliest(token, state):
        logits, state = net(token, state)
        return logits.argmax(1), state, logits

    def drawn(token, state):
        logits, state = net(token, state)
        return torch.multinomial(logits.softmax(1), 1)[:, 0], state

    following = likeliest if workload == "stream" else drawn
    if "compiled" in form:
        following = torch.compile(following)
    token, state = torch.zeros(1, dtype=torch.int64), net.start()

    @torch.inference_mode()
    def stream(steps: int) -> None:
        nonlocal token, state
        for _ in range(steps):
            token, state, logits = following(token, state)
            logits.numpy()

    @torch.inference_mode()
    def generate(steps: int) -> None:
        nonlocal token, state
        for _ in range(steps):
            tokens = []
            for _ in range(CHUNK):
                token, state = following(token, state)
                tokens.append(token)
            torch.cat(tokens).numpy()

    return stream if workload == "stream" else generate, net
