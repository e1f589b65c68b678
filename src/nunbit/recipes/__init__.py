"""Recipes: settings that were tuned and measured, by the names fast, best and course.

A recipe of a named set is a TOML file of options beside this one, as ``--options FILE``
takes it: read it, copy it, change it. Its ``[measured]`` table says what came out, on
which machine, in how many runs. For any other pictures the options follow from their
number, size and colour (``any_pictures.py``).

What is typed, or stands in the user's own options file, goes before a recipe. Beside another
network or optimizer, what was tuned for the recipe's own does not count.
"""

from __future__ import annotations

from nunbit.recipes.any_pictures import Facts, any_pictures
from nunbit.recipes.files import Measured, Recipe, beside, find_recipe, list_recipes

__all__ = [
    "SIZES",
    "Facts",
    "Measured",
    "Recipe",
    "any_pictures",
    "beside",
    "find_recipe",
    "list_recipes",
]
