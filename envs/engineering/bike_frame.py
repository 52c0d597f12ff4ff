"""A bicycle frame: mass and safety factor of a welded diamond frame of round tubes.

References: [Regenwetter2022] FRAMED, arXiv:2201.10459 (the features, and finite-element results of 4047 frames);
[Regenwetter2021] BIKED, arXiv:2103.05844.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from designopt import Categorical, Constraint, DesignEnv, DesignSpace, Evaluation, Integer, Objective, Real, data
from designopt.evaluation import Array

DATA = "counterfactuals/framed_structural.csv.gz"

# 1 % and 99 % quantiles of the frames in FRAMED; lengths in m, angles in degrees.
BOUNDS = {
    "CS Length": (0.3164, 0.5985), "BB Drop": (-0.04, 0.09638), "Stack": (0.48, 0.6551), "SS E": (0.0113, 0.27),
    "ST Angle": (64.31, 80.0), "BB OD": (0.034, 0.06), "TT OD": (0.02503, 0.0485), "HT OD": (0.03, 0.06),
    "DT OD": (0.0286, 0.06), "CS OD": (0.0165, 0.04), "SS OD": (0.01, 0.02469), "ST OD": (0.027, 0.045),
    "CS F": (0.008, 0.0165), "HT LX": (0.025, 0.07761), "ST UX": (0.0108, 0.2469), "HT UX": (0.01433, 0.0626),
    "HT Angle": (62.5, 78.0), "HT Length": (0.07646, 0.2501), "ST Length": (0.2068, 0.7091),
    "BB Length": (0.068, 0.1), "Dropout Offset": (0.1135, 0.148), "SSB OD": (0.0129, 0.0162),
    "CSB OD": (0.0132, 0.018), "SSB Offset": (0.33, 0.37), "CSB Offset": (0.3, 0.38), "SS Z": (0.005, 0.015),
    "SS Thickness": (0.0005143, 0.009681), "CS Thickness": (0.000517, 0.009688), "TT Thickness": (0.000516, 0.009738),
    "BB Thickness": (0.0005161, 0.009688), "HT Thickness": (0.000515, 0.009696), "ST Thickness": (0.000518, 0.009667),
    "DT Thickness": (0.0005184, 0.009682), "DT Length": (0.4923, 0.7691),
}  # fmt: skip
MATERIALS = ("Aluminum", "Steel", "Titanium")
DENSITY = np.array([2700.0, 7850.0, 4480.0])  # kg/m^3
STRENGTH = np.array([276e6, 460e6, 483e6])  # Pa, yield: 6061-T6, 4130, Ti-3Al-2.5V
TUBES = ("DT", "TT", "ST", "CS", "SS", "HT")

# Bending forces (N) and axial forces (N) of the tubes in the order of TUBES, and how sharply the most stressed tube
# decides; fitted to the in-plane safety factors of FRAMED: they correlate with them by 0.41 (logarithms).
BENDING = np.array([1460.0, 817.0, 800.0, 190.0, 58.0, 211.0])
AXIAL = np.array([0.0, 0.0, 0.0, 15.0, 0.0, 1567.0])
SHARPNESS = 6
FITTINGS = 0.956  # mass over that of the plain tubes, median over FRAMED; masses correlate with FRAMED's by 0.96


class BikeFrame(DesignEnv):
    """Mass and in-plane safety factor of a bicycle frame of 37 features, for designs that can be built.

    Objectives: mass, kg, minimise; sf1, the factor of safety under in-plane load, maximise. Constraints (m, feasible
    when <= 0): walls thinner than half their tubes, chain stays that end on the bottom bracket, seat stays wide enough
    for the seat tube.

    Args:
        source: ``framed`` predicts FRAMED's finite-element results by boosted trees fitted to them at first use
            (R2 0.93 for mass and 0.72 for log sf1 on unseen frames), ``synthetic`` is a strength-of-materials model
            fitted to their scale. None: FRAMED where that data set is on this machine, else synthetic.

    Raises:
        ValueError: another source.
        DataMissing: ``framed`` without the data.
    """

    design_space = DesignSpace(
        {name: Real(low, high, unit="deg" if "Angle" in name else "m") for name, (low, high) in BOUNDS.items()},
        SSB_Include=Integer(0, 1),
        CSB_Include=Integer(0, 1),
        Material=Categorical(MATERIALS),
    )
    objectives = (Objective("mass", "min", unit="kg"), Objective("sf1", "max"))
    constraints = tuple(Constraint(n, unit="m", scale=0.01) for n in ("walls", "chain stays", "seat stays"))

    def __init__(self, source: str | None = None, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        if source not in (None, "framed", "synthetic"):
            raise ValueError(f"source = {source!r}; allowed: 'framed', 'synthetic', None")
        self.source = source or ("framed" if data.available(DATA) else "synthetic")
        if self.source == "framed":
            data.find(DATA)

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 37) -> Evaluation with objectives (n, 2), constraints (n, 3)."""
        x = dict(zip(self.design_space.columns, np.asarray(designs, dtype=np.float64).T, strict=True))
        values = _framed(designs) if self.source == "framed" else np.stack([mass(x), safety_factor(x)], axis=1)
        walls = np.max([x[f"{t} Thickness"] - x[f"{t} OD"] / 2 for t in (*TUBES, "BB")], axis=0)
        chain_stays = x["CS F"] - x["BB Length"]
        seat_stays = 2 * x["SS Z"] - x["SS OD"] - x["ST OD"]
        return Evaluation(values, np.stack([walls, chain_stays, seat_stays], axis=1))


