"""A memory controller, cycle by cycle: the rules of DRAMSys 4.0 without its event kernel.

``simulate`` plays one trace through one design and counts cycles and commands. Only cycles in which something can
happen are visited. State lives in structured arrays that each call makes for itself, so calls may run in parallel.

References: [Steiner2020] DRAMSys4.0: a fast and cycle-accurate SystemC/TLM-based DRAM simulator, SAMOS; every rule is
stated in docs/environments/dram.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from designopt.envs.hardware.dram.memory import Timing

Ints = NDArray[np.int64]

NEVER = 1 << 60

# Categories by index, in the order of the design space; of two-valued ones the second.
OPEN, OPEN_ADAPTIVE, CLOSED, CLOSED_ADAPTIVE = range(4)
FIFO, FRFCFS_GRP, FRFCFS = range(3)
BANKWISE, READ_WRITE, SHARED = range(3)
REORDER, ALL_BANK = 1, 1
SIMPLE, ARBITER_FIFO, ARBITER_REORDER = range(3)

# Commands. A column command with automatic precharge is the plain one + 2.
NONE, ACT, RD, WR, RDA, WRA, PRE, PREA, REF = range(9)


def _record(names: str) -> np.dtype[np.void]:
    return np.dtype([(name, np.int64) for name in names.split()])


TIMING = np.dtype([(name, np.int64) for name in Timing._fields])
DESIGN = _record(
    "policy scheduler organisation size responses refresh max_postponed max_pulled_in arbiter max_active"
)
REQUEST = _record("time_ps bank row address write")
COUNTS = ("cycles", "window", "active", "activates", "precharges", "reads", "writes", "refreshes")

# Requests 0..sent-1 have left the player; those admitted by the arbiter, handed to the controller's port and accepted
# into its buffer are prefixes of them. `completion` holds the cycles in which the arbiter sees a request completed:
# `known` of them are computed, `completed` are counted as freed slots.
_STATE = _record(
    "arrival held admitted handed accepted last_accept known completed next_id last_out last_return "
    "reads_queued writes_queued last_bank last_write opened bus earliest prea_ready ref_ready "
    "due debt pulled blocked ref_command ref_time "
    "activates precharges reads writes refreshes last_command window floor idle last_precharge"
)
# group: bank group; head, tail, count: entries of a bank in order of acceptance; chosen, before: entry to serve and the one ahead of it.
# command, ready: what it needs next and when that may issue; stale: to be chosen again.
# act, col, pre, auto: earliest cycles of commands as far as this bank delays them.
_BANK = _record("group head tail count chosen before command ready stale open_row activated act col pre auto")


@njit(cache=True, nogil=True, error_model="numpy")
def _next_arrival(i: Any, now: Any, t: Any, player_ps: Any, trace: Any) -> Any:
    """Cycle in which the player sends request i, after its previous request ended in cycle ``now``."""
    if i == len(trace):
        return NEVER
    edge = (now * t.clock_ps // player_ps + 1) * player_ps
    return -(-max(trace[i].time_ps, edge) // t.clock_ps)


@njit(cache=True, nogil=True, error_model="numpy")
def _arrive(now: Any, s: Any, d: Any, t: Any, player_ps: Any, trace: Any, completion: Ints) -> None:
    """The arbiter admits or holds the request that arrives now, and hands the oldest waiting one to a free port."""
    if s.arrival <= now:
        while s.completed < s.known and completion[s.completed] < now:
            s.completed += 1
        s.arrival = NEVER
        if d.arbiter == SIMPLE:
            s.admitted += 1
        elif s.admitted - s.completed < d.max_active:
            s.admitted += 1
            s.arrival = _next_arrival(s.admitted, now, t, player_ps, trace)
        else:
            s.held = 1
    if s.handed == s.accepted and s.handed < s.admitted and s.last_accept < now:
        s.handed += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _complete(now: Any, s: Any, t: Any, player_ps: Any, trace: Any, completion: Ints) -> bool:
    """A completion admits the held request in the same cycle. -> whether it went straight to the port."""
    if not (s.held and s.completed < s.known and completion[s.completed] <= now):
        return False
    s.completed += 1
    s.admitted += 1
    s.held = 0
    s.arrival = _next_arrival(s.admitted, now, t, player_ps, trace)
    if s.handed == s.accepted and s.last_accept < now:
        s.handed += 1
        return True
    return False


@njit(cache=True, nogil=True, error_model="numpy")
def _accept(now: Any, s: Any, d: Any, t: Any, player_ps: Any, trace: Any, banks: Any, after: Ints) -> Any:
    """Move the request at the port into the buffer if there is space. -> its bank, or -1."""
    if s.handed == s.accepted:
        return -1
    if d.organisation == BANKWISE:  # looks at the bank of the last accepted request, not of this one
        space = banks[s.last_bank].count < d.size
    elif d.organisation == READ_WRITE:
        space = s.reads_queued < d.size and s.writes_queued < d.size
    else:
        space = s.reads_queued + s.writes_queued < d.size
    if not space:
        return -1
    i = s.accepted
    b = trace[i].bank
    bank = banks[b]
    s.accepted += 1
    s.last_accept, s.last_bank = now, b
    if trace[i].write:
        s.writes_queued += 1
    else:
        s.reads_queued += 1
    if bank.count == 0:
        bank.head = i
    else:
        after[bank.tail] = i
    bank.tail = i
    bank.count += 1
    bank.stale = 1
    if d.arbiter == SIMPLE:
        s.arrival = _next_arrival(s.accepted, now, t, player_ps, trace)
    return b


@njit(cache=True, nogil=True, error_model="numpy")
def _address_ahead(i: Any, bank: Any, trace: Any, after: Ints) -> bool:
    """Whether an older entry of the open row has the address of entry i."""
    j = bank.head
    while j != i:
        if trace[j].row == bank.open_row and trace[j].address == trace[i].address:
            return True
        j = after[j]
    return False


@njit(cache=True, nogil=True, error_model="numpy")
def _time(b: Any, s: Any, t: Any, banks: Any, shared: Ints) -> None:
    """Earliest cycle of the next command of bank b."""
    bank = banks[b]
    command = bank.command
    if command == ACT:
        earliest = bank.act
    elif command == PRE:
        earliest = bank.pre
    else:
        earliest = bank.col
        if command == RDA:
            earliest = max(earliest, bank.auto)
        if command >= RDA:
            command -= 2
    bank.ready = max(earliest, shared[command, bank.group], s.bus)


@njit(cache=True, nogil=True, error_model="numpy")
def _choose(b: Any, s: Any, d: Any, t: Any, trace: Any, banks: Any, shared: Ints, after: Ints) -> None:
    """The entry that bank b serves next, the command that this takes, and its earliest cycle."""
    bank = banks[b]
    bank.stale = 0
    bank.command = NONE
    bank.ready = NEVER
    bank.chosen, bank.before = bank.head, -1
    if s.blocked or bank.head < 0:
        return
    if bank.open_row < 0:
        bank.command = ACT
        _time(b, s, t, banks, shared)
        return

    hits = 0  # entries of the open row, counted up to two
    if d.scheduler == FIFO:
        if trace[bank.head].row == bank.open_row:
            hits = 1 + int(bank.count > 1 and trace[after[bank.head]].row == bank.open_row)
    else:
        previous, i = -1, bank.head
        settled = False
        while i >= 0 and not (settled and hits > 1):
            if trace[i].row == bank.open_row:
                hits += 1
                same_direction = trace[i].write == s.last_write
                if hits == 1:
                    bank.chosen, bank.before = i, previous
                    settled = d.scheduler == FRFCFS or same_direction
                elif not settled and same_direction and not _address_ahead(i, bank, trace, after):
                    bank.chosen, bank.before = i, previous
                    settled = True
            previous, i = i, after[i]

    if hits == 0:  # never under the closed policies
        bank.command = PRE
    else:
        if d.policy == OPEN_ADAPTIVE:
            automatic = bank.count > 1 and hits < 2
        elif d.policy == CLOSED_ADAPTIVE:
            automatic = hits < 2
        else:
            automatic = d.policy == CLOSED
        bank.command = RD + trace[bank.chosen].write + (2 if automatic else 0)
    _time(b, s, t, banks, shared)


@njit(cache=True, nogil=True, error_model="numpy")
def _refresh(now: Any, s: Any, d: Any, t: Any) -> None:
    """All-bank refresh: postponed while requests wait, as often as allowed, then forced; pulled in while idle."""
    if now < s.due:
        return
    if now >= s.due + t.ref_interval:
        s.due += t.ref_interval
        s.pulled = 0
    s.ref_command, s.ref_time = NONE, NEVER
    forced = not s.pulled and s.debt == d.max_postponed
    if s.reads_queued + s.writes_queued > 0 and not forced:
        if not s.pulled:
            s.debt += 1
        s.pulled = 0
        s.due += t.ref_interval
        return
    if forced:
        s.blocked = 1
    if s.opened > 0 and not s.pulled:
        s.ref_command, s.ref_time = PREA, max(s.prea_ready, s.bus)
    else:
        s.ref_command, s.ref_time = REF, max(s.ref_ready, s.bus)


@njit(cache=True, nogil=True, error_model="numpy")
def _logged(at: Any, over: Any, s: Any) -> None:
    """The energy window ends one cycle before the latest command, automatic precharges included, is over."""
    if at >= s.last_command:
        s.last_command, s.window = at, at + over - 1


@njit(cache=True, nogil=True, error_model="numpy")
def _issue_refresh(now: Any, s: Any, d: Any, t: Any, banks: Any, shared: Ints) -> None:
    """PREA or REF."""
    if s.ref_command == PREA:
        s.precharges += s.opened
        s.opened = 0
        s.last_precharge = max(s.last_precharge, now)
        shared[ACT] = np.maximum(shared[ACT], now + t.prea_act)
        s.ref_ready = max(s.ref_ready, now + t.prea_ref)
        s.bus = now + t.pre_length
        _logged(now, t.pre_over, s)
    else:
        s.refreshes += 1
        s.idle += max(0, now - s.last_precharge)
        s.last_precharge = max(s.last_precharge, now + t.ref_active)
        s.floor = now + t.ref_active
        shared[ACT] = np.maximum(shared[ACT], now + t.ref_act)
        s.ref_ready = max(s.ref_ready, now + t.ref_ref)
        s.bus = now + t.ref_length
        _logged(now, 0, s)
        s.blocked = 0
        if s.pulled:
            s.debt -= 1
        s.pulled = 1
        if s.debt == -d.max_pulled_in:
            s.pulled = 0
            s.due += t.ref_interval
    s.ref_command, s.ref_time = NONE, NEVER
    for b in range(len(banks)):
        banks[b].open_row = -1
        banks[b].stale = 1


@njit(cache=True, nogil=True, error_model="numpy")
def _delay(command: Any, g: Any, own: Any, others: Any, shared: Ints) -> None:
    """No such command before cycle ``own`` in group g, before ``others`` in the other groups."""
    for k in range(shared.shape[1]):
        shared[command, k] = max(shared[command, k], own if k == g else others)


@njit(cache=True, nogil=True, error_model="numpy")
def _issue_row(now: Any, b: Any, s: Any, t: Any, trace: Any, banks: Any, shared: Ints, four: Ints) -> None:
    """ACT or PRE on bank b."""
    bank = banks[b]
    bank.stale = 1
    g = bank.group
    if bank.command == ACT:
        if s.opened == 0:
            s.idle += max(0, now - s.last_precharge)
        s.opened += 1
        bank.open_row = trace[bank.chosen].row
        bank.activated = now
        s.floor = 0
        four[s.activates & 3] = now
        s.activates += 1
        oldest = four[s.activates & 3] + t.four_act
        bank.act, bank.col, bank.pre = now + t.act_act, now + t.act_col, max(bank.pre, now + t.act_pre)
        _delay(ACT, g, max(now + t.act_act_L, oldest), max(now + t.act_act_S, oldest), shared)
        s.prea_ready = max(s.prea_ready, now + t.act_pre)
        s.ref_ready = max(s.ref_ready, now + t.act_ref)
        s.bus = now + t.act_length
        _logged(now, t.act_over, s)
    else:
        s.opened -= 1
        s.precharges += 1
        bank.open_row = -1
        s.last_precharge = max(s.last_precharge, now)
        bank.act = max(bank.act, now + t.pre_act)
        _delay(PRE, g, now + t.pre_pre, now + t.pre_pre, shared)
        s.prea_ready = max(s.prea_ready, now + t.pre_pre)
        s.ref_ready = max(s.ref_ready, now + t.pre_ref)
        s.bus = now + t.pre_length
        _logged(now, t.pre_over, s)


@njit(cache=True, nogil=True, error_model="numpy")
def _issue_column(now: Any, b: Any, s: Any, d: Any, t: Any, trace: Any, banks: Any, shared: Ints, after: Ints) -> Any:
    """RD, WR, RDA or WRA on bank b; its entry leaves the buffer. -> the cycle in which the data are complete."""
    bank = banks[b]
    bank.stale = 1
    i, g = bank.chosen, bank.group
    writing = trace[i].write
    if writing:
        s.writes += 1
        s.writes_queued -= 1
        to_pre, to_precharge, to_act, to_ref, over = t.wr_pre, t.wra_precharge, t.wra_act, t.wra_ref, t.wr_over
        _delay(RD, g, now + t.wr_rd_L, now + t.wr_rd_S, shared)
        bank.auto = now + t.wr_pre - t.rd_pre
    else:
        s.reads += 1
        s.reads_queued -= 1
        to_pre, to_precharge, to_act, to_ref, over = t.rd_pre, t.rda_precharge, t.rda_act, t.rda_ref, t.rd_over
        _delay(WR, g, now + t.rd_wr, now + t.rd_wr, shared)
    _delay(RD + writing, g, now + t.col_col_L, now + t.col_col_S, shared)
    s.prea_ready = max(s.prea_ready, now + to_pre)
    s.bus = now + t.col_length
    _logged(now, over, s)
    if bank.command >= RDA:
        s.opened -= 1
        s.precharges += 1
        bank.open_row = -1
        closing = max(now + to_precharge, bank.activated + t.ras)
        s.last_precharge = max(s.last_precharge, closing)
        bank.act = max(bank.act, now + to_act)
        s.ref_ready = max(s.ref_ready, now + to_ref)
        _logged(closing, t.pre_over, s)
    else:
        bank.pre = max(bank.pre, now + to_pre)

    if bank.before < 0:
        bank.head = after[i]
    else:
        after[bank.before] = after[i]
    if after[i] < 0:
        bank.tail = bank.before
    bank.count -= 1
    if writing != s.last_write:
        s.last_write = writing
        if d.scheduler == FRFCFS_GRP:
            for k in range(len(banks)):
                banks[k].stale = 1
    return now + (t.wr_data if writing else t.rd_data)


@njit(cache=True, nogil=True, error_model="numpy")
def _respond(i: Any, data: Any, s: Any, d: Any, completion: Ints, result: Ints) -> None:
    """Cycle of the response of request i, known now: nothing that comes later can overtake it."""
    if d.responses != REORDER:
        data = s.last_out = max(data, s.last_out + 1)
    if len(result) == 0:
        completion[s.known] = data
        s.known += 1
        return
    result[i] = data
    while s.next_id < len(result) and result[s.next_id] >= 0:
        s.last_return = max(result[s.next_id], s.last_return + 1)
        completion[s.known] = s.last_return
        s.known += 1
        s.next_id += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _winner(now: Any, s: Any, t: Any, banks: Any) -> Any:
    """Bank whose command goes first (-1: the refresh command, -2: none): the first to end, then the oldest request."""
    best, best_end, best_id = -2, NEVER, NEVER
    ready = NEVER
    if s.ref_command != NONE:
        best, ready, best_id = -1, s.ref_time, -1
        best_end = max(ready, now) + (t.pre_length if s.ref_command == PREA else t.ref_length)
    for b in range(len(banks)):
        bank = banks[b]
        if bank.command != NONE:
            length = t.act_length if bank.command == ACT else t.pre_length if bank.command == PRE else t.col_length
            end = max(bank.ready, now) + length
            if end < best_end or (end == best_end and bank.chosen < best_id):
                best, best_end, best_id, ready = b, end, bank.chosen, bank.ready
    return best if ready <= now else -2


@njit(cache=True, nogil=True, error_model="numpy")
def _pass(
    now: Any, s: Any, d: Any, t: Any, player_ps: Any, trace: Any, banks: Any, shared: Ints, four: Ints, after: Ints,
    completion: Ints, result: Ints,
) -> None:  # fmt: skip
    """One activation of the controller: accept, refresh, issue one command, accept again, choose anew."""
    b = _accept(now, s, d, t, player_ps, trace, banks, after)
    if b >= 0:
        _choose(b, s, d, t, trace, banks, shared, after)
        s.earliest = min(s.earliest, banks[b].ready)
    _refresh(now, s, d, t)
    issued = False
    if s.earliest <= now or s.ref_command != NONE:
        best = _winner(now, s, t, banks)
        issued = best > -2
        if best == -1:
            _issue_refresh(now, s, d, t, banks, shared)
        elif best >= 0 and (banks[best].command == ACT or banks[best].command == PRE):
            _issue_row(now, best, s, t, trace, banks, shared, four)
        elif best >= 0:
            i = banks[best].chosen
            data = _issue_column(now, best, s, d, t, trace, banks, shared, after)
            _respond(i, data, s, d, completion, result)
            _accept(now, s, d, t, player_ps, trace, banks, after)
    if issued or s.blocked:
        s.earliest = NEVER
        for b in range(len(banks)):
            bank = banks[b]
            if bank.stale or s.blocked:
                _choose(b, s, d, t, trace, banks, shared, after)
            elif bank.command != NONE:
                _time(b, s, t, banks, shared)
            s.earliest = min(s.earliest, bank.ready)
    _refresh(now, s, d, t)


@njit(cache=True, nogil=True, error_model="numpy")
def simulate(timing: Any, player_ps: Any, trace: Any, design: Any) -> Ints:
    """Play a trace of n requests through one design.

    Args:
        timing: (1,) TIMING of the memory.
        player_ps: clock period of the trace in picoseconds.
        trace: (n,) REQUEST: earliest time, bank, row, address, and 1 for a write.
        design: (1,) DESIGN: categories by index, and numbers.

    Returns:
        (8,) ``COUNTS``: cycles to the last response, cycles that consume background energy, those of them with an open
        bank, and commands.
    """
    t, d, s = timing[0], design[0], np.zeros(1, _STATE)[0]
    n = len(trace)
    banks = np.zeros(t.banks, _BANK)
    for b in range(t.banks):
        bank = banks[b]
        bank.head = bank.tail = bank.chosen = bank.before = bank.open_row = -1
        bank.ready = NEVER
        bank.group = b // t.banks_per_group
    shared = np.zeros((PRE + 1, t.banks // t.banks_per_group), np.int64)  # earliest cycles by command and group
    four = np.full(4, -t.four_act, np.int64)  # the last four ACT
    after = np.full(n, -1, np.int64)
    completion = np.empty(n, np.int64)
    reordered = d.responses == REORDER or d.arbiter == ARBITER_REORDER
    result = np.full(n if reordered else 0, -1, np.int64)
    s.last_accept = s.last_out = s.last_return = -1
    s.earliest = s.ref_time = NEVER
    s.arrival = -(-trace[0].time_ps // t.clock_ps)
    s.due = t.ref_interval if d.refresh == ALL_BANK else NEVER

    now = min(s.arrival, s.due)
    while True:
        _arrive(now, s, d, t, player_ps, trace, completion)
        _pass(now, s, d, t, player_ps, trace, banks, shared, four, after, completion, result)
        if _complete(now, s, t, player_ps, trace, completion):
            _pass(now, s, d, t, player_ps, trace, banks, shared, four, after, completion, result)
        following = min(s.arrival, s.due if s.ref_command == NONE else s.ref_time)
        if s.handed == s.accepted and s.handed < s.admitted:
            following = min(following, s.last_accept + 1)
        if s.held and s.completed < s.known:
            following = min(following, completion[s.completed])
        if s.earliest > now:
            following = min(following, s.earliest)
        else:  # a command that is ready lost to one that ends sooner, and waits for it
            for b in range(t.banks):
                if banks[b].ready > now:
                    following = min(following, banks[b].ready)
        if s.known == n and following > completion[n - 1]:
            break
        now = max(following, now + 1)

    window = max(s.window, s.floor)
    if s.opened == 0:
        s.idle += max(0, window - s.last_precharge)
    return np.array(
        [completion[n - 1], window, window - s.idle, s.activates, s.precharges, s.reads, s.writes, s.refreshes]
    )


@njit(cache=True, nogil=True, error_model="numpy")
def simulate_all(timing: Any, player_ps: Any, trace: Any, designs: Any) -> Ints:
    """``simulate`` of each of n designs. -> (n, 8)."""
    counts = np.empty((len(designs), 8), np.int64)
    for k in range(len(designs)):
        counts[k] = simulate(timing, player_ps, trace, designs[k : k + 1])
    return counts
