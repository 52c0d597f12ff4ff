"""The example script of the adapters runs, and its four searches agree on the kind of design."""

import runpy
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "examples" / "adapters.py"


def test_example_finds_light_aluminium_cantilevers_everywhere(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    # Closed form at the least width: height = sqrt(6 F L / (w sigma)) = 0.08 m, mass = 2700 * 0.01 * 0.08 * 0.8 kg.
    for line in lines:
        assert "'length': 0.8, 'material': 'aluminium'" in line
        assert 1.727 < float(line[27:].split()[0]) < 1.728 * 1.6
