"""The sweep file: what it spreads out to, and what it says when something is wrong."""

import re
import subprocess
import sys

import pytest

import designopt as do
from designopt.searcher import tunable
from designopt.sweep.configurations import configurations
from designopt.sweep.plan import read_plan

TOML = """
[sweep]
name = "night"
seeds = [3, 5]
budget = 40
batch = 4
seconds = 60
store = "night.db"

[[env]]
id = "designopt/PressureVessel-v0"
arguments = {variant = "mixed"}

[[env]]
id = "designopt/WeldedBeam-v0"

[[backend]]
name = "random"

[[backend]]
name = "ga"
grid = {population = [10, 20], crossover = [0.9, 1]}
fixed = {mutations = 2}

[resources]
num_cpus = 0.5

[asha]
grace = 10

[evaluation]
timeout = 5
retries = 0
"""

YAML = """
sweep: {name: night, seeds: [3, 5], budget: 40, batch: 4, seconds: 60, store: night.db}
env:
  - {id: designopt/PressureVessel-v0, arguments: {variant: mixed}}
  - id: designopt/WeldedBeam-v0
backend:
  - name: random
  - {name: ga, grid: {population: [10, 20], crossover: [0.9, 1]}, fixed: {mutations: 2}}
resources: {num_cpus: 0.5}
asha: {grace: 10}
evaluation: {timeout: 5, retries: 0}
"""


def plan(**changes):
    """A small plan; ``sweep__budget=9`` changes one key, ``asha={...}`` a whole table."""
    values = {
        "sweep": {"name": "night", "budget": 40, "seeds": 2},
        "env": [{"id": "designopt/WeldedBeam-v0"}],
        "backend": [{"name": "random"}],
    }
    for name, value in changes.items():
        table, _, key = name.partition("__")
        if key:
            values[table] = {**values[table], key: value}
        else:
            values[table] = value
    return read_plan({table: value for table, value in values.items() if value is not None})


@pytest.fixture
def night(tmp_path):
    (tmp_path / "night.toml").write_text(TOML)
    return tmp_path / "night.toml"


def test_a_file_is_spread_out_to_env_by_backend_by_configuration_by_seed(night):
    read = read_plan(night)
    frame = read.frame
    assert len(frame) == 2 * (1 + 4) * 2
    assert frame["run_id"].is_unique
    assert frame["env"].tolist() == ["designopt/PressureVessel-v0"] * 10 + ["designopt/WeldedBeam-v0"] * 10
    assert frame["env_arguments"][0] == {"variant": "mixed"}
    assert frame["backend"].tolist() == (["random"] * 2 + ["ga"] * 8) * 2
    assert frame["config"].tolist() == [x for x in ("default", "c01", "c02", "default", "c03") for _ in "ab"] * 2
    assert frame["seed"].tolist() == [3, 5] * 10
    info = read.studies[2].info
    assert (info.sweep, info.configuration, info.budget, info.batch, info.seconds) == ("night", "c01", 40, 4, 60)
    assert info.hyperparameters["population"] == 10
    assert info.hyperparameters["mutations"] == 2.0
    assert (info.executor, info.limits) == ("process", {"timeout": 5, "memory_mb": None, "retries": 0})
    assert (read.name, read.store) == ("night", "night.db")
    assert read.resources == {"num_cpus": 0.5, "num_gpus": 0.0}
    assert (read.asha.grace, read.asha.reduction) == (10, 3)
    assert read.envs[0].id == "designopt/PressureVessel-v0"
    assert read_plan(night, "elsewhere.db").store == "elsewhere.db"


def test_yaml_and_toml_say_the_same(night, tmp_path):
    (tmp_path / "night.yaml").write_text(YAML)
    one, other = read_plan(night), read_plan(tmp_path / "night.yaml")
    assert [study.info for study in one.studies] == [study.info for study in other.studies]
    assert one.frame.equals(other.frame)


