"""Memories: geometry, JEDEC timing and supply currents of one channel of one rank.

The numbers are facts of the parts' data sheets as the memory specifications of DRAMSys 4.0 give them
(``MICRON_1Gb_DDR3-1600_8bit_G``, ``MICRON_4Gb_DDR4-2400_8bit_A``, ``JEDEC_8Gb_LPDDR4-3200_16bit``). The distances
between commands, ``Timing``, follow from them by the rules in docs/environments/dram.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from designopt.parameters import suggest


class Timing(NamedTuple):
    """Least distances between commands, in clock cycles (tCK); ``clock_ps`` is one cycle in picoseconds.

    ``x_y`` is the distance from command x to command y on what the two share: a bank, a bank group (``_L``) or the rank
    (``_S``). ``rda``, ``wra`` are column commands with automatic precharge, ``prea`` precharges all banks.
    """

    clock_ps: int
    banks: int
    banks_per_group: int
    act_col: int
    act_act: int
    act_pre: int
    act_act_L: int  # noqa: N815 - the letters of JEDEC
    act_act_S: int  # noqa: N815
    four_act: int
    pre_act: int
    pre_pre: int
    col_col_L: int  # noqa: N815
    col_col_S: int  # noqa: N815
    rd_pre: int
    wr_pre: int
    rd_wr: int
    wr_rd_L: int  # noqa: N815
    wr_rd_S: int  # noqa: N815
    rda_act: int
    wra_act: int
    prea_act: int
    act_ref: int
    pre_ref: int
    prea_ref: int
    rda_ref: int
    wra_ref: int
    ref_act: int
    ref_ref: int
    ref_interval: int
    rd_data: int
    wr_data: int
    act_length: int
    col_length: int
    pre_length: int
    ref_length: int
    # When the energy model takes a command to be over, and when an automatic precharge happens.
    rd_over: int
    wr_over: int
    act_over: int
    pre_over: int
    ref_active: int
    rda_precharge: int
    wra_precharge: int
    ras: int


@dataclass(frozen=True)
class Rail:
    """One supply of every device: volts, and mA by state (IDD0, IDD2N, IDD3N, IDD4R, IDD4W, IDD5)."""

    volts: float
    activate: float
    precharged: float
    active: float
    read: float
    write: float
    refresh: float


@dataclass(frozen=True)
class Memory:
    """One channel: devices side by side, their banks, timing and currents.

    Attributes:
        name: of the part.
        devices: devices that share the command bus; the data bus is ``devices * width`` bits.
        fields: address bits (name, number) from the lowest: byte, column, bank, group, row.
        groups: bank groups; a bank index is group * banks per group + bank.
        burst: beats of one request, two a clock.
        ras, rc, rfc: of the energy terms, in tCK.
        timing: of the commands.
        rails: supplies.
    """

    name: str
    devices: int
    width: int
    fields: tuple[tuple[str, int], ...]
    groups: int
    burst: int
    ras: int
    rc: int
    rfc: int
    timing: Timing
    rails: tuple[Rail, ...]
    bits: dict[str, tuple[int, int]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        bits, low = {}, 0
        for name, width in self.fields:
            bits[name] = (low, width)
            low += width
        object.__setattr__(self, "bits", bits)

    @property
    def size(self) -> int:
        """Bytes that an address can name."""
        return 1 << sum(width for _, width in self.fields)

    @property
    def request_bytes(self) -> int:
        """Bytes of one burst."""
        return self.devices * self.width * self.burst // 8


def _ddr(
    clock_mhz: float, banks: int, groups: int, *, B: int, RL: int, WL: int, DQSCK: int, RCD: int, RP: int, RAS: int,
    RC: int, RRD_S: int, RRD_L: int, FAW: int, CCD_S: int, CCD_L: int, RTP: int, WR: int, WTR_S: int, WTR_L: int,
    RTW: int, REFI: int, RFC: int,
) -> Timing:  # fmt: skip
    """Timing of a DDR3 or DDR4 memory: every command takes one cycle of the command bus."""
    written = WL + B + WR
    return Timing(
        clock_ps=round(1e6 / clock_mhz), banks=banks, banks_per_group=banks // groups, act_col=RCD, act_act=RC,
        act_pre=RAS, act_act_L=RRD_L, act_act_S=RRD_S, four_act=FAW, pre_act=RP, pre_pre=0, col_col_L=CCD_L,
        col_col_S=CCD_S, rd_pre=RTP, wr_pre=written, rd_wr=RTW, wr_rd_L=WL + B + WTR_L, wr_rd_S=WL + B + WTR_S,
        rda_act=RTP + RP, wra_act=written + RP, prea_act=RP, act_ref=RC, pre_ref=RP, prea_ref=RP, rda_ref=RTP + RP,
        wra_ref=written + RP, ref_act=RFC, ref_ref=RFC, ref_interval=REFI, rd_data=RL + B, wr_data=WL + B,
        act_length=1, col_length=1, pre_length=1, ref_length=1, rd_over=RL + DQSCK + 1 + B, wr_over=written,
        act_over=RCD, pre_over=RP, ref_active=RFC - RP, rda_precharge=max(4, RTP), wra_precharge=written, ras=RAS,
    )  # fmt: skip


DDR3_1600 = Memory(
    name="MICRON_1Gb_DDR3-1600_8bit_G",
    devices=8,
    width=8,
    fields=(("byte", 3), ("column", 10), ("bank", 3), ("row", 14)),
    groups=1,
    burst=8,
    ras=28,
    rc=38,
    rfc=88,
    timing=_ddr(
        800,
        8,
        1,
        B=4,
        RL=10,
        WL=8,
        DQSCK=0,
        RCD=10,
        RP=10,
        RAS=28,
        RC=38,
        RRD_S=5,
        RRD_L=5,
        FAW=24,
        CCD_S=4,
        CCD_L=4,
        RTP=6,
        WR=12,
        WTR_S=6,
        WTR_L=6,
        RTW=10 + 4 + 2 - 8,
        REFI=6240,
        RFC=88,
    ),
    rails=(Rail(1.5, 70, 45, 45, 140, 145, 170),),
)

DDR4_2400 = Memory(
    name="MICRON_4Gb_DDR4-2400_8bit_A",
    devices=8,
    width=8,
    fields=(("byte", 3), ("column", 10), ("row", 15), ("group", 2), ("bank", 2)),
    groups=4,
    burst=8,
    ras=39,
    rc=55,
    rfc=313,
    timing=_ddr(
        1200,
        16,
        4,
        B=4,
        RL=16,
        WL=16,
        DQSCK=2,
        RCD=16,
        RP=16,
        RAS=39,
        RC=55,
        RRD_S=4,
        RRD_L=6,
        FAW=26,
        CCD_S=4,
        CCD_L=6,
        RTP=12,
        WR=18,
        WTR_S=3,
        WTR_L=9,
        RTW=16 + 4 + 1 + 1 - 16,
        REFI=4680,
        RFC=313,
    ),
    rails=(Rail(1.2, 60.75, 38.25, 44, 184.5, 168.75, 118), Rail(2.5, 4.05, 0, 0, 0, 0, 0)),
)


def _lpddr4() -> Timing:
    """LPDDR4-3200, 16 bit: commands take two or four cycles, and which of their edges counts is in the distances."""
    B, RL, WL, DQSCK, DQSS, DQS2DQ, WPRE = 8, 28, 14, 6, 1, 2, 2
    RCD, RAS, RP, RP_ALL, RC, RRD, FAW, CCD, RTP, WR, WTR, PPD = 29, 68, 29, 34, 97, 16, 64, 8, 12, 29, 16, 4
    REFI, RFC = 6246, 448
    rd_pre, wr_pre = RTP + B - 6, WL + 1 + B + WR + 2
    return Timing(
        clock_ps=625, banks=8, banks_per_group=8, act_col=RCD, act_act=RC, act_pre=RAS + 2, act_act_L=RRD,
        act_act_S=RRD, four_act=FAW, pre_act=RP - 2, pre_pre=PPD, col_col_L=CCD, col_col_S=CCD, rd_pre=rd_pre,
        wr_pre=wr_pre, rd_wr=RL + DQSCK + B - WL + WPRE, wr_rd_L=WL + 1 + B + WTR, wr_rd_S=WL + 1 + B + WTR,
        rda_act=RTP + B - 8 + RP, wra_act=WL + B + 1 + WR + RP, prea_act=RP_ALL - 2, act_ref=RC + 2, pre_ref=RP,
        prea_ref=RP_ALL, rda_ref=rd_pre + RP, wra_ref=wr_pre + RP, ref_act=RFC - 2, ref_ref=RFC, ref_interval=REFI,
        rd_data=RL + DQSCK + B + 3, wr_data=WL + DQSS + DQS2DQ + B + 3, act_length=4, col_length=4, pre_length=2,
        ref_length=2, rd_over=RL + DQSCK + 1 + B, wr_over=WL + B + WR, act_over=RCD, pre_over=RP,
        ref_active=RFC - RP_ALL, rda_precharge=rd_pre, wra_precharge=wr_pre, ras=RAS + 2,
    )  # fmt: skip


LPDDR4_3200 = Memory(
    name="JEDEC_8Gb_LPDDR4-3200_16bit",
    devices=1,
    width=16,
    fields=(("byte", 1), ("column", 10), ("row", 16), ("bank", 3)),
    groups=1,
    burst=16,
    ras=68,
    rc=97,
    rfc=448,
    timing=_lpddr4(),
    rails=(
        Rail(1.8, 3.5, 2.0, 2.25, 2.25, 2.25, 10),
        Rail(1.1, 45, 27, 30, 275, 210, 90),
        Rail(1.1, 0.75, 0.75, 0.75, 150, 55, 0.75),
    ),
)

MEMORIES = {"ddr3": DDR3_1600, "ddr4": DDR4_2400, "lpddr4": LPDDR4_3200}


def memory_named(name: str) -> Memory:
    """The memory of that short name; ValueError names the allowed ones."""
    if name not in MEMORIES:
        raise ValueError(f"memory = {name!r}; {suggest(name, MEMORIES)}")
    return MEMORIES[name]
