import runpy
from pathlib import Path


def test_the_example_finds_a_better_feasible_design(capsys):
    main = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "prior_fitted.py"))["main"]
    gain, kind, right = main()
    assert gain < 1
    assert kind == "feasible"
    assert right > 0.9
    assert "volume" in capsys.readouterr().out
