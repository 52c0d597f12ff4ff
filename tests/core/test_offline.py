import json

import numpy as np
import pytest
from typer.testing import CliRunner

import designopt as do
from designopt.cli.assembly import app
from designopt.offline import OfflineData


class Known(do.DesignEnv):
    design_space = do.DesignSpace(x=do.Real(0, 1))
    objectives = (do.Objective("y"),)
    initial = np.array([[0.25], [0.75]])

    def evaluate(self, designs):
        return do.Evaluation(np.asarray(designs) ** 2)

    def offline_data(self, seed=None):
        return self.initial, self.evaluate(self.initial)


class Listener(do.Searcher):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.log = []

    def ask(self, n, pending):
        self.log.append(("ask", n))
        return self.space.sample(n, self.rng)

    def tell(self, designs, evaluation):
        self.log.append(("tell", designs[:, 0].tolist()))


def test_what_is_known_beforehand_is_told_first_and_costs_nothing():
    env = Known()
    assert isinstance(env, OfflineData)
    searcher = Listener(env)
    result = do.Study(env, searcher, budget=6, batch=3).run()
    assert searcher.log[0] == ("tell", [0.25, 0.75])
    assert [entry for entry in searcher.log if entry[0] == "ask"] == [("ask", 3), ("ask", 3)]
    assert len(result.designs) == 6


def test_nothing_known_is_nothing_told():
    env = Known()
    env.initial = np.empty((0, 1))
    searcher = Listener(env)
    do.Study(env, searcher, budget=1).run()
    assert searcher.log[0] == ("ask", 1)


def test_data_outside_the_space_are_refused():
    env = Known()
    env.initial = np.array([[2.0]])
    with pytest.raises(ValueError, match="x = 2 is not allowed"):
        do.Study(env, Listener(env), budget=1)


def test_a_resumed_run_goes_on_as_if_never_stopped(tmp_path):
    whole = do.optimize("designopt/GaussianMixture-v0", "ga", budget=40, seed=1)
    store = str(tmp_path / "runs.db")
    env = do.make("designopt/GaussianMixture-v0", separation=1, imbalance=0.05)
    whole = do.optimize(env, "ga", budget=40, seed=1)
    first = do.optimize(env, "ga", budget=15, seed=1, store=store)
    resumed = do.resume(store, first.run_id, budget=40)
    assert np.array_equal(resumed.designs, whole.designs)


def run(tmp_path, *arguments):
    command = ["run", "designopt/GaussianMixture-v0", "--search", "random", "--store", str(tmp_path / "r.db"), "--json"]
    return CliRunner().invoke(app, [*command, *arguments])


def test_rounds_of_batches_are_the_budget(tmp_path):
    answer = run(tmp_path, "--rounds", "3", "--batch", "4", "--env-set", "separation=2", "--env-set", "imbalance=0.05")
    assert json.loads(answer.stdout)["evaluations"] == 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rounds", "3"], "--rounds 3 needs --batch"),
        (["--rounds", "3", "--batch", "2", "--budget", "7"], "--rounds 3 and --budget 7 both say"),
        (["--rounds", "0", "--batch", "2"], "--rounds 0; it must be positive"),
    ],
)
def test_rounds_that_say_no_budget_are_refused(tmp_path, arguments, message):
    answer = run(tmp_path, *arguments)
    assert message in str(answer.exception)
