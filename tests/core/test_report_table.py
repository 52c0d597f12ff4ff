"""The terminal's tables, and how numbers are written everywhere."""

import dataclasses
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from designopt import Constraint, DesignSpace, Reference, Sequence
from designopt.report import best_table, print_result
from designopt.report.content import percent
from designopt.report.style import duration, number


def shown(what, width=160):
    console = Console(file=io.StringIO(), width=width)
    console.print(what) if not callable(what) else what(console)
    return console.file.getvalue()


def row(text, name):
    (line,) = [li for li in text.splitlines() if li.strip("│ ").startswith(name + " ")]
    return [cell.strip() for cell in line.strip("│").split("│")]


LIMITS = (Constraint("stress", "Pa", 1e6), Constraint("fit", "mm"))


def test_best_design_with_units_known_optimum_and_states(run_result):
    result = run_result(
        [4.0, 2.5],
        [[-1.0, -1.0], [-2.5e5, -1e-5]],
        designs=[[1.0, 1, 0], [2.123456789, 123456, 1]],
        limits=LIMITS,
        reference=Reference("proof", value=2.0, design=(2.0, 5.0, 0.0)),
    )
    text = shown(best_table(result))
    assert "Best feasible design, evaluation 2" in text
    assert row(text, "width") == ["width", "2.12346", "mm", "2", ""]
    assert row(text, "material") == ["material", "aluminium", "", "steel", ""]
    assert row(text, "cost") == ["cost", "2.5", "$", "2", "minimised; 25 % worse than the known optimum"]
    assert row(text, "stress") == ["stress", "slack 250000", "Pa", "", "satisfied"]
    assert row(text, "fit") == ["fit", "slack 1e-5", "mm", "", "active"]


def test_known_design_without_known_value_is_still_compared(run_result):
    text = shown(best_table(run_result([1.0], reference=Reference("proof", design=(9.0, 8.0, 0.0)))))
    assert row(text, "bolts")[3] == "8"
    assert row(text, "cost")[3:] == ["", "minimised"]


def test_least_infeasible_design_is_called_so(run_result):
    text = shown(best_table(run_result([1.0, 2.0], [[5e6, -1.0], [2e6, -1.0]], limits=LIMITS)))
    assert "Least infeasible design (nothing feasible was found), evaluation 2" in text
    assert row(text, "stress") == ["stress", "excess 2000000", "Pa", "violated"]
    assert row(text, "fit") == ["fit", "slack 1", "mm", "satisfied"]


def test_front_lists_ten_designs_between_its_ends(run_result):
    x = np.linspace(0.0, 1.0, 101)
    text = shown(best_table(run_result(np.stack([x, 1 - x], axis=1))))
    assert "Non-dominated designs: 101 (10 shown, spread evenly along cost)" in text
    body = [li for li in text.splitlines() if li.startswith("│")]
    assert len(body) == 10
    assert body[0].split("│")[1].strip() == "0"
    assert body[-1].split("│")[1].strip() == "1"


def test_nothing_to_show_is_said(run_result):
    text = shown(best_table(run_result([np.nan], status=["failed"])))
    assert "No design to show: no evaluation gave values" in text


def test_sequences_and_names_are_text_not_markup(run_result):
    space = DesignSpace({"[red]chain[/red]": Sequence("ACDE", 4)})
    result = run_result([1.0], space=space, designs=[[0, 1, 2, 3]], names=("cost[/]",))
    text = shown(best_table(result))
    assert row(text, "[red]chain[/red]") == ["[red]chain[/red]", "ACDE", "", ""]
    assert row(text, "cost[/]")[1] == "1"


def test_printed_result_tells_facts_design_and_failures(run_result):
    result = run_result([4.0, np.nan], status=["ok", "failed"], errors=["", "ValueError: [bold]no[/bold] \x1b[31mmesh"])
    text = shown(lambda console: print_result(result, console))
    assert text.startswith("acme/Bracket-v0 searched by gp, run run-1\n")
    assert "best cost: 4 $  evaluations: 2  feasible: 1 (50 %)  without values: 1 failed" in text
    assert "Best feasible design, evaluation 1" in text
    assert "1 failed, first at evaluation 2: ValueError: [bold]no[/bold] \N{REPLACEMENT CHARACTER}[31mmesh" in text
    assert "\x1b" not in text


def test_unusual_results_can_be_printed(unusual_result):
    text = shown(lambda console: print_result(unusual_result, console))
    assert f"evaluations: {len(unusual_result.designs):,}" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.012665233, "0.0126652"),
        (25000.0, "25000"),
        (1234567.0, "1234570"),
        (2.5e8, "2.5e8"),
        (-3e-9, "-3e-9"),
        (0.0, "0"),
    ],
)
def test_numbers_have_six_digits_without_padding(value, text):
    assert number(value) == text


@given(st.floats(-1e300, 1e300), st.integers(2, 8))
def test_numbers_read_back_within_their_digits(value, digits):
    assert float(number(value, digits)) == pytest.approx(value, rel=10.0 ** (1 - digits), abs=1e-320)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0123, "12 ms"),
        (12.34, "12.3 s"),
        (99.97, "1 min 40 s"),
        (200, "3 min 20 s"),
        (3599.6, "60 min 00 s"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations_are_said_in_units_of_their_size(seconds, text):
    assert duration(seconds) == text.replace("60 min 00 s", "1 h 00 min")


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "0 %"),
        (0, 9, "0 %"),
        (9, 9, "100 %"),
        (1, 3, "33.3 %"),
        (1, 10**5, "< 0.1 %"),
        (99_999, 10**5, "> 99.9 %"),
    ],
)
def test_only_nothing_is_0_percent_and_only_all_is_100(part, whole, text):
    assert percent(part, whole) == text


def test_a_proved_bound_stands_below_the_objective_with_its_gap(run_result):
    result = run_result([3.0, 2.5])
    assert "proved bound" not in shown(best_table(result))
    result = dataclasses.replace(result, bound=2.0)
    assert row(shown(best_table(result)), "proved bound")[1:] == ["2", "$", "no design is better; gap 25 %"]
