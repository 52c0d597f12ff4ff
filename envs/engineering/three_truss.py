"""Three-bar truss.

References:
    [Ray2001] Ray & Saini, Engineering design optimization using a swarm with an intelligent information sharing among
        individuals, Engineering Optimization 33(6), 2001.
"""

from __future__ import annotations

import numpy as np

from designopt import Constraint, DesignEnv, DesignSpace, Evaluation, Objective, Real, Reference
from designopt.parameters import Array


class ThreeTruss(DesignEnv):
    """Volume of a symmetric planar truss of three bars under a stress limit.

    Design: cross-section areas of the two outer bars (equal) and of the middle bar (cm^2); areas below 1e-5 count as
    1e-5, because the stresses of a truss without bars are not defined.  Objective: volume (cm^3), minimise.
    Constraints: tension in the outer bar along which the load of 2 kN pulls, compression in the opposite one, tension
    in the middle one, each at most 2 kN/cm^2.  Height 100 cm.

    Version history: v0 first release.
    """

    design_space = DesignSpace(outer_area=Real(0.0, 1.0, unit="cm^2"), middle_area=Real(0.0, 1.0, unit="cm^2"))
    objectives = (Objective("volume", "min", unit="cm^3"),)
    constraints = tuple(
        Constraint(f"stress_{bar}_bar", unit="kN/cm^2", scale=2.0) for bar in ("loaded", "opposite", "middle")
    )
    reference = Reference(value=263.8958436, design=(0.7886751355, 0.4082482906), source="multi-start SLSQP")

    def evaluate(self, designs: Array) -> Evaluation:
        """designs: (n, 2) -> Evaluation with objectives (n, 1), constraints (n, 3)."""
        A1, A2 = np.maximum(designs, 1e-5).T
        L, P, sigma, root2 = 100.0, 2.0, 2.0, np.sqrt(2.0)
        volume = (2 * root2 * A1 + A2) * L
        D = root2 * A1**2 + 2 * A1 * A2
        stresses = [P * (root2 * A1 + A2) / D, P * A2 / D, P / (A1 + root2 * A2)]
        return Evaluation(volume[:, None], np.stack(stresses, axis=1) - sigma)
