"""The parts of a report: numbers as text, published figures, plots, Markdown."""

from __future__ import annotations

import re

import numpy as np
import pytest
from defusedxml import ElementTree

from zgcore.evaluation import formats, published
from zgcore.evaluation.report_markdown import escape, table_lines, to_markdown, width
from zgcore.evaluation.report_model import Cell, Column, Plot, Report, Section, Table, Tile, share, word

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (formats.percent(0.1754), "17.5"),
        (formats.percent(0), "0.0"),
        (formats.percent(-0.0004), "0.0"),
        (formats.percent(-0.021), "-2.1"),
        (formats.percent(0.021, signed=True), "+2.1"),
        (formats.percent(None), formats.NOTHING),
        (formats.percent(float("nan")), formats.NOTHING),
        (formats.interval((0.141, 0.2594)), "[14.1, 25.9]"),
        (formats.interval((-0.01, 0.02), signed=True), "[-1.0, +2.0]"),
        (formats.interval(None), ""),
        (formats.p_value(0.0342), "0.034"),
        (formats.p_value(0.0004), "<0.001"),
        (formats.p_value(None), formats.NOTHING),
        (formats.decimal(-0.257), "-0.26"),
        (formats.count(5105), "5,105"),
        (formats.seconds(0.0081), "0.008"),
        (formats.seconds(1.413), "1.41"),
        (formats.seconds(12.34), "12.3"),
        (formats.plural(1, "image"), "1 image"),
        (formats.plural(1000, "image"), "1,000 images"),
    ],
)
def test_numbers_have_one_form(text, expected):
    assert text == expected


def test_published_figures_are_the_papers():
    # The ablation's row of the paper: crop and mask, IoU, recall and TGQ on PC-59, IoU on PC-459 and VOC-20.
    row = [("pc59", "iou"), ("pc59", "recall"), ("pc59", "tgq"), ("pc459", "iou"), ("voc", "iou")]
    values = {p: [getattr(published.find(p, d, "st", m), "percent", None) for d, m in row]
              for p in ("crop", "no-subtraction", "no-merge", "full")}  # fmt: skip
    assert values == {
        "crop": [12.1, 10.2, 16.9, 5.4, 14.0],
        "no-subtraction": [14.5, 15.0, 11.8, 7.2, 21.2],
        "no-merge": [16.4, 11.8, None, 10.2, 18.3],
        "full": [17.5, 15.0, 19.0, 11.3, 20.1],
    }
    assert published.find("full", "pc59", "tt", "iou").percent == 11.2
    assert published.find("full", "coco", "tt", "iou") is None
    assert [f.percent for f in published.MAIN if f.by == "st"] == [19.6, 11.3, 20.1]
    tt, st = published.CURVES["tt", "voc"], published.CURVES["st", "pc59"]
    assert dict(zip(tt.thresholds, tt.percent, strict=True))[0.5] == 27.3
    assert dict(zip(st.thresholds, st.percent, strict=True))[0.2] == 16.0
    assert sum(published.STUDY) == pytest.approx(100)


@pytest.fixture(scope="module")
def plots():
    pytest.importorskip("matplotlib")
    from zgcore.evaluation import plots

    return plots


def drawn(plots) -> list[bytes]:
    line = plots.Line("ours <b>&", [0.5, 1, 2], [10.0, 20.0, 15.0], [8, 18, 12], [12, 22, 18])
    paper = plots.Line("_paper\x07", [0.5, 1], [11.0, 12.0], published=True)
    return [
        plots.curves([line, paper], title="IoU by <sigma>", x="sigma squared", y="IoU, %", log=True, mark=1.0),
        plots.histogram([0.0, 0.1, 0.2], [3, 5], title="similarity", x="cosine", y="segments"),
        plots.intervals([("full", 20.0, 15.0, 25.0), ("$crop$", 10.0, 5.0, 15.0)], title="runs", x="IoU, %"),
    ]


