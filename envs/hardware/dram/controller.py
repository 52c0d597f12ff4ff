"""A memory controller, cycle by cycle: what DRAMSys 4.0 does, without its kernel.

One call plays one trace through one design and returns cycle and command counts. Only cycles in which something can
happen are visited. References: [DRAMSys] Steiner et al., DRAMSys4.0, SAMOS 2020 (the rules); docs/environments/dram.md
states each of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from designopt.envs.hardware.dram.memory import Timing

Ints = NDArray[np.int64]

NEVER = np.int64(1) << 60

# Categories in the order of the design space.
OPEN, OPEN_ADAPTIVE, CLOSED, CLOSED_ADAPTIVE = range(4)
FIFO, FRFCFS_GRP, FRFCFS = range(3)
BANKWISE, READ_WRITE, SHARED = range(3)
IN_ORDER = 1  # RespQueue: Reorder
SIMPLE, ARBITER_FIFO, ARBITER_REORDER = range(3)

# Bank commands. Column commands with automatic precharge are the command + 2; NONE waits for a request.
NONE, ACT, RD, WR, RDA, WRA, PRE, PREA, REF = range(9)

COUNTS = ("cycles", "window", "active", "activates", "precharges", "reads", "writes", "refreshes")


@njit(cache=True, nogil=True, error_model="numpy")
def _select(
    b: Any, policy: Any, scheduler: Any, last_write: Any, head: Ints, count: Ints, after: Ints, open_row: Ints,
    row: Ints, address: Ints, write: Ints, chosen: Ints, before: Ints, kind: Ints,
) -> None:  # fmt: skip
    """The request that bank b serves next and the command that this takes."""
    first = head[b]
    chosen[b], before[b] = first, -1
    if first < 0:
        kind[b] = NONE
        return
    opened = open_row[b]
    if opened < 0:
        kind[b] = ACT
        return
    hits = 0
    if scheduler == FIFO:
        hits = int(row[first] == opened)
        if count[b] > 1 and row[after[first]] == opened:
            hits += 1
        hit = row[first] == opened
        further_hit = hits == 2 if hit else False
    else:
        previous, i = -1, first
        settled = False
        while i >= 0:
            if row[i] == opened:
                hits += 1
                if hits == 1:
                    chosen[b], before[b] = i, previous
                    settled = scheduler == FRFCFS or write[i] == last_write
                elif (
                    not settled
                    and write[i] == last_write
                    and not _same_address_before(i, first, opened, after, row, address)
                ):
                    chosen[b], before[b] = i, previous
                    settled = True
                if hits > 1 and settled:
                    break
            previous, i = i, after[i]
        hit = hits > 0
        further_hit = hits > 1
    if not hit and policy != CLOSED:
        kind[b] = PRE
        return
    if policy == OPEN:
        automatic = False
    elif policy == OPEN_ADAPTIVE:
        automatic = count[b] > 1 and not further_hit
    elif policy == CLOSED:
        automatic = True
    else:
        automatic = not further_hit
    kind[b] = RD + write[chosen[b]] + (2 if automatic else 0)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _earliest(command: Any, act: Any, col: Any, pre: Any, auto: Any, shared: Any, g: Any, bus: Any) -> Any:
    """Earliest cycle of a command, of what its bank, its group and the bus allow."""
    if command == NONE:
        return NEVER
    if command == ACT:
        return max(act, shared[ACT, g], bus)
    if command == PRE:
        return max(pre, shared[PRE, g], bus)
    if command == RDA:
        return max(col, auto, shared[RD, g], bus)
    return max(col, shared[command if command <= WR else WR, g], bus)


@njit(cache=True, nogil=True, error_model="numpy")
def _same_address_before(i: Any, first: Any, opened: Any, after: Ints, row: Ints, address: Ints) -> bool:
    """Whether an older entry of the open row has the address of entry i."""
    j = first
    while j != i:
        if row[j] == opened and address[j] == address[i]:
            return True
        j = after[j]
    return False


@njit(cache=True, nogil=True, error_model="numpy")
def _next_arrival(i: Any, now: Any, clock_ps: Any, player_ps: Any, time_ps: Ints) -> Any:
    """Cycle in which the player sends request i, after the end of its previous request in cycle ``now``."""
    if i == len(time_ps):
        return NEVER
    edge = (now * clock_ps // player_ps + 1) * player_ps
    return -(-max(time_ps[i], edge) // clock_ps)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _refresh(
    now: Any, interval: Any, waiting: Any, opened: Any, max_postponed: Any, due: Any, debt: Any, pulled: Any,
    blocked: Any,
) -> Any:  # fmt: skip
    """All-bank refresh that is due: postponed while requests wait, as often as allowed, then forced by blocking banks.

    Returns due, debt, pulled, blocked, and the command that it wants.
    """
    if now >= due + interval:
        due += interval
        pulled = False
    forced = not pulled and debt == max_postponed
    if waiting and not forced:
        if not pulled:
            debt += 1
        return due + interval, debt, False, blocked, NONE
    command = PREA if opened > 0 and not pulled else REF
    return due, debt, pulled, blocked or forced, command


@njit(cache=True, nogil=True, error_model="numpy")
def simulate(
    t: Timing, player_ps: Any, time_ps: Ints, bank: Ints, row: Ints, address: Ints, write: Ints, design: Ints,
) -> Ints:  # fmt: skip
    """Play a trace of n requests through one design.

    Args:
        t: timing of the memory.
        player_ps: clock period of the trace.
        time_ps: (n,) earliest time of each request.
        bank: (n,) bank of each.
        row: (n,) its row.
        address: (n,) its address.
        write: (n,) 1 for a write.
        design: (10,) categories by index and numbers, in the order of the design space.

    Returns:
        (8,) ``COUNTS``: cycles to the last response, cycles that consume background energy, those of them with an open
        bank, and issued commands.
    """
    policy, scheduler, organisation, size, response = design[0], design[1], design[2], design[3], design[4]
    max_postponed, max_pulled_in, arbiter, max_active = design[6], design[7], design[8], design[9]
    ordered = response == IN_ORDER or arbiter == ARBITER_REORDER
    n, banks = len(time_ps), t.banks
    group = np.arange(banks) // t.banks_per_group
    groups = banks // t.banks_per_group

    # Requests 0..sent-1 have arrived; of these admitted, handed to the port and accepted, each a prefix of the former.
    admitted = handed = accepted = 0
    arrival = -(-time_ps[0] // t.clock_ps)
    held = False
    last_accept: Any = np.int64(-1)
    completion = np.empty(n, np.int64)
    completed = known = 0  # of completion: counted by the arbiter, computed
    result = np.full(n if ordered else 0, -1, np.int64)
    next_id = 0
    last_out = last_return = np.int64(-1)

    head, tail, count = np.full(banks, -1, np.int64), np.full(banks, -1, np.int64), np.zeros(banks, np.int64)
    after = np.full(n, -1, np.int64)
    reads = writes = last_bank = last_write = 0
    chosen, before = np.full(banks, -1, np.int64), np.full(banks, -1, np.int64)
    kind, ready = np.zeros(banks, np.int64), np.full(banks, NEVER, np.int64)
    stale = np.zeros(banks, np.bool_)
    open_row = np.full(banks, -1, np.int64)
    opened = 0

    # Earliest cycles: of a bank, and of a group as far as other banks delay it (rows: commands).
    bank_act, bank_col, bank_pre, bank_rda = (
        np.zeros(banks, np.int64), np.zeros(banks, np.int64), np.zeros(banks, np.int64), np.zeros(banks, np.int64)
    )  # fmt: skip
    shared = np.zeros((PRE + 1, groups), np.int64)
    prea_ready = ref_ready = bus = np.int64(0)
    four = np.full(4, -t.four_act, np.int64)
    lengths = np.array([0, t.act_length, t.col_length, t.col_length, t.col_length, t.col_length, t.pre_length])

    due = np.int64(t.ref_interval) if design[5] == 1 else NEVER
    debt = 0
    pulled = blocked = False
    ref_command = NONE
    ref_time = NEVER

    activated = np.zeros(banks, np.int64)
    acts = pres = rds = wrs = refs = 0
    last_command = window = floor = idle = np.int64(0)
    last_pre: Any = np.int64(0)

    now: Any = min(arrival, due)
    earliest = NEVER  # no bank command is ready before
    while True:
        # A. The trace sends a request; the port takes over the oldest admitted one.
        if arrival <= now:
            while completed < known and completion[completed] < now:
                completed += 1
            if arbiter == SIMPLE:
                admitted += 1
                arrival = NEVER
            elif admitted - completed < max_active:
                admitted += 1
                arrival = _next_arrival(admitted, now, t.clock_ps, player_ps, time_ps)
            else:
                held = True
                arrival = NEVER
        if handed == accepted and handed < admitted and last_accept < now:
            handed += 1
        again = True
        while again:
            again = False
            issued = False
            # Twice: a freed entry gives the request at the port a second chance.
            for attempt in range(2):
                if attempt == 1:
                    # B3. Refresh manager.
                    if now >= due:
                        due, debt, pulled, blocked, ref_command = _refresh(
                            now, t.ref_interval, reads + writes > 0, opened, max_postponed, due, debt, pulled, blocked
                        )
                        ref_time = NEVER
                        if ref_command != NONE:
                            ref_time = max(prea_ready if ref_command == PREA else ref_ready, bus)
                    # B4. One command.
                    best, best_end, best_id = -2, NEVER, np.int64(n)
                    if ref_command != NONE:
                        best, best_id = -1, np.int64(-1)
                        best_end = max(ref_time, now) + (t.pre_length if ref_command == PREA else t.ref_length)
                    if earliest <= now or ref_command != NONE:
                        for b in range(banks):
                            if kind[b] != NONE:
                                end = max(ready[b], now) + lengths[kind[b]]
                                if end < best_end or (end == best_end and chosen[b] < best_id):
                                    best, best_end, best_id = b, end, chosen[b]
                    if best == -1 and ref_time <= now:
                        issued = True
                        if ref_command == PREA:
                            pres += opened
                            opened = 0
                            open_row[:] = -1
                            last_pre = max(last_pre, now)
                            shared[ACT] = np.maximum(shared[ACT], now + t.prea_act)
                            ref_ready = max(ref_ready, now + t.prea_ref)
                            bus = now + t.pre_length
                            if now >= last_command:
                                last_command, window = now, now + t.pre_over - 1
                        else:
                            refs += 1
                            idle += max(0, now - last_pre)
                            last_pre = max(last_pre, now + t.ref_active)
                            shared[ACT] = np.maximum(shared[ACT], now + t.ref_act)
                            ref_ready = max(ref_ready, now + t.ref_ref)
                            bus = now + t.ref_length
                            if now >= last_command:
                                last_command, window, floor = now, now - 1, now + t.ref_active
                            blocked = False
                            if pulled:
                                debt -= 1
                            else:
                                pulled = True
                            if debt == -max_pulled_in:
                                pulled = False
                                due += t.ref_interval
                        ref_command = NONE
                        ref_time = NEVER
                        stale[:] = True
                    elif best >= 0 and ready[best] <= now:
                        issued = True
                        b, i, command = best, chosen[best], kind[best]
                        stale[b] = True
                        bus = now + lengths[command]
                        g = group[b]
                        if command == ACT:
                            acts += 1
                            opened += 1
                            open_row[b] = row[i]
                            if opened == 1:
                                idle += max(0, now - last_pre)
                            activated[b] = now
                            floor = np.int64(0)
                            if now >= last_command:
                                last_command, window = now, now + t.act_over - 1
                            bank_act[b] = max(bank_act[b], now + t.act_act)
                            bank_col[b] = now + t.act_col
                            bank_pre[b] = max(bank_pre[b], now + t.act_pre)
                            four[acts & 3] = now
                            other = max(now + t.act_act_S, four[(acts + 1) & 3] + t.four_act)
                            for k in range(groups):
                                shared[ACT, k] = max(shared[ACT, k], other)
                            shared[ACT, g] = max(shared[ACT, g], now + t.act_act_L)
                            prea_ready = max(prea_ready, now + t.act_pre)
                            ref_ready = max(ref_ready, now + t.act_ref)
                        elif command == PRE:
                            pres += 1
                            opened -= 1
                            open_row[b] = -1
                            last_pre = max(last_pre, now)
                            if now >= last_command:
                                last_command, window = now, now + t.pre_over - 1
                            bank_act[b] = max(bank_act[b], now + t.pre_act)
                            for k in range(groups):
                                shared[PRE, k] = max(shared[PRE, k], now + t.pre_pre)
                            prea_ready = max(prea_ready, now + t.pre_pre)
                            ref_ready = max(ref_ready, now + t.pre_ref)
                        else:
                            writing = write[i]
                            automatic = command >= RDA
                            same, turn = (WR, RD) if writing else (RD, WR)
                            turn_L, turn_S = (t.wr_rd_L, t.wr_rd_S) if writing else (t.rd_wr, t.rd_wr)
                            for k in range(groups):
                                shared[same, k] = max(shared[same, k], now + t.col_col_S)
                                shared[turn, k] = max(shared[turn, k], now + turn_S)
                            shared[same, g] = max(shared[same, g], now + t.col_col_L)
                            shared[turn, g] = max(shared[turn, g], now + turn_L)
                            to_pre = t.wr_pre if writing else t.rd_pre
                            prea_ready = max(prea_ready, now + to_pre)
                            if writing:
                                wrs += 1
                                writes -= 1
                                bank_rda[b] = max(bank_rda[b], now + t.wr_pre - t.rd_pre)
                            else:
                                rds += 1
                                reads -= 1
                            if now >= last_command:
                                last_command, window = now, now + (t.wr_over if writing else t.rd_over) - 1
                            if automatic:
                                pres += 1
                                opened -= 1
                                open_row[b] = -1
                                closing = now + (t.wra_precharge if writing else t.rda_precharge)
                                closing = max(closing, activated[b] + t.ras)
                                last_pre = max(last_pre, closing)
                                if closing >= last_command:
                                    last_command, window = closing, closing + t.pre_over - 1
                                bank_act[b] = max(bank_act[b], now + (t.wra_act if writing else t.rda_act))
                                ref_ready = max(ref_ready, now + (t.wra_ref if writing else t.rda_ref))
                            else:
                                bank_pre[b] = max(bank_pre[b], now + to_pre)
                            # The entry is freed.
                            if before[b] < 0:
                                head[b] = after[i]
                            else:
                                after[before[b]] = after[i]
                            if after[i] < 0:
                                tail[b] = before[b]
                            count[b] -= 1
                            if writing != last_write:
                                last_write = writing
                                if scheduler == FRFCFS_GRP:
                                    stale[:] = True
                            # Its response: known now, for nothing that comes later can overtake it.
                            data = now + (t.wr_data if writing else t.rd_data)
                            if response != IN_ORDER:
                                data = last_out = max(data, last_out + 1)
                            if ordered:
                                result[i] = data
                                while next_id < n and result[next_id] >= 0:
                                    last_return = max(result[next_id], last_return + 1)
                                    completion[known] = last_return
                                    known += 1
                                    next_id += 1
                            else:
                                completion[known] = data
                                known += 1
                if handed > accepted:
                    if organisation == BANKWISE:
                        space = count[last_bank] < size
                    elif organisation == READ_WRITE:
                        space = reads < size and writes < size
                    else:
                        space = reads + writes < size
                    if space:
                        i = accepted
                        b = bank[i]
                        accepted += 1
                        last_accept, last_bank = now, b
                        if write[i]:
                            writes += 1
                        else:
                            reads += 1
                        if count[b] == 0:
                            head[b] = i
                        else:
                            after[tail[b]] = i
                        tail[b] = i
                        count[b] += 1
                        stale[b] = True
                        if attempt == 0:
                            if blocked:
                                kind[b] = NONE
                            else:
                                _select(
                                    b, policy, scheduler, last_write, head, count, after, open_row, row, address, write,
                                    chosen, before, kind,
                                )  # fmt: skip
                            ready[b] = _earliest(
                                kind[b], bank_act[b], bank_col[b], bank_pre[b], bank_rda[b], shared, group[b], bus
                            )
                            earliest = min(earliest, ready[b])
                            stale[b] = False
                        if arbiter == SIMPLE:
                            arrival = _next_arrival(accepted, now, t.clock_ps, player_ps, time_ps)
            # B6. Banks whose queue, row or direction changed choose again.
            if issued or blocked:
                earliest = NEVER
                for b in range(banks):
                    if blocked:
                        kind[b] = NONE
                    elif stale[b]:
                        _select(
                            b, policy, scheduler, last_write, head, count, after, open_row, row, address, write,
                            chosen, before, kind,
                        )  # fmt: skip
                        stale[b] = False
                    ready[b] = _earliest(
                        kind[b], bank_act[b], bank_col[b], bank_pre[b], bank_rda[b], shared, group[b], bus
                    )
                    earliest = min(earliest, ready[b])
            if now >= due:
                due, debt, pulled, blocked, ref_command = _refresh(
                    now, t.ref_interval, reads + writes > 0, opened, max_postponed, due, debt, pulled, blocked
                )
                ref_time = NEVER
                if ref_command != NONE:
                    ref_time = max(prea_ready if ref_command == PREA else ref_ready, bus)
            # C, D
            if held and completed < known and completion[completed] <= now:
                completed += 1
                admitted += 1
                held = False
                arrival = _next_arrival(admitted, now, t.clock_ps, player_ps, time_ps)
                if handed == accepted and last_accept < now:
                    handed += 1
                    again = True
        following = arrival
        if handed == accepted and handed < admitted:
            following = min(following, last_accept + 1)
        if held and completed < known:
            following = min(following, completion[completed])
        following = min(following, ref_time if ref_command != NONE else due)
        if earliest > now:
            following = min(following, earliest)
        else:  # a command that is ready lost to one that ends sooner, and waits for it
            for b in range(banks):
                if ready[b] > now:
                    following = min(following, ready[b])
        if known == n and following > completion[n - 1]:
            break
        now = max(following, now + 1)
    cycles = completion[n - 1]
    window = max(window, floor)
    if opened == 0:
        idle += max(0, window - last_pre)
    return np.array([cycles, window, window - idle, acts, pres, rds, wrs, refs])


@njit(cache=True, nogil=True, error_model="numpy")
def simulate_all(
    t: Timing, player_ps: Any, time_ps: Ints, bank: Ints, row: Ints, address: Ints, write: Ints, designs: Ints
) -> Ints:
    """``simulate`` of each of n designs (n, 10). -> (n, 8)."""
    counts = np.empty((len(designs), 8), np.int64)
    for k in range(len(designs)):
        counts[k] = simulate(t, player_ps, time_ps, bank, row, address, write, designs[k])
    return counts
