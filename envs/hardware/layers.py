"""Layers of convolutional networks as accelerators see them: published networks, a CSV file, or a list of dictionaries.

A convolution is the matrix product (M x K) (K x N) with M output pixels, K = channels * filter_h * filter_w and N
filters; a fully connected layer is a 1x1 convolution of a 1x1 map. Sizes of input maps include the padding.

References: [Krizhevsky2014] arXiv 1404.5997 (AlexNet in one tower); [Simonyan2015] VGG-16; [He2016] ResNet-18 and -50,
with the stride in the 3x3 convolution; [Sandler2018] MobileNetV2.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from designopt.parameters import suggest

COLUMNS = ("ifmap_h", "ifmap_w", "filter_h", "filter_w", "channels", "num_filters", "stride")

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class LayerTable:
    """L layers, column by column; each array has shape (L,).

    Attributes:
        names: of the layers, for tables and pictures.
        ifmap_h, ifmap_w: rows and columns of the input map, padding included.
        filter_h, filter_w, channels, num_filters, stride: of the convolution.
        repeat: how often the layer runs; a depthwise convolution is one of a single channel and filter, run once per
            channel.
    """

    names: tuple[str, ...]
    ifmap_h: Integers
    ifmap_w: Integers
    filter_h: Integers
    filter_w: Integers
    channels: Integers
    num_filters: Integers
    stride: Integers
    repeat: Integers

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def pixels(self) -> Integers:
        """M: output pixels. As in SCALE-Sim, a last step that leaves the map by less than the stride still counts."""
        rows = -(-(self.ifmap_h - self.filter_h) // self.stride) + 1
        columns = -(-(self.ifmap_w - self.filter_w) // self.stride) + 1
        return rows * columns

    @cached_property
    def window(self) -> Integers:
        """K: weights of one filter."""
        return self.filter_h * self.filter_w * self.channels

    @cached_property
    def ifmap(self) -> Integers:
        """Words of the input map."""
        return self.ifmap_h * self.ifmap_w * self.channels

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of all layers."""
        return int((self.pixels * self.window * self.num_filters * self.repeat).sum())

    @cached_property
    def distinct(self) -> LayerTable:
        """Every shape once, with how often it runs in all."""
        shapes = np.stack([getattr(self, column) for column in COLUMNS])
        unique, first, inverse = np.unique(shapes, axis=1, return_index=True, return_inverse=True)
        repeat = np.zeros(unique.shape[1], dtype=np.int64)
        np.add.at(repeat, inverse.reshape(-1), self.repeat)
        sizes = dict(zip(COLUMNS, unique, strict=True))
        return LayerTable(names=tuple(self.names[i] for i in first), repeat=repeat, **sizes)


def layer_table(layers: str | PathLike[str] | Iterable[Mapping[str, Any]]) -> LayerTable:
    """The layers of a network.

    Args:
        layers: the name of a published network (see ``NETWORKS``), the path of a CSV file, or one dictionary per
            layer, with the keys ``COLUMNS`` and optionally ``name`` and ``repeat``.

    Raises:
        ValueError: an unknown name, a file that cannot be read, a missing column, a value that is not a whole number of
            at least 1, or a filter larger than its map; the place is named.
    """
    if isinstance(layers, str) and layers in NETWORKS:
        return _table(layers, NETWORKS[layers])
    if isinstance(layers, str | PathLike):
        path = Path(layers)
        if isinstance(layers, str) and path.suffix != ".csv":
            raise ValueError(f"layers = {layers!r}; {suggest(layers, NETWORKS)}, or a path that ends in .csv")
        return _table(str(path), _read(path), first_line=2)
    return _table("layers", list(layers))


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
            _check_columns(str(path), reader.fieldnames)
            return list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"layers file {path}: {getattr(error, 'strerror', None) or error}") from None


def _table(where: str, rows: Seq[Mapping[str, Any]], first_line: int = 0) -> LayerTable:
    if not rows:
        raise ValueError(f"{where}: it has no layers")
    names, values = [], []
    for i, row in enumerate(rows):
        place = f"{where} line {first_line + i}" if first_line else f"{where}[{i}]"
        if not isinstance(row, Mapping):
            raise ValueError(f"{place}: {row!r} is not a dictionary with {', '.join(COLUMNS)}")
        _check_columns(place, row)
        names.append(str(row.get("name") or f"layer{i}"))
        values.append([_whole(place, column, row[column]) for column in COLUMNS])
        values[-1].append(_whole(place, "repeat", row.get("repeat", 1)))
        size = dict(zip(COLUMNS, values[-1], strict=False))
        for side in "hw":
            if size[f"filter_{side}"] > size[f"ifmap_{side}"]:
                raise ValueError(
                    f"{place}: filter_{side} = {size[f'filter_{side}']} is larger than "
                    f"ifmap_{side} = {size[f'ifmap_{side}']}; give the size of the map with its padding"
                )
    return LayerTable(tuple(names), *np.array(values, dtype=np.int64).T)


