import numpy as np

from designopt import DesignSpace, Integer, Real
from designopt.search.seen import Seen


def test_a_design_is_fresh_once():
    seen = Seen(DesignSpace(x=Real(-1, 1)))
    designs = np.array([[0.0], [0.5], [0.5], [-0.0]])
    np.testing.assert_array_equal(seen.fresh(designs), [True, True, False, False])
    seen.add(designs[:1])
    np.testing.assert_array_equal(seen.fresh(designs), [False, True, False, False])


def test_random_designs_are_new_as_long_as_there_are_any():
    space = DesignSpace(n=Integer(0, 9))
    seen, rng = Seen(space), np.random.default_rng(0)
    seen.add(np.arange(8.0)[:, None])
    assert sorted(seen.sample(5, rng).ravel()) == [8, 9]
    seen.add(np.array([[8.0], [9.0]]))
    assert seen.sample(5, rng).shape == (5, 1)
