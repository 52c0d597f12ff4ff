"""How wide should each layer of a small image classifier be? One search by gradients, judged by real training.

python examples/sharpdarts.py
"""

import designopt as do


def main(epochs=8, budget=6, folder="."):
    """Search a grid of widths and operations; compare the path found with random paths."""
    env = do.make("designopt/HyperCuboid-v0", layers=1, steps=2, channels=8)
    result = do.optimize(env, search="sharpdarts", budget=1, seed=0, epochs=epochs)
    print("path found:", result.best)
    print(f"validation accuracy when trained alone: {result.best_value:.1f} %")

    last = result.trace[-1]
    print(f"the search took {last['cpu_seconds']:.1f} CPU seconds and {last['gradient_evaluations']} gradients")

    random = do.optimize(env, search="random", budget=budget, seed=0)
    mean = random.evaluation.objectives[:, 0].mean()
    print(f"{budget} random paths: mean {mean:.1f} %, best {random.best_value:.1f} %")
    print(result.report(f"{folder}/sharpdarts.html"))
    return result


if __name__ == "__main__":
    main()
