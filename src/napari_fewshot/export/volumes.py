"""From a network of slices to one of volumes, which goes through them one by one."""

from __future__ import annotations

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
    """Turn an ONNX model of slices with their depth into one of whole volumes.

    The input ``image`` becomes (batch, channels, slices, height, width), and so does the output.
    The depth of each slice is counted from their number. One slice after the other is in memory.
    """
    from onnx import TensorProto, helper

    body, kind = network.graph, TensorProto.FLOAT
    (out,) = body.output
    body.name = "slice"
    sides = body.input[0].type.tensor_type.shape.dim
    batch, channels, *others = [one.dim_param or one.dim_value for one in sides]
    classes = out.type.tensor_type.shape.dim[1].dim_value
    given, made = _OUTER
    graph = helper.make_graph(
        _nodes(body),
        "volume",
        [_tensor(given, kind, [batch, channels, "slices_of_volume", *others])],
        [_tensor(made, kind, [batch, classes, "slices_of_volume", *others])],
        _constants(),
    )
    model = helper.make_model(
        graph, opset_imports=network.opset_import, ir_version=network.ir_version
    )
    model.metadata_props.extend(network.metadata_props)
    return model


def _tensor(name: str, kind: int, shape: list[Any]) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, kind, shape)


def _constants() -> list[Any]:
    """Numbers by what they are."""
    from onnx import numpy_helper

    values = {
        "0": np.int64(0),
        "1": np.int64(1),
        "[0]": np.array([0]),
        "[1]": np.array([1]),
        "[2]": np.array([2]),
        "[1, 2]": np.array([1, 2]),
        "1.0": np.float32(1),
        "2.0": np.float32(2),
    }
    return [numpy_helper.from_array(np.asarray(one), _named(name)) for name, one in values.items()]


def _nodes(body: Any) -> list[Any]:
    """The depth of slice k of n, (2 k + 1) / n - 1, and the network on one slice after another."""
    from onnx import TensorProto

    given, made = _OUTER
    return [
        _node("Shape", [given], "shape"),
        _node("Gather", ["shape", "[2]"], "slices", axis=0),
        _node("Gather", ["shape", "[0]"], "batch", axis=0),
        _node("Squeeze", ["slices"], "count"),
        _node("Range", ["0", "count", "1"], "numbers"),
        _node("Cast", ["numbers"], "k", to=TensorProto.FLOAT),
        _node("Cast", ["count"], "n", to=TensorProto.FLOAT),
        _node("Mul", ["k", "2.0"], "2 k"),
        _node("Add", ["2 k", "1.0"], "2 k + 1"),
        _node("Div", ["2 k + 1", "n"], "share"),
        _node("Sub", ["share", "1.0"], "places"),
        _node("Unsqueeze", ["places", "[1, 2]"], "column"),
        _node("Concat", ["slices", "batch", "[1]"], "wanted", axis=0),
        _node("Expand", ["column", "wanted"], "depths"),
        _node(
            "Scan",
            [given, "depths"],
            made,
            body=body,
            num_scan_inputs=2,
            scan_input_axes=[2, 0],
            scan_output_axes=[2],
        ),
    ]


def _node(kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    from onnx import helper

    names = [_named(name) for name in inputs]
    return helper.make_node(kind, names, [_named(output)], _named(f"make {output}"), **attributes)


def _named(name: str) -> str:
    """A name that none within the network has."""
    return name if name in _OUTER else f"of_volume/{name}"
