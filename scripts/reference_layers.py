"""The layers of the zoo as PyTorch has them, for scripts/reference_outputs.py. A line each in LAYERS."""

import torch
from torch import nn
from torch.nn import functional as F


class SelfAttention(nn.Module):
    """The function of nn.MultiheadAttention, with parameters under our names: [B, D, T] -> [B, D, T]."""

    def __init__(self, width: int, heads: int, causal: bool = False):
        super().__init__()
        self.query_key_value, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads, self.causal = heads, causal

    def forward(self, x):
        inward, outward, x = self.query_key_value, self.output, x.permute(2, 0, 1)
        mask = nn.Transformer.generate_square_subsequent_mask(len(x), dtype=x.dtype) if self.causal else None
        y, _ = F.multi_head_attention_forward(
            x, x, x, x.shape[-1], self.heads, inward.weight, inward.bias, None, None, False, 0.0, outward.weight,
            outward.bias, need_weights=False, attn_mask=mask, is_causal=self.causal,
        )  # fmt: skip
        return y.permute(1, 2, 0)


class PatchEmbedding(nn.Conv2d):
    def forward(self, x):
        return super().forward(x).flatten(2)


class ClassToken(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.token = nn.Parameter(torch.zeros(width))

    def forward(self, x):
        return torch.cat([self.token[:, None].expand(len(x), -1, 1), x], 2)


class PositionEmbedding(nn.Module):
    def __init__(self, positions: int, width: int):
        super().__init__()
        self.embedding = nn.Parameter(torch.zeros(positions, width))

    def forward(self, x):
        return x + self.embedding.T


class LayerScale(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * self.weight[:, None, None]


# A module and the shape of its input, channels second.
LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "dense": (nn.Linear(4, 5), (3, 4)),
    "dense_positions": (nn.Linear(4, 5), (2, 3, 4)),
    "conv": (nn.Conv2d(3, 4, 3), (2, 3, 7, 6)),
    "conv_1x1": (nn.Conv2d(3, 4, 1, bias=False), (2, 3, 5, 4)),
    "conv_stride": (nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 0)), (2, 3, 7, 6)),
    "conv_dilation": (nn.Conv2d(2, 3, 3, dilation=2, padding=2), (2, 2, 7, 6)),
    "conv_groups": (nn.Conv2d(4, 6, 3, groups=2, padding=1), (2, 4, 5, 6)),
    "conv_depthwise": (nn.Conv2d(3, 3, 3, groups=3, stride=2, padding=1), (2, 3, 7, 6)),
    "conv_everything": (nn.Conv2d(4, 2, 3, groups=2, stride=2, dilation=2, padding=(2, 1)), (2, 4, 8, 9)),
    "conv_1d": (nn.Conv1d(3, 4, 3, stride=2, padding=1), (2, 3, 9)),
    "conv_1d_dilation": (nn.Conv1d(4, 4, 3, dilation=3, groups=2), (2, 4, 9)),
    "conv_transpose": (nn.ConvTranspose2d(3, 4, 3), (2, 3, 4, 3)),
    "conv_transpose_padding": (nn.ConvTranspose2d(3, 4, 4, stride=2, padding=1), (2, 3, 4, 3)),
    "conv_transpose_uneven": (nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1, output_padding=1), (2, 3, 4, 3)),
    "conv_transpose_gaps": (nn.ConvTranspose2d(3, 2, 2, stride=3), (2, 3, 4, 3)),
    "conv_transpose_1d": (nn.ConvTranspose1d(3, 4, 4, stride=2, padding=1), (2, 3, 5)),
    "max_pool": (nn.MaxPool2d(2), (2, 3, 6, 5)),
    "max_pool_overlapping": (nn.MaxPool2d(3, stride=2), (2, 3, 7, 6)),
    "max_pool_padding": (nn.MaxPool2d(2, padding=1), (2, 3, 5, 4)),
    "max_pool_overlapping_padding": (nn.MaxPool2d((3, 2), stride=(2, 1), padding=1), (2, 3, 7, 6)),
    "max_pool_1d": (nn.MaxPool1d(3, stride=2, padding=1), (2, 3, 8)),
    "avg_pool": (nn.AvgPool2d(2), (2, 3, 6, 5)),
    "avg_pool_overlapping": (nn.AvgPool2d(3, stride=2), (2, 3, 7, 6)),
    "avg_pool_padding": (nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False), (2, 3, 7, 6)),
    "avg_pool_count_padding": (nn.AvgPool2d(3, stride=2, padding=1), (2, 3, 7, 6)),
    "avg_pool_1d": (nn.AvgPool1d(3, stride=2, padding=1, count_include_pad=False), (2, 3, 8)),
    "global_avg_pool": (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), (2, 3, 5, 4)),
    "global_max_pool": (nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()), (2, 3, 5, 4)),
    "batch_norm": (nn.BatchNorm2d(3), (4, 3, 3, 2)),
    "batch_norm_features": (nn.BatchNorm1d(3), (6, 3)),
    "batch_norm_eval": (nn.BatchNorm2d(3).eval(), (4, 3, 3, 2)),
    "layer_norm": (nn.LayerNorm(6), (3, 2, 6)),
    "group_norm": (nn.GroupNorm(2, 6), (3, 6, 3, 2)),
    "group_norm_one_group": (nn.GroupNorm(1, 6), (3, 6, 4)),
    "self_attention": (SelfAttention(8, 2), (2, 8, 5)),
    "self_attention_causal": (SelfAttention(6, 3, causal=True), (2, 6, 5)),
    "patch_embedding": (PatchEmbedding(3, 4, 2, stride=2), (2, 3, 4, 6)),
    "class_token": (ClassToken(4), (2, 4, 3)),
    "position_embedding": (PositionEmbedding(3, 4), (2, 4, 3)),
    "layer_scale": (LayerScale(3), (2, 3, 4, 2)),
    "local_response_norm": (nn.LocalResponseNorm(5, alpha=5 * 0.3, beta=0.75, k=2.0), (2, 7, 3, 2)),
    "local_response_norm_power": (nn.LocalResponseNorm(3, alpha=3 * 0.2, beta=0.5, k=1.0), (2, 4, 3)),
    "relu": (nn.ReLU(), (4, 8)),
    "leaky_relu": (nn.LeakyReLU(), (4, 8)),
    "elu": (nn.ELU(), (4, 8)),
    "selu": (nn.SELU(), (4, 8)),
    "gelu": (nn.GELU(approximate="tanh"), (4, 8)),
    "exact_gelu": (nn.GELU(), (4, 8)),
    "silu": (nn.SiLU(), (4, 8)),
    "softplus": (nn.Softplus(), (4, 8)),
    "sigmoid": (nn.Sigmoid(), (4, 8)),
    "tanh": (nn.Tanh(), (4, 8)),
}
