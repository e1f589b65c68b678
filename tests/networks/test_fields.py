"""Receptive fields against the gradients of a network whose weights are all positive."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nunbit.networks import describe, layer_table
from nunbit.networks._reshaped import axes_after_reshape
from nunbit.networks._windows import Window

SIDE = 41


class Sum(nn.Module):
    """Branches whose outputs are added."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return sum((branch(x) for branch in self.branches[1:]), self.branches[0](x))


class Joined(Sum):
    """Branches whose outputs are joined along the channels."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class Do(nn.Module):
    """Any function as a layer."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def conv(before: int, after: int, kernel: object, **more: object) -> nn.Conv2d:
    return nn.Conv2d(before, after, kernel, **more)  # type: ignore[arg-type]


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "chain": lambda: nn.Sequential(
        conv(1, 2, 3), nn.ReLU(), nn.AvgPool2d(2), conv(2, 1, 3, padding=1), nn.AvgPool2d(3, 2)
    ),
    "strides": lambda: nn.Sequential(conv(1, 2, 7, stride=2, padding=3), conv(2, 1, 3, stride=3)),
    "dilation": lambda: nn.Sequential(conv(1, 2, 3, dilation=2), conv(2, 1, 3, dilation=(1, 4))),
    "asymmetric": lambda: nn.Sequential(conv(1, 2, (1, 5)), conv(2, 1, (3, 1), stride=(2, 1))),
    "residual block": lambda: nn.Sequential(
        conv(1, 2, 3),
        Sum(
            nn.Sequential(conv(2, 2, 3, stride=2, padding=1), nn.ReLU(), conv(2, 2, 3, padding=1)),
            conv(2, 2, 1, stride=2),
        ),
        conv(2, 1, 3),
    ),
    "shortcut by slices": lambda: nn.Sequential(
        Sum(Do(lambda x: x[..., ::2, ::2]), conv(1, 1, 1, stride=2)), conv(1, 1, 3)
    ),
    "inception": lambda: nn.Sequential(
        Joined(
            conv(1, 1, 1),
            nn.Sequential(conv(1, 1, 1), conv(1, 1, 3, padding=1)),
            nn.Sequential(conv(1, 1, 1), conv(1, 1, 5, padding=2)),
            nn.Sequential(nn.AvgPool2d(3, stride=1, padding=1), conv(1, 1, 1)),
        ),
        conv(4, 1, 3),
    ),
    "rounded up": lambda: nn.Sequential(nn.AvgPool2d(3, 2, ceil_mode=True), conv(1, 1, 3)),
    "asymmetric border": lambda: nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), conv(1, 1, 4)),
    "functions, not layers": lambda: Do(
        lambda x: nn.functional.avg_pool2d(x.mul(2) + x, 3, stride=2).transpose(2, 3)
    ),
}


def seen_by_centre(network: nn.Module) -> tuple[int, int]:
    """Return over how many rows and columns the gradient of the middle output reaches."""
    network = network.double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.uniform_(0.5, 1)
    picture = torch.ones(1, 1, SIDE, SIDE, dtype=torch.float64, requires_grad=True)
    maps = network(picture)
    maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2].sum().backward()
    assert picture.grad is not None
    touched = picture.grad[0, 0] != 0
    rows, columns = touched.any(dim=1).nonzero(), touched.any(dim=0).nonzero()
    return tuple(int(each.max() - each.min() + 1) for each in (rows, columns))  # type: ignore[return-value]


@pytest.mark.parametrize("name", NETWORKS)
def test_fields_are_those_that_gradients_show(name: str) -> None:
    network = NETWORKS[name]()
    last = layer_table(network, channels=1, image_size=SIDE)[-1]
    assert last.receptive_field == seen_by_centre(network)


@settings(max_examples=40, deadline=None)
@given(
    windows=st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 2), st.integers(1, 2)), min_size=1, max_size=4
    )
)
def test_any_chain_of_windows(windows: list[tuple[int, int, int]]) -> None:
    network = nn.Sequential(
        *(conv(1, 1, k, stride=s, dilation=d, padding=d * (k - 1)) for k, s, d in windows)
    )
    field, jump = 1, 1
    for k, s, d in windows:
        field, jump = field + d * (k - 1) * jump, jump * s
    table = layer_table(network, channels=1, image_size=SIDE)
    assert table[-1].receptive_field == (field, field)