def test_what_is_not_said_has_a_default():
    read = plan(sweep__seeds=1)
    assert read.store == "designopt.db"
    assert read.asha is None
    assert read.resources == {"num_cpus": 1.0, "num_gpus": 0.0}
    info = read.studies[0].info
    assert (info.executor, info.limits["retries"], info.batch, info.seconds) == ("serial", 2, None, None)


def ids(**changes):
    return [study.run_id for study in plan(**changes).studies]


def test_an_id_depends_on_what_is_searched_how_and_with_which_seed_and_on_nothing_else():
    first = ids()
    assert re.fullmatch(r"weldedbeam-random-0-[0-9a-f]{12}", first[0])
    code = "from tests_plan import ids; print(*ids())"
    loader = f"import sys, importlib.util as u; s = u.spec_from_file_location('tests_plan', {__file__!r})"
    loader += "; sys.modules['tests_plan'] = m = u.module_from_spec(s); s.loader.exec_module(m)"
    other = subprocess.run([sys.executable, "-c", f"{loader}; {code}"], capture_output=True, text=True, check=True)
    assert other.stdout.split() == first
    assert ids(sweep__seeds=4)[:2] == first
    assert ids(sweep__budget=80, sweep__batch=8, sweep__seconds=5, evaluation={"timeout": 9}) == first
    assert ids(env=[{"id": "designopt/Ackley-v0"}, {"id": "designopt/WeldedBeam-v0"}])[2:] == first
    assert not set(first) & set(ids(sweep__name="day"))
    assert not set(first) & set(ids(env=[{"id": "designopt/Ackley-v0"}]))
    local = ids(backend=[{"name": "local", "fixed": {"patience": 50}}])
    assert not set(local) & set(ids(backend=[{"name": "local", "fixed": {"patience": 60}}]))
    assert ids(backend=[{"name": "local", "grid": {"patience": [60, 50]}}])[2:] == local
    vessels = [{"id": "designopt/PressureVessel-v0", "arguments": {"variant": v}} for v in ("mixed", "classical")]
    assert len(set(ids(env=vessels))) == 4


