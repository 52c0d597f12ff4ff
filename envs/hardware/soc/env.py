"""Design of a system on a chip for a task graph: which blocks, how they are connected, and what runs where."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any, Literal

import numpy as np

from designopt import Constraint, DesignEnv, Evaluation, Objective
from designopt.envs.hardware.soc.designs import Coding
from designopt.envs.hardware.soc.graph import Workload
from designopt.envs.hardware.soc.moves import moves, smallest
from designopt.envs.hardware.soc.physics import Cost, costs, farsi_costs
from designopt.envs.hardware.soc.simulation import MODELS, Model, Outcome, run
from designopt.envs.hardware.soc.system import System
from designopt.envs.hardware.soc.workload import LATENCY_BUDGETS, workload_of
from designopt.parameters import Array, suggest

Goal = Literal["latency", "energy", "edp", "budget", "pareto"]

LATENCY, ENERGY = Objective("latency_s", unit="s"), Objective("energy_j", unit="J")
GOALS = {
    "latency": (LATENCY,),
    "energy": (ENERGY,),
    "edp": (Objective("edp", unit="J s"),),
    "budget": (Objective("budget_distance", target=3e-9),),
    "pareto": (LATENCY, ENERGY),
}

PUBLISHED_POWER_W, PUBLISHED_AREA_M2 = 0.008737, 1.7475e-5
"""FARSI's budgets for all its workloads."""

POWER_W = 0.5
"""Default power budget of the corrected model, whose memories alone draw more than the published one."""


