"""The least changes that make a bicycle frame lighter than 3 kg and strong enough, as a diverse set of designs."""

import designopt as do
from designopt.search.counterfactual.recommend import recommend


def main(budget=6000, folder="."):
    env = do.make("designopt/BikeFrame-v0", source="synthetic")
    space = env.design_space
    frames = space.sample(1000, seed=0)
    evaluation = env.evaluate(frames)
    steel = frames[:, space.columns.index("Material")] == space["Material"].choices.index("Steel")
    # A heavy steel frame without a seat-stay bridge: the bridge's size must not count as a change.
    query = space.decode(frames[steel & (evaluation.objectives[:, 0] > 6)][:1])[0] | {"SSB_Include": 0}
    answer = recommend(
        env,
        query,
        {"mass": "<= 3", "sf1": ">= 1.5"},
        freeze=["Material"],
        conditions={"SSB OD": ("SSB_Include", 1), "SSB Offset": ("SSB_Include", 1)},
        n=5,
        budget=budget,
    )
    print(answer)
    print(answer.changes.to_string(index=False))
    print(answer.performance[["mass", "sf1", "proximity", "sparsity", "manifold"]].round(3))
    answer.resample({"sparsity": 3.0}, n=3)  # other weights, no new search
    print(f"fewer changes: {answer.performance['sparsity'].mul(space.dim).round().astype(int).tolist()}")
    print(answer.report(f"{folder}/recommend.html"))
    return answer


if __name__ == "__main__":
    main()
