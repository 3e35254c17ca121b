from __future__ import annotations

import json
import re
from html import unescape
from xml.etree import ElementTree

from forge.report.chart import Mark, Panel, Series, StepAxis, chart

AXIS = StepAxis(last=100, time_s=lambda step: step / 2)


def panel(*series: Series, logarithmic: bool = False, from_zero: bool = False) -> Panel:
    return Panel("loss", "nats a token", series, logarithmic, from_zero)


def points(html: str) -> list[list[tuple[float, float]]]:
    return [
        [(float(x), float(y)) for x, y in (pair.split(",") for pair in line.split())]
        for line in re.findall(r'<polyline[^>]* points="([^"]*)"', html)
    ]


def test_the_lowest_and_the_highest_value_are_at_the_margins() -> None:
    (drawn,) = points(chart("c", [panel(Series("loss", [0, 50, 100], [1.0, 3.0, 2.0]))], AXIS))
    assert drawn == [(0.0, 113.0), (500.0, 7.0), (1000.0, 60.0)]


def test_a_logarithmic_axis_puts_the_geometric_mean_in_the_middle() -> None:
    series = Series("norm", [0, 50, 100], [0.1, 1.0, 10.0])
    (drawn,) = points(chart("c", [panel(series, logarithmic=True)], AXIS))
    assert [y for _, y in drawn] == [113.0, 60.0, 7.0]


def test_a_constant_and_a_zero_are_drawn() -> None:
    (drawn,) = points(chart("c", [panel(Series("loss", [1, 2], [0.0, 0.0]), from_zero=True)], AXIS))
    assert [y for _, y in drawn] == [60.0, 60.0]
    # Nothing above zero has no logarithm: the axis is linear.
    (drawn,) = points(chart("c", [panel(Series("norm", [1, 2], [0.0, 4.0]), logarithmic=True)], AXIS))
    assert [y for _, y in drawn] == [113.0, 7.0]


def test_a_chart_is_well_formed_and_has_colors_only_by_name() -> None:
    html = chart(
        "c",
        [
            panel(Series("a", [0, 9], [1, 2]), Series("b", [3], [1.5], 1, "dots")),
            panel(Series("none", [], [])),
        ],
        AXIS,
        [Mark("failures", 5, 'killed <by> & "all"', goes_through=True, is_bad=True)],
    )
    ElementTree.fromstring(html)
    assert not re.search(r"#[0-9a-f]{3,6}\b|rgb\(", html)
    assert html.count('class="panel keep"') == 2  # the marks and one panel: a curve without values has none
    assert "killed &lt;by&gt; &amp; &quot;all&quot;" in html


def test_what_the_pointer_reads_is_what_was_measured() -> None:
    html = chart("c", [panel(Series("loss", [10, 20], [1.25, 2.5]))], AXIS)
    (read,) = re.findall(r'data-points="([^"]*)"', html)
    assert json.loads(unescape(read)) == [[10, 20], [1.25, 2.5]]


def test_the_axis_has_steps_and_below_them_the_time() -> None:
    labels = re.findall(
        r"<text[^>]*>([^<]*)</text>", chart("c", [panel(Series("loss", [0, 100], [1, 2]))], AXIS)
    )
    assert labels[-4:] == ["80", "40 s", "100", "50 s"]
    assert "step 0" in labels


def test_without_anything_measured_there_is_no_chart() -> None:
    assert chart("c", [panel(Series("loss", [], []))], AXIS) == ""


def test_a_run_in_the_background_is_grey_and_neither_named_nor_read() -> None:
    html = chart(
        "c", [panel(Series("run 9", [0, 9], [1, 2], kind="background"), Series("a", [0], [1]))], AXIS
    )
    assert '<polyline class="curve background" points="0.0,113.0 90.0,7.0"><title>run 9</title>' in html
    assert html.count("data-points") == 1
    assert html.count("run 9") == 1


def test_the_curves_of_many_long_runs_are_light_and_keep_their_extremes() -> None:
    values = [2.0 + (step % 7) / 10 for step in range(2_000)]
    values[1_234] = 99.0
    steps = list(range(2_000))
    shown = [Series(f"run {n}", steps, values, kind="background") for n in range(992)]
    shown += [Series(f"run {n}", steps, values, n) for n in range(8)]
    html = chart("c", [panel(*shown)], AXIS)
    assert len(html) < 1_500_000
    assert html.count(",7.0 ") >= 1_000


def test_a_logarithmic_axis_of_compute_has_powers_of_ten() -> None:
    axis = StepAxis(1e21, first=1e17, name="FLOPs", logarithmic=True, form="{:.0e}".format)
    html = chart("c", [panel(Series("loss", [1e17, 1e19, 1e21], [3.0, 2.0, 1.0]))], axis)
    assert [x for x, _ in points(html)[0]] == [0.0, 500.0, 1000.0]
    assert ">FLOPs 1e+17<" in html
    assert ">1e+21<" in html


def test_many_marks_are_thinned() -> None:
    marks = [Mark("saved", step, "checkpoint") for step in range(5_000)]
    html = chart("c", [panel(Series("loss", [0, 5_000], [1, 2]))], StepAxis(last=5_000), marks)
    assert 250 <= html.count('class="lane"') <= 300
