"""Word counts and energy of one convolution whose mapping is given: the counting rule of ZigZag, reproduced exactly.

References: [Mei2021] "ZigZag: Enlarging Joint Architecture-Mapping Design Space Exploration for DNN Accelerators", IEEE
TC; zigzag-dse 3.9.1 (MIT) and its Eyeriss-like accelerator; docs/environments/accelerator.md has the rule.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

DIMENSIONS = ("K", "C", "OY", "OX", "FY", "FX")
"""Output channels, input channels, output rows and columns, filter rows and columns."""

RELEVANT = {
    "W": frozenset({"K", "C", "FY", "FX"}),
    "I": frozenset({"C", "OY", "OX", "FY", "FX"}),
    "O": frozenset({"K", "OY", "OX"}),
}
"""The dimensions that change which word of an operand is meant; the others use it again."""

Loops = Sequence[tuple[str, int]]


@dataclass(frozen=True)
class Memory:
    """Width of a word in bits, and energies of an access in pJ."""

    bits: int
    read_pj: float
    write_pj: float


@dataclass(frozen=True)
class Template:
    """Memories of each operand from the processing element outwards, and what is the same for all mappings.

    Attributes:
        memories: operand -> memories; the first is one pad per processing element, the last the DRAM.
        rows, columns: processing elements.
        bits, partial_bits: of a word of data, and of an output that is not final.
        mac_pj: of a multiply-accumulate.
    """

    memories: Mapping[str, tuple[Memory, ...]]
    rows: int
    columns: int
    bits: int = 8
    partial_bits: int = 16
    mac_pj: float = 0.5


_DRAM, _MAPS = Memory(64, 1000, 1000), Memory(384, 100, 130)
EYERISS_LIKE = Template(
    memories={
        "W": (Memory(8, 1, 1.5), Memory(128, 20, 25), _DRAM),
        "I": (Memory(8, 1, 1.5), _MAPS, _DRAM),
        "O": (Memory(24, 1.5, 2), Memory(128, 10, 15), _MAPS, _DRAM),
    },
    rows=14,
    columns=12,
)
"""ZigZag's ``eyeriss_like``: pads of 64 B, 64 B, 16 B; SRAMs of 64 KB, 8 KB and, for maps, 1 MB."""


@dataclass(frozen=True)
class Traffic:
    """Words of one memory: read and written towards the DRAM (up) and towards the processing element (down)."""

    read_up: int
    write_from_above: int
    read_down: int
    write_from_below: int

    @property
    def reads(self) -> int:
        """Words read in all."""
        return self.read_up + self.read_down

    @property
    def writes(self) -> int:
        """Words written in all."""
        return self.write_from_above + self.write_from_below


@dataclass(frozen=True)
class FixedMapping:
    """What ``analyse`` finds.

    Attributes:
        words: operand -> traffic of each of its memories, inner to outer.
        energies: operand -> pJ of each of its memories.
        macs: multiply-accumulates.
        mac_energy, mem_energy, energy_total: pJ.
        cycles: product of the temporal loops, without stalls.
        utilization: processing elements at work over all.
    """

    words: dict[str, tuple[Traffic, ...]]
    energies: dict[str, tuple[float, ...]]
    macs: int
    mac_energy: float
    mem_energy: float
    energy_total: float
    cycles: int
    utilization: float


def analyse(
    layer: Mapping[str, int],
    spatial: str | Iterable[tuple[str, int]],
    allocation: Mapping[str, str | Sequence[Loops]],
    template: Template = EYERISS_LIKE,
) -> FixedMapping:
    """Word counts and energy of a convolution under a given mapping.

    Args:
        layer: sizes ``K C OY OX FY FX`` and optionally ``stride`` (1).
        spatial: unrolled loops, ``"D1 K 12;D2 C 8"`` or ``[("K", 12), ("C", 8)]``.
        allocation: operand ("W", "I", "O") -> the temporal loops kept at each of its memories, both inner to outer:
            ``"FX 3;FY 3|OX 12;C 32|K 32"`` or a list of lists of pairs. Every operand holds the same loops in the same
            order, except that loops that do not touch it may have moved inwards.
        template: the memories.

    Raises:
        ValueError: a loop that cannot be read, sizes that the loops do not cover exactly, a wrong number of memories,
            or more processing elements than there are.
    """
    sizes = {name: _size(name, layer.get(name, 1)) for name in DIMENSIONS}
    stride = _size("stride", layer.get("stride", 1))
    unrolled = _loops("spatial", spatial)
    if not set(RELEVANT) <= set(allocation):
        raise ValueError(f"allocation has {', '.join(allocation)}; it needs O, W and I")
    levels = {operand: _levels(operand, allocation, template) for operand in RELEVANT}
    for operand, loops in levels.items():
        _check_cover(operand, sizes, [*unrolled, *(loop for level in loops for loop in level)])
    units = math.prod(size for _, size in unrolled)
    if units > template.rows * template.columns:
        raise ValueError(f"spatial = {spatial!r} needs {units} elements; there are {template.rows * template.columns}")
    macs = math.prod(sizes.values())
    words = {
        operand: _outputs(levels["O"], unrolled, template, macs)
        if operand == "O"
        else _inputs(operand, levels[operand], unrolled, stride, template, macs)
        for operand in ("O", "W", "I")
    }
    energies = {
        operand: tuple(
            memory.read_pj * traffic.reads + memory.write_pj * traffic.writes
            for memory, traffic in zip(template.memories[operand], traffics, strict=True)
        )
        for operand, traffics in words.items()
    }
    mem_energy = math.fsum(energy for each in energies.values() for energy in each)
    return FixedMapping(
        words=words,
        energies=energies,
        macs=macs,
        mac_energy=macs * template.mac_pj,
        mem_energy=mem_energy,
        energy_total=mem_energy + macs * template.mac_pj,
        cycles=macs // units,
        utilization=units / (template.rows * template.columns),
    )


