"""From a network of slices to one of volumes, which goes through them one by one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["as_volumes"]

_OUTER = ("volume", "probabilities_of_volume")


def as_volumes(path: Path) -> None:
    """Change an ONNX file of :func:`~.onnx_file.write_onnx` to one of whole volumes."""
    import onnx

    model = _of_volumes(onnx.load(str(path)))
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _of_volumes(network: Any) -> Any:
    """Turn an ONNX model of slices, with their neighbours and depth, into one of whole volumes.

    The input ``image`` becomes (batch, channels, slices, height, width), and so does the output.
    The depth of each slice is counted from their number, and beyond the ends the last slice stands
    for its neighbours. One slice after the other is in memory.
    """
    from onnx import TensorProto, helper

    body, kind = network.graph, TensorProto.FLOAT
    (out,) = body.output
    body.name = "slice"
    image, *depth = list(body.input)
    sides = image.type.tensor_type.shape.dim
    batch, channels, *near, height, width = [one.dim_param or one.dim_value for one in sides]
    classes = out.type.tensor_type.shape.dim[1].dim_value
    given, made = _OUTER
    _take_slices(body, near)
    graph = helper.make_graph(
        _nodes(body, near, depth),
        "volume",
        [_tensor(given, kind, [batch, channels, "slices_of_volume", height, width])],
        [_tensor(made, kind, [batch, classes, "slices_of_volume", height, width])],
        _constants(near),
    )
    model = helper.make_model(
        graph, opset_imports=network.opset_import, ir_version=network.ir_version
    )
    model.metadata_props.extend(network.metadata_props)
    return model


def _tensor(name: str, kind: int, shape: list[Any]) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, kind, shape)


def _take_slices(body: Any, near: Sequence[int]) -> None:
    """Let a network of slices read these from the volume about it, by their numbers.

    ``near`` is empty, or has the number of slices that it sees at once.
    """
    from onnx import TensorProto, helper

    image, *depth = list(body.input)
    numbers, given = _named("numbers of a slice"), _OUTER[0]
    read = helper.make_node("Gather", [given, numbers], [image.name], _named("read"), axis=2)
    nodes = [read, *body.node]
    del body.input[:], body.node[:]
    body.node.extend(nodes)
    body.input.extend([_tensor(numbers, TensorProto.INT64, list(near)), *depth])


def _constants(near: Sequence[int]) -> list[Any]:
    """Numbers by what they are."""
    from onnx import numpy_helper

    reach = near[0] // 2 if near else 0
    values = {
        "0": np.int64(0),
        "1": np.int64(1),
        "[0]": np.array([0]),
        "[1]": np.array([1]),
        "[2]": np.array([2]),
        "[1, 2]": np.array([1, 2]),
        "1.0": np.float32(1),
        "2.0": np.float32(2),
        "offsets": np.arange(-reach, reach + 1),
    }
    return [numpy_helper.from_array(np.asarray(one), _named(name)) for name, one in values.items()]


def _nodes(body: Any, near: Sequence[int], depth: Sequence[Any]) -> list[Any]:
    """The network on slice k of n after another, by the numbers of what it sees of the volume.

    With the depth of each, (2 k + 1) / n - 1, where that counts.
    """
    given, made = _OUTER
    seen = ["seen" if near else "numbers", *(["depths"] if depth else [])]
    return [
        _node("Shape", [given], "shape"),
        _node("Gather", ["shape", "[2]"], "slices", axis=0),
        _node("Squeeze", ["slices"], "count"),
        _node("Range", ["0", "count", "1"], "numbers"),
        *(_neighbours() if near else []),
        *(_depths() if depth else []),
        _node(
            "Scan",
            seen,
            made,
            body=body,
            num_scan_inputs=len(seen),
            scan_input_axes=[0] * len(seen),
            scan_output_axes=[2],
        ),
    ]


def _neighbours() -> list[Any]:
    """Of each slice the numbers of it and its neighbours; the last one stands for those beyond."""
    return [
        _node("Unsqueeze", ["numbers", "[1]"], "middle"),
        _node("Add", ["middle", "offsets"], "near"),
        _node("Sub", ["count", "1"], "last"),
        _node("Min", ["near", "last"], "near or last"),
        _node("Max", ["near or last", "0"], "seen"),
    ]


def _depths() -> list[Any]:
    from onnx import TensorProto

    return [
        _node("Gather", ["shape", "[0]"], "batch", axis=0),
        _node("Cast", ["numbers"], "k", to=TensorProto.FLOAT),
        _node("Cast", ["count"], "n", to=TensorProto.FLOAT),
        _node("Mul", ["k", "2.0"], "2 k"),
        _node("Add", ["2 k", "1.0"], "2 k + 1"),
        _node("Div", ["2 k + 1", "n"], "share"),
        _node("Sub", ["share", "1.0"], "places"),
        _node("Unsqueeze", ["places", "[1, 2]"], "column"),
        _node("Concat", ["slices", "batch", "[1]"], "wanted", axis=0),
        _node("Expand", ["column", "wanted"], "depths"),
    ]


def _node(kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    from onnx import helper

    names = [_named(name) for name in inputs]
    return helper.make_node(kind, names, [_named(output)], _named(f"make {output}"), **attributes)


def _named(name: str) -> str:
    """A name that none within the network has."""
    return name if name in _OUTER else f"of_volume/{name}"