def test_known_fields() -> None:
    vgg = {row.name: row for row in describe("vgg-d").layers}
    assert [row.receptive_field for row in vgg.values() if row.kind.startswith("conv")] == [
        (r, r) for r in (3, 5, 10, 14, 24, 32, 40, 60, 76, 92, 132, 164, 196)
    ]
    assert [row.receptive_field for row in vgg.values() if row.kind.startswith("max-pool")] == [
        (r, r) for r in (6, 16, 44, 100, 212)
    ]
    pools = [row for row in describe("alexnet").layers if row.kind.startswith("max-pool")]
    assert pools[-1].receptive_field == (195, 195)
    # 7 and 11 after the stem; then 3x3 convolutions at jumps of 4, 8, 16, 32. In v1.5 those
    # that halve still have the jump before.
    for where, field in (
        ("v1", 11 + 2 * (3 * 4 + 4 * 8 + 6 * 16 + 3 * 32)),
        ("v1.5", 11 + 2 * (4 * 4 + 4 * 8 + 6 * 16 + 2 * 32)),
    ):
        shown = describe("resnet-50", options={"stride_in": where})
        last = [row for row in shown.layers if len(row.output) == 3 and row.output[1] == 7][-1]
        assert last.receptive_field == (field, field), where
    assert field == 427


def test_dense_and_global_layers_see_everything() -> None:
    network = nn.Sequential(
        conv(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2), nn.Softmax(dim=1)
    )
    table = layer_table(network, channels=1, image_size=9)
    assert [row.receptive_field for row in table] == [(3, 3), *["all"] * 4]
    mean = nn.Sequential(Do(lambda x: x.mean((2, 3))), nn.Linear(1, 2))
    assert {row.receptive_field for row in layer_table(mean, channels=1, image_size=9)} == {"all"}


def test_pictures_read_as_sequences_are_seen_step_by_step() -> None:
    """By rows: some of the rows, each whole. By pixels: some of the samples of one line."""
    for read, kind in (("rows", lambda r: (r, "all")), ("pixels", lambda r: (r,))):
        layers = describe("conv1d", options={"read": read}).layers
        body = [row.receptive_field for row in layers if row.name.startswith("body")]
        steps = [5, 5, 6, 14, 14, 16, 32, 32, 36]
        assert body == [kind(each) for each in steps], read
        assert layers[0].receptive_field == (1, 1)
        assert {row.receptive_field for row in layers[10:]} == {"all"}


def test_maps_written_as_one_line() -> None:
    def last(*layers: nn.Module) -> object:
        return layer_table(nn.Sequential(*layers), channels=1, image_size=8)[-1].receptive_field

    line = nn.Flatten(2)
    assert last(line, nn.Conv1d(1, 1, 3, stride=2), nn.Conv1d(1, 1, 3)) == (7,)
    assert last(line, nn.MaxPool1d(2), Do(lambda x: x[..., ::2]), nn.Conv1d(1, 1, 2)) == (6,)
    assert last(line, Sum(nn.Conv1d(1, 1, 3, padding=1), nn.Identity())) == (3,)
    assert last(line, nn.ConvTranspose1d(1, 1, 4, 2), nn.Conv1d(1, 1, 3)) == (3,)
    assert last(line, nn.Conv1d(1, 1, 1), nn.Unflatten(2, (8, 8)), conv(1, 1, 3)) == "all"
    assert last(conv(1, 1, 3), line, nn.Conv1d(1, 1, 3)) == "all", "pixels of several rows"
    assert last(conv(1, 1, 3), line, nn.Conv1d(1, 1, 1)) == (3, 3)
    assert last(nn.AdaptiveAvgPool2d((None, 1))) == (1, "all")
    assert last(line, nn.Conv1d(1, 1, 3), nn.AdaptiveAvgPool1d(4)) == "all"


def test_softmax_over_channels_sees_one_pixel_and_over_rows_a_column() -> None:
    over = {dim: nn.Sequential(nn.Softmax(dim=dim)) for dim in (1, 2)}
    assert layer_table(over[1], channels=3, image_size=9)[0].receptive_field == (1, 1)
    assert layer_table(over[2], channels=3, image_size=9)[0].receptive_field == ("all", 1)


