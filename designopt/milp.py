"""Mixed-integer linear programmes, solved by HiGHS on one thread, or by SCIP or Gurobi where they are installed.

Reference: [Huangfu2018] Parallelizing the dual revised simplex method, Mathematical Programming Computation 10.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import highspy
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from designopt.parameters import Array

INFINITY = highspy.kHighsInf
SOLVERS = ("highs", "scip", "gurobi")


class QuietHighs(highspy.Highs):
    """A HiGHS instance on one thread that never prints."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.setOptionValue("threads", 1)

    def enableCallbacks(self) -> None:
        """Silence the solver before anything else happens."""
        self.setOptionValue("output_flag", False)
        super().enableCallbacks()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class MILP:
    """min cost'v  with  row_lower <= A v <= row_upper,  lower <= v <= upper,  v whole where ``integer``.

    Shapes: cost, lower, upper, integer (n,); A (r, n), sparse or not; row_lower, row_upper (r,).
    """

    cost: Array
    A: sparse.csr_matrix | Array
    row_lower: Array
    row_upper: Array
    lower: Array
    upper: Array
    integer: NDArray[np.bool_]


@dataclass(frozen=True)
class Solution:
    """What a solve came to.

    Attributes:
        values: (n,) best solution found; None when there is none.
        cost, bound: its cost, and a proved lower bound of every cost (inf when infeasible).
        optimal: whether the gap asked for was closed.
        incumbents: every improving solution found on the way, (n,) each, the best last.
    """

    values: Array | None
    cost: float
    bound: float
    optimal: bool
    incumbents: list[Array] = field(default_factory=list)


def solve(
    problem: MILP,
    *,
    seconds: float | None = None,
    gap: float = 1e-4,
    start: Array | None = None,
    presolve: bool = True,
    solver: str = "highs",
) -> Solution:
    """Solve to a relative gap or a wall-clock limit; never silent: without a solution the bound is the answer.

    Args:
        problem: what to minimise.
        seconds: wall-clock limit.
        gap: relative difference of cost and bound at which to stop.
        start: (n,) a feasible solution to begin from; NaN where the solver shall complete it.
        presolve: simplify first, here and in heuristics that solve a part. HiGHS does not look at its clock there, and
            strengthening rows with coefficients of very different sizes may not end: off for networks.
        solver: which one: "highs", or with the extra of that name "scip" or "gurobi".

    Raises:
        ValueError: an unknown solver, or one that is not installed, naming the extra.
    """
    if solver not in SOLVERS:
        raise ValueError(f"solver = {solver!r}; allowed: {', '.join(SOLVERS)}")
    if solver != "highs":
        from designopt.milp_extras import EXTRAS

        return EXTRAS[solver](problem, seconds, gap, start, presolve)
    highs = QuietHighs()
    highs.setOptionValue("presolve", "choose" if presolve else "off")
    for heuristic in ("rins", "rens", "root_reduced_cost"):  # they presolve what they cut out
        highs.setOptionValue(f"mip_heuristic_run_{heuristic}", presolve)
    highs.setOptionValue("mip_rel_gap", gap)
    if seconds is not None:
        highs.setOptionValue("time_limit", max(seconds, 0.01))
    load(highs, problem)
    if start is not None:
        known = np.flatnonzero(~np.isnan(start)).astype(np.int32)
        highs.setSolution(len(known), known, start[known])
    incumbents: list[Array] = []
    mixed = bool(problem.integer.any())
    if mixed:
        highs.cbMipImprovingSolution += lambda event: incumbents.append(np.array(event.data_out.mip_solution))
    highs.run()
    info, status = highs.getInfo(), highs.getModelStatus()
    if status in (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible):
        return Solution(None, np.inf, np.inf, optimal=True)
    optimal = status == highspy.HighsModelStatus.kOptimal
    bound = float(info.mip_dual_bound) if mixed else float(info.objective_function_value) if optimal else -np.inf
    if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        return Solution(None, np.inf, bound, optimal=False)
    values = np.array(highs.getSolution().col_value)
    values[problem.integer] = np.round(values[problem.integer])
    return Solution(values, float(problem.cost @ values), bound, optimal, [*incumbents, values])


def load(highs: highspy.Highs, problem: MILP) -> None:
    """Give a problem to a HiGHS instance."""
    lp = highspy.HighsLp()
    lp.num_row_, lp.num_col_ = problem.A.shape
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = problem.cost, problem.lower, problem.upper
    lp.row_lower_, lp.row_upper_ = problem.row_lower, problem.row_upper
    matrix = sparse.csr_matrix(problem.A)
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = matrix.indptr, matrix.indices, matrix.data
    if problem.integer.any():
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        lp.integrality_ = [kinds[int(whole)] for whole in problem.integer]
    highs.passModel(lp)
