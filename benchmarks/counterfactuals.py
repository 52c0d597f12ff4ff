# ruff: noqa: E501 - sentences of the page
"""Counterfactual recommendations: the reference protocol on the two-dimensional example and on a bicycle frame.

    OMP_NUM_THREADS=1 python benchmarks/counterfactuals.py            # needs the FRAMED data set
    OMP_NUM_THREADS=1 python benchmarks/counterfactuals.py published  # its own tool as well (pip install decode-mcd)

The predictor of the frame is the mean of five networks 39-128-256-3 (mass, ln SF1, ln SF3) with dropout, trained here
with fixed seeds. Writes docs/benchmarks/counterfactuals.md.
"""

import resource
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

import designopt as do
from designopt import data, metrics
from designopt.provenance import versions
from designopt.search.counterfactual.answer import Recommendation
from designopt.search.counterfactual.engine import CLOSING, Search, run
from designopt.search.counterfactual.predictor import Predictor
from designopt.search.counterfactual.recommend import recommend

OUTPUT = Path(__file__).parents[1] / "docs" / "benchmarks" / "counterfactuals.md"
SEEDS = range(5)
DATA = "counterfactuals/framed_structural.csv.gz"
TARGETS = {"mass": "<= 3", "sf1": ">= 1.5"}
MATERIALS = ["Aluminum", "Steel", "Titanium"]
BRIDGES = ["SSB_Include", "CSB_Include", "SSB OD", "CSB OD", "SSB Offset", "CSB Offset"]


class Networks(nn.Module):
    """Mean of several networks over the 37 features (the material as index) -> mass and sf1."""

    def __init__(self, designs, material, targets, members=5, epochs=80):
        super().__init__()
        self.material, self.numeric = material, [i for i in range(designs.shape[1]) if i != material]
        numeric = torch.tensor(designs[:, self.numeric], dtype=torch.float32)
        y = torch.tensor(targets, dtype=torch.float32)
        self.mean, self.std = nn.Buffer(numeric.mean(0)), nn.Buffer(numeric.std(0))
        self.y_mean, self.y_std = nn.Buffer(y.mean(0)), nn.Buffer(y.std(0))
        x, y = self.encode(torch.tensor(designs, dtype=torch.float32)), (y - self.y_mean) / self.y_std
        self.members = nn.ModuleList(self.train_one(x, y, seed, epochs) for seed in range(members))

    def encode(self, x):
        """Standardised numbers and a one-hot material."""
        kind = nn.functional.one_hot(x[:, self.material].long(), 3).to(x)
        return torch.cat([(x[:, self.numeric] - self.mean) / self.std, kind], dim=1)

    @staticmethod
    def train_one(x, y, seed, epochs):
        """One network."""
        torch.manual_seed(seed)
        layers = [nn.Linear(x.shape[1], 128), nn.ReLU(), nn.Dropout(0.2)]
        layers += [nn.Linear(128, 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, y.shape[1])]
        net = nn.Sequential(*layers)
        optimiser = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=0.1)
        for _ in range(epochs):
            for rows in torch.randperm(len(x)).split(128):
                optimiser.zero_grad()
                ((net(x[rows]) - y[rows]) ** 2).mean().backward()
                optimiser.step()
        return net.eval()

    def raw(self, x):
        """Mass, ln SF1, ln SF3."""
        encoded = self.encode(x)
        return sum(net(encoded) for net in self.members) / len(self.members) * self.y_std + self.y_mean

    def forward(self, x):
        """Outputs by name."""
        y = self.raw(x)
        return {"mass": y[:, 0], "sf1": y[:, 1].exp()}


def read_frames():
    frame = pd.read_csv(data.find(DATA)).set_index("bike_id")
    features = frame.iloc[:, :37].copy()
    coded = features.assign(Material=features["Material"].map({m: i for i, m in enumerate(MATERIALS)}))
    y = np.stack([frame["Model Mass"], np.log(frame["Sim 1 Safety Factor"]), np.log(frame["Sim 3 Safety Factor"])], 1)
    return features, coded, y


