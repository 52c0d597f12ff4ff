"""A sweep file run twice: the second time there is nothing left to do; and with a seed more, only that seed is run."""

import tempfile
import tomllib
from pathlib import Path

import designopt.sweep

FILE = Path(__file__).with_name("sweep.toml")


def main(backends=("random", "local"), budget=20, folder=None):
    plan = tomllib.loads(FILE.read_text())
    plan["backend"] = [backend for backend in plan["backend"] if backend["name"] in backends]
    plan["sweep"] |= {"budget": budget, "store": f"{folder or tempfile.mkdtemp()}/sweep.db"}
    result = designopt.sweep(plan)
    print(result.frame[["env", "backend", "config", "seed", "evaluations", "best_value"]].to_string(index=False))

    again = designopt.sweep(plan)  # returns at once: every study is finished
    assert again.frame.equals(result.frame)

    plan["sweep"]["seeds"] = 3
    more = designopt.sweep(plan)
    print(f"{len(more.frame) - len(result.frame)} new studies of {len(more.frame)}")
    return more


if __name__ == "__main__":
    main()