@pytest.mark.parametrize(
    ("turn", "output"),
    [
        (lambda x: x.permute(0, 3, 1, 2), (9, 1, 4)),
        (lambda x: x.permute(dims=(0, 3, 1, 2)), (9, 1, 4)),
        (lambda x: torch.transpose(x, dim0=1, dim1=-1), (9, 4, 1)),
        (lambda x: x.movedim(1, -1), (4, 9, 1)),
        (lambda x: torch.movedim(x, (1, 2), (2, 1)), (4, 1, 9)),
        (lambda x: x[:, 0, ::2].unsqueeze(1), (1, 2, 9)),
        (lambda x: x[..., None, :, ::3].squeeze(2), (1, 4, 3)),
    ],
)
def test_turned_maps_keep_their_axes(
    turn: Callable[[Tensor], Tensor], output: tuple[int, ...]
) -> None:
    """A dense layer along columns sees all of them, and of the rows what it saw before."""
    network = nn.Sequential(nn.AvgPool2d((2, 1), stride=(2, 1)), Do(turn))
    table = layer_table(network, channels=1, image_size=9)
    assert (table[-1].output, table[-1].receptive_field) == (output, (2, 1))


def test_transposed_convolutions() -> None:
    for kernel, stride, field in ((2, 2, 1), (4, 2, 2), (3, 1, 3), (5, 2, 3)):
        network = nn.Sequential(nn.ConvTranspose2d(1, 1, kernel, stride))
        assert layer_table(network, channels=1, image_size=9)[0].receptive_field == (field, field)


def test_adaptive_pooling_counts_its_widest_window() -> None:
    for cells, field in ((9, (1, 1)), (3, (3, 3)), (4, (3, 3))):
        network = nn.Sequential(nn.AdaptiveAvgPool2d(cells))
        assert layer_table(network, channels=1, image_size=9)[0].receptive_field == field, cells


def test_reshapes_keep_track_of_rows_and_columns() -> None:
    none, rows, columns = frozenset[int](), frozenset({0}), frozenset({1})
    both = rows | columns
    axes = (none, none, rows, columns)
    assert axes_after_reshape(axes, (2, 3, 8, 9), (2, 3, 72)) == (none, none, both)
    assert axes_after_reshape((none, none, both), (2, 3, 72), (2, 3, 8, 9)) == axes
    assert axes_after_reshape(axes, (1, 3, 1, 1), (1, 3)) == (none, both)
    assert axes_after_reshape(axes, (2, 3, 8, 9), (2, 1, 3, 8, 9)) == (
        none,
        none,
        none,
        rows,
        columns,
    )


def test_padding_by_name() -> None:
    network = nn.Sequential(conv(1, 2, (5, 3), padding="same", dilation=(1, 2)), conv(2, 1, 3))
    rows = layer_table(network, channels=1, image_size=9)
    assert [row.output for row in rows] == [(2, 9, 9), (1, 7, 7)]
    assert [row.receptive_field for row in rows] == [(5, 5), (7, 7)]


class Attention(nn.Module):
    """Attention as people write it: among pixels, or among channels."""

    def __init__(self, among: str) -> None:
        super().__init__()
        self.among, self.query, self.key = among, nn.Conv2d(1, 2, 1), nn.Conv2d(1, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        query, key = self.query(x).flatten(2), self.key(x).flatten(2)
        if self.among == "pixels":
            return ((query.transpose(1, 2) @ key).softmax(dim=-1) @ query.transpose(1, 2))[
                ..., None
            ]
        return torch.matmul((query @ key.transpose(1, 2)).softmax(dim=-1), query).unflatten(
            2, (6, 6)
        )


@pytest.mark.parametrize("among", ["pixels", "channels"])
def test_attention_sees_everything(among: str) -> None:
    rows = layer_table(nn.Sequential(Attention(among), nn.ReLU()), channels=1, image_size=6)
    assert rows[0].receptive_field == (1, 1)
    assert rows[-1].receptive_field == "all"
    small = nn.Sequential(Do(lambda x: torch.ones(9, 9) @ x), nn.ReLU())
    assert layer_table(small, channels=1, image_size=9)[0].receptive_field == ("all", 1)


def test_windows_are_read_from_any_way_of_calling() -> None:
    picture = torch.zeros(1, 2, 9, 9)
    by_place = Window.of_call("max_pool2d", (picture, 3, 2, 1, 1, True), {}, picture)
    named = {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 1, "ceil_mode": True}
    assert by_place == Window.of_call("max_pool2d", (picture,), named, picture)
    assert by_place == Window((3, 3), (2, 2), (1, 1), (2, 2), rounds_up=True)
    assert Window.of_call("avg_pool2d", (picture, 3), {}, picture).stride == (3, 3)