def space_of(features):
    """1-99 % quantiles as bounds; the same parameters whether classes are written as texts or numbers."""
    parameters = {}
    for name in features.columns:
        values = features[name]
        if name == "Material":
            parameters[name] = do.Categorical(MATERIALS if values.dtype.kind not in "iuf" else [0, 1, 2])
        elif name.endswith("Include"):
            parameters[name] = do.Categorical([False, True] if values.dtype == bool else [0, 1])
        else:
            parameters[name] = do.Real(*np.quantile(values, [0.01, 0.99]))
    return parameters


def trees(coded, y):
    """The second opinion: boosted trees, another family, predictions (n, 2) of mass and sf1."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    fitted = [
        HistGradientBoostingRegressor(max_iter=300, random_state=0).fit(coded.to_numpy(float), y[:, i]) for i in (0, 1)
    ]
    return lambda x: np.stack([fitted[0].predict(x), np.exp(fitted[1].predict(x))], axis=1)


def measure(start, model, seed, *, calls=None, cpu=None, gradients):
    """One search of a problem; the clock is CPU time of the process."""
    predictor = Predictor(model, start.problem.space, list(TARGETS), list(TARGETS))
    began = time.process_time()
    search = Search(start.problem, budget=calls or 10**8, seed=seed, gradients=gradients)
    for share in (CLOSING, 1.0):
        while search.request is not None and (cpu is None or time.process_time() - began < share * cpu):
            run([search], predictor, seconds=0.02 if cpu else None)
        if share < 1:
            search.close()
    spent = time.process_time() - began
    answer = Recommendation(
        search.archive, predictor, n=10, weights=None, notes=[], quality={}, search_seconds=spent
    )  # fmt: skip
    began = time.process_time()
    answer.resample(n=10)
    return answer, spent, time.process_time() - began


def row(name, runs, opinion=None):
    answers = [r[0] for r in runs]
    volumes = [a.hypervolume() for a in answers]
    least = [round(float(a.archive["sparsity"].min()) * a.problem.space.dim) if a.found else 0 for a in answers]
    diverse = [a.diversity for a in answers]
    cells = [
        name,
        f"{np.median([a.calls for a in answers]):,.0f}",
        f"{np.median([r[1] for r in runs]):.2f}",
        f"{np.median([r[2] for r in runs]) * 1000:.0f}",
        f"{np.median([len(a.archive) for a in answers]):,.0f}",
        f"**{np.median(volumes):.4f}** ({min(volumes):.4f}-{max(volumes):.4f})",
        f"{min(least)}-{max(least)}",
        f"{np.median([d['mean distance'] for d in diverse]):.3f} / {np.median([d['least distance'] for d in diverse]):.3f}",
        f"{np.median([d['log det'] for d in diverse]):.1f}",
    ]
    if opinion is not None:
        second = np.concatenate([opinion(a.rows) for a in answers])
        valid = ((second[:, 0] <= 3) & (second[:, 1] >= 1.5)).mean()
        cells.append(f"{valid:.0%}; {np.median(second[:, 0]):.2f} kg, {np.median(second[:, 1]):.2f}")
    print(" | ".join(cells), flush=True)
    return f"| {' | '.join(cells)} |"


def published(features, coded, model, seed, generations=149):
    """The authors' tool on the same task: (hypervolume, valid, CPU s), its own objectives of the valid offspring."""
    from decode_mcd.design_targets import ContinuousTarget, DesignTargets
    from decode_mcd.mcd_dataset import McdDataset
    from decode_mcd.mcd_generator import McdGenerator, _RevertToQueryRepair
    from decode_mcd.mcd_problem import McdProblem
    from pymoo.core.variable import Choice, Real

    original = _RevertToQueryRepair._revert_subset
    if not hasattr(_RevertToQueryRepair, "patched"):  # it writes into what pandas 3 made read-only
        _RevertToQueryRepair._revert_subset = lambda self, Z, query: original(self, np.array(Z), query)
        _RevertToQueryRepair.patched = True
    kinds = [
        Choice(options=sorted(set(coded[c]))) if c == "Material" or c.endswith("Include")
        else Real(bounds=tuple(np.quantile(coded[c], [0.01, 0.99])))
        for c in coded.columns
    ]  # fmt: skip

    def predict(frame):
        with torch.no_grad():
            out = model(torch.tensor(frame[list(coded.columns)].to_numpy(dtype=np.float32)))
        return pd.DataFrame({name: values.numpy().astype(float) for name, values in out.items()})

    np.random.seed(seed)  # noqa: NPY002 - the tool draws from the global generator
    targets = DesignTargets([ContinuousTarget("mass", 0, 3), ContinuousTarget("sf1", 1.5, 1e6)])
    x = coded.astype(float)
    began = time.process_time()
    problem = McdProblem(McdDataset(x, predict(x), kinds), x.loc[[90]], targets, predict, ["Material"])
    generator = McdGenerator(problem, pop_size=100, initialize_from_dataset=True, verbose=False)
    generator.generate(generations, seed)
    spent = time.process_time() - began
    F, G = [], []
    for offspring in generator._algorithm.callback.data["offspring"]:
        if offspring is not None and len(offspring):
            F.append(offspring.get("F"))
            G.append(offspring.get("G"))
    F, G = np.concatenate(F).astype(float), np.concatenate(G).astype(float)
    valid = F[(G <= 0).all(axis=1)][:, -3:]
    volume = metrics.hypervolume(valid[metrics.non_dominated(valid)], (1, 1, 1)) if len(valid) else 0.0
    return volume, len(valid), spent


