"""What the page says and shows, and what it must never do."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys

import numpy as np
import pytest

from nunbit.report import MisreadPicture, render_report
from nunbit.tasks.base import Score

HOSTILE = "</style><script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp;{{ 7*7 }}{0}"


def section_ids(page):
    return [section.attrs["aria-labelledby"] for section in page.all("section")]


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_markup_is_sound_and_can_be_read_aloud(run, read_page, lang):
    page = read_page(render_report(run, lang=lang))
    assert page.one("html").attrs["lang"] == lang
    assert page.one("h1").text
    ids = [node.attrs["id"] for node in page.walk() if "id" in node.attrs]
    assert len(ids) == len(set(ids))
    for node in page.walk():
        for reference in node.attrs.get("aria-labelledby", "").split():
            assert reference in ids
        if node.tag == "th":
            assert node.attrs["scope"] in {"col", "row", "colgroup"}
        if node.tag == "img":
            assert node.attrs["alt"].strip()
        if node.tag == "svg":
            assert node.attrs["role"] == "img"
            assert node.one("title").text
    levels = [int(node.tag[1]) for node in page.walk() if re.fullmatch(r"h[1-6]", node.tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_nothing_refers_outside_the_file(run, read_page):
    html = render_report(run)
    page = read_page(html)
    assert "http:" not in html
    assert "https:" not in html
    assert "@import" not in html
    assert "url(" not in html
    assert not page.all("script")
    for node in page.walk():
        assert not [key for key in node.attrs if key.startswith("on")]
        for key in ("src", "href", "srcset", "poster", "data", "action"):
            if key in node.attrs:
                assert node.attrs[key].startswith("data:")
    policy = page.one("meta", **{"http-equiv": "Content-Security-Policy"}).attrs["content"]
    assert "default-src 'none'" in policy


def test_hostile_text_stays_text_everywhere(change, evaluate, read_page):
    def page_with(text):
        names = [f"{text}{i}" for i in range(3)]
        pixels = np.zeros((4, 4), np.uint8)
        run = change(
            source=text,
            network=text,
            facts={text: text},
            notes=[text],
            history=[{"epoch": 1, "loss": 1.0, f"val_{text}": 0.5, text: 0.5}],
            evaluations={
                text: evaluate(
                    names,
                    [[5, 1, 0], [0, 5, 2], [0, 0, 5]],
                    scores=(Score(text, 0.5, 0.4, 0.6),),
                )
            },
            misread=[MisreadPicture(text, pixels, text, text, 0.9)],
            misread_split=text,
            options={text: text},
            versions={text: text},
            command=text,
            stop_reason=text,
        )
        return read_page(render_report(run))

    tame, hostile = page_with("p" * len(HOSTILE)), page_with(HOSTILE)
    assert [(node.tag, sorted(node.attrs)) for node in hostile.walk()] == [
        (node.tag, sorted(node.attrs)) for node in tame.walk()
    ]
    seen = " ".join(HOSTILE.split())
    assert hostile.text.count(seen) >= 15
    assert hostile.one("pre").text == seen
    assert seen in hostile.one("h1").text


def test_headline_gives_score_interval_and_count_of_the_test_split(run, read_page):
    page = read_page(render_report(run))
    assert page.one("h1").text == (
        "cnn-mnist reads 99.12 % of 10,000 test pictures of mnist correctly "
        "(95 % interval 98.91\u201399.29 %)."
    )
    assert page.one("p", cls="lead").text.startswith("88 of them were misread.")


def test_headline_falls_back_to_validation_and_says_what_that_means(run, change, read_page):
    validation = run.evaluations["validation"]
    page = read_page(render_report(change(evaluations={"validation": validation})))
    assert "4,998 validation pictures" in page.one("h1").text
    assert "slightly too good" in page.one("p", cls="lead").text


def test_headline_of_another_score_and_of_none(change, evaluate, empty_run, read_page):
    boxes = evaluate(["a", "b"], [[1, 0], [0, 1]], scores=(Score("map_50", 0.4321),))
    page = read_page(render_report(change(evaluations={"test": boxes})))
    assert page.one("h1").text == "cnn-mnist reaches map 50 43.2 % on 2 test pictures of mnist."
    page = read_page(render_report(empty_run))
    assert page.one("h1").text == (
        "mlp was trained on mnist, and not scored on pictures held back."
    )


def test_scores_of_each_split_are_the_numbers_of_the_evaluation(run, read_page):
    page = read_page(render_report(run))
    test, validation = page.all("table", cls="scores")
    assert test.one("caption").text == "Test , 10,000 pictures"
    assert validation.one("caption").text == "Validation , 4,998 pictures"
    rows = [[re.sub(r" 95 %.*", "", cell) for cell in row] for row in test.table()]
    assert rows == [
        ["accuracy", "99.12 %", "98.91\u201399.29 %"],
        ["loss", "0.03125", "\u2013"],
        ["calibration error", "0.41 %", "\u2013"],
    ]


def test_interval_bar_lies_where_its_scale_says(run, read_page):
    bar = read_page(render_report(run)).all("table", cls="scores")[0].one("svg")
    first, last = (float(text.text.removesuffix(" %")) / 100 for text in bar.all("text"))
    grid, span, dot = bar.one("line", cls="grid"), bar.one("line", cls="span"), bar.one("circle")
    left, right = float(grid.attrs["x1"]), float(grid.attrs["x2"])
    for value, place in (
        (0.9912 - 0.0021, span.attrs["x1"]),
        (0.9912, dot.attrs["cx"]),
        (0.9912 + 0.0017, span.attrs["x2"]),
    ):
        share = (value - first) / (last - first)
        assert float(place) == pytest.approx(left + share * (right - left), abs=0.06)


def test_class_table_shows_each_class_with_its_interval(run, read_page):
    table = read_page(render_report(run)).one("table", cls="classes")
    heads = [head.text for head in table.one("thead").all("th")]
    assert [head.split(" scale")[0] for head in heads] == [
        "class",
        "pictures",
        "precision",
        "recall",
        "95 % interval",
        "F1",
    ]
    four = [re.sub(r"^95 % interval.*?%\s+(?=\d+\.\d\u2013)", "", c) for c in table.table()[4]]
    assert four[:4] == ["4", "1,000", "97.5 %", "96.0 %"]
    assert four[4].endswith("93.9\u201397.3 %")
    assert four[5] == "43.2 %"


def test_many_classes_show_the_worst_first_and_all_on_demand(change, evaluate, read_page):
    names = [f"class {i}" for i in range(200)]
    counts = np.diag([10] * 200)
    for k in range(200):
        counts[k, k] -= k % 7
        counts[k, (k + 1) % 200] += k % 7
    run = change(evaluations={"test": evaluate(names, counts)})
    html = render_report(run)
    worst, everything = read_page(html).all("table", cls="classes")
    assert [row[0] for row in worst.table()] == [f"class {k}" for k in range(6, 146, 7)]
    assert [row[0] for row in everything.table()] == names
    assert not everything.all("svg")
    assert len(html) < 400_000


@pytest.mark.parametrize("lang", ["en", "ko"])
@pytest.mark.parametrize("classes", [2, 3, 20, 21, 200])
def test_any_number_of_classes_renders(change, evaluate, read_page, classes, lang):
    rng = np.random.default_rng(classes)
    names = [f"{'이름' * (k % 40)}👍🏽{k}" for k in range(classes)]
    counts = rng.integers(0, 9, (classes, classes)) + np.diag([50] * classes)
    page = read_page(
        render_report(change(evaluations={"test": evaluate(names, counts)}), lang=lang)
    )
    assert bool(page.all("table", cls="matrix")) == (classes <= 20)
    assert bool(page.all("figure", cls="matrix-image")) == (classes > 20)
    assert bool(page.all("div", cls="pairs")) == (classes > 2)


def test_empty_parts_are_left_out(empty_run, change, evaluate, read_page):
    assert section_ids(read_page(render_report(empty_run))) == []
    bare = evaluate(["a", "b"], [[1, 1], [0, 2]], per_class={}, matrix=None, mistakes=())
    run = change(evaluations={"test": bare}, misread=[], notes=[], history=[])
    assert section_ids(read_page(render_report(run))) == ["run", "scores", "repeat"]


def test_full_run_has_every_section(run, read_page):
    assert section_ids(read_page(render_report(run))) == [
        "run",
        "notes",
        "scores",
        "curves",
        "matrix",
        "classes",
        "misread",
        "repeat",
    ]


def test_perfect_score_says_so(change, evaluate, read_page):
    perfect = evaluate(["a", "b"], [[10, 0], [0, 10]])
    page = read_page(render_report(change(evaluations={"test": perfect}, misread=[])))
    assert "No picture was misread." in page.text
    assert "None of them was misread." in page.one("p", cls="lead").text
    assert not page.all("div", cls="pairs")


def test_mistakes_without_pictures_do_not_look_perfect(change, read_page):
    page = read_page(render_report(change(misread=[])))
    assert "misread" not in section_ids(page)
    assert "No picture was misread" not in page.text


def test_gallery_is_ordered_by_confidence_and_says_out_of_how_many(change, read_page):
    pixels = np.zeros((8, 8), np.uint8)
    misread = [
        MisreadPicture("a.png", pixels, "cat", "dog", 0.6123),
        MisreadPicture("b.png", pixels, "dog", "cat", 0.99999),
        MisreadPicture("c.png", pixels, "cat", "dog", 0.987),
    ]
    page = read_page(render_report(change(misread=misread)))
    gallery = page.one("ul", cls="gallery")
    assert [caption.text for caption in gallery.all("figcaption")] == [
        "is dog read as cat > 99.9 % b.png",
        "is cat read as dog 98.7 % c.png",
        "is cat read as dog 61.2 % a.png",
    ]
    assert gallery.all("img")[1].attrs["alt"].replace("\xa0", " ") == (
        "c.png: is cat, read as dog, 98.7 % sure"
    )
    assert "3 of 88 misread pictures" in page.text


def test_options_are_flat_and_complete(run, read_page):
    options, versions = read_page(render_report(run)).all("table", cls="pairs-of-text")
    assert options.table() == [
        ["epochs", "3"],
        ["augment.zoom_range", "[0.9, 1.1]"],
        ["augment.flip", "false"],
        ["lr", "null"],
    ]
    assert versions.table() == [["nunbit", "0.1.0"], ["torch", "2.13.0"]]


def test_epoch_table_keeps_every_number(run, read_page):
    table = read_page(render_report(run)).one("section", **{"aria-labelledby": "curves"})
    rows = table.one("details").one("table").table()
    assert rows[1] == ["2", "2", "0.5", "94.00 %", "98.00 %", "0.001", "12.5"]


def test_report_of_ten_classes_with_24_pictures_is_light(run, change):
    assert len(render_report(run).encode()) < 120_000
    rng = np.random.default_rng(0)
    photographs = [  # noise: no photograph is harder to compress
        MisreadPicture(f"{i}.jpg", rng.integers(0, 255, (300, 400, 3), np.uint8), "4", "9", 0.9)
        for i in range(24)
    ]
    assert len(render_report(change(misread=photographs)).encode()) < 500_000


def test_same_data_gives_the_same_page(run):
    assert render_report(run) == render_report(run)


def test_undecodable_file_name_does_not_spoil_the_page(change):
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    misread = [MisreadPicture(name, np.zeros((4, 4), np.uint8), "a", "b", 0.9)]
    html = render_report(change(misread=misread))
    assert "caf\\udce9.jpg" in html.encode().decode()


def test_import_is_cheap():
    code = "import sys, nunbit.report; print([m for m in HEAVY if m in sys.modules])"
    heavy = "HEAVY = ['cv2', 'jinja2', 'torch']; "
    done = subprocess.run(
        [sys.executable, "-c", heavy + code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    loaded = subprocess.run(  # the test of this test
        [sys.executable, "-c", heavy + "import cv2; " + code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout.strip() == "['cv2']"
