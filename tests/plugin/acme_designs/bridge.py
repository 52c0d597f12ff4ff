"""A bridge of one parameter, and a search that asks for its middle."""

from designopt import DesignEnv, DesignSpace, Evaluation, Objective, Real, Searcher


class Bridge(DesignEnv):
    """Sag of a bridge."""

    design_space = DesignSpace(depth=Real(0.0, 2.0, unit="m"))
    objectives = (Objective("sag", "min", unit="mm"),)

    def __init__(self, load=1.0, render_mode=None):
        super().__init__(render_mode)
        self.load = load

    def evaluate(self, designs):
        return Evaluation(self.load * (designs - 1.0) ** 2)


class CentreSearch(Searcher):
    """Asks for the middle of the space."""

    def ask(self, n, pending):
        return self.space.from_unit([[0.5] * self.space.dim] * n)
