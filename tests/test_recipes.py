"""Recipes: every file is a set of options that exist, with what came out of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from nunbit.augment import choose_augment
from nunbit.cli._asked import NetworkOptions, read_options, read_options_file
from nunbit.data.named import NAMED_SETS as NAMES
from nunbit.errors import OptionError
from nunbit.networks import find_network, read_network_options
from nunbit.recipes import Facts, Recipe, any_pictures, beside, find_recipe, list_recipes

KINDS = ("fast", "best", "course")
NOT_YET = ("fashion-mnist-fast",)
"""Set up, but not measured on a quiet machine; `nunbit recipes` shows no figures for them."""
FACTS = [
    Facts(n, side, c, device)
    for n in (20, 2_000, 60_000)
    for side in (8, 28, 64, 128)
    for c in (1, 3)
    for device in ("cpu", "cuda")
]


@pytest.mark.parametrize("recipe", list_recipes(), ids=lambda each: f"{each.source}-{each.kind}")
def test_a_recipe_holds_options_that_exist(recipe: Recipe) -> None:
    options = read_options(recipe.options, where="recipe")
    assert options.keys() == recipe.options.keys()
    network = find_network(options["network"])
    read_network_options(network, options.get("network_option", ()))
    choose_augment(options["augment"], channels=3)
    assert recipe.source in NAMES
    assert recipe.text.startswith("# ")


@pytest.mark.parametrize("recipe", list_recipes(), ids=lambda each: f"{each.source}-{each.kind}")
def test_a_recipe_says_what_came_out(recipe: Recipe) -> None:
    if recipe.name in NOT_YET:
        assert recipe.measured is None
        return
    assert recipe.measured is not None
    assert 0.5 < recipe.measured.accuracy < 1
    assert recipe.measured.n >= 1
    assert recipe.measured.seconds > 0
    assert ("±" in str(recipe.measured)) == (recipe.measured.n > 1)


def test_all_the_sets_of_the_course_have_all_kinds() -> None:
    found = {(each.source, each.kind) for each in list_recipes()}
    sets = ("mnist", "fashion-mnist", "cifar10", "cats-dogs")
    assert found == {(source, kind) for source in sets for kind in KINDS}


@pytest.mark.parametrize("source", ["photos/", "../mnist", "/tmp/mnist", "my.zip", "digits"])  # noqa: S108
def test_other_sources_get_the_recipe_for_any_pictures(source: str) -> None:
    assert find_recipe("fast", source) == Recipe("fast", "", {})


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(OptionError, match="recipe is `bset`, expected one of fast, best, course"):
        find_recipe("bset", "mnist")
    with pytest.raises(OptionError, match="recipe is `slow`"):
        any_pictures("slow", FACTS[0])


@pytest.mark.parametrize("facts", FACTS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_any_pictures_get_options_that_exist(kind: str, facts: Facts) -> None:
    options = read_options(any_pictures(kind, facts), where="recipe")
    network = NetworkOptions(**{k: v for k, v in options.items() if k.startswith("network")})
    own = read_network_options(find_network(network.network), network.network_option)
    from nunbit.networks import create_network

    create_network(
        network.network,
        outputs=2,
        channels=facts.channels,
        image_size=options.get("image_size", facts.image_size),
        options=own,
    )  # fmt: skip
    choose_augment(options["augment"], channels=facts.channels)


@pytest.mark.parametrize("kind", ["fast", "best"])
def test_any_pictures_get_what_was_measured_on_pictures_like_them(kind: str) -> None:
    for source, facts in {
        "cats-dogs": Facts(2_000, 128, 3),
        "cifar10": Facts(50_000, 32, 3),
        "mnist": Facts(60_000, 28, 1),
    }.items():
        tuned = dict(find_recipe(kind, source).options)
        found = any_pictures(kind, facts)
        for mine in (tuned, found):
            del mine["augment"]  # of grey pictures nobody knows what they stay when they are turned
        del tuned["validation"]
        for name in ("lr", "bias_lr", "head_lr"):
            assert found.pop(name, None) == pytest.approx(tuned.pop(name, None)), name
        assert found == tuned


def test_about_as_many_pictures_are_seen_whatever_their_number() -> None:
    tuned = any_pictures("best", Facts(2_000, 128, 3))
    more = any_pictures("best", Facts(4_000, 128, 3))
    assert more["epochs"] == tuned["epochs"] // 2
    assert more["warmup_epochs"] == pytest.approx(tuned["warmup_epochs"] / 2)
    card = any_pictures("best", Facts(4_000, 128, 3, "cuda"))
    assert card["epochs"] == 4 * more["epochs"]
    few = any_pictures("best", Facts(100, 128, 3))
    assert few["epochs"] == 150
    assert few["batch_size"] == 32
    assert few["lr"] == pytest.approx(tuned["lr"] / 2**0.5, rel=1e-4)


def test_rates_and_warm_up_suit_what_the_user_asks_for() -> None:
    few = Facts(100, 128, 3)
    tuned = any_pictures("best", Facts(2_000, 128, 3))
    found = any_pictures("best", few, {"batch_size": 64, "epochs": 10})
    assert found["lr"] == tuned["lr"]
    assert found["warmup_epochs"] == pytest.approx(10 * tuned["warmup_epochs"] / tuned["epochs"])
    for asked in ({"weights": "run"}, {"network_option": ("width=8",)}, {"parallel": "fsdp"}):
        assert any_pictures("best", few, asked)["network"] == "auto"
    named = {"network": "airbench-photo", "network_option": ("width=8",)}
    assert any_pictures("best", few, named)["optimizer"] == "muon"


def test_sizes_and_the_rest_optimizer_are_taken_over_whole_or_not_at_all() -> None:
    tuned = find_recipe("best", "cats-dogs").options
    for name in ("image_size", "train_size", "first_size"):
        theirs = beside(tuned, {name: 160})
        assert not {"image_size", "train_size", "first_size", "growing_frac"} & theirs.keys()
        assert theirs["lr"] == tuned["lr"]
    theirs = beside(tuned, {"rest_optimizer": "adamw"})
    assert not {"rest_optimizer", "bias_lr", "head_lr"} & theirs.keys()


def test_beside_another_network_or_optimizer_no_learning_rate_is_taken_over() -> None:
    tuned = find_recipe("best", "cifar10").options
    assert beside(tuned, {}) == tuned
    assert beside(tuned, {"network": "airbench", "epochs": 3}) == tuned
    theirs = beside(tuned, {"network": "resnet-20"})
    assert set(tuned) - set(theirs) >= {"network", "optimizer", "lr", "head_lr", "fixed_length"}
    assert theirs["epochs"] == tuned["epochs"]
    theirs = beside(tuned, {"optimizer": "adamw"})
    assert theirs["network"] == "airbench"
    assert not {"optimizer", "lr", "momentum", "bias_lr", "schedule"} & set(theirs)
    plain = find_recipe("fast", "mnist").options  # its optimizer is the usual one
    assert beside(plain, {"optimizer": "adamw"}) == plain
    assert "lr" not in beside(plain, {"optimizer": "sgd"})


@pytest.mark.parametrize("recipe", list_recipes(), ids=lambda each: f"{each.source}-{each.kind}")
def test_a_recipe_can_be_copied_as_an_options_file(recipe: Recipe, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(recipe.text)
    assert read_options_file(str(mine)) == read_options(recipe.options, where="recipe")
