"""SCIP and Gurobi for ``designopt.milp.solve``, on one thread; both are optional.

References: [Bolusani2024] The SCIP Optimization Suite 9.0, arXiv 2402.17702; Gurobi Optimizer Reference Manual. The
package gurobipy alone has a licence for 2,000 variables and 2,000 rows.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from scipy import sparse

from designopt.milp import INFINITY, MILP, Solution
from designopt.parameters import Array


def solve_scip(problem: MILP, seconds: float | None, gap: float, start: Array | None, presolve: bool) -> Solution:
    """See ``designopt.milp.solve``."""
    scip = needed("pyscipopt", "scip")
    model = scip.Model()
    model.hideOutput()
    model.setParam("limits/gap", gap)
    if seconds is not None:
        model.setParam("limits/time", max(seconds, 0.01))
    if not presolve:
        model.setPresolve(scip.SCIP_PARAMSETTING.OFF)
    columns = [
        model.addVar(vtype="I" if whole else "C", lb=finite(low), ub=finite(high), obj=cost)
        for whole, low, high, cost in zip(problem.integer, problem.lower, problem.upper, problem.cost, strict=True)
    ]
    matrix = sparse.csr_matrix(problem.A)
    for i in range(matrix.shape[0]):
        part = slice(matrix.indptr[i], matrix.indptr[i + 1])
        row = scip.quicksum(v * columns[j] for v, j in zip(matrix.data[part], matrix.indices[part], strict=True))
        low, high = finite(problem.row_lower[i]), finite(problem.row_upper[i])
        if high is not None:
            model.addCons(row <= high)
        if low is not None:
            model.addCons(row >= low)
    if start is not None:
        partial = model.createPartialSol()
        for j in np.flatnonzero(~np.isnan(start)):
            model.setSolVal(partial, columns[j], float(start[j]))
        model.addSol(partial)
    model.optimize()
    status = model.getStatus()
    if status in ("infeasible", "inforunbd"):
        return Solution(None, np.inf, np.inf, optimal=True)
    found = [np.array([solution[column] for column in columns]) for solution in reversed(model.getSols())]
    return answered(problem, found, float(model.getDualbound()), status in ("optimal", "gaplimit"))


def solve_gurobi(problem: MILP, seconds: float | None, gap: float, start: Array | None, presolve: bool) -> Solution:
    """See ``designopt.milp.solve``."""
    gurobi = needed("gurobipy", "gurobi")
    codes = gurobi.GRB
    with gurobi.Env(params={"OutputFlag": 0}) as env, gurobi.Model(env=env) as model:
        model.Params.Threads, model.Params.MIPGap = 1, gap
        if seconds is not None:
            model.Params.TimeLimit = max(seconds, 0.01)
        if not presolve:
            model.Params.Presolve = 0
        kinds = np.where(problem.integer, codes.INTEGER, codes.CONTINUOUS)
        v = model.addMVar(len(kinds), lb=problem.lower, ub=problem.upper, obj=problem.cost, vtype=kinds)
        matrix = sparse.csr_matrix(problem.A)
        below, above = problem.row_upper < INFINITY, problem.row_lower > -INFINITY
        if below.any():
            model.addConstr(matrix[below] @ v <= problem.row_upper[below])
        if above.any():
            model.addConstr(matrix[above] @ v >= problem.row_lower[above])
        if start is not None:
            v.Start = np.where(np.isnan(start), codes.UNDEFINED, start)
        found: list[Array] = []

        def collect(running: Any, where: int) -> None:
            if where == codes.Callback.MIPSOL:
                found.append(np.array(running.cbGetSolution(v)))

        model.optimize(collect)
        if model.Status in (codes.INFEASIBLE, codes.INF_OR_UNBD):
            return Solution(None, np.inf, np.inf, optimal=True)
        if model.SolCount:
            found.append(np.array(v.X))
        optimal = model.Status == codes.OPTIMAL
        bound = model.ObjBound if problem.integer.any() else model.ObjVal if optimal else -np.inf
        return answered(problem, found, float(bound), optimal)


EXTRAS = {"scip": solve_scip, "gurobi": solve_gurobi}


def answered(problem: MILP, found: list[Array], bound: float, optimal: bool) -> Solution:
    """The solver's answer; ``found`` are the solutions, the best last."""
    if not found:
        return Solution(None, np.inf, bound, optimal=False)
    best = found[-1].copy()
    best[problem.integer] = np.round(best[problem.integer])
    return Solution(best, float(problem.cost @ best), bound, optimal, [*found[:-1], best])


def needed(package: str, extra: str) -> Any:
    """The solver's package.

    Raises:
        ValueError: it is not installed, naming the extra that does it.
    """
    try:
        return importlib.import_module(package)
    except ImportError:
        raise ValueError(
            f"solver = {extra!r} needs the package {package}; install it with: pip install 'designopt[{extra}]'"
        ) from None


def finite(value: float) -> float | None:
    """A bound as SCIP wants it: None where there is none."""
    return float(value) if np.isfinite(value) else None
