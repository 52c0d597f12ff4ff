"""Live progress: what it says, when it says it, and what it leaves alone."""

import io
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from designopt import Evaluation, Objective
from designopt.report import ProgressDisplay, progress

COST = (Objective("cost", "min", unit="$"),)


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def log():
    return Console(file=io.StringIO(), force_terminal=False)


def lines(display):
    return display.console.file.getvalue().splitlines()


def evaluation(value, constraint=-1.0, status="ok"):
    return Evaluation([[value]], [[constraint]], status=[status])


def test_line_tells_best_share_failures_speed_and_time_left(clock):
    display = ProgressDisplay(10, COST, console=log())
    with display:
        for e in (
            evaluation(5.0),
            evaluation(3.25),
            evaluation(1.0, constraint=1.0),
            evaluation(np.nan, status="failed"),
        ):
            display.update(e)
        clock.now = 8.0
        assert display.line() == (
            "4/10 evaluations, best cost 3.25 $, 50 % feasible, 1 without values, 0.5/s, 8.0 s, 12.0 s left"
        )


def test_line_before_anything_feasible_and_without_budget(clock):
    with ProgressDisplay(None, COST, console=log()) as display:
        display.update(evaluation(1.0, constraint=2.0))
        clock.now = 2.0
        assert display.line() == "1 evaluations, nothing feasible yet, 0 % feasible, 0.5/s, 2.0 s"


def test_batches_count_by_their_rows_and_maximised_objectives_keep_their_sign(clock):
    both = (Objective("cost", "min"), Objective("lift", "max", unit="N"))
    with ProgressDisplay(4, both, console=log()) as display:
        display.update(Evaluation([[1.0, -9.0], [2.0, -4.0]]))
        display.update(Evaluation([[0.0, 8.0], [3.0, -3.0]], [[1.0], [-1.0]]))
        assert "4/4 evaluations, best cost 1, lift -3 N, 75 % feasible" in display.line()


def test_recorded_evaluations_of_a_resumed_run_count_towards_the_budget_only(clock):
    with ProgressDisplay(100, COST, done=90, console=log()) as display:
        assert "90/100 evaluations, nothing feasible since it resumed" in display.line()
        display.update(evaluation(1.0))
        clock.now = 2.0
        assert display.line() == "91/100 evaluations, best cost 1 $, 100 % feasible, 0.5/s, 2.0 s, 18.0 s left"


def test_log_gets_a_line_every_tenth_of_the_budget_and_at_the_end(clock):
    with ProgressDisplay(50, COST, console=log()) as display:
        for i in range(48):
            display.update(evaluation(100.0 - i))
    said = [line.split("/")[0] for line in lines(display)]
    assert said == ["5", "10", "15", "20", "25", "30", "35", "40", "45", "48"]


def test_log_says_the_end_once(clock):
    with ProgressDisplay(10, COST, console=log()) as display:
        for _ in range(10):
            display.update(evaluation(1.0))
    assert [line.split(" ")[0] for line in lines(display)] == [f"{i}/10" for i in range(1, 11)]


def test_log_gets_a_line_every_ten_seconds_of_a_slow_run(clock):
    with ProgressDisplay(10_000, COST, console=log()) as display:
        for _ in range(30):
            clock.now += 1
            display.update(evaluation(1.0))
        assert [line.split("/")[0] for line in lines(display)] == ["10", "20", "30"]


def test_log_of_a_long_run_grows_slower_than_the_run(clock):
    with ProgressDisplay(None, COST, console=log()) as display:
        for _ in range(3600):
            clock.now += 10
            display.update(evaluation(1.0))
    assert 50 < len(lines(display)) < 150


def test_run_without_evaluations_says_so(clock):
    with ProgressDisplay(10, COST, console=log()) as display:
        pass
    assert lines(display) == ["0/10 evaluations, nothing feasible yet, 0 % feasible, 0/s, 0 ms"]


def test_log_has_no_control_codes_even_from_names(clock):
    with ProgressDisplay(1, (Objective("\x1b[31mcost", "min"),), console=log()) as display:
        display.update(evaluation(1.0))
    text = display.console.file.getvalue()
    assert "cost 1" in text
    assert all(c == "\n" or c.isprintable() for c in text)


def test_default_is_standard_error_and_standard_output_stays_untouched(capsys):
    with ProgressDisplay(1, COST) as display:
        print("result")
        display.update(evaluation(2.0))
    out, err = capsys.readouterr()
    assert out == "result\n"
    assert err.startswith("1/1 evaluations, best cost 2 $")


def terminal(width=160):
    return Console(
        file=io.StringIO(), force_terminal=True, width=width, legacy_windows=False, _environ={"TERM": "xterm"}
    )


def test_terminal_shows_a_bar_that_ends_with_the_last_state(capsys):
    display = ProgressDisplay(3, COST, console=terminal())
    with display:
        print("result")
        for value in (3.0, 2.0, 7.0):
            display.update(evaluation(value))
    text = display.console.file.getvalue()
    assert "\x1b[" in text
    assert "━" in text
    assert re.findall(r"\d/3 evaluations, [^,]*", text)[-1] == "3/3 evaluations, best cost 2 $"
    assert capsys.readouterr().out == "result\n"


def test_narrow_terminal_still_shows_the_whole_line():
    display = ProgressDisplay(3, COST, console=terminal(width=40))
    with display:
        display.update(evaluation(2.0))
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", display.console.file.getvalue()).splitlines()
    assert lines[0] == "━" * 40
    assert "1/3 evaluations, best cost 2 $, 100 % feasible" in " ".join(" ".join(lines).split())


def test_terminal_is_drawn_at_intervals_not_per_evaluation():
    display = ProgressDisplay(20_000, COST, console=terminal())
    drawn = 0
    line = display.line

    def counted():
        nonlocal drawn
        drawn += 1
        return line()

    display.line = counted
    batch = evaluation(1.0)
    with display:
        for _ in range(20_000):
            display.update(batch)
    assert drawn < 2000
    assert display.done == display.feasible == 20_000


def test_dumb_terminal_gets_plain_lines():
    console = Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"})
    with ProgressDisplay(1, COST, console=console) as display:
        display.update(evaluation(1.0))
    assert "\x1b" not in display.console.file.getvalue()
    assert len(lines(display)) == 1


@pytest.mark.parametrize("console", [log, terminal])
def test_error_inside_passes_through_and_leaves_the_streams_as_they_were(console):
    streams = sys.stdout, sys.stderr
    display = ProgressDisplay(3, COST, console=console())

    def run():
        with display:
            display.update(evaluation(1.0))
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        run()
    assert (sys.stdout, sys.stderr) == streams
    assert "1/3 evaluations" in display.console.file.getvalue()
