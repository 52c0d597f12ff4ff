"""A problem of one's own: mixed parameters, a constraint, a simulator that sometimes fails."""

import designopt as do

space = do.DesignSpace(
    width=do.Real(0.01, 0.1, unit="m"),
    bolts=do.Integer(2, 8),
    plate=do.Ordinal([3, 4, 5, 6, 8, 10], unit="mm"),
    material=do.Categorical(["steel", "aluminium"]),
)


@do.design_env(space, minimize=["mass"], constraints={"stress": "<= 250e6"}, units={"mass": "kg", "stress": "Pa"})
def bracket(width, bolts, plate, material):
    if bolts * 0.012 > width:
        raise do.InvalidDesign("the bolts do not fit")
    density = 7800 if material == "steel" else 2700
    return {"mass": density * 0.3 * width * plate / 1000 + 0.05 * bolts, "stress": 9e5 / (width * plate) / bolts}


def main(budget=40, search="gp"):
    result = do.optimize(bracket, search=search, budget=budget, seed=1)
    print(result.best, result.best_value)
    print(result.evaluation.errors[result.evaluation.status == "invalid"][:3])
    return result


if __name__ == "__main__":
    main()
