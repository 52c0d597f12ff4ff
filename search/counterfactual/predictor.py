"""Any model as a function of whole batches of designs.

How a model is called:

- a ``torch.nn.Module`` gets a tensor (n, d) of its own precision, and its gradients are used;
- an estimator with ``predict`` gets a DataFrame when it was fitted on one (``feature_names_in_``), else an array;
- any other callable gets a DataFrame, unless its first parameter is named ``x``, ``X``, ``array`` or ``designs`` or is
  annotated as an array: then an array.

Arrays and tensors hold features in order, numbers as they are and classes as the index of the choice. Outputs may be a
DataFrame, a dictionary name -> (n,), an array (n,) or (n, m) or a Series.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq
from typing import Any

import numpy as np
from numpy.typing import NDArray

from designopt.env import DesignEnv
from designopt.parameters import Array
from designopt.space import DesignSpace

ARRAY_NAMES = ("x", "X", "array", "designs")


class Predictor:
    """A model over designs (n, d) of a space.

    Args:
        model: see above.
        names: of the outputs when the model does not name them.
        wanted: outputs whose gradients matter.
        derived: further outputs, name -> function of what the model is called with (of an array where that is a
            tensor or an environment's designs); they have no gradients.

    Attributes:
        differentiable: whether ``jacobian`` works.
        failures: designs on which the model raised; they have NaN outputs.
        first_error: the first such exception, as text.
    """

    def __init__(
        self,
        model: Any,
        space: DesignSpace,
        names: Seq[str],
        wanted: Seq[str] = (),
        derived: Mapping[str, Callable[[Any], Any]] | None = None,
    ) -> None:
        self.space = space
        self.names = list(names)
        self.wanted = set(wanted)
        self.failures = 0
        self.first_error = ""
        self.differentiable = _is_module(model)
        self._model = model
        self._arrays = self.differentiable or isinstance(model, DesignEnv) or wants_array(model)
        self._call = _caller(model, space)
        self._derived = dict(derived or {})
        self._columns: list[str] = []

    def outputs(self, designs: Array) -> dict[str, NDArray[Any]]:
        """Name -> (n,) values. Where a batch raises, its designs are tried one by one.

        Raises:
            ValueError: outputs of the wrong length or without names, or a model that has never answered.
        """
        try:
            answer, derived = self._call(designs), self._further(designs)
        except Exception as error:  # whatever a user's model raises
            return self._one_by_one(designs, error)
        return self._named(answer, derived, len(designs))

    def _further(self, designs: Array) -> dict[str, Any]:
        if not self._derived:
            return {}
        given = designs.copy() if self._arrays else self.space.frame(designs)
        return {name: function(given) for name, function in self._derived.items()}

    def _one_by_one(self, designs: Array, error: Exception) -> dict[str, NDArray[Any]]:
        rows: list[dict[str, NDArray[Any]] | None] = []
        for design in designs if len(designs) > 1 else ():
            try:
                rows.append(self._named(self._call(design[None]), self._further(design[None]), 1))
            except Exception as single:
                error = single
                rows.append(None)
        rows = rows or [None]
        self.failures += rows.count(None)
        self.first_error = self.first_error or f"{type(error).__name__}: {error}"
        known = self._columns
        if not known:
            raise ValueError(f"the model failed on its first {len(designs)} designs: {self.first_error}")
        return {name: np.array([np.nan if row is None else row[name][0] for row in rows]) for name in known}

    def jacobian(self, designs: Array) -> tuple[dict[str, NDArray[Any]], dict[str, Array]]:
        """Name -> (n,) values, and wanted name -> (n, d) derivatives."""
        import torch

        x = _tensor(self._model, designs).requires_grad_()
        answer = self._model(x)
        columns = _columns(answer, self.names)
        outputs = self._named(answer, self._further(designs), len(designs))
        slopes = {}
        for name, values in columns.items():
            if name in self.wanted and values.requires_grad:
                (slope,) = torch.autograd.grad(values.sum(), x, retain_graph=True)
                slopes[name] = slope.cpu().numpy().astype(np.float64)
        return outputs, slopes

    def _named(self, answer: Any, derived: Mapping[str, Any], n: int) -> dict[str, NDArray[Any]]:
        names = [name for name in self.names if name not in self._derived]
        outputs = {name: _numpy(values) for name, values in {**_columns(answer, names), **derived}.items()}
        for name, values in outputs.items():
            if values.shape != (n,):
                raise ValueError(
                    f"the model returned {name!r} of shape {values.shape} for {n} designs; it must be ({n},)"
                )
        self._columns = list(outputs)
        return outputs


def _caller(model: Any, space: DesignSpace) -> Callable[[Array], Any]:
    if isinstance(model, DesignEnv):
        return lambda designs: environment_outputs(model, designs)
    if _is_module(model):
        import torch

        model.eval()

        def module(designs: Array) -> Any:
            with torch.no_grad():
                return model(_tensor(model, designs))

        return module
    function = model.predict if hasattr(model, "predict") else model
    if not callable(function):
        raise ValueError(f"model = {model!r}; it must be callable or have predict()")
    if wants_array(model):
        return lambda designs: function(designs.copy())
    return lambda designs: function(space.frame(designs))


def wants_array(model: Any) -> bool:
    """Whether a model that is no torch module gets an array rather than a DataFrame."""
    if hasattr(model, "predict"):
        return not hasattr(model, "feature_names_in_")
    try:
        first = next(iter(inspect.signature(model).parameters.values()))
    except (StopIteration, TypeError, ValueError):
        return False
    annotation = "" if first.annotation is inspect.Parameter.empty else str(first.annotation)
    return first.name in ARRAY_NAMES or "rray" in annotation


def environment_outputs(env: DesignEnv, designs: Array) -> dict[str, NDArray[Any]]:
    """Objectives, constraints and metrics by name; NaN where a design has no values."""
    evaluation = env.evaluate(designs)
    outputs = {o.name: evaluation.objectives[:, i] for i, o in enumerate(env.objectives)}
    outputs |= {c.name: evaluation.constraints[:, i] for i, c in enumerate(env.constraints)}
    ok = evaluation.status == "ok"
    outputs = {name: np.where(ok, values, np.nan) for name, values in outputs.items()}
    return outputs | {name: values for name, values in evaluation.metrics.items() if name not in outputs}


def _is_module(model: Any) -> bool:
    import sys

    torch = sys.modules.get("torch")  # a module cannot exist where torch was never imported
    return torch is not None and isinstance(model, torch.nn.Module)


def _tensor(model: Any, designs: Array) -> Any:
    import torch

    like = next(iter([*model.parameters(), *model.buffers()]), torch.empty(0, dtype=torch.float64))
    dtype = like.dtype if like.is_floating_point() else torch.float64
    return torch.as_tensor(designs, dtype=dtype, device=like.device).clone()


def _columns(answer: Any, names: Seq[str]) -> dict[str, Any]:
    if hasattr(answer, "items") and hasattr(answer, "keys") and not hasattr(answer, "to_frame"):
        return {str(name): values for name, values in answer.items()}
    if hasattr(answer, "to_frame") and getattr(answer, "name", None) is not None:
        return {str(answer.name): answer}
    if not hasattr(answer, "ndim"):
        answer = np.asarray(answer)
    if hasattr(answer, "to_numpy"):
        answer = answer.to_numpy()
    if answer.ndim == 1:
        answer = answer[:, None]
    if answer.ndim != 2 or answer.shape[1] != len(names):
        raise ValueError(
            f"the model returned an array of shape {tuple(answer.shape)} for the outputs {', '.join(names)}; it must "
            f"be (n, {len(names)}), or name its outputs in a dictionary or DataFrame"
        )
    return {name: answer[:, i] for i, name in enumerate(names)}


def _numpy(values: Any) -> NDArray[Any]:
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    array = np.asarray(values)
    return array.astype(np.float64) if array.dtype.kind in "fiu" else array
