"""Design a DRAM controller for a mixed trace with writes: time against energy, refresh kept on."""

import designopt as do


def main(budget=400, requests=1000):
    env = do.make(
        "designopt/DRAMController-v0", memory="ddr3", workload="synthetic-mixed", goal="raw", reliable=True,
        requests=requests,
    )  # fmt: skip
    result = do.optimize(env, search="nsga2", budget=budget, seed=0)
    front = result.pareto.drop_duplicates(["time_ns", "energy_pj"])  # many designs differ in nothing that matters
    print(front.sort_values("time_ns").to_string(index=False))
    return result


if __name__ == "__main__":
    main()