def test_plots_are_the_same_bytes_and_their_text_is_text(plots):
    first, again = drawn(plots), drawn(plots)
    assert first == again
    texts = [[node.text for node in ElementTree.fromstring(svg).iter(SVG + "text")] for svg in first]
    assert {"ours <b>&", " _paper", "sigma squared", "IoU, %", "0.5", "1", "2"} <= set(texts[0])
    assert {"cosine", "segments"} <= set(texts[1])
    assert {"full", "$crop$"} <= set(texts[2])
    assert ElementTree.fromstring(first[0]).find(SVG + "title").text == "IoU by <sigma>"
    for svg in first:
        assert b"<script" not in svg
        assert b"date>" not in svg


def test_every_colour_of_a_plot_follows_the_mode(plots):
    for svg in drawn(plots):
        painted = re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})(?:; (?:fill|stroke): (var))?", svg.decode())
        assert painted
        assert {follows for _, follows in painted} == {"var"}
        assert b"@media (prefers-color-scheme: dark)" in svg


def test_a_curve_goes_through_its_points(plots):
    svg = plots.curves([plots.Line("a", [0.0, 1.0], [0.0, 10.0])], title="t", x="x", y="y")
    paths = [p.get("d").split() for p in ElementTree.fromstring(svg).iter(SVG + "path") if "clip-path" in p.attrib]
    line = next(p for p in paths if len(p) == 6 and p[1] != p[4] and p[2] != p[5])
    x0, y0, x1, y1 = (float(line[k]) for k in (1, 2, 4, 5))
    assert x1 > x0
    assert y1 < y0  # SVG counts downwards: 10 stands above 0


def test_markdown_tables_line_up_and_escape():
    table = Table(
        "Ours | theirs",
        (Column("what", number=False), Column("IoU")),
        ((word("a|b"), share(0.2, (0.1, 0.3))), (word("<script>"), Cell("7")), (word("猫"), Cell(formats.NOTHING))),
    )
    lines = table_lines(table)
    assert lines[0] == "**Ours \\| theirs**"
    rows = [line for line in lines if line.startswith("|")]
    assert rows == [
        "| what        |               IoU |",
        "| ----------- | ----------------: |",
        "| a\\|b        | 20.0 [10.0, 30.0] |",
        "| &lt;script> |                 7 |",
        "| 猫          |                 \N{EN DASH} |",
    ]
    assert len({width(row) for row in rows if "\\|" not in row}) == 1


def test_markdown_keeps_labels_harmless():
    assert escape("a\x1b[31m\u202eb\nc") == "a[31mbc"
    assert escape("![x](http://evil)") == "\\![x\\](http://evil)"
    assert escape("`*_#~\\") == "\\`\\*\\_\\#\\~\\\\"


def test_markdown_of_a_report():
    rows = tuple((word(f"class {k}"), Cell(str(k), k)) for k in range(30))
    long = Table("Classes", (Column("class", number=False), Column("n")), rows, long=True, note="as they are")
    section = Section("k", "Per class", ("Said.",), (long,), (Plot("tt", "TT", b"", "TT by threshold"),))
    report = Report(
        "full",
        (("preset", "mini"),),
        ("mini is not paper",),
        (Tile("IoU", "1.0", "[0, 2]"),),
        (section,),
        (("a", "b"),),
    )
    text = to_markdown(report, figures="figures")
    assert text.startswith(
        "# full\n\npreset **mini**\n\n> mini is not paper\n\n- IoU: **1.0** [0, 2]\n\n## Per class\n\nSaid.\n"
    )
    assert "10 more rows are in the page." in text
    assert "![TT by threshold](figures/tt.svg)" in text
    assert text.endswith("## 1 without a result\n\n- a: b\n")
    whole = to_markdown(report, cut=False)
    assert whole.count("| class ") == 31
    assert ".svg" not in whole


def test_long_labels_are_cut_where_they_would_fill_the_page():
    assert len(word("x" * 5000).text) <= 200
    assert word("a\u202eb\x00c").text == "a b c"
    assert np.isclose(share(0.5).value, 0.5)
