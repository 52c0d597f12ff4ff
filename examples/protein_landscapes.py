"""Sequence landscapes: a closed form that ships with designopt, and a table of one's own made hard on purpose."""

import csv
import tempfile
from pathlib import Path

import numpy as np

import designopt as do
from designopt.envs.protein import separated


def main() -> None:
    ehrlich = do.make("designopt/Ehrlich-v0", num_states=20, dim=15, num_motifs=2, motif_length=4, seed=1)
    result = do.optimize(ehrlich, search="ga", budget=2000, seed=0)
    print("Ehrlich:", result.best["sequence"], round(result.best_value, 3))
    print(f"{ehrlich.calls.total} oracle calls, {ehrlich.calls.duplicates} of them repeated")

    # Any CSV file with a column `sequence` runs; here one of all DNA words of four letters.
    words = ["".join("ACGT"[i] for i in index) for index in np.ndindex(4, 4, 4, 4)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "words.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["sequence", "brightness"])
            writer.writerows((word, word.count("G") ** 2) for word in words)
        words_env = do.make("designopt/TFBind8-v0", path=str(path), value="brightness")
        hard = separated(words_env, 3, 0.1, n_low=50, low=(0, 1e-3), high=(0.05, 0.3))
    designs, known = hard.offline_data()
    print(
        f"{len(designs)} known beforehand, best {known.objectives.max():.3g}, such as {hard.sequences(designs[-1:])[0]}"
    )
    result = do.optimize(hard, search="ga", budget=500, batch=50, seed=0)
    print("tagged words:", result.best["sequence"], round(result.best_value, 3))


if __name__ == "__main__":
    main()
