"""One language of the report: its sentences, and how it writes numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nunbit.errors import OptionError, did_you_mean
from nunbit.report.texts import FACTS, SCORES, SPLITS, TEXTS

__all__ = ["Language", "capitalize_first", "make_language", "percent_digits"]

NO_NUMBER = "\u2013"
MANY_PICTURES = 1000
"""From here on one picture moves a percentage by less than 0.1."""


@dataclass(frozen=True)
class Language:
    """Sentences and numbers of one language.

    Args:
        code: ``"en"`` or ``"ko"``.
        percent_sign: With the space before it, where the language has one.
        dash: Between the ends of a range.
    """

    code: str
    percent_sign: str
    dash: str

    def say(self, key: str, **places: object) -> str:
        """Return a sentence with its places filled in."""
        return TEXTS[self.code][key].format(**places)

    def split(self, name: str) -> str:
        """Return what people call a split; an unknown one keeps its name."""
        return SPLITS[self.code].get(name, name)

    def score(self, name: str) -> str:
        """Return what people call a score; an unknown one keeps its name."""
        return SCORES[self.code].get(name, name.replace("_", " "))

    def fact(self, label: str) -> str:
        """Return the label of a fact; an unknown one stays as it came."""
        return FACTS.get(self.code, {}).get(label.lower(), label)

    def pictures(self, count: int) -> str:
        """Return ``10,000 pictures``."""
        key = "pictures_one" if count == 1 else "pictures_many"
        return self.say(key, count=f"{count:,}")

    def percent(self, value: float, digits: int = 2) -> str:
        """Write a fraction in percent; what is not quite all or nothing never looks so.

        Args:
            value: Usually 0..1.
            digits: After the decimal point.

        Example:
            >>> make_language("ko").percent(0.99996), make_language("ko").percent(0.9912)
            ('> 99.99%', '99.12%')
        """
        if not math.isfinite(value):
            return NO_NUMBER
        text = f"{100 * value:.{digits}f}"
        unit = 10.0**-digits
        if value < 1 and float(text) >= 100:
            text = f"> {100 - unit:.{digits}f}"
        elif value > 0 and float(text) == 0:
            text = f"< {unit:.{digits}f}"
        return text + self.percent_sign

    def number(self, value: float) -> str:
        """Write a number with four significant digits; whole numbers in full.

        Example:
            >>> make_language("en").number(77754), make_language("en").number(0.00001)
            ('77,754', '1e-5')
        """
        if not math.isfinite(value):
            return NO_NUMBER
        if abs(value) < 1e15 and value == int(value):
            return f"{int(value):,}"
        if 1000 <= abs(value) < 1e9:
            return f"{value:,.0f}"
        return short_exponent(f"{value:.4g}")

    def quantity(self, value: float, *, is_fraction: bool, digits: int = 2) -> str:
        """Write a score the way its kind is written."""
        return self.percent(value, digits) if is_fraction else self.number(value)

    def interval(self, low: float, high: float, *, is_fraction: bool, digits: int = 2) -> str:
        """Write a range: ``98.92 to 99.29 %``."""
        if is_fraction:
            ends = (f"{100 * end:.{digits}f}" for end in (low, high))
            return self.dash.join(ends) + self.percent_sign
        return f"{self.number(low)}{self.dash}{self.number(high)}"

    def tick(self, value: float, *, is_fraction: bool) -> str:
        """Write a mark on an axis; it is a round number already."""
        if is_fraction:
            return f"{100 * value:.8g}{self.percent_sign}"
        return short_exponent(f"{value:.6g}")


def short_exponent(text: str) -> str:
    """Turn ``1e-05`` into ``1e-5``."""
    mantissa, letter, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if letter else text


def capitalize_first(text: str) -> str:
    """Make the first letter large, unless the first word has its own (``mIoU``)."""
    return text[:1].upper() + text[1:] if text.split(" ")[0].islower() else text


def percent_digits(count: int) -> int:
    """Return how many digits of a percentage mean something for ``count`` pictures."""
    return 2 if count >= MANY_PICTURES else 1


def make_language(lang: str) -> Language:
    """Return a language by its code.

    Raises:
        OptionError: The report does not speak it.
    """
    known = {
        "en": Language("en", percent_sign="\u00a0%", dash="\u2013"),
        "ko": Language("ko", percent_sign="%", dash="~"),
    }
    if lang not in known:
        raise OptionError(
            f"lang is {lang!r}, expected `en` or `ko`.{did_you_mean(str(lang), known)}"
        )
    return known[lang]
