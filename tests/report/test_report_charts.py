"""Curves lie where the history says, whatever the history holds."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nunbit.report import render_report
from nunbit.report.charts import FRAME, TOP, make_charts
from nunbit.report.scales import make_scale, round_marks
from nunbit.report.tables import FRACTIONS
from nunbit.report.words import make_language

ENGLISH = make_language("en")


def charts_of(history):
    return make_charts(history, ENGLISH, fractions=FRACTIONS)


def numbers(path):
    return [float(text) for text in re.findall(r"-?[\d.]+", path)]


def test_points_of_a_known_history(run):
    loss, accuracy, lr = charts_of(run.history)
    assert [loss.name, accuracy.name, lr.name] == ["loss", "accuracy", "learning rate"]
    train, validation = loss.curves
    assert [tick.text for tick in loss.y_ticks] == ["0", "1", "2", "3"]
    bottom, middle = FRAME["bottom"], (loss.left + loss.right) / 2
    height = bottom - TOP
    at = {value: bottom - value / 3 * height for value in (0.5, 1, 2, 3)}
    across = [loss.left, middle, loss.right]
    expected = [across[0], at[3], across[1], at[2], across[2], at[1]]
    assert numbers(train.path) == pytest.approx(expected, abs=0.06)
    assert numbers(validation.path) == pytest.approx(
        [across[0], at[2], across[1], at[0.5], across[2], at[1]], abs=0.06
    )
    assert validation.best == pytest.approx((middle, at[0.5]), abs=0.06)
    assert [tick.place for tick in loss.x_ticks] == pytest.approx(across, abs=0.06)
    assert loss.remarks == (
        "Training: from 3 in epoch 1 to 1 in epoch 3.",
        "Validation: lowest 0.5 in epoch 2, at the end 1.",
    )
    assert accuracy.remarks[1].replace("\xa0", " ") == (
        "Validation: highest 98.00 % in epoch 2, at the end 97.00 %."
    )


def test_what_is_not_finite_leaves_a_gap_and_a_remark(change, read_page):
    losses = [3.0, 2.0, math.nan, 1.5, 1.0, math.inf, 0.5]
    history = [{"epoch": i + 1, "loss": loss, "lr": 0.1} for i, loss in enumerate(losses)]
    html = render_report(change(history=history))
    chart = charts_of(history)[0]
    (curve,) = chart.curves
    assert curve.path.count("M") == 2
    assert len(numbers(curve.path)) == 8
    assert len(curve.dots) == 1
    assert chart.remarks[1] == (
        "Left out, because it is not a finite number: training in epochs 3, 6."
    )
    for node in read_page(html).walk():
        for key in ("d", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "viewbox"):
            assert not re.search(r"nan|inf", node.attrs.get(key, ""), re.IGNORECASE)


def test_long_list_of_lost_epochs_is_cut():
    history = [{"epoch": i, "loss": math.nan, "val_loss": 1.0} for i in range(1, 31)]
    assert (
        "training in epochs 1, 2, 3, 4, 5, 6, 7, 8 and 22 more." in charts_of(history)[0].remarks[0]
    )


def test_one_epoch_is_a_dot():
    (chart,) = charts_of([{"epoch": 1, "loss": 0.4}])
    (curve,) = chart.curves
    assert curve.path == ""
    assert curve.dots[0][0] == pytest.approx((chart.left + chart.right) / 2, abs=0.06)
    assert [tick.text for tick in chart.x_ticks] == ["1"]


def test_nothing_finite_makes_no_chart():
    assert charts_of([]) == []
    assert charts_of([{"epoch": 1, "loss": math.nan, "seconds": 3.0}]) == []
    assert charts_of([{"epoch": 1, "loss": None}]) == []


def test_other_scores_get_a_chart_of_their_own():
    history = [{"epoch": 1, "val_mIoU": 0.2, "lr": 0.1, "accuracy": 0.5, "loss": 1.0}]
    assert [chart.name for chart in charts_of(history)] == [
        "loss",
        "accuracy",
        "mIoU",
        "learning rate",
    ]


def test_names_of_curves_never_lie_on_each_other():
    for train, validation in ((1.0, 1.0), (0.0, 0.0), (1.0, 0.99), (0.01, 0.0), (0.0, 1.0)):
        history = [
            {"epoch": 1, "loss": 1.0, "val_loss": 0.0},
            {"epoch": 2, "loss": train, "val_loss": validation},
        ]
        first, second = (curve.label_y for curve in charts_of(history)[0].curves)
        assert abs(first - second) >= 14.9
        assert min(first, second) >= TOP - 1
        assert max(first, second) <= FRAME["bottom"] + 1


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "loss": st.floats(),
                "val_loss": st.floats(),
                "accuracy": st.floats(0, 1),
                "val_accuracy": st.floats(),
                "lr": st.floats(0, 1),
                "epoch": st.integers(1, 5000),
            },
        ),
        max_size=8,
    )
)
def test_whatever_the_history_every_place_is_in_the_frame(history):
    for chart in charts_of(history):
        for curve in chart.curves:
            assert "n" not in curve.path
            places = numbers(curve.path)
            dots = [*curve.dots, *([curve.best] if curve.best else [])]
            across = places[::2] + [x for x, _ in dots]
            up = places[1::2] + [y for _, y in dots]
            assert all(chart.left - 0.1 <= x <= chart.right + 0.1 for x in across)
            assert all(TOP - 0.1 <= y <= FRAME["bottom"] + 0.1 for y in up)


@settings(deadline=None, max_examples=300)
@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_round_marks_enclose_the_range_and_are_few(low, span):
    marks = round_marks(low, low + span)
    slack = 1e-6 * span + 1e-14 * abs(low)
    assert marks[0] <= low + slack
    assert marks[-1] >= low + span - slack
    assert 2 <= len(marks) <= 8
    assert list(marks) == sorted(set(marks))


def test_fractions_are_shown_where_they_lie_and_never_beyond_all():
    scale = make_scale([0.991, 0.998], start=0, end=1, is_fraction=True)
    assert (scale.marks[0], scale.marks[-1]) == (0.99, 0.998)
    assert make_scale([1.0], start=0, end=1, is_fraction=True).marks[-1] == 1.0