class SystemOnChip(DesignEnv):
    """Latency, energy, power and area of a workload on a system of processors, buses and memories.

    Design (``designs.Coding``): each place for a processor is empty, a core or an accelerator of the task on it, with
    its unrolling, clock and bus; each place for a memory is empty, SRAM or DRAM, with width, clock and bus; each bus
    has a width (0: not there), a clock and another bus that it is linked to; every task has a processor, what it writes
    has a memory.

    Metrics: ``latency_s``, ``energy_j``, ``energy_pe_j``, ``power_w`` (largest mean of 10 ms), ``average_power_w``,
    ``area_m2``, ``edp``, ``memory_bytes`` (sum of the most that each memory holds).

    Constraints: ``unplaced``, ``unfit``, ``unreachable`` count what makes a design invalid, see
    ``designs.Coding.violations``; its metrics are those of the repaired design. ``latency``, ``power``, ``area``: above
    the budget, those of them that have one; none with goal "budget".

    Args:
        workload: "stereo_depth" (our own, always there), "audio", "edge_detection", "cava" (their files must be on this
            machine, see ``designopt.data``), a folder of tables in FARSI's format, or a mapping; see ``workload_of``.
        model: "corrected" or "farsi" (exactly what FARSI's simulator says), see docs/environments/soc.md.
        goal: "latency", "energy", "edp", "budget" (ArchGym's: sum of the relative excesses over the three budgets) or
            "pareto" (latency and energy).
        pes, buses, memories: places for blocks; pes None: one for every task that does work, at most 8.
        latency_budget_s, power_budget_w, area_budget_m2: None: the published ones; in the corrected model 0.5 W; in
            FARSI's, whose energies and areas of memories are placeholders, no constraint on power and area.
        fifo: None: as the model; True: waiting tasks run in the order in which they became ready; False: new ones
            overtake.
        repair: evaluate every design as the valid one next to it, so that none is invalid.
        render_mode: None or "ansi".

    Raises:
        ValueError: a workload that cannot be read, or an argument that is not allowed.
    """

    def __init__(
        self,
        workload: str | PathLike[str] | Mapping[str, Any] | Workload = "stereo_depth",
        model: Model = "corrected",
        goal: Goal = "energy",
        pes: int | None = None,
        buses: int = 3,
        memories: int = 3,
        latency_budget_s: float | None = None,
        power_budget_w: float | None = None,
        area_budget_m2: float | None = None,
        fifo: bool | None = None,
        repair: bool = False,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(render_mode)
        for name, value, allowed in (("model", model, MODELS), ("goal", goal, GOALS)):
            if value not in allowed:
                raise ValueError(f"{name} = {value!r}; {suggest(value, allowed)}")
        self.graph = workload_of(workload)
        self.workload = self.graph.name
        self.model: Model = model
        self.goal, self.fifo, self.repairs = goal, fifo, repair
        pes = min(len(self.graph.real), 8) if pes is None else pes
        for name, count in (("pes", pes), ("buses", buses), ("memories", memories)):
            if not 1 <= count <= 32:
                raise ValueError(f"{name} = {count}; it must be from 1 to 32")
        self.coding = Coding(self.graph, pes, buses, memories)
        self.design_space = self.coding.space
        self.budgets = self._budgets(latency_budget_s, power_budget_w, area_budget_m2)
        self.objectives = GOALS[goal]
        units = {"latency": "s", "power": "W", "area": "m2"}
        limited = {} if goal == "budget" else {k: v for k, v in self.budgets.items() if np.isfinite(v)}
        structure = () if repair else tuple(map(Constraint, ("unplaced", "unfit", "unreachable")))
        self.constraints = (*structure, *(Constraint(k, unit=units[k], scale=v) for k, v in limited.items()))
        self._limited = limited
        self.cost_model = "FARSI ce59c968, exact; CACTI off" if model == "farsi" else "designopt SoC 1"

    def _budgets(self, latency: float | None, power: float | None, area: float | None) -> dict[str, float]:
        """Budget by name, inf where there is none."""
        given = {"latency_budget_s": latency, "power_budget_w": power, "area_budget_m2": area}
        for name, value in given.items():
            if value is not None and not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name} = {value}; it must be positive and finite")
        published = self.goal == "budget"
        farsi = self.model == "farsi"
        default = {
            "latency": LATENCY_BUDGETS.get(self.graph.name, np.inf),
            "power": PUBLISHED_POWER_W if published else np.inf if farsi else POWER_W,
            "area": np.inf if farsi and not published else PUBLISHED_AREA_M2,
        }
        return {k: v if g is None else float(g) for (k, v), g in zip(default.items(), given.values(), strict=True)}

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, d) -> Evaluation with all metrics of the class."""
        designs = np.asarray(designs, dtype=np.float64)
        wrong = self.coding.violations(designs)
        valid = np.where(wrong.any(axis=1, keepdims=True), self.coding.repair(designs), designs)
        _, outcome, cost = self.simulate(valid)
        energy = sum(part.sum(axis=1) for part in cost.energy)
        metrics: dict[str, Any] = {
            "latency_s": cost.latency,
            "energy_j": energy,
            "energy_pe_j": cost.energy[0].sum(axis=1),
            "power_w": cost.power,
            "average_power_w": energy / outcome.ends.max(axis=1),
            "area_m2": sum(part.sum(axis=1) for part in cost.area),
            "edp": energy * cost.latency,
            "memory_bytes": outcome.peak_bytes.sum(axis=1),
        }
        values = {"latency": metrics["latency_s"], "power": metrics["power_w"], "area": metrics["area_m2"]}
        if self.goal == "budget":
            metrics["budget_distance"] = sum(
                np.where(values[k] <= b, 1e-9, values[k] / b - 1) for k, b in self.budgets.items()
            )
        objectives = np.stack([metrics.pop(o.name) for o in self.objectives], axis=1)
        columns = [] if self.repairs else list(wrong.T.astype(np.float64))
        columns += [values[k] - b for k, b in self._limited.items()]
        constraints = np.stack(columns, axis=1) if columns else np.zeros((len(designs), 0))
        return Evaluation(objectives, constraints, metrics)

    def simulate(self, designs: Array) -> tuple[System, Outcome, Cost]:
        """designs: (n, d), valid -> the systems, what they do, and what that costs."""
        system = self.coding.system(designs)
        outcome = run(self.graph, system, self.model, self.fifo)
        cost = (costs if self.model == "corrected" else farsi_costs)(self.graph, system, outcome)
        return system, outcome, cost

    def repair(self, designs: Array) -> Array:
        """designs: (n, d) -> valid ones nearby; valid designs stay as they are."""
        return self.coding.repair(designs)

    def sample_feasible(self, n: int, seed: int | np.random.Generator | None = None) -> Array:
        """N random designs that are valid (budgets are another matter): uniform ones, repaired."""
        return self.repair(self.design_space.sample(n, seed))

    # What a guided search asks (designopt.search.farsi) ---------------------------------------------------------------

    def initial_design(self) -> Array:
        """(d,) the smallest system: one core, one memory, one bus."""
        return smallest(self.coding)

    def bottlenecks(self, design: Array) -> dict[str, tuple[float, Array]]:
        """What stands between a design and its goal, and which task on which block is to blame.

        Args:
            design: (d,); of an invalid one, the repaired one is looked at.

        Returns:
            "latency", "energy", "power" or "area" -> how much it matters (relative excess over the budget; when all are
            met, the part of the objective that hangs on it), and (T, p + b + m) shares that add up to 1: of the seconds
            for which the block limited the task, of the energy, of the area of the blocks that the task uses.
        """
        valid = self.repair(design[None])
        system = self.coding.system(valid)
        outcome = run(self.graph, system, self.model, self.fifo, detail=True)
        cost = (costs if self.model == "corrected" else farsi_costs)(self.graph, system, outcome)
        values = {
            "latency": cost.latency[0],
            "power": cost.power[0],
            "area": float(sum(part[0].sum() for part in cost.area)),
        }
        excess = {k: values[k] / b - 1 for k, b in self.budgets.items() if values[k] > b}
        spent, slowed = outcome.spent[0], outcome.slowed[0]
        users = spent > 0
        shared = users / np.maximum(users.sum(axis=0), 1)
        energy = np.concatenate(cost.energy, axis=1)[0]
        leaked = np.maximum(energy - spent.sum(axis=0), 0.0)
        # What leaks is saved by being done earlier.
        late = float(leaked.sum() / energy.sum())
        weights = excess or {
            "latency": {"latency": 1.0},
            "energy": {"latency": late, "energy": 1.0},
            "budget": {},
        }.get(self.goal, {"latency": 1.0 + late, "energy": 1.0})
        blame = {
            "latency": slowed,
            "energy": spent + shared * leaked,
            "power": spent + shared * leaked,
            "area": shared * np.concatenate(cost.area, axis=1)[0],
        }
        return {k: (float(w), blame[k] / blame[k].sum()) for k, w in weights.items()}

    def moves(self, design: Array, concern: str, task: int, block: int) -> dict[str, Array]:
        """Valid designs near one (d,) that ease a concern of a task on a block, see ``moves.moves``."""
        return moves(self.coding, self.repair(design[None])[0], concern, task, block)

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """As for every design environment; ``info`` also names the cost model."""
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward, terminated, truncated, info | {"cost_model": self.cost_model}
