"""How a command says that the run itself failed."""


class RunFailed(Exception):  # noqa: N818 - reads as the fact that it states
    """The run itself failed, as opposed to its arguments."""
