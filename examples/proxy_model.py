"""Search on a trained model in place of the simulator, then let the simulator confirm what was found."""

import designopt as do
from designopt.envs.surrogate_env import SurrogateEnv
from designopt.surrogates.ensemble import fit_proxy, quality


def main(known=600, budget=400):
    env = do.make("designopt/DRAMController-v0", workload="synthetic-random", goal="energy")
    designs = env.design_space.sample(known, seed=0)
    evaluation = env.evaluate(designs)
    model = fit_proxy(env, designs, evaluation, kind="forest", members=30)

    unseen = env.design_space.sample(200, seed=1)
    truth, predicted = env.evaluate(unseen).objectives[:, 0], model.predict(unseen)[0][:, 0]
    print(f"error on other designs: {quality(truth, predicted).rmse_percent:.2f} % of the mean")

    proxy = SurrogateEnv(env, model)
    result = do.optimize(proxy, search="aco", budget=budget, seed=0)
    designs, confirmed = proxy.reevaluate(result, n=10)
    print(f"best of the {known} simulated before: {evaluation.objectives.min():.5g} pJ")
    print(f"promised by the proxy: {result.best_value:.5g} pJ; simulated: {confirmed.objectives.min():.5g} pJ")
    return evaluation, result, confirmed


if __name__ == "__main__":
    main()
