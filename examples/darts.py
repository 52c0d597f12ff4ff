"""Search an architecture by gradients, and see on a problem with a known answer what each search converges to."""

import designopt as do

for search, settings in [
    ("darts", {"order": 1}),
    ("darts", {"order": "exact", "xi": 0.1}),
    ("darts", {"order": 2, "xi": 0.5}),
    ("rarts", {"lam": 5, "beta": 5}),
]:
    result = do.optimize("designopt/BilevelToy-v0", search=search, budget=1, **settings)
    best = result.best
    assert best is not None
    print(f"{search:6} {settings!s:32} a = {best['a']:.6f}, w = {best['w']:.6f}; the solution is a = w = 1")
