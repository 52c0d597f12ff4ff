"""The engineering problems against a second transcription of their statements, and against the physics behind them."""

from __future__ import annotations

from math import cos, e, exp, pi, prod, sin, sqrt

import numpy as np
import pytest
from scipy.integrate import quad

import designopt.envs  # noqa: F401 - registers the ids
from designopt import make

# One scalar function of x1, x2, ... per statement -> (f, [g1, g2, ...]), in the notation of the literature ----------


def ackley(*x):
    f = -20 * exp(-0.2 * sqrt(sum(v * v for v in x) / len(x))) - exp(sum(cos(2 * pi * v) for v in x) / len(x)) + 20 + e
    return f, [sum(x), sqrt(sum(v * v for v in x)) - 5]


def jlh1(x1, x2):
    return (x1 - 0.5) ** 2 + (x2 - 0.5) ** 2, [x1 + x2 - 0.75]


def jlh2(x1, x2):
    return cos(2 * x1) * cos(x2) + sin(x1), [(x1 + 5) ** 2 / 4 + x2**2 / 100 - 2.5]


def gkxwc1(x1, x2):
    return cos(2 * x1) * cos(x2) + sin(x1), [cos(x1 + x2) - 0.5]


def gkxwc2(x1, x2):
    return sin(x1) + x2, [sin(x1) * sin(x2) + 0.95]


def keane(*x):
    bump = sum(cos(v) ** 4 for v in x) - 2 * prod(cos(v) ** 2 for v in x)
    f = -abs(bump / sqrt(sum(i * v**2 for i, v in enumerate(x, 1))))
    return f, [0.75 - prod(x), sum(x) - 7.5 * len(x)]


def three_truss(x1, x2):
    d = sqrt(2) * x1**2 + 2 * x1 * x2
    g = [2 * (sqrt(2) * x1 + x2) / d - 2, 2 * x2 / d - 2, 2 / (x1 + sqrt(2) * x2) - 2]
    return (2 * sqrt(2) * x1 + x2) * 100, g


def concrete_beam(As, h, b):
    return 29.4 * As + 0.6 * b * h, [h / b - 4, 180 + 7.35 * As**2 / b - As * h]


def spring(d, D, N):
    shear = (4 * D**2 - d * D) / (12566 * (D * d**3 - d**4)) + 1 / (5108 * d**2) - 1
    return (N + 2) * D * d**2, [1 - D**3 * N / (71785 * d**4), shear, 1 - 140.45 * d / (D**2 * N), (D + d) / 1.5 - 1]


def pressure_vessel(x1, x2, x3, x4):
    f = 0.6224 * x1 * x3 * x4 + 1.7781 * x2 * x3**2 + 3.1661 * x1**2 * x4 + 19.84 * x1**2 * x3
    return f, [-x1 + 0.0193 * x3, -x2 + 0.00954 * x3, -pi * x3**2 * x4 - 4 / 3 * pi * x3**3 + 1296000, x4 - 240]


def welded_beam(h, l, t, b):  # noqa: E741
    R = sqrt(0.25 * (l**2 + (h + t) ** 2))
    t1 = 6000 / (sqrt(2) * h * l)
    t2 = 6000 * (14 + 0.5 * l) * R / (2 * (0.707 * h * l * (l**2 / 12 + 0.25 * (h + t) ** 2)))
    tau = sqrt(t1**2 + t2**2 + l * t1 * t2 / R)
    buckling = 6000 - 64746 * (1 - 0.0282346 * t) * t * b**3
    g = [tau - 13600, 504000 / (t**2 * b) - 30000, h - b, buckling, 2.1952 / (t**3 * b) - 0.25]
    return 1.10471 * h**2 * l + 0.04811 * t * b * (14 + l), g


def speed_reducer(b, m, z, L1, L2, d1, d2):
    f = 0.7854 * b * m**2 * (3.3333 * z**2 + 14.9334 * z - 43.0934) - 1.508 * b * (d1**2 + d2**2)
    f += 7.4777 * (d1**3 + d2**3) + 0.7854 * (L1 * d1**2 + L2 * d2**2)
    g = [27 / (b * m**2 * z), 397.5 / (b * m**2 * z**2), 1.93 * L1**3 / (m * z * d1**4), 1.93 * L2**3 / (m * z * d2**4)]
    g += [sqrt((745 * L1 / (m * z)) ** 2 + 16.9e6) / (110 * d1**3)]
    g += [sqrt((745 * L2 / (m * z)) ** 2 + 157.5e6) / (85 * d2**3)]
    g += [m * z / 40, 5 * m / b, b / (12 * m), (1.5 * d1 + 1.9) / L1, (1.1 * d2 + 1.9) / L2]
    return f, [v - 1 for v in g]


