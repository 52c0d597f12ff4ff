"""Stability of RNA folds, computed by ViennaRNA (Lorenz et al. 2011, Algorithms Mol. Biol. 6:26)."""

from __future__ import annotations

import numpy as np

from designopt import Evaluation
from designopt.envs.protein.sequences import Codes, SequenceLandscape


class RNAFolding(SequenceLandscape):
    """Minimum free energy of a folded RNA sequence.

    Fitness, maximise: the energy released by folding, in kcal/mol, over ``norm``; 0 for a sequence that does not fold.

    Args:
        length: nucleotides.
        norm: kcal/mol that are worth 1; None: the length, so that fitness is kcal/mol a nucleotide.
        render_mode: None or "ansi".

    Raises:
        ValueError: ViennaRNA is not installed, or an argument that is not positive.
    """

    def __init__(self, length: int = 14, norm: float | None = None, render_mode: str | None = None) -> None:
        try:
            import RNA
        except ImportError:
            raise ValueError("RNAFolding needs ViennaRNA; install it with: pip install designopt[rna]") from None
        if isinstance(length, bool) or not isinstance(length, int) or length < 1:
            raise ValueError(f"length = {length!r}; it must be a whole number of at least 1")
        self.norm = float(length) if norm is None else norm
        if not (np.isfinite(self.norm) and self.norm > 0):
            raise ValueError(f"norm = {norm}; it must be positive")
        self._fold = RNA.fold
        super().__init__("ACGU", length, render_mode)

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "_fold"}

    def __setstate__(self, state: dict[str, object]) -> None:
        import RNA

        self.__dict__.update(state)
        self._fold = RNA.fold

    def _evaluate(self, codes: Codes) -> Evaluation:
        energies = np.array([self._fold(sequence)[1] for sequence in self.sequences(codes)], dtype=np.float64)
        return Evaluation((-energies / self.norm + 0.0)[:, None])
