"""Design of a DRAM memory controller: scheduling, buffers, page and refresh policy, for one memory and one trace."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from designopt import Categorical, Constraint, DesignEnv, DesignSpace, Evaluation, Integer, Objective, Ordinal
from designopt.envs.hardware.dram.energy import energy_pj
from designopt.envs.hardware.dram.memory import Memory, memory_named
from designopt.envs.hardware.dram.workloads import load_workload
from designopt.envs.hardware.simulators.tool import Tool
from designopt.parameters import Array, Parameter, suggest

Goal = Literal["latency", "power", "energy", "edp", "joint", "raw"]
Ranges = Literal["full", "aco", "rl"]

COST_MODEL = "designopt DRAM controller 1"

POWERS = (1, 2, 4, 8, 16, 32, 64, 128)
_RANGES: dict[str, dict[str, Parameter]] = {
    "full": {
        "RequestBufferSize": Integer(1, 8),
        "RefreshMaxPostponed": Integer(1, 8),
        "RefreshMaxPulledin": Integer(1, 8),
        "MaxActiveTransactions": Integer(1, 128),
    },
    "aco": {
        "RequestBufferSize": Integer(1, 8),
        "RefreshMaxPostponed": Integer(1, 8),
        "RefreshMaxPulledin": Integer(1, 8),
        "MaxActiveTransactions": Ordinal(POWERS),
    },
    "rl": {
        "RequestBufferSize": Ordinal(POWERS),
        "RefreshMaxPostponed": Ordinal(POWERS[:4]),
        "RefreshMaxPulledin": Ordinal(POWERS[:4]),
        "MaxActiveTransactions": Ordinal(POWERS),
    },
}
"""The ranges that ArchGym's agents search: genetic, Bayesian and random ones; ant colonies; reinforcement learning."""


def dram_space(ranges: Ranges = "full") -> DesignSpace:
    """ArchGym's ten parameters, in the order of its actions.

    28,311,552 designs for ``full``, 1,769,472 for ``aco``, 442,368 for ``rl``.
    """
    numbers = _RANGES[ranges]
    return DesignSpace(
        PagePolicy=Categorical(["Open", "OpenAdaptive", "Closed", "ClosedAdaptive"]),
        Scheduler=Categorical(["Fifo", "FrFcfsGrp", "FrFcfs"]),
        SchedulerBuffer=Categorical(["Bankwise", "ReadWrite", "Shared"]),
        RequestBufferSize=numbers["RequestBufferSize"],
        RespQueue=Categorical(["Fifo", "Reorder"]),
        RefreshPolicy=Categorical(["NoRefresh", "AllBank"]),
        RefreshMaxPostponed=numbers["RefreshMaxPostponed"],
        RefreshMaxPulledin=numbers["RefreshMaxPulledin"],
        Arbiter=Categorical(["Simple", "Fifo", "Reorder"]),
        MaxActiveTransactions=numbers["MaxActiveTransactions"],
    )


BASE = np.array([0, 2, 0, 8, 0, 1, 8, 8, 0, 128], dtype=np.int64)
"""Open, FrFcfs, Bankwise, 8, Fifo, AllBank, 8, 8, Simple, 128: the design that targets are set by."""


def canonical(designs: NDArray[np.int64], *, read_only: bool) -> NDArray[np.int64]:
    """One representative of all designs that give the same result, whatever the trace.

    Arbiter Simple has no limit of active transactions, and without refresh its limits mean nothing. When nothing is
    written, FrFcfsGrp is FrFcfs, ReadWrite is Shared, and under Closed every scheduler takes the oldest request.

    Args:
        designs: (n, 10), categories by index.
        read_only: whether the trace only reads.
    """
    designs = designs.copy()
    policy, scheduler, organisation, refresh, arbiter = (designs[:, k] for k in (0, 1, 2, 5, 8))
    designs[arbiter == 0, 9] = 1
    designs[refresh == 0, 6:8] = 1
    if read_only:
        scheduler[(scheduler == 1) | (policy == 2)] = 2
        organisation[organisation == 1] = 2
    return designs


