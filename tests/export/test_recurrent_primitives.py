"""Recurrent layers: every handler against MindSpore."""

import pytest
from mindspore import nn, ops
from primitive_case import Case, case, check_case
from primitive_cells import normal

sequence = normal(3, 2, 4)


class States(nn.Cell):
    """An LSTM whose states are inputs."""

    def __init__(self):
        super().__init__()
        self.layer = nn.LSTM(4, 3)

    def construct(self, x, hidden, cell):
        return self.layer(x, (hidden, cell))


class Bidirectional(nn.Cell):
    """One primitive with both directions, and without the reserve that it returns for training."""

    def __init__(self, has_bias: bool):
        super().__init__()
        self.layer = ops.LSTM(4, 3, 1, has_bias, True, 0.0)

    def construct(self, x, hidden, cell, weights):
        return self.layer(x, hidden, cell, weights)[:3]


class BidirectionalWithoutBias(Bidirectional):
    def __init__(self):
        super().__init__(False)


CASES = [
    *[
        case("LSTM", nn.LSTM(4, 3, **settings), sequence)
        for settings in ({}, {"num_layers": 2, "bidirectional": True}, {"batch_first": True}, {"has_bias": False})
    ],
    case("LSTM", None, sequence, normal(1, 2, 3), normal(1, 2, 3), cell=States),
    case(
        "LSTM", None, sequence, normal(2, 2, 3), normal(2, 2, 3), normal(2 * 4 * 3 * (4 + 3), 1, 1),
        cell=BidirectionalWithoutBias,
    ),
    case(
        "LSTM", None, sequence, normal(2, 2, 3), normal(2, 2, 3), normal(2 * 4 * 3 * (4 + 3 + 1), 1, 1),
        cell=lambda: Bidirectional(True),
    ),
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