def speed_reducer_published(b, m, z, L1, L2, d1, d2):
    f, g = speed_reducer(b, m, z, L1, L2, d1, d2)
    g[4] = sqrt((745 * L1 / (m * z)) ** 2 + 1.69e6) / (110 * d1**3) - 1
    return f, g[:9]


def heat_exchanger(x1, x2, x3, x4, x5, x6, x7, x8, slip=1250):
    g = [0.0025 * (x4 + x6) - 1, 0.0025 * (x5 + x7 - x4) - 1, 0.01 * (x8 - x5) - 1]
    g += [833.33252 * x4 + 100 * x1 - x1 * x6 - 83333.333, 1250 * x5 + x2 * x4 - x2 * x7 - slip * x4]
    return x1 + x2 + x3, [*g, x3 * x5 - 2500 * x5 - x3 * x8 + 1250000]


def cantilever(*x):
    b, h = x[:5], x[5:]
    stress = [6 * 50000 * (k * 100) / (x[5 - k] * x[10 - k] ** 2) - 14000 for k in range(1, 6)]
    I1, I2, I3, I4, I5 = (w * t**3 / 12 for w, t in zip(b, h, strict=True))
    tip = 50000 * 100**3 / (3 * 2e7) * (1 / I5 + 7 / I4 + 19 / I3 + 37 / I2 + 61 / I1) - 2.7
    f = 100 * sum(w * t for w, t in zip(b, h, strict=True))
    return f, [*stress, tip, *(t / w - 20 for w, t in zip(b, h, strict=True))]


def cantilever_published(*x):
    f, g = cantilever(*x)
    g[5] = 50000 * 100**3 * (125 / 100) / (3 * 2 * 107) - 2.7
    return f, g


def car(x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11, limit=0.32, g4=0.61):
    f = 1.98 + 4.90 * x1 + 6.67 * x2 + 6.98 * x3 + 4.01 * x4 + 1.78 * x5 + 2.73 * x7
    g = [0.16 - 0.3717 * x2 * x4 - 0.00931 * x2 * x10 - 0.484 * x3 * x9 + 0.01343 * x6 * x10]
    g += [
        0.261 - 0.0159 * x1 * x2 - 0.188 * x1 * x8 - 0.019 * x2 * x7 + 0.0144 * x3 * x5 + 0.0008757 * x5 * x10
        + 0.08045 * x6 * x9 + 0.00139 * x8 * x11 + 0.00001575 * x10 * x11 - limit
    ]  # fmt: skip
    g += [
        0.214 + 0.00817 * x5 - 0.131 * x1 * x8 - 0.0704 * x1 * x9 + 0.03099 * x2 * x6 - 0.018 * x2 * x7
        + 0.0208 * x3 * x8 + 0.121 * x3 * x9 - 0.00364 * x5 * x6 + 0.0007715 * x5 * x10 - 0.0005354 * x6 * x10
        + 0.00121 * x8 * x11 - limit
    ]  # fmt: skip
    g += [0.74 - g4 * x2 - 0.163 * x3 * x8 + 0.001232 * x3 * x10 - 0.166 * x7 * x9 + 0.227 * x2**2 - limit]
    g += [
        28.98 + 3.818 * x3 - 4.2 * x1 * x2 + 0.0207 * x5 * x10 + 6.63 * x6 * x9 - 7.7 * x7 * x8 + 0.32 * x9 * x10 - 32,
        33.86 + 2.95 * x3 + 0.1792 * x10 - 5.057 * x1 * x2 - 11 * x2 * x8 - 0.0215 * x5 * x10 - 9.98 * x7 * x8
        + 22 * x8 * x9 - 32,
        46.36 - 9.9 * x2 - 12.9 * x1 * x8 + 0.1107 * x3 * x10 - 32,
    ]  # fmt: skip
    g += [4.72 - 0.5 * x4 - 0.19 * x2 * x3 - 0.0122 * x4 * x10 + 0.009325 * x6 * x10 + 0.000191 * x11**2 - 4]
    g += [10.58 - 0.674 * x1 * x2 - 1.95 * x2 * x8 + 0.02054 * x3 * x10 - 0.0198 * x4 * x10 + 0.028 * x6 * x10 - 9.9]
    g += [16.45 - 0.489 * x3 * x7 - 0.843 * x5 * x6 + 0.0432 * x9 * x10 - 0.0556 * x9 * x11 - 0.000786 * x11**2 - 15.7]
    return f, g