def lengths(x: dict[str, Array]) -> dict[str, Array]:
    """Tube -> (n,) total length in m; the tubes that the features do not give follow from the triangle they close."""
    seat_stays = 2 * np.hypot(x["CS Length"], 0.9 * x["ST Length"])
    return {
        "DT": x["DT Length"], "TT": 0.9 * x["DT Length"], "ST": x["ST Length"], "CS": 2 * x["CS Length"],
        "SS": seat_stays, "HT": x["HT Length"], "BB": x["BB Length"],
    }  # fmt: skip


def section(diameter: Array, thickness: Array | float) -> tuple[Array, Array]:
    """Area (m^2) and bending section modulus (m^3) of a round tube; walls that meet make it solid."""
    wall = np.minimum(thickness, diameter / 2)
    area = np.pi * (diameter - wall) * wall
    return area, np.pi / 32 * (diameter**4 - (diameter - 2 * wall) ** 4) / diameter


def mass(x: dict[str, Array]) -> Array:
    """(n,) kg: tubes, and bridges of 0.1 m with walls of 1 mm where they are included."""
    volume = sum(section(x[f"{t} OD"], x[f"{t} Thickness"])[0] * length for t, length in lengths(x).items())
    for bridge in ("SSB", "CSB"):
        volume = volume + x[f"{bridge}_Include"] * section(x[f"{bridge} OD"], 0.001)[0] * 0.1
    return np.asarray(FITTINGS * DENSITY[x["Material"].astype(int)] * volume)


def safety_factor(x: dict[str, Array]) -> Array:
    """(n,) yield strength over the stress of the most stressed tube, smoothly."""
    strength, length = STRENGTH[x["Material"].astype(int)], lengths(x)
    total = np.zeros(len(strength))
    for tube, bending, axial in zip(TUBES, BENDING, AXIAL, strict=True):
        area, modulus = section(x[f"{tube} OD"], x[f"{tube} Thickness"])
        total += ((bending * length[tube] / modulus + axial / area) / strength) ** SHARPNESS
    return np.asarray(total ** (-1 / SHARPNESS))


def _framed(designs: Array) -> Array:
    """(n, 2) mass and safety factor by the trees."""
    designs = np.asarray(designs, dtype=np.float64)
    if not len(designs):
        return np.empty((0, 2))
    return np.stack([np.exp(tree.predict(designs)) for tree in _trees()], axis=1)


@cache
def _trees() -> tuple[Any, Any]:
    import pandas as pd
    from sklearn.ensemble import HistGradientBoostingRegressor

    frame = pd.read_csv(data.find(DATA))
    frame["Material"] = frame["Material"].map({name: i for i, name in enumerate(MATERIALS)})
    designs = frame[BikeFrame.design_space.columns].to_numpy(dtype=np.float64)
    trees = []
    for name in ("Model Mass", "Sim 1 Safety Factor"):
        tree = HistGradientBoostingRegressor(
            categorical_features=[BikeFrame.design_space.columns.index("Material")], early_stopping=False,
            learning_rate=0.06, max_iter=300, max_leaf_nodes=15, random_state=0,
        )  # fmt: skip
        trees.append(tree.fit(designs, np.log(frame[name].to_numpy())))
    return trees[0], trees[1]
