"""The layers of LeNet-5 against its paper's numbers and plain loops."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck

from nunbit.errors import OptionError, ShapeError
from nunbit.layers import ScaledTanh, Subsampling, TableConv2d

TABLE = (  # LeCun et al. 1998, table I
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5)),
)


def numbers(layer: nn.Module) -> int:
    return sum(parameter.numel() for parameter in layer.parameters())


def test_c3_has_the_papers_count() -> None:
    layer = TableConv2d(TABLE, 5)
    output = layer(torch.zeros(2, 6, 14, 14))
    assert numbers(layer) == 1_516
    assert output.shape == (2, 16, 10, 10)
    assert layer.multiply_adds(output) == 150_000
    assert layer.kind == "conv 5×5 by table"
    assert repr(layer) == "TableConv2d(6, 16, kernel_size=(5, 5), connections=60)"


def test_each_output_map_sees_its_own_input_maps() -> None:
    layer = TableConv2d(TABLE, 3)
    images = torch.randn(2, 6, 7, 8, generator=torch.Generator().manual_seed(0))
    made, first = layer(images), 0
    for here, row in enumerate(TABLE):
        kernels = layer.weight[first : first + len(row)][None]
        first += len(row)
        alone = nn.functional.conv2d(images[:, list(row)], kernels, layer.bias[here : here + 1])
        torch.testing.assert_close(made[:, here : here + 1], alone)
    assert (layer.dense_weight() != 0).sum() == 60 * 9


def test_a_full_table_is_a_convolution() -> None:
    layer = TableConv2d([range(4)] * 3, (2, 3), bias=False)
    dense = nn.Conv2d(4, 3, (2, 3), bias=False)
    with torch.no_grad():
        dense.weight.copy_(layer.weight.view_as(dense.weight))
    images = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(layer(images), dense(images))


def test_fresh_weights_follow_the_fan_in_of_their_map() -> None:
    torch.manual_seed(0)
    layer = TableConv2d([(0,), tuple(range(16))], 5)
    weight = layer.weight.detach()
    assert weight[0].abs().max() == pytest.approx(25**-0.5, rel=0.2)
    assert weight[1:].abs().max() == pytest.approx(400**-0.5, rel=0.02)


def test_the_table_is_not_saved_and_survives_a_move() -> None:
    layer = TableConv2d(TABLE, 5)
    assert list(layer.state_dict()) == ["weight", "bias"]
    ghost = TableConv2d(TABLE, 5).to("meta")
    assert ghost(torch.empty(1, 6, 14, 14, device="meta")).shape == (1, 16, 10, 10)


def test_sub_sampling_is_a_sum_times_a_coefficient_plus_a_bias() -> None:
    layer = Subsampling(2)
    assert numbers(layer) == 4
    images = torch.arange(32.0).view(1, 2, 4, 4)
    assert layer(images)[0, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]], "fresh, it averages"
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([2.0, 0.0]))
        layer.bias.copy_(torch.tensor([1.0, -3.0]))
    assert layer(images)[0, 0].tolist() == [[21, 37], [85, 101]]
    assert layer(images)[0, 1].tolist() == [[-3, -3], [-3, -3]]
    assert Subsampling(1, 3)(torch.zeros(1, 1, 8, 7)).shape == (1, 1, 2, 2)
    assert Subsampling(3, 2).kind == "sub-sample 2"


def test_the_squashing_function() -> None:
    values = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    made = ScaledTanh()(values)
    torch.testing.assert_close(made, values, atol=1e-4, rtol=0)
    assert ScaledTanh(2.0, 0.5)(values * 1e9).tolist() == [-2, 2]
    assert repr(ScaledTanh()) == "ScaledTanh(amplitude=1.7159, slope=0.666667)"


@pytest.mark.parametrize(
    "layer", [Subsampling(3), TableConv2d([(0, 2), (1,), (0, 1, 2)], 2), ScaledTanh()], ids=str
)
def test_derivatives(layer: nn.Module) -> None:
    values = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)

    def run(values: Tensor, *_: Tensor) -> Tensor:
        return layer(values)  # type: ignore[no-any-return]  # modules are untyped

    assert gradcheck(run, (values, *layer.double().parameters()))


def test_tables_that_are_refused() -> None:
    with pytest.raises(
        OptionError,
        match=r"TableConv2d: kernel_size is 0, .*; output map 1 sees \(\), expected one or more "
        r"different input maps from 0 to 3; output map 2 sees \(1, 1\), .*map 3 sees \(4,\)",
    ):
        TableConv2d([(0, 1), (), (1, 1), (4,)], 0, in_channels=4)
    with pytest.raises(OptionError, match=r"the table is empty"):
        TableConv2d([], 3)
    with pytest.raises(ShapeError, match=r"a table of 6 input maps, got 3 maps in \(1, 3, 9, 9\)"):
        TableConv2d(TABLE, 5)(torch.zeros(1, 3, 9, 9))


def test_numbers_that_are_refused() -> None:
    with pytest.raises(OptionError, match=r"Subsampling: channels is 0, .*; size is 2.0, expected"):
        Subsampling(0, 2.0)  # type: ignore[arg-type]
    with pytest.raises(
        OptionError, match=r"ScaledTanh: amplitude is 0, expected more than 0; slope"
    ):
        ScaledTanh(0, -1)
