"""Two worker processes, a simulator that sometimes hangs, and a time limit that kills it."""

import time

import designopt as do


@do.design_env(do.DesignSpace(x=do.Real(-1, 1), y=do.Real(-1, 1)), minimize=["bowl"])
def slow_bowl(x, y):
    if x > 0.8:
        time.sleep(3600)
    return {"bowl": (x - 0.3) ** 2 + (y + 0.2) ** 2}


def main(budget=40, timeout=1.0):
    result = do.optimize(slow_bowl, search="tpe", budget=budget, workers=2, timeout=timeout, seed=0)
    print(result.best, result.summary()["status"])
    return result


if __name__ == "__main__":
    main()
