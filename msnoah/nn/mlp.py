"""The two-layer perceptron of a transformer block."""

from mindspore import nn

from msnoah.nn.linear import linear


class MLP(nn.Cell):
    """fc2(GELU(fc1(x))) with the exact, erf form of GELU. (B, N, C) -> (B, N, C)"""

    def __init__(self, dim: int, hidden_dim: int):
        super().__init__()
        self.fc1 = linear(dim, hidden_dim)
        self.act = nn.GELU(approximate=False)
        self.fc2 = linear(hidden_dim, dim)

    def construct(self, x):
        x = self.act(self.fc1(x))                           # (B, N, C) -> (B, N, hidden)
        return self.fc2(x)                                  # (B, N, hidden) -> (B, N, C)