def _inputs(
    operand: str,
    levels: list[Loops],
    unrolled: Loops,
    stride: int,
    template: Template,
    macs: int,
) -> tuple[Traffic, ...]:
    """Weights or input maps: a memory is refilled once per pass of all loops above it."""
    memories = template.memories[operand]
    units = _product(unrolled)
    last = len(memories) - 1
    # Each memory, and the multiplier's own register, which holds a word while the loops that do not touch it run.
    reads = [macs // _register_reuse(operand, levels)]
    writes: list[int] = []
    for level in range(last):
        inside = [loop for loops in levels[: level + 1] for loop in loops]
        passes = _product(loop for loops in levels[level + 1 :] for loop in loops)
        if level == 0:
            tile = _footprint(operand, inside, stride)
            # Elements that want the same word are served by one read; neighbours do not share the halo of a map.
            moved = tile * _footprint(operand, unrolled, stride)
            writes.append(_ceil(tile * template.bits, memories[0].bits) * passes * units)
        else:
            moved = _footprint(operand, [*inside, *unrolled], stride)
            writes.append(_ceil(moved * template.bits, memories[level].bits) * passes)
        reads.append(_ceil(moved * template.bits, memories[level + 1].bits) * passes)
    writes.append(0)
    return tuple(Traffic(0, write, read, 0) for write, read in zip(writes, reads, strict=True))


def _outputs(levels: list[Loops], unrolled: Loops, template: Template, macs: int) -> tuple[Traffic, ...]:
    """Output maps: what is not final comes back to be added to; elements along other dimensions are added up."""
    memories = template.memories["O"]
    units, spread = _product(unrolled), _footprint("O", unrolled)
    read_up, from_above, read_down, from_below = [], [], [macs], [macs]
    for level in range(len(memories) - 1):
        tile = _footprint("O", [loop for loops in levels[: level + 1] for loop in loops])
        above = [loop for loops in levels[level + 1 :] for loop in loops]
        final = all(name in RELEVANT["O"] or size == 1 for name, size in above)
        bits = template.bits if final else template.partial_bits
        passes = _product(above)
        if level == 0:
            read_up.append(_ceil(tile * bits, memories[0].bits) * passes * units)
        else:
            read_up.append(_ceil(tile * spread * bits, memories[level].bits) * passes)
        from_above.append(0 if final else read_up[-1])
        from_below.append(_ceil(tile * spread * bits, memories[level + 1].bits) * passes)
        read_down.append(0 if final else from_below[-1])
    read_up.append(0)
    from_above.append(0)
    return tuple(map(Traffic, read_up, from_above, read_down, from_below))


def _footprint(operand: str, loops: Loops, stride: int = 1) -> int:
    """Words of an operand that the loops touch."""
    extent = {name: _product(loop for loop in loops if loop[0] == name) for name in DIMENSIONS}
    if operand != "I":
        return math.prod(extent[name] for name in RELEVANT[operand])
    words = extent["C"]
    for axis in "YX":
        # Windows that do not overlap leave out what the stride skips.
        words *= (extent[f"O{axis}"] - 1) * min(stride, extent[f"F{axis}"]) + extent[f"F{axis}"]
    return words


def _register_reuse(operand: str, levels: list[Loops]) -> int:
    """Product of the innermost loops that do not touch the operand."""
    reuse = 1
    for name, size in (loop for loops in levels for loop in loops):
        if name in RELEVANT[operand] and size > 1:
            break
        reuse *= size
    return reuse


def _product(loops: Iterable[tuple[str, int]]) -> int:
    return math.prod(size for _, size in loops)


def _ceil(bits: int, width: int) -> int:
    return -(-bits // width)


def _levels(operand: str, allocation: Mapping[str, str | Sequence[Loops]], template: Template) -> list[Loops]:
    given = allocation[operand]
    levels = given.split("|") if isinstance(given, str) else list(given)
    wanted = len(template.memories[operand])
    if len(levels) != wanted:
        raise ValueError(f"allocation of {operand} = {given!r} has {len(levels)} memories; {wanted} are needed")
    return [_loops(f"allocation of {operand}", level) for level in levels]


def _loops(where: str, loops: str | Iterable[tuple[str, int]]) -> Loops:
    pairs = [loop.split()[-2:] for loop in loops.split(";") if loop.strip()] if isinstance(loops, str) else list(loops)
    for pair in pairs:
        if len(pair) != 2 or pair[0] not in DIMENSIONS:
            raise ValueError(f"{where}: {pair!r} is not a loop; write one of {', '.join(DIMENSIONS)} and its size")
    return [(str(name), _size(f"{where}: {name}", size)) for name, size in pairs]


def _size(what: str, value: object) -> int:
    try:
        size = int(str(value))
    except ValueError:
        size = 0
    if size < 1:
        raise ValueError(f"{what} = {value!r}; it must be a whole number of at least 1")
    return size


def _check_cover(operand: str, sizes: Mapping[str, int], loops: Loops) -> None:
    for name, size in sizes.items():
        covered = _product(loop for loop in loops if loop[0] == name)
        if covered != size:
            raise ValueError(f"loops of {operand} cover {name} = {covered}; the layer has {size}")
