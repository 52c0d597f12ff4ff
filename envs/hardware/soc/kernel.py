"""Phase-driven simulation of a task graph on processors, buses and memories, compiled.

Blocks and pipes are numbers: p processors, b buses, m memories. A pipe leads from the side of a processor to that of a
memory: processor i -> its bus is pipe i, bus i -> bus j is p + i * b + j, bus -> memory k is p + b * b + k. Reads and
writes use it independently. The route from a processor to a memory is the shortest, so a task enters a bus by one pipe.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from designopt.envs.hardware.soc.windows import farsi_power, peak_power

READ, WRITE = 0, 1

DONE = 0.99
"""FARSI counts a task as done when this share of its work is."""


@njit(cache=True, nogil=True, error_model="numpy")
def routes(links: Any, before: Any) -> None:
    """links: (b, b) -> before: (b, b), the bus before j on the way from i to j; -1 where there is no way."""
    n = len(links)
    queue = np.empty(n, dtype=np.int64)
    for start in range(n):
        before[start, :] = -1
        before[start, start] = start
        queue[0], head, tail = start, 0, 1
        while head < tail:
            i = queue[head]
            head += 1
            for j in range(n):
                if links[i, j] and before[start, j] < 0:
                    before[start, j] = i
                    queue[tail] = j
                    tail += 1


@njit(cache=True, nogil=True, error_model="numpy")
def simulate_all(graph: Any, system: Any, corrected: bool, fifo: bool, out: Any) -> None:
    """Simulate n designs.

    Args:
        graph: ``Workload.arrays``.
        system: ``System.arrays``, each with one row a design.
        corrected: the corrected rules instead of FARSI's (docs/environments/soc.md).
        fifo: waiting tasks come before those that become ready now.
        out: ``Outcome.arrays`` to be filled, each with one row a design.
    """
    tasks, edges = len(graph[0]), len(graph[2])
    pes, buses, memories = system[0].shape[1], system[2].shape[1], system[1].shape[1]
    pipes = pes + buses * buses + memories
    before = np.empty((buses, buses), dtype=np.int64)
    units = np.empty((tasks, 2, pipes))
    moved = np.empty((tasks, 2, pipes))
    crossed = np.empty((tasks, 2, buses))
    used = np.empty((tasks, 2, buses + memories), dtype=np.int64)
    uses = np.empty((tasks, 2), dtype=np.int64)
    scratch = (
        np.empty(tasks, dtype=np.int64), np.empty((6, tasks), dtype=np.int64), np.empty(pes, dtype=np.bool_),
        np.empty((2, tasks)), np.empty((2, pipes)), np.empty((3, 2 * tasks + edges + 2)), np.empty((tasks, memories)),
        np.empty(memories),
    )  # fmt: skip
    for i in range(len(system[0])):
        routes(system[2][i], before)
        design = (
            system[0][i], system[1][i], system[3][i], system[4][i], system[5][i], system[6][i], system[7][i],
            system[8][i], system[9][i], system[10][i], system[11][i],
        )  # fmt: skip
        flow = (units, moved, crossed, used, uses)
        _lay_flows(graph, design, before, flow)
        _run(graph, design, before, flow, scratch, corrected, fifo, i, out)


@njit(cache=True, nogil=True, error_model="numpy")
def _lay_flows(graph: Any, design: Any, before: Any, flow: Any) -> None:
    """Which pipes each task uses in each direction, and what it moves through them.

    flow: burst units and bytes by (task, direction, pipe), bytes by (task, direction, bus), the pipes that leave a bus
    and are used, by (task, direction), and how many those are.
    """
    dummy, parent, child, size, write_units, read_units = graph[1:7]
    pe_bus, mem_bus, _, _, _, _, _, _, task_pe, edge_mem, _ = design
    units, moved, crossed, used, uses = flow
    units[:], moved[:], crossed[:], uses[:] = 0.0, 0.0, 0.0, 0
    p, b = len(pe_bus), len(before)
    for e in range(len(parent)):
        if size[e] <= 0:
            continue
        m = edge_mem[e]
        for d in range(2):
            t, u = (child[e], read_units[e]) if d == 0 else (parent[e], write_units[e])
            if dummy[t]:
                continue
            pe = task_pe[t]
            units[t, d, pe] += u
            bus, pipe = mem_bus[m], p + b * b + m
            while True:
                crossed[t, d, bus] += size[e]
                if moved[t, d, pipe] == 0:
                    used[t, d, uses[t, d]] = pipe
                    uses[t, d] += 1
                moved[t, d, pipe] += size[e]
                units[t, d, pipe] += u
                if bus == pe_bus[pe]:
                    break
                previous = before[pe_bus[pe], bus]
                pipe = p + previous * b + bus
                bus = previous


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _entry(pe: Any, bus: Any, pe_bus: Any, before: Any) -> Any:
    """Pipe by which what a processor moves enters a bus."""
    if pe_bus[pe] == bus:
        return pe
    return len(pe_bus) + before[pe_bus[pe], bus] * len(before) + bus


@njit(cache=True, nogil=True, error_model="numpy")
def _rate(t: Any, running: Any, n: Any, work: Any, design: Any, before: Any, flow: Any, load: Any, fair: Any) -> Any:
    """Instructions a second of task t beside the running ones, and the block that limits it.

    ``load``: burst units of the running tasks by (direction, pipe). Blocks are counted processors, buses, memories.
    """
    pe_bus, _, pe_rate, bus_rate, mem_rate, _, _, _, task_pe, _, _ = design
    units, moved, crossed, used, uses = flow
    p, b = len(pe_bus), len(before)
    rate, block = pe_rate[task_pe[t]], task_pe[t]
    for d in range(2):
        for k in range(uses[t, d]):
            pipe = used[t, d, k]
            bytes_ = moved[t, d, pipe]
            of_pipe = units[t, d, pipe] / load[d, pipe]
            if pipe >= p + b * b:
                memory = pipe - p - b * b
                bus = design[1][memory]
                limit = mem_rate[memory] * of_pipe * work[t] / bytes_
                if limit < rate:
                    rate, block = limit, p + b + memory
            else:
                bus = (pipe - p) // b
            if fair:
                limit = bus_rate[bus] * of_pipe * work[t] / bytes_
                if limit < rate:
                    rate, block = limit, p + bus
                continue
            # FARSI: the pipes into the bus that carry anybody who also leaves by this one get equal parts, and a part
            # is divided by all units of its pipe, those that leave elsewhere included.
            entry = _entry(task_pe[t], bus, pe_bus, before)
            entries = 0
            for i in range(n):
                q = running[i]
                if moved[q, d, pipe] == 0:
                    continue
                mine, first = _entry(task_pe[q], bus, pe_bus, before), True
                for j in range(i):
                    r = running[j]
                    if moved[r, d, pipe] > 0 and _entry(task_pe[r], bus, pe_bus, before) == mine:
                        first = False
                        break
                entries += first
            share = units[t, d, entry] / load[d, entry] / entries
            limit = bus_rate[bus] * share * work[t] / crossed[t, d, bus]
            if limit < rate:
                rate, block = limit, p + bus
    return rate, block


@njit(cache=True, nogil=True, error_model="numpy")
def _run(
    graph: Any, design: Any, before: Any, flow: Any, scratch: Any, corrected: bool, fifo: bool, row: Any, out: Any
) -> None:
    """The loop over phases of one design."""
    work, dummy, parent, child, size, _, _, parents, children, out_start, out_edge, in_start, in_edge = graph
    pe_bus, _, _, _, _, pe_energy, bus_energy, mem_energy, task_pe, edge_mem, order = design
    units, moved, crossed, used, uses = flow
    waits_for, lists, busy, numbers, load, phases, held, memory_now = scratch
    ends, pe_work, bus_work, mem_work, peak_bytes, power, slowed, spent = out
    detail = len(slowed) > 0
    tasks, p, b = len(work), len(pe_bus), len(before)
    running, waiting, ready, unread, ended, limits = lists
    left, rates = numbers
    waits_for[:] = parents
    unread[:] = children
    left[:] = work
    ended[:] = 0  # FARSI: 1 while on the list of completed tasks
    held[:] = 0.0
    occupied = peak_bytes[row]
    occupied[:] = 0.0
    memory_now[:] = 0.0
    pe_work[row], bus_work[row], mem_work[row] = 0.0, 0.0, 0.0
    n_running = n_waiting = done = 0
    n_phases = 1  # the list starts with an empty one
    phases[:, 0] = 0.0
    now = 0.0
    while done < tasks:
        # Launch what has all its inputs, and reserve memory for its outputs.
        n_ready = 0
        for t in order:
            if waits_for[t] == 0:
                waits_for[t] = -1
                ready[n_ready] = t
                n_ready += 1
                for k in range(out_start[t], out_start[t + 1]):
                    e = out_edge[k]
                    held[t, edge_mem[e]] += size[e]
                    memory_now[edge_mem[e]] += size[e]
                    occupied[edge_mem[e]] = max(occupied[edge_mem[e]], memory_now[edge_mem[e]])
        # One task a processor: those that run, then new and waiting ones in the order of the model.
        busy[:] = False
        for i in range(n_running):
            busy[task_pe[running[i]]] = True
        n_still = 0
        late = 0
        for turn in range(2):
            if (turn == 0) == fifo:
                for i in range(n_waiting):
                    t = waiting[i]
                    if busy[task_pe[t]]:
                        waiting[n_still] = t
                        n_still += 1
                    else:
                        busy[task_pe[t]] = True
                        running[n_running] = t
                        n_running += 1
                n_waiting = n_still
            else:
                for i in range(n_ready):
                    t = ready[i]
                    if busy[task_pe[t]]:
                        ready[late] = t
                        late += 1
                    else:
                        busy[task_pe[t]] = True
                        running[n_running] = t
                        n_running += 1
        if fifo:
            waiting[n_waiting : n_waiting + late] = ready[:late]
        else:
            for i in range(n_waiting - 1, -1, -1):
                waiting[i + late] = waiting[i]
            waiting[:late] = ready[:late]
        n_waiting += late
        # Rates, and the time until the first is done.
        load[:] = 0.0
        for i in range(n_running):
            t = running[i]
            for d in range(2):
                load[d, task_pe[t]] += units[t, d, task_pe[t]]
                for k in range(uses[t, d]):
                    load[d, used[t, d, k]] += units[t, d, used[t, d, k]]
        dt = np.inf
        for i in range(n_running):
            t = running[i]
            if dummy[t]:
                dt = 0.0
            else:
                rates[t], limits[t] = _rate(t, running, n_running, work, design, before, flow, load, corrected)
                dt = min(dt, left[t] / rates[t])
        now += dt
        # Work done in this phase, and its energy.
        joules = 0.0
        if dt > 0:
            for i in range(n_running):
                t = running[i]
                amount = rates[t] * dt
                left[t] -= amount
                pe_work[row, task_pe[t]] += amount
                part = amount * pe_energy[task_pe[t]]
                joules += part
                if detail:
                    slowed[row, t, limits[t]] += dt
                    spent[row, t, task_pe[t]] += part
                for d in range(2):
                    for k in range(uses[t, d]):
                        pipe = used[t, d, k]
                        part = moved[t, d, pipe] / work[t] * amount
                        if pipe >= p + b * b:
                            memory = pipe - p - b * b
                            mem_work[row, memory] += part
                            joules += part * mem_energy[memory]
                            if detail:
                                spent[row, t, p + b + memory] += part * mem_energy[memory]
                            bus = design[1][memory]
                        else:
                            bus = (pipe - p) // b
                        if not corrected:  # FARSI: everything that crosses the bus, once for every pipe out of it
                            part = crossed[t, d, bus] / work[t] * amount
                        bus_work[row, bus] += part
                        joules += part * bus_energy[bus]
                        if detail:
                            spent[row, t, p + bus] += part * bus_energy[bus]
        phases[0, n_phases], phases[1, n_phases], phases[2, n_phases] = dt, joules, now
        n_phases += 1
        # Completion.
        n_still = 0
        n_ready = 0
        for i in range(n_running):
            t = running[i]
            share = 1e-12 if corrected else 1 - DONE
            if dummy[t] or left[t] <= share * work[t]:
                ends[row, t] = now
                ready[n_ready] = t
                n_ready += 1
                done += 1
                for k in range(out_start[t], out_start[t + 1]):
                    waits_for[child[out_edge[k]]] -= 1
            else:
                running[n_still] = t
                n_still += 1
        n_running = n_still
        for i in range(n_ready):
            t = ready[i]
            ended[t] = 1
            for k in range(in_start[t], in_start[t + 1]):
                s = parent[in_edge[k]]
                unread[s] -= 1
                if corrected:
                    release = unread[s] == 0
                else:
                    # FARSI: when all children are on the list of completed tasks, they are struck from it, so that
                    # their other parents stay; the source stays for ever.
                    release = True
                    for j in range(out_start[s], out_start[s + 1]):
                        release = release and ended[child[out_edge[j]]] == 1
                    if release:
                        for j in range(out_start[s], out_start[s + 1]):
                            ended[child[out_edge[j]]] = 0
                    release = release and not dummy[s]
                if release:
                    for m in range(len(occupied)):
                        memory_now[m] -= held[s, m]
                        held[s, m] = 0.0
    power[row] = peak_power(phases[:, :n_phases]) if corrected else farsi_power(phases[:, :n_phases])
