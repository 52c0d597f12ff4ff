"""Search backends that come with designopt; importing this registers them, without importing any of them."""

from designopt.registry import register_backend

register_backend("cmaes", "designopt.search.optuna:CMAESSearch")
register_backend("de", "designopt.search.evolution:DESearch")
register_backend("ga", "designopt.search.evolution:GASearch")
register_backend("gp", "designopt.search.bayesian:BayesianSearch")
register_backend("local", "designopt.search.local:LocalSearch")
register_backend("nsga2", "designopt.search.evolution:NSGA2Search")
register_backend("random", "designopt.search.random:RandomSearch")
register_backend("scbo", "designopt.search.scbo:SCBOSearch")
register_backend("sobol", "designopt.search.sobol:SobolSearch")
register_backend("tpe", "designopt.search.optuna:TPESearch")