def _check_columns(place: str, columns: Iterable[str]) -> None:
    missing = [column for column in COLUMNS if column not in set(columns)]
    if missing:
        raise ValueError(f"{place}: missing columns: {', '.join(missing)}; needed: {', '.join(COLUMNS)}")


def _whole(place: str, column: str, value: Any) -> int:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = 0.0
    if number != int(number if np.isfinite(number) else 0) or not 1 <= number <= 1e6:
        raise ValueError(f"{place}: {column} = {value!r}; it must be a whole number from 1 to 1000000")
    return int(number)


# Published networks ---------------------------------------------------------------------------------------------


def _conv(name: str, out: int, kernel: int, channels: int, filters: int, stride: int = 1, repeat: int = 1) -> Any:
    """A square convolution with ``out`` x ``out`` outputs; its map is the part of the padded input that it reads."""
    side = (out - 1) * stride + kernel
    return dict(zip(COLUMNS, (side, side, kernel, kernel, channels, filters, stride), strict=True)) | {
        "name": name,
        "repeat": repeat,
    }


def _dense(name: str, inputs: int, outputs: int) -> Any:
    return _conv(name, 1, 1, inputs, outputs)


def _alexnet() -> list[Any]:
    return [
        _conv("conv1", 55, 11, 3, 64, 4),
        _conv("conv2", 27, 5, 64, 192),
        _conv("conv3", 13, 3, 192, 384),
        _conv("conv4", 13, 3, 384, 256),
        _conv("conv5", 13, 3, 256, 256),
        _dense("fc6", 9216, 4096),
        _dense("fc7", 4096, 4096),
        _dense("fc8", 4096, 1000),
    ]


def _vgg16() -> list[Any]:
    layers, channels = [], 3
    for block, (out, filters, depth) in enumerate(
        [(224, 64, 2), (112, 128, 2), (56, 256, 3), (28, 512, 3), (14, 512, 3)], start=1
    ):
        for i in range(1, depth + 1):
            layers.append(_conv(f"conv{block}_{i}", out, 3, channels, filters))
            channels = filters
    return [*layers, _dense("fc6", 25088, 4096), _dense("fc7", 4096, 4096), _dense("fc8", 4096, 1000)]


def _resnet18() -> list[Any]:
    layers, channels = [_conv("conv1", 112, 7, 3, 64, 2)], 64
    for stage, (out, filters) in enumerate([(56, 64), (28, 128), (14, 256), (7, 512)], start=2):
        for block in (1, 2):
            stride = 2 if block == 1 and stage > 2 else 1
            layers += [
                _conv(f"conv{stage}_{block}a", out, 3, channels, filters, stride),
                _conv(f"conv{stage}_{block}b", out, 3, filters, filters),
            ]
            if channels != filters:
                layers.append(_conv(f"conv{stage}_{block}s", out, 1, channels, filters, stride))
            channels = filters
    return [*layers, _dense("fc", 512, 1000)]


def _resnet50() -> list[Any]:
    layers, channels, size = [_conv("conv1", 112, 7, 3, 64, 2)], 64, 56
    for stage, (out, width, blocks) in enumerate([(56, 64, 3), (28, 128, 4), (14, 256, 6), (7, 512, 3)], start=2):
        for block in range(1, blocks + 1):
            stride = size // out
            layers += [
                _conv(f"conv{stage}_{block}a", size, 1, channels, width),
                _conv(f"conv{stage}_{block}b", out, 3, width, width, stride),
                _conv(f"conv{stage}_{block}c", out, 1, width, 4 * width),
            ]
            if channels != 4 * width:
                layers.append(_conv(f"conv{stage}_{block}s", out, 1, channels, 4 * width, stride))
            channels, size = 4 * width, out
    return [*layers, _dense("fc", 2048, 1000)]


def _mobilenet_v2() -> list[Any]:
    layers, channels, size = [_conv("conv1", 112, 3, 3, 32, 2)], 32, 112
    block = 0
    for expansion, filters, count, first in [
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ]:  # fmt: skip
        for i in range(count):
            block += 1
            stride, width = (first if i == 0 else 1), expansion * channels
            out = size // stride
            if expansion > 1:
                layers.append(_conv(f"block{block}_expand", size, 1, channels, width))
            layers += [
                _conv(f"block{block}_depthwise", out, 3, 1, 1, stride, repeat=width),
                _conv(f"block{block}_project", out, 1, width, filters),
            ]
            channels, size = filters, out
    return [*layers, _conv("conv_last", 7, 1, 320, 1280), _dense("fc", 1280, 1000)]


NETWORKS: dict[str, list[dict[str, Any]]] = {
    "alexnet": _alexnet(),
    "mobilenet_v2": _mobilenet_v2(),
    "resnet18": _resnet18(),
    "resnet50": _resnet50(),
    "vgg16": _vgg16(),
}
"""Name -> layers, at 224 x 224 pixels and 1000 classes."""