def toy(n, calls):
    env = do.make("designopt/ArcsAndDisc-v0")
    designs = np.random.default_rng(0).uniform(-1.1, 1.1, (n, 2))
    frame = pd.DataFrame(designs, columns=["x1", "x2"]).assign(valid=env.evaluate(designs).metrics["valid"])

    def model(x):
        return env.evaluate(x).metrics["valid"]

    runs = []
    for seed in SEEDS:
        began = time.process_time()
        answer = recommend(
            frame, {"x1": 0.0, "x2": 0.0}, {"valid": "== 1"}, model, bounds={"x1": (-1.1, 1.1), "x2": (-1.1, 1.1)},
            budget=calls, seed=seed,
        )  # fmt: skip
        spent = time.process_time() - began
        began = time.process_time()
        answer.resample(n=10)
        runs.append((answer, spent, time.process_time() - began))
    return row(f"two-dimensional, N = {n:,}", runs)


def hundred_thousand():
    from designopt.counterfactual import Gower
    from designopt.search.counterfactual.dpp import draw

    rng = np.random.default_rng(0)
    designs, scores = rng.random((100_000, 37)), rng.random(100_000)
    began = time.process_time()
    draw(designs, scores, Gower(np.ones(37), np.zeros(37, bool)), 10, 0.3)
    return time.process_time() - began


