"""Problems that circulate in more than one statement."""

from __future__ import annotations

from typing import ClassVar

from designopt import DesignEnv, Reference


class VariantEnv(DesignEnv):
    """A problem with several statements.

    ``classical`` is the corrected textbook statement, ``as_published`` repeats the published benchmark code with its
    errors (for reproducing its numbers only), ``mixed`` has the discrete parameters of the original problem.

    Attributes:
        variants: the statements a subclass offers, each with what is known of its answer.

    Raises:
        ValueError: a variant that is not offered.
    """

    variants: ClassVar[dict[str, Reference]]

    def __init__(self, variant: str = "classical", render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        if variant not in self.variants:
            allowed = ", ".join(map(repr, self.variants))
            raise ValueError(f"{type(self).__name__}: variant = {variant!r}; allowed: {allowed}")
        self.variant = variant
        self.reference = self.variants[variant]
