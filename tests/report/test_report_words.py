"""Both languages are whole, and numbers are written honestly."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

import nunbit.report
from nunbit.errors import OptionError
from nunbit.report import render_report
from nunbit.report.texts import FACTS, SCORES, SPLITS, TEXTS
from nunbit.report.words import make_language

SAME_IN_BOTH = {"f1"}
HANGUL = re.compile(r"[가-힣]")


def places(sentence):
    return sorted({name for _, name, _, _ in string.Formatter().parse(sentence) if name})


@pytest.mark.parametrize("table", [TEXTS, SPLITS, SCORES])
def test_languages_have_the_same_keys(table):
    assert set(table) == {"en", "ko"}
    assert table["en"].keys() == table["ko"].keys()


def test_sentences_have_the_same_places():
    for key, sentence in TEXTS["en"].items():
        assert places(sentence) == places(TEXTS["ko"][key]), key


def test_every_korean_text_is_korean_and_every_english_one_is_not():
    for table in (TEXTS, SPLITS, SCORES):
        for key in table["en"]:
            assert not HANGUL.search(table["en"][key]), key
            assert HANGUL.search(table["ko"][key]) or key in SAME_IN_BOTH, key
    assert all(HANGUL.search(text) for text in FACTS["ko"].values())
    assert all(label == label.lower() for label in FACTS["ko"])


def test_every_text_is_used_and_every_used_text_exists():
    folder = Path(nunbit.report.__file__).parent
    source = "\n".join(
        path.read_text(encoding="utf-8")
        for path in folder.rglob("*.*")
        if path.suffix in {".py", ".j2"} and path.name != "texts.py"
    )
    unused = [key for key in TEXTS["en"] if f'"{key}"' not in source]
    assert unused == []
    asked = set(re.findall(r"""(?:\bt|\.say)\(\s*"(\w+)\"""", source))
    assert asked <= TEXTS["en"].keys()


def test_korean_page_has_no_english_left(change, read_page):
    run = change(
        facts={"Parameters": "77,754", "Training time": "2분"}, notes=["파일 2개를 건너뛰었습니다."]
    )
    page = read_page(render_report(run, lang="ko"))
    seen = [page.text]
    for node in page.walk():
        seen += [node.attrs[key] for key in ("alt", "title", "aria-label") if key in node.attrs]
    text = " ".join(seen)
    style = page.one("style").text
    text = text.replace(style, "")
    from_the_run = {
        *re.findall(r"[A-Za-z]+", f"{run.source} {run.network} {run.command}"),
        *re.findall(r"[A-Za-z]+", "augment zoom_range flip lr false null nunbit torch epochs t10k"),
    }
    left = set(re.findall(r"[A-Za-z]+", text)) - from_the_run
    assert left == {"Nunbit", "F"}


def test_korean_page_uses_the_course_words(run):
    html = render_report(run, lang="ko")
    for word in ("정확도", "검증", "혼동 행렬", "학습률", "매개변수"):
        assert word in html
    assert "cnn-mnist 신경망이 mnist의 테스트 이미지 10,000장 가운데 99.12%를" in html


def test_percentages_never_round_to_all_or_nothing():
    english = make_language("en")
    written = [
        english.percent(value, 2).replace("\xa0", " ")
        for value in (1.0, 0.99999, 0.9999, 0.5, 0.00001, 0.0, float("nan"))
    ]
    expected = ["100.00 %", "> 99.99 %", "99.99 %", "50.00 %", "< 0.01 %", "0.00 %", "\u2013"]
    assert written == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (77754, "77,754"),
        (0.03125, "0.03125"),
        (1234.5, "1,234"),
        (123456789.5, "123,456,790"),
        (2e-5, "2e-5"),
        (1e300, "1e300"),
        (-0.5, "-0.5"),
        (float("inf"), "\u2013"),
    ],
)
def test_numbers(value, text):
    assert make_language("en").number(value) == text


def test_unknown_language_is_refused_by_name(run):
    with pytest.raises(OptionError, match=r"lang is 'de', expected `en` or `ko`"):
        render_report(run, lang="de")