STATEMENTS = [
    ("Ackley", {}, ackley),
    ("Ackley", {"dim": 6}, ackley),
    ("JLH1", {}, jlh1),
    ("JLH2", {}, jlh2),
    ("GKXWC1", {}, gkxwc1),
    ("GKXWC2", {}, gkxwc2),
    ("KeaneBump", {}, keane),
    ("ThreeTruss", {}, three_truss),
    ("ReinforcedConcreteBeam", {}, concrete_beam),
    ("ReinforcedConcreteBeam", {"variant": "mixed"}, concrete_beam),
    ("CompressionSpring", {}, spring),
    ("CompressionSpring", {"variant": "as_published"}, spring),
    ("CompressionSpring", {"variant": "mixed"}, spring),
    ("PressureVessel", {}, pressure_vessel),
    ("PressureVessel", {"variant": "as_published"}, pressure_vessel),
    ("PressureVessel", {"variant": "mixed"}, pressure_vessel),
    ("WeldedBeam", {}, welded_beam),
    ("SpeedReducer", {}, speed_reducer),
    ("SpeedReducer", {"variant": "as_published"}, speed_reducer_published),
    ("SpeedReducer", {"variant": "mixed"}, speed_reducer),
    ("HeatExchanger", {}, heat_exchanger),
    ("HeatExchanger", {"variant": "as_published"}, lambda *x: heat_exchanger(*x, slip=125)),
    ("CantileverBeam", {}, cantilever),
    ("CantileverBeam", {"variant": "as_published"}, cantilever_published),
    ("CantileverBeam", {"variant": "mixed"}, cantilever),
    ("CarSideImpact", {}, car),
    ("CarSideImpact", {"variant": "as_published"}, lambda *x: car(*x, limit=0.9, g4=0.061)),
    ("CarSideImpact", {"variant": "mixed"}, car),
]


@pytest.mark.parametrize(("name", "arguments", "statement"), STATEMENTS, ids=[f"{n}-{a}" for n, a, _ in STATEMENTS])
def test_evaluation_equals_the_statement(name, arguments, statement):
    env = make(f"designopt/{name}-v0", **arguments)
    designs = env.design_space.sample(200, seed=7)
    evaluation = env.evaluate(designs)
    ok = evaluation.status == "ok"
    assert ok.mean() > 0.6
    values, constraints = zip(*(statement(*row) for row in designs[ok].tolist()), strict=True)
    assert evaluation.objectives[ok, 0] == pytest.approx(values, rel=1e-9)
    scale = np.array([c.scale for c in env.constraints])
    assert evaluation.constraints[ok] / scale == pytest.approx(np.array(constraints) / scale, rel=1e-9, abs=1e-9)


# The physics behind the numbers ---------------------------------------------------------------------------------------


def constraint(env, name, design):
    return env.evaluate(np.array([design], dtype=float)).constraints[0, [c.name for c in env.constraints].index(name)]


def test_cantilever_deflection_is_castiglianos():
    """Tip deflection = integral of M(x)^2 / (P E I(x)), with x from the tip."""
    env = make("designopt/CantileverBeam-v0")
    widths, heights = [3.1, 2.8, 2.5, 2.2, 1.8], [60.0, 55, 50, 44, 35]
    P, E, deflection = 50_000, 2e7, 0.0
    for k in range(5):  # segment 5 - k reaches from k to k + 1 metres from the tip
        inertia = widths[4 - k] * heights[4 - k] ** 3 / 12
        deflection += quad(lambda x, inertia=inertia: P * x**2 / (E * inertia), 100 * k, 100 * (k + 1))[0]
    assert constraint(env, "tip_deflection", widths + heights) == pytest.approx(deflection - 2.7)


def test_heat_exchangers_balance_and_transfer():
    """At equal capacity flows the mean temperature difference is that of either end: duty = U A dT."""
    env = make("designopt/HeatExchanger-v0")
    capacity = 1e5  # Btu/(h degF)
    hot_in, cold_in, coefficients = (300, 400, 600), (100, 180, 290), (120, 80, 40)
    cold_out = (180, 290, 500)
    hot_out = [t - (out - into) for t, into, out in zip(hot_in, cold_in, cold_out, strict=True)]
    areas = [
        capacity * (out - into) / (u * (t - out))
        for u, t, into, out in zip(coefficients, hot_in, cold_in, cold_out, strict=True)
    ]
    evaluation = env.evaluate(np.array([[*areas, *cold_out[:2], *hot_out]]))
    scale = np.array([c.scale for c in env.constraints])
    assert evaluation.constraints[0] / scale == pytest.approx(0.0, abs=1e-4)


def test_welded_beam_is_a_steel_cantilever():
    env = make("designopt/WeldedBeam-v0")
    design = (0.3, 5.0, 8.0, 0.4)
    t, b = design[2:]
    P, L, E, G = 6000, 14, 30e6, 12e6
    assert constraint(env, "bending_stress", design) == pytest.approx(6 * P * L / (b * t**2) - 30_000)
    assert constraint(env, "deflection", design) == pytest.approx(4 * P * L**3 / (E * t**3 * b) - 0.25)
    bending, twisting = E * t * b**3 / 12, G * t * b**3 / 3  # stiffnesses about the weak axis [Timoshenko1961]
    buckling = 4.013 * sqrt(bending * twisting) / L**2 * (1 - t / (2 * L) * sqrt(bending / twisting))
    assert constraint(env, "buckling_load", design) == pytest.approx(P - buckling, rel=1e-4)


