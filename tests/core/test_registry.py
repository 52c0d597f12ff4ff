import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest

import designopt as do

PLUGIN = Path(__file__).parents[1] / "plugin"


def python(code, path=()):
    """Run code in a fresh interpreter with extra import paths; its standard output."""
    setup = f"import sys; sys.path[:0] = {[str(p) for p in path]!r}\n"
    done = subprocess.run([sys.executable, "-c", setup + code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def install(target, name, points):
    """What pip leaves behind of a package: metadata with its entry points."""
    info = target / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(f"[{group}]\n{line}" for group, line in points.items()))


def test_a_plug_in_package_registers_through_entry_points(tmp_path):
    install(tmp_path, "acme", {"designopt.envs": "acme = acme_designs", "designopt.backends": "acme = acme_designs"})
    out = python(
        "import designopt as do\n"
        "assert 'acme/Bridge-v0' in do.envs() and 'centre' in do.backends()\n"
        "result = do.optimize('acme/Bridge-v0', search='centre', budget=3)\n"
        "print(result.best, do.make('acme/Bridge-v0', load=2.0).load)",
        [tmp_path, PLUGIN],
    )
    assert out.strip() == "{'depth': 1.0} 2.0"


def test_a_broken_plug_in_warns_and_spoils_nothing_else(tmp_path):
    (tmp_path / "broken_designs.py").write_text("raise RuntimeError('no licence')")
    install(tmp_path, "broken", {"designopt.envs": "broken = broken_designs"})
    out = python(
        "import warnings, designopt as do\n"
        "with warnings.catch_warnings(record=True) as seen:\n"
        "    warnings.simplefilter('always')\n"
        "    print('designopt/WeldedBeam-v0' in do.envs(), [str(w.message) for w in seen])",
        [tmp_path],
    )
    assert out.startswith("True")
    assert "plug-in 'broken' (broken_designs) failed to load: RuntimeError('no licence')" in out


def test_a_plug_in_adds_commands_and_a_broken_one_only_warns(tmp_path):
    (tmp_path / "acme_commands.py").write_text("def weigh(mass: float):\n    print(2 * mass)\n")
    install(tmp_path, "acme", {"designopt.commands": "weigh = acme_commands:weigh\nlift = acme_commands:lift"})
    out = python(
        "import sys, warnings\n"
        "with warnings.catch_warnings(record=True) as seen:\n"
        "    warnings.simplefilter('always')\n"
        "    from designopt.cli import main\n"
        "    print(*[w.message for w in seen])\n"
        "sys.argv = ['designopt', 'weigh', '2.5']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as ended:\n"
        "    print('exit code', ended.code or 0)\n",
        [tmp_path],
    )
    assert "command 'lift' (acme_commands:lift) failed to load: AttributeError" in out
    assert out.splitlines()[1:] == ["5.0", "exit code 0"]


def test_registered_environments_are_gymnasium_environments_too():
    do.envs()
    env = gymnasium.make("designopt/WeldedBeam-v0")
    assert isinstance(env.unwrapped, do.DesignEnv)
    assert env.unwrapped.id == "designopt/WeldedBeam-v0"


def test_make_gives_the_environment_without_wrappers():
    env = do.make("designopt/WeldedBeam-v0")
    assert env is env.unwrapped
    assert env.spec.id == env.id == "designopt/WeldedBeam-v0"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: do.make("designopt/WeldBeam-v0"),
            "unknown environment 'designopt/WeldBeam-v0'; did you mean 'designopt/Wel",
        ),
        (
            lambda: do.make("designopt/Ackley-v0", dimension=3),
            "designopt/Ackley-v0 has no argument 'dimension'; did you mean 'dim'",
        ),
        (lambda: do.backend("rndom"), "unknown backend 'rndom'; did you mean 'random'"),
        (lambda: do.backend("zzzzzz"), "allowed: .*random"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_envs_is_the_list_of_ids_whether_or_not_the_package_of_that_name_is_imported():
    import designopt.envs

    assert do.envs() == do.envs() == designopt.registry.envs()
    assert "designopt/WeldedBeam-v0" in do.envs()
    assert designopt.envs.__name__ == "designopt.envs"
    out = python(
        "import designopt as do; print(do.envs() == do.envs()); import designopt.envs; print(len(do.envs()) > 15)"
    )
    assert out.split() == ["True", "True"]


def test_an_unknown_attribute_of_the_package_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'optimise'"):
        do.optimise  # noqa: B018