class DRAMController(DesignEnv):
    """Time, energy and power of a memory controller that runs a trace.

    Design: ``dram_space``. Metrics: ``time_ns`` (of the last response), ``energy_pj``, ``power_mw`` (energy over the
    time that the memory is clocked) and the command counts ``activates precharges reads writes refreshes``.

    Times, counts and DDR3 energies are those of DRAMSys 4.0, up to the exceptions in docs/environments/dram.md; DDR4
    energy and all of LPDDR4 follow the same rules and are not validated.

    Args:
        memory: "ddr3" (DDR3-1600), "ddr4" (DDR4-2400) or "lpddr4" (LPDDR4-3200).
        workload: a published trace (``workloads.PUBLISHED``; its file must be on this machine, see ``designopt.data``),
            a generated one (``workloads.GENERATORS``) or the path of a trace file.
        trace_clock_mhz: clock that the trace counts in.
        goal: "latency" (time_ns), "power" (power_mw), "energy" (energy_pj), "edp" (energy times time), "joint" (sum of
            relative excesses over both targets) or "raw" (time_ns and energy_pj, two objectives).
        ranges: "full", "aco" or "rl", see ``dram_space``.
        reliable: forbid NoRefresh, by a constraint.
        compat: "archgym" for the published reward of goal latency, power or joint: maximise target / |target - x|, for
            joint the product. The targets default to the published 0.1 s and 1 W.
        target_power_mw: for joint and compat.
        target_time_ns: for joint and compat; None: 1.05 times that of the design ``BASE`` (compat: 0.1 s).
        requests, seed: length and seed of a generated workload.
        wrap_addresses: ignore address bits beyond the memory instead of refusing them.
        memoise: remember results, by ``canonical`` design, between calls.
        simulator, tool, resources: "dramsys" runs DRAMSys itself, see docs/environments/simulators.md; the metrics are
            then ``time_ns``, ``energy_pj`` and ``power_mw``, the last two NaN where the tool prints none.
        render_mode: None or "ansi".

    Raises:
        ValueError: an argument that is not allowed, or a trace that does not parse or fit; the sentence names it.
    """

    cost_model = COST_MODEL

    def __init__(
        self,
        memory: str = "ddr3",
        workload: str = "synthetic-mixed",
        trace_clock_mhz: float = 800,
        goal: Goal = "latency",
        ranges: Ranges = "full",
        reliable: bool = False,
        compat: Literal["archgym"] | None = None,
        target_power_mw: float = 1000.0,
        target_time_ns: float | None = None,
        requests: int = 2000,
        seed: int = 0,
        wrap_addresses: bool = False,
        memoise: bool = True,
        simulator: Literal["dramsys"] | None = None,
        tool: Tool | None = None,
        resources: Mapping[str, str] | None = None,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(render_mode)
        if simulator is not None:
            _allowed("simulator", simulator, ("dramsys",))
            if tool is None or not {"memspec", "addressmapping", "simconfig"} <= set(resources or ()):
                raise ValueError("simulator = 'dramsys' needs tool, and resources memspec, addressmapping, simconfig")
            self.cost_model = f"DRAMSys, {tool.version}"
        self.simulator, self.tool, self.resources = simulator, tool, dict(resources or {})
        _allowed("goal", goal, ("latency", "power", "energy", "edp", "joint", "raw"))
        _allowed("ranges", ranges, _RANGES)
        if compat is not None:
            _allowed("compat", compat, ("archgym",))
            _allowed("goal", goal, ("latency", "power", "joint"), " with compat='archgym'")
        targets = {"target_power_mw": target_power_mw, "target_time_ns": target_time_ns}
        for name, value in {"trace_clock_mhz": trace_clock_mhz, **targets}.items():
            if value is not None and not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name} = {value}; it must be positive and finite")
        self.memory: Memory = memory_named(memory)
        self.workload = str(workload)
        self.trace, wraps = load_workload(str(workload), self.memory, requests, seed)
        self.place = self.trace.place(self.memory, wrap=wrap_addresses or wraps)
        self.player_ps = round(1e6 / trace_clock_mhz)
        self.goal, self.compat = goal, compat
        self.target_power_mw = target_power_mw
        self._target_time_ns = 1e8 if compat and target_time_ns is None else target_time_ns
        self.memoise = memoise
        self.design_space = dram_space(ranges)
        self.constraints = (Constraint("no_refresh"),) if reliable else ()
        self.objectives = self._objectives()
        self._known: dict[bytes, NDArray[np.int64]] = {}

    def _objectives(self) -> tuple[Objective, ...]:
        if self.compat:
            return (Objective("reward", "max"),)
        one = {
            "latency": Objective("time_ns", unit="ns"),
            "power": Objective("power_mw", unit="mW"),
            "energy": Objective("energy_pj", unit="pJ"),
            "edp": Objective("edp", unit="pJ ns"),
            "joint": Objective("excess", target=0.0),
        }
        return (one["latency"], one["energy"]) if self.goal == "raw" else (one[self.goal],)

    @cached_property
    def target_time_ns(self) -> float:
        """Time at which the goal ``joint`` is content."""
        if self._target_time_ns is not None:
            return self._target_time_ns
        return 1.05 * float(self.outcome(BASE[None])["time_ns"][0])

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 10) -> Evaluation with all metrics of the class."""
        designs = np.asarray(designs, dtype=np.float64)
        metrics = self.outcome(designs.astype(np.int64))
        time, energy, power = metrics["time_ns"], metrics["energy_pj"], metrics["power_mw"]
        if self.compat:
            rewards = {
                "latency": _published_reward(time, self.target_time_ns),
                "power": _published_reward(power, self.target_power_mw),
            }
            columns = [rewards[self.goal] if self.goal != "joint" else rewards["latency"] * rewards["power"]]
        elif self.goal == "joint":
            columns = [np.maximum(power / self.target_power_mw - 1, 0) + np.maximum(time / self.target_time_ns - 1, 0)]
        else:
            columns = {"latency": [time], "power": [power], "energy": [energy], "edp": [energy * time]}.get(
                self.goal, [time, energy]
            )
        no_refresh = (designs[:, 5:6] == 0).astype(float)[:, : len(self.constraints)]
        return Evaluation(np.stack(columns, axis=1), no_refresh, metrics=metrics)

    def outcome(self, designs: NDArray[np.int64]) -> dict[str, Array]:
        """designs: (n, 10) integers, also beyond the ranges of the space -> the metrics, each (n,)."""
        if self.tool is not None:
            return self._measured(designs)
        from designopt.envs.hardware.dram.controller import COUNTS

        counts = self._counts(canonical(designs, read_only=not self.trace.writes.any()))
        named = dict(zip(COUNTS, counts.T.astype(np.float64), strict=True))
        clock_ns = self.memory.timing.clock_ps / 1000
        energy = energy_pj(self.memory, named)
        return {
            "time_ns": named["cycles"] * clock_ns,
            "energy_pj": energy,
            "power_mw": energy / (named["window"] * clock_ns),
            **{name: named[name] for name in COUNTS[3:]},
        }

    def _measured(self, designs: NDArray[np.int64]) -> dict[str, Array]:
        """designs: (n, 10) -> what DRAMSys reports of them."""
        from designopt.envs.hardware.simulators import dramsys

        assert self.tool is not None
        trace = "".join(
            f"{cycle}:\t{'write' if write else 'read'}\t{address:#x}\n"
            for cycle, write, address in zip(self.trace.cycles, self.trace.writes, self.trace.addresses, strict=True)
        )
        clock_mhz = 1e6 / self.player_ps
        knobs = self.design_space.decode(designs.astype(np.float64))
        reports = [dramsys.run(self.tool, each, trace, clock_mhz, self.resources) for each in knobs]
        names = ("time_ns", "energy_pj", "power_mw")
        return {name: np.array([getattr(report, name) for report in reports], dtype=float) for name in names}

    def _counts(self, designs: NDArray[np.int64]) -> NDArray[np.int64]:
        """designs: (n, 10), canonical -> (n, 8) ``controller.COUNTS``; each distinct design is simulated once."""
        distinct, back = np.unique(designs, axis=0, return_inverse=True)
        found = [self._known.get(design.tobytes()) if self.memoise else None for design in distinct]
        new = [k for k, counts in enumerate(found) if counts is None]
        if new:
            for k, counts in zip(new, self.simulate(distinct[new]), strict=True):
                found[k] = counts
                if self.memoise:
                    self._known[distinct[k].tobytes()] = counts
        return np.array(found, dtype=np.int64).reshape(len(distinct), 8)[back.reshape(-1)]

    def simulate(self, designs: NDArray[np.int64]) -> NDArray[np.int64]:
        """designs: (n, 10) -> (n, 8) ``controller.COUNTS``, every one simulated."""
        from designopt.envs.hardware.dram import controller

        counts = controller.simulate_all(
            self.memory.timing, self.player_ps, self.trace.cycles * self.player_ps, self.place["bank"],
            self.place["row"], self.trace.addresses, self.trace.writes.astype(np.int64), np.ascontiguousarray(designs),
        )  # fmt: skip
        return np.asarray(counts)

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """As ``DesignEnv.step``; ``info["cost_model"]`` says which model the numbers are of."""
        *rest, info = super().step(action)
        return *rest, info | {"cost_model": self.cost_model}  # type: ignore[return-value]

    def __getstate__(self) -> dict[str, Any]:
        """A copy in another process starts without memory."""
        return self.__dict__ | {"_known": {}}


def _published_reward(value: Array, target: float) -> Array:
    """ArchGym's target / |target - value|, bounded where the value is the target."""
    return target / np.maximum(np.abs(target - value), 1e-9 * target)


def _allowed(name: str, value: object, allowed: Any, when: str = "") -> None:
    if value not in allowed:
        raise ValueError(f"{name} = {value!r}{when}; {suggest(value, allowed)}")