def test_pressure_vessel_holds_a_cylinder_and_a_sphere():
    env = make("designopt/PressureVessel-v0")
    cylinder, sphere = pi * 40**2 * 150, 2 * quad(lambda z: pi * (40**2 - z**2), 0, 40)[0]
    assert constraint(env, "volume", (1, 1, 40, 150)) == pytest.approx(1_296_000 - cylinder - sphere)


def test_truss_bars_are_in_equilibrium_and_compatible():
    """Bars at -45, 0, 45 degrees under a load of 2 along bar 1: forces balance and elongations belong to one motion."""
    env = make("designopt/ThreeTruss-v0")
    A1, A2 = 0.7, 0.4
    directions = np.array([[sqrt(0.5), sqrt(0.5)], [0, 1], [-sqrt(0.5), sqrt(0.5)]])
    lengths, areas = np.array([sqrt(2), 1, sqrt(2)]), np.array([A1, A2, A1])
    stiffness = (directions.T * (areas / lengths)) @ directions
    stresses = directions @ np.linalg.solve(stiffness, 2 * directions[0]) / lengths
    loaded, middle, opposite = stresses * [1, 1, -1]  # the opposite bar is in compression
    assert env.evaluate(np.array([[A1, A2]])).constraints[0] == pytest.approx(np.array([loaded, opposite, middle]) - 2)
    assert [c.name for c in env.constraints] == ["stress_loaded_bar", "stress_opposite_bar", "stress_middle_bar"]


# Bounds and scales ----------------------------------------------------------------------------------------------------

BOUNDS = [
    ("Ackley", {}, [(-5, 10)] * 2),
    ("Ackley", {"dim": 6}, [(-5, 10)] * 6),
    ("JLH1", {}, [(0, 1)] * 2),
    ("JLH2", {}, [(-5, 0), (-5, 5)]),
    ("GKXWC1", {}, [(0, 6)] * 2),
    ("GKXWC2", {}, [(0, 6)] * 2),
    ("KeaneBump", {}, [(0, 10)] * 18),
    ("ThreeTruss", {}, [(0, 1)] * 2),
    ("ReinforcedConcreteBeam", {}, [(0.2, 15), (28, 40), (5, 10)]),
    ("CompressionSpring", {}, [(0.05, 1), (0.25, 1.3), (2, 15)]),
    ("PressureVessel", {}, [(0.0625, 6.1875)] * 2 + [(10, 200), (10, 200)]),
    ("PressureVessel", {"variant": "as_published"}, [(0.0625, 6.1875)] * 2 + [(10, 200), (0, 190)]),
    ("WeldedBeam", {}, [(0.125, 10), (0.1, 15), (0.1, 10), (0.1, 10)]),
    ("SpeedReducer", {}, [(2.6, 3.6), (0.7, 0.8), (17, 28), (7.3, 8.3), (7.3, 8.3), (2.9, 3.9), (5, 5.5)]),
    ("HeatExchanger", {}, [(100, 10_000), (1000, 10_000), (1000, 10_000)] + [(10, 1000)] * 5),
    ("HeatExchanger", {"variant": "as_published"}, [(100, 10_000)] + [(1000, 10_900)] * 2 + [(10, 1000)] * 5),
    ("CantileverBeam", {}, [(1, 5)] * 5 + [(30, 65)] * 5),
    ("CarSideImpact", {}, [(0.5, 1.5), (0.45, 1.35)] + [(0.5, 1.5)] * 5 + [(0.192, 0.345)] * 2 + [(-30, 30)] * 2),
]


@pytest.mark.parametrize(("name", "arguments", "bounds"), BOUNDS, ids=[f"{n}-{a}" for n, a, _ in BOUNDS])
def test_bounds_are_the_stated_ones(name, arguments, bounds):
    space = make(f"designopt/{name}-v0", **arguments).design_space
    assert list(zip(space.low.tolist(), space.high.tolist(), strict=True)) == bounds


@pytest.mark.parametrize("name", sorted({name for name, _, _ in BOUNDS}))
def test_typical_violations_are_comparable_across_constraints(name):
    """The median violation of infeasible random designs is within a few powers of ten of the scale."""
    env = make(f"designopt/{name}-v0")
    constraints = env.evaluate(env.design_space.sample(20_000, seed=2)).constraints
    for constraint, values in zip(env.constraints, constraints.T, strict=True):
        violations = values[values > 0] / constraint.scale
        if len(violations) > 20:
            assert 0.005 < np.median(violations) < 20, constraint.name