def main():
    torch.set_num_threads(1)
    features, coded, y = read_frames()
    model = Networks(coded.to_numpy(float), list(coded.columns).index("Material"), y)
    opinion = trees(coded, y)
    spaces = space_of(features)
    start = recommend(features, 90, TARGETS, model, features=spaces, freeze=["Material"], budget=300)
    active = recommend(features, 90, TARGETS, model, features=spaces, freeze=["Material", *BRIDGES], budget=300)
    head = "| task | calls | search CPU s | draw CPU ms | valid | hypervolume: median (range) | fewest changes | mean / least pair | log det |"
    lines = [head, "|" + "---|" * 9, toy(1000, 10_000), toy(20_000, 25_000)]
    second = [head + " valid for the trees; their medians |", "|" + "---|" * 10]
    for gradients in (True, False):
        label = "gradients" if gradients else "black box"
        for limit in ({"calls": 5000}, {"calls": 15_000}, {"cpu": 2.0}):
            runs = [measure(start, model, seed, **limit, gradients=gradients) for seed in SEEDS]
            text = f"{limit['calls']:,} calls" if "calls" in limit else "2 CPU s"
            second.append(row(f"{label}, {text}", runs, opinion))
        runs = [measure(active, model, seed, calls=15_000, gradients=gradients) for seed in SEEDS]
        second.append(row(f"{label}, bridges frozen, 15,000 calls", runs, opinion))

    mixed = features.assign(**{c: features[c].astype(bool) for c in BRIDGES[:2]})
    codings = []
    for frame in (mixed, coded):
        began = time.process_time()
        answer = recommend(frame, 90, TARGETS, model, features=space_of(frame), freeze=["Material"], budget=15_000)
        codings.append((time.process_time() - began, answer.rows, answer.hypervolume()))
    same = np.array_equal(codings[0][1], codings[1][1])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with torch.no_grad():
        query = {k: float(v[0]) for k, v in model(torch.tensor(coded.loc[[90]].to_numpy(dtype=np.float32))).items()}
    other = []
    if "published" in sys.argv:
        for seed in range(3):
            other.append(published(features, coded, model, seed))
            print("published", other[-1], flush=True)
    used = ", ".join(f"{k} {v}" for k, v in versions().items() if k in ("python", "torch", "numpy", "designopt"))
    text = [
        "# Counterfactual recommendations", "",
        "Medians of five seeds, one thread, CPU seconds of the process (other programs kept the machine's two cores busy all the time, so wall times would say nothing; loading, training and the "
        "one-time compilation are excluded). Hypervolume of (proximity, sparsity, manifold) of every valid design that was "
        "evaluated, reference (1, 1, 1). A gradient of a design counts as one more call.", "",
        f"Command: `OMP_NUM_THREADS=1 python benchmarks/counterfactuals.py{' published' if other else ''}`. Versions: {used}.", "",
        "## Two-dimensional example", "", *lines, "",
        "Query (0, 0), target valid; the predictor says valid or not, nothing graded. "
        "Target: 0.4044 in 0.5 CPU s; met with N = 1,000, missed with N = 20,000, for which the calls were raised from "
        "10,000 (0.4041). CPU seconds hold the whole call of "
        "`recommend`.", "",
        "## Bicycle frame 90", "",
        "Steel frame 90 of FRAMED to mass <= 3 kg and safety factor >= 1.5, material frozen, 1-99 % bounds. Predictor: mean of "
        "five networks 39-128-256-3 with dropout 0.2, the recipe of the best held-out fit among those tried (R2 0.95 mass, "
        f"0.62 ln SF1); for the query it says {query['mass']:.2f} kg and {query['sf1']:.2f}. Hypervolumes depend on the "
        "predictor, so only figures of this table compare. *Valid for the trees*: share of the ten drawn designs that "
        "boosted trees (another family, fitted to the same rows) accept as well, and their median mass and safety factor.", "",
        *second, "",
    ]  # fmt: skip
    if other:
        text += ["Published tool (decode-mcd, 100 designs, 150 generations, started from the data, one write into a read-only array "
                 "patched) on the same predictor, three seeds: hypervolume "
                 f"{', '.join(f'{o[0]:.3f}' for o in other)} with {', '.join(str(o[1]) for o in other)} valid offspring after "
                 f"{', '.join(f'{o[2]:.0f}' for o in other)} CPU s.", ""]  # fmt: skip
    else:
        text += [
            "The published tool was not measured in this run. Four earlier runs of it, noted before "
            "this benchmark was written, gave a hypervolume of 0.67 (0.56 to 0.74) after 12 to 18 "
            "s; those figures are quoted, not reproduced here, and whether their predictor is this one was not checked.", "",
        ]  # fmt: skip
    text += [
        f"Texts and booleans against numbers, 15,000 calls: {codings[0][0]:.2f} and {codings[1][0]:.2f} CPU s, hypervolume "
        f"{codings[0][2]:.4f} and {codings[1][2]:.4f}, designs {'identical' if same else 'different'}.", "",
        f"Drawing 10 of 100,000 designs with 37 features: {hundred_thousand():.2f} CPU s. Peak resident memory of the whole "
        f"benchmark, libraries, training and trees included: {memory:.0f} MiB.", "",
    ]  # fmt: skip
    OUTPUT.write_text("\n".join(text))
    print(OUTPUT)


if __name__ == "__main__":
    main()
