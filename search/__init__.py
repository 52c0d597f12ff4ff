"""Search backends that come with designopt; importing this registers them, without importing any of them."""

from designopt.registry import register_backend

register_backend("agp", "designopt.search.bayesian:AGPSearch")
register_backend("ccg", "designopt.search.robust.ccg:CCGSearch")
register_backend("cmaes", "designopt.search.optuna:CMAESSearch")
register_backend("de", "designopt.search.evolution:DESearch")
register_backend("ga", "designopt.search.evolution:GASearch")
register_backend("gp", "designopt.search.bayesian:BayesianSearch")
register_backend("k_adaptability", "designopt.search.robust.k_adaptability:KAdaptabilitySearch")
register_backend("local", "designopt.search.local:LocalSearch")
register_backend("neur2ro", "designopt.search.robust.neur2ro:Neur2ROSearch")
register_backend("nominal", "designopt.search.robust.nominal:NominalSearch")
register_backend("nsga2", "designopt.search.evolution:NSGA2Search")
register_backend("pfn", "designopt.search.bayesian:PFNSearch")
register_backend("price_and_branch", "designopt.search.robust.price_and_branch:PriceAndBranchSearch")
register_backend("random", "designopt.search.random:RandomSearch")
register_backend("relaxed_recourse", "designopt.search.robust.relaxed_recourse:RelaxedRecourseSearch")
register_backend("robust_local", "designopt.search.robust.local_search:RobustLocalSearch")
register_backend("scbo", "designopt.search.scbo:SCBOSearch")
register_backend("sobol", "designopt.search.sobol:SobolSearch")
register_backend("static_robust", "designopt.search.robust.static:StaticRobustSearch")
register_backend("tpe", "designopt.search.optuna:TPESearch")
