"""Cycles and memory traffic of a systolic array, in closed form over designs x layers.

The counts of cycles and SRAM accesses are those of SCALE-Sim 2.0.2 without stalls, reproduced exactly; the off-chip
traffic is a model of our own. References: [Samajdar2020] "A Systematic Methodology for Characterizing Scalability of
DNN Accelerators using SCALE-Sim", ISPASS; docs/environments/systolic.md has the equations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from designopt.envs.hardware.layers import Integers, LayerTable

WS, OS, IS = 0, 1, 2
"""Dataflows: which operand stays in the array (weights, outputs, inputs)."""


@dataclass(frozen=True)
class Counts:
    """Integers of n designs on L layers, each (n, L), of one run of each layer; a word is one byte.

    Attributes:
        cycles: of the array, without stalls.
        ifmap_sram_reads, filter_sram_reads, ofmap_sram_writes: as SCALE-Sim counts them. With stationary outputs it
            counts rows + columns more writes per fold than there are outputs.
        outputs: words that the array writes to the output buffer, partial sums included.
        dram_ifmap_reads, dram_filter_reads, dram_sum_reads, dram_writes: off-chip words; sums are partial sums that
            come back to be added to.
    """

    cycles: Integers
    ifmap_sram_reads: Integers
    filter_sram_reads: Integers
    ofmap_sram_writes: Integers
    outputs: Integers
    dram_ifmap_reads: Integers
    dram_filter_reads: Integers
    dram_sum_reads: Integers
    dram_writes: Integers


def count(
    layers: LayerTable,
    rows: Integers,
    columns: Integers,
    dataflow: Integers,
    ifmap_kb: Integers,
    filter_kb: Integers,
    ofmap_kb: Integers,
) -> Counts:
    """Counts (n, L) of n designs on L layers.

    Rows, columns and dataflow (WS, OS or IS) are of the array; the three sizes are of double-buffered SRAMs, one half
    of which is filled while the other is read. Each is an array (n,).
    """
    R, C, flow = rows[:, None], columns[:, None], dataflow[:, None]
    M, K, N = layers.pixels, layers.window, layers.num_filters
    # What lies along the rows, along the columns, and along the time of one fold.
    along_rows = np.stack([K, M, K])[dataflow]
    along_columns = np.stack([N, N, M])[dataflow]
    time = np.stack([M, K, N])[dataflow]
    row_folds, column_folds = -(-along_rows // R), -(-along_columns // C)
    folds = row_folds * column_folds

    outputs_stay, inputs_stay, weights_stay = flow == OS, flow == IS, flow == WS
    # Weights or inputs that stay are first shifted in, which takes as many cycles as there are rows.
    cycles = folds * (np.where(outputs_stay, R, 2 * R) + C + time - 2) - 1
    outputs = M * N * np.where(outputs_stay, 1, row_folds)

    ifmap_fits = layers.ifmap <= 512 * ifmap_kb[:, None]
    filters_live = K * np.where(outputs_stay, np.minimum(along_columns, C), N)
    filters_fit = filters_live <= 512 * filter_kb[:, None]
    sums_fit = time * np.minimum(along_columns, C) <= 512 * ofmap_kb[:, None]
    # Folds along the columns are the outer loop: an operand that does not fit comes again for each of them.
    ifmap_fetches = np.where(inputs_stay | ifmap_fits, 1, column_folds)
    filter_fetches = np.where(weights_stay | filters_fit, 1, np.where(outputs_stay, row_folds, column_folds))
    sum_passes = np.where(outputs_stay | sums_fit, 1, row_folds)
    return Counts(
        cycles=cycles,
        ifmap_sram_reads=M * K * np.where(inputs_stay, 1, column_folds),
        filter_sram_reads=K * N * np.where(weights_stay, 1, np.where(outputs_stay, row_folds, column_folds)),
        ofmap_sram_writes=outputs + np.where(outputs_stay, folds * (R + C), 0),
        outputs=outputs,
        dram_ifmap_reads=layers.ifmap * ifmap_fetches,
        dram_filter_reads=K * N * filter_fetches,
        dram_sum_reads=M * N * (sum_passes - 1),
        dram_writes=M * N * sum_passes,
    )