def test_an_environment_may_be_an_object_or_a_name_in_a_file(tmp_path):
    (tmp_path / "acme_bracket.py").write_text(
        "import designopt as do\n"
        "@do.design_env(do.DesignSpace(x=do.Real(0, 1)), minimize=['f'])\n"
        "def bracket(x):\n    return {'f': x}\n"
    )
    read = plan(env=[{"id": f"{tmp_path}/acme_bracket.py:bracket"}])
    assert (read.envs[0].id, read.studies[0].info.env) == ("bracket", "bracket")
    env = do.make("designopt/PressureVessel-v0", variant="mixed")
    made = plan(env=[{"id": env}])
    assert made.envs[0] is env
    named = plan(env=[{"id": "designopt/PressureVessel-v0", "arguments": {"variant": "mixed"}}])
    assert [s.run_id for s in made.studies] == [s.run_id for s in named.studies]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sweep": None}, "sweep: needs 'sweep': a table of names and values"),
        ({"sweep": {"name": "night"}}, r"sweep: \[sweep\] needs 'budget': a whole number, 1 or more"),
        ({"sweep__budget": 0}, r"\[sweep\] budget = 0; it must be a whole number, 1 or more"),
        ({"sweep__budget": True}, r"\[sweep\] budget = True; it must be a whole number"),
        ({"sweep__batch": 0}, r"\[sweep\] batch = 0; it must be a whole number, 1 or more"),
        ({"sweep__name": " "}, r"\[sweep\] name = ' '; it must be a text that is not empty"),
        ({"sweep__store": 3}, r"\[sweep\] store = 3; it must be a text"),
        ({"sweep__seconds": -1}, r"\[sweep\] seconds = -1; it must be a number above 0"),
        ({"sweep__seconds": float("nan")}, r"\[sweep\] seconds = nan; it must be a number above 0"),
        ({"sweep__seeds": []}, r"\[sweep\] seeds = \[\]; it must be a number of seeds, or a list of different"),
        ({"sweep__seeds": [1, 1]}, r"\[sweep\] seeds = \[1, 1\]; it must be a number of seeds"),
        ({"sweep__seeds": [-1]}, r"\[sweep\] seeds = \[-1\]; it must be"),
        ({"sweep__seed": 1}, r"\[sweep\] has no key 'seed'; did you mean .*'seeds'"),
        ({"env": []}, r"sweep: env = \[\]; it must be one or more tables, each under \[\[env\]\]"),
        ({"env": None}, r"sweep: needs 'env': one or more tables"),
        ({"env": ["x"]}, r"\[\[env\]\] 1 is 'x'; it must be a table"),
        ({"env": [{"id": 3}]}, r"\[\[env\]\] 1 id = 3; it must be the id of an environment, FILE.py:NAME"),
        (
            {"env": [{"id": "designopt/WeldedBean-v0"}]},
            r"\[\[env\]\] 1 \(designopt/WeldedBean-v0\): unknown env.*Beam",
        ),
        ({"env": [{"id": "gone.py:bracket"}]}, r"\[\[env\]\] 1 \(gone.py:bracket\): no file gone.py"),
        (
            {"env": [{"id": "designopt/WeldedBeam-v0", "arguments": {"load": 2}}]},
            r"\[\[env\]\] 1 .*has no argument 'load'",
        ),
        (
            {"env": [{"id": "designopt/Ackley-v0", "argument": {}}]},
            r"has no key 'argument'; did you mean 'arguments'",
        ),
        ({"env": [{"id": "designopt/WeldedBeam-v0"}] * 2}, r"\[\[env\]\] names the same environment .* twice"),
        ({"backend": [{"name": "rnd"}]}, r"\[\[backend\]\] 1 \(rnd\): unknown backend 'rnd'; did you mean 'random'"),
        ({"backend": [{}]}, r"\[\[backend\]\] 1 needs 'name': a text"),
        ({"backend": [{"name": "ga"}, {"name": "ga"}]}, r"\[\[backend\]\] 2 \(ga\): ga is named twice"),
        ({"backend": [{"name": "ga", "draws": 0}]}, r"\(ga\) draws = 0; it must be a whole number, 1 or more"),
        ({"backend": [{"name": "ga", "grid": {"population": 9}}]}, r"\(ga\) grid = .*a table of names and lists"),
        ({"backend": [{"name": "ga", "grid": {"population": []}}]}, r"\(ga\) grid = .*a table of names and lists"),
        (
            {"backend": [{"name": "ga", "grid": {"pop": [9]}}]},
            r"\(ga\): .*no hyper-parameter 'pop'; allowed: .*population",
        ),
        ({"backend": [{"name": "ga", "fixed": {"population": "x"}}]}, r"\(ga\): population = 'x' must be int"),
        (
            {"backend": [{"name": "ga", "grid": {"population": [9]}, "draws": 2}]},
            r"\(ga\): takes a grid or draws, not both",
        ),
        (
            {"backend": [{"name": "ga", "grid": {"population": [9]}, "fixed": {"population": 8}}]},
            r"\(ga\): 'population' is both in fixed and in grid",
        ),
        (
            {"backend": [{"name": "ga"}], "env": [{"id": "designopt/DiscBrake-v0"}]},
            r"\(ga\): .* searches one objective",
        ),
        ({"resources": {"num_cpus": 0}}, r"\[resources\] num_cpus = 0; it must be a number above 0"),
        ({"resources": {"num_gpus": 1.5}}, r"\[resources\] num_gpus = 1.5; it must be a fraction of one, or a whole"),
        ({"resources": {"cpus": 1}}, r"\[resources\] has no key 'cpus'; did you mean 'num_cpus'"),
        ({"evaluation": {"timeout": 0}}, r"\[evaluation\] timeout = 0; it must be a number above 0"),
        ({"evaluation": {"memory": 1}}, r"\[evaluation\] has no key 'memory'; did you mean 'memory_mb'"),
        ({"evaluation": {"retries": -1}}, r"\[evaluation\] retries = -1; it must be a whole number, 0 or more"),
        ({"asha": {}}, r"\[asha\] needs 'grace': a whole number"),
        ({"asha": {"grace": 40}}, r"\[asha\] grace = 40; it must be below the budget of 40 evaluations"),
        ({"asha": {"grace": 4, "reduction": 1}}, r"\[asha\] reduction = 1; it must be a whole number, 2 or more"),
        (
            {"asha": {"grace": 4}, "env": [{"id": "designopt/WeldedBeamMO-v0"}]},
            r"\[asha\] compares one objective; designopt/WeldedBeamMO-v0 has 2",
        ),
        ({"asah": {"grace": 4}}, r"sweep: has no key 'asah'; did you mean 'asha'"),
    ],
)
def test_an_error_is_one_line_that_names_the_place_and_what_is_allowed(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        plan(**changes)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("sweep:")


def test_an_environment_that_is_made_takes_no_arguments():
    with pytest.raises(ValueError, match=r"arguments = {'a': 1}; an environment that is made takes none"):
        plan(env=[{"id": do.make("designopt/WeldedBeam-v0"), "arguments": {"a": 1}}])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "[sweep", r"a\.toml: not valid TOML: "),
        ("a.yaml", "sweep: {", r"a\.yaml: not valid YAML: "),
        ("a.yml", "7", r"a\.yml: is 7; it must be a table"),
        ("a.json", "{}", r"a\.json: a sweep file is FILE\.toml or FILE\.yaml"),
        ("a.toml", None, r"a\.toml: No such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_plan(tmp_path / name)
    assert "\n" not in str(caught.value)


# Configurations -------------------------------------------------------------------------------------------------


def test_the_default_comes_first_and_draws_lie_in_the_declared_ranges():
    searcher = do.backend("ga")
    found = configurations(searcher, draws=16)
    assert list(found) == ["default", *(f"c{i:02d}" for i in range(1, 16))]
    assert found["default"] == searcher.Config()
    assert len(set(found.values())) == 16
    for config in list(found.values())[1:]:
        assert 10 <= config.population <= 200
        assert isinstance(config.population, int)
        assert 0.5 <= config.crossover <= 1.0
    populations = [config.population for config in found.values()]
    assert min(populations[1:]) < 40 < max(populations)


def test_more_draws_keep_those_that_were_drawn_before():
    few, many = (configurations(do.backend("de"), draws=n) for n in (4, 9))
    assert {label: many[label] for label in few} == few
    assert list(configurations(do.backend("de"), draws=1)) == ["default"]


def test_fixed_hyperparameters_hold_in_every_configuration():
    found = configurations(do.backend("de"), draws=5, fixed={"base": "rand"})
    assert {config.base for config in found.values()} == {"rand"}
    assert next(iter(found)) == "default"
    assert list(configurations(do.backend("de"), fixed={"base": "rand"})) == ["default"]


def test_a_backend_without_ranges_has_its_default_only():
    assert list(configurations(do.backend("random"), draws=16)) == ["default"]


def test_a_range_that_holds_fewer_gives_fewer():
    found = configurations(do.backend("sobol"), draws=16)
    assert [config.scramble for config in found.values()] == [True, False]


def test_a_grid_has_every_combination_once_and_says_which_is_the_default():
    default = do.backend("de").Config().weight
    found = configurations(do.backend("de"), grid={"weight": [0.4, default, 0.4], "base": ["rand", "best"]})
    assert [(config.weight, config.base) for config in found.values()] == [
        (0.4, "rand"),
        (0.4, "best"),
        (default, "rand"),
        (default, "best"),
    ]
    assert list(found) == ["c01", "c02", "c03", "default"]


def test_tunable_is_what_a_sweep_draws_from():
    field = tunable(3, do.Integer(1, 9), "things")
    assert field.metadata["range"] == do.Integer(1, 9)


def test_importing_the_sweep_is_light_and_leaves_it_callable():
    code = "import designopt.sweep, sys; print(callable(designopt.sweep), *{'ray', 'torch', 'optuna', 'pandas', "
    code += "'sqlalchemy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"]
