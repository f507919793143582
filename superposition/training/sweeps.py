"""The results of a sweep: a sequence of trained models, and the same as one labelled dataset."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, overload

import numpy as np
import xarray as xr

from superposition._internal import html, validate
from superposition.errors import ConfigError
from superposition.training.trained import Trained

STEP = "step"  # the axis of a training path


class Sweep(Sequence[Trained]):
    """The trained models of a grid in product order, labelled by its axes.

    `axes`: name -> values. `dataset`: everything as an xarray Dataset over the axes; `sweep["loss"]` and other names
    are its variables. `best()` and `at(density=0.1, seed=3)` give a `Trained`, as do iteration and `sweep[0]`.

    >>> import superposition as sp
    >>> run = sp.ToyRun(sp.ReLUOutput(5, 2), steps=20, batch_size=64)
    >>> toys = sp.sweep(run, {"density": (0.1, 0.5), "seed": range(3)})
    >>> len(toys), toys["W"].dims
    (6, ('density', 'seed', 'n_hidden', 'n_features'))
    >>> toys.best(density=0.5).recipe.features.density
    0.5
    """

    def __init__(
        self,
        axes: Mapping[str, Sequence[Any]],
        point: Callable[[tuple[int, ...]], Trained],
        loss: np.ndarray,
        dataset: Callable[[], xr.Dataset],
    ) -> None:
        """Axes in order; point: the model at an index; loss over the axes, NaN where there is no good model."""
        self.axes = {name: tuple(values) for name, values in axes.items()}
        self.loss = loss
        self._point = point
        self._make = dataset
        self._dataset: xr.Dataset | None = None

    @property
    def dataset(self) -> xr.Dataset:
        """Parameters, loss and what else was recorded, over the axes."""
        if self._dataset is None:
            self._dataset = self._make()
        return self._dataset

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return tuple(map(len, self.axes.values()))

    def __len__(self) -> int:
        return int(np.prod(self.shape, dtype=int))

    @overload
    def __getitem__(self, index: int) -> Trained: ...
    @overload
    def __getitem__(self, index: slice) -> list[Trained]: ...
    @overload
    def __getitem__(self, index: str) -> xr.DataArray: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, str):
            return self.dataset[index]
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]  # IndexError beyond the end, so that iteration stops
        return self._point(tuple(map(int, np.unravel_index(place, self.shape))))

    def __iter__(self) -> Iterator[Trained]:
        return (self._point(index) for index in product(*map(range, self.shape)))

    def __getattr__(self, name: str) -> Any:
        """What only the dataset has: its variables, `sel`, `isel`, `attrs` ..."""
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return getattr(self.dataset, name)
        except AttributeError:
            raise AttributeError(f"neither a Sweep nor its dataset has {name!r}") from None

    def __dir__(self) -> list[str]:
        names = [str(name) for name in self.dataset.variables if str(name).isidentifier()]
        return sorted({*super().__dir__(), *names})

    def at(self, **labels: Any) -> Trained:
        """The model at these labels; an axis of one value may be left out. Raises ConfigError for labels not there."""
        index = self._index(labels)
        if free := [name for name, place in index.items() if place is None]:
            raise ConfigError(f"give a label for {_listed(self.axes, free)}, or use best()")
        return self._point(tuple(place for place in index.values() if place is not None))

    def best(self, over: str | Sequence[str] = "seed", **labels: Any) -> Trained:
        """The model of the lowest finite loss over the axis `over` (or several), at the labels of all others.

        Seeds are the same problem over again; models of other axes are not, and there the lowest loss is only the
        easiest problem, so that they have to be named. Of a training path the last step is taken. Raises ConfigError
        for an axis that is open, for labels not there, and where no model has a finite loss.
        """
        index = self._index(labels)
        if STEP in index and STEP not in labels:
            index[STEP] = len(self.axes[STEP]) - 1
        allowed = {over} if isinstance(over, str) else set(over)
        if unknown := allowed - {"seed"} - set(self.axes):
            raise ConfigError(
                f"over must name axes of {', '.join(self.axes)}; got {', '.join(sorted(unknown))}"
            )
        if free := [name for name, place in index.items() if place is None and name not in allowed]:
            raise ConfigError(f"give a label for {_listed(self.axes, free)}, or name them in over")
        match = np.isfinite(self.loss)
        for k, place in enumerate(index.values()):
            if place is not None:
                match &= (np.arange(self.shape[k]) == place).reshape(
                    [-1 if j == k else 1 for j in range(match.ndim)]
                )
        if not match.any():
            raise ConfigError("there is no finished model with a finite loss there; choose other labels")
        flat = int(np.argmin(np.where(match, self.loss, np.inf)))
        return self._point(tuple(map(int, np.unravel_index(flat, self.shape))))

    def _index(self, labels: Mapping[str, Any]) -> dict[str, int | None]:
        """Where the labels stand on the axes; None for an axis that stays open."""
        for name in labels:
            if name not in self.axes:
                raise ConfigError(f"no axis named {name!r}; there are {', '.join(self.axes)}")
        index: dict[str, int | None] = {}
        for name, values in self.axes.items():
            if name not in labels:
                index[name] = 0 if len(values) == 1 else None
                continue
            index[name] = next((i for i, value in enumerate(values) if same(value, labels[name])), None)
            if index[name] is None:
                raise ConfigError(f"no {name}={validate.shown(labels[name])}; there are {_values(values)}")
        return index

    def __repr__(self) -> str:
        axes = ", ".join(f"{name}={_values(values)}" for name, values in self.axes.items())
        return f"Sweep({len(self)} models over {axes}{self._finite()})"

    def _finite(self) -> str:
        good = self.loss[np.isfinite(self.loss)]
        missing = f", {self.loss.size - good.size} without" if good.size < self.loss.size else ""
        return f"; loss {good.min():.4g} to {good.max():.4g}{missing}" if good.size else "; no finite loss"

    def _repr_html_(self) -> str:
        rows = [(name, f"{len(values)}", _values(values)) for name, values in self.axes.items()]
        good = np.isfinite(self.loss)
        rows.append(
            ("loss", f"{good.sum()} finite", self._finite().removeprefix("; loss ") if good.any() else "")
        )
        picture = ""
        if good.any():
            lowest = np.unravel_index(int(np.argmin(np.where(good, self.loss, np.inf))), self.shape)
            one = self._point(tuple(map(int, lowest)))
            if not one.is_sae and "W" in one.parameters():
                picture = html.weights(one.parameters()["W"])
        return html.beside(html.table(rows, f"Sweep of {len(self)} models"), picture)


def same(value: Any, label: Any) -> bool:
    """Whether a label, a number or text, names a value of an axis."""
    try:
        return bool(np.allclose(np.asarray(value, float), np.asarray(label, float), rtol=1e-6, atol=0))
    except (TypeError, ValueError):
        return str(value) == str(label)


def _values(values: Sequence[Any]) -> str:
    shown = [f"{v:g}" if isinstance(v, float) else validate.shown(v) for v in values]
    return f"[{', '.join(shown if len(shown) <= 4 else [*shown[:2], '...', shown[-1]])}]"


def _listed(axes: Mapping[str, Sequence[Any]], names: Sequence[str]) -> str:
    return "; ".join(f"{name} {_values(axes[name])}" for name in names)
