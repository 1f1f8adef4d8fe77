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
    from onnx import TensorProto, helper, numpy_helper

    body, opset = network.graph, network.opset_import
    image = body.input[0]
    (out,) = body.output
    body.name = "slice"

    def named(name: str) -> str:
        return name if name in _OUTER else f"of_volume/{name}"  # none of those within the network

    def number(name: str, value: Any) -> Any:
        return numpy_helper.from_array(np.asarray(value), named(name))

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
        given = [named(name) for name in inputs]
        return helper.make_node(kind, given, [named(output)], named(f"make {output}"), **attributes)

    constants = [
        number("0", np.int64(0)),
        number("1", np.int64(1)),
        number("[0]", np.array([0])),
        number("[1]", np.array([1])),
        number("[2]", np.array([2])),
        number("[1, 2]", np.array([1, 2])),
        number("1.0", np.float32(1)),
        number("2.0", np.float32(2)),
    ]
    nodes = [  # depth of slice k of n: (2 k + 1) / n - 1
        node("Shape", ["volume"], "shape"),
        node("Gather", ["shape", "[2]"], "slices", axis=0),
        node("Gather", ["shape", "[0]"], "batch", axis=0),
        node("Squeeze", ["slices"], "count"),
        node("Range", ["0", "count", "1"], "numbers"),
        node("Cast", ["numbers"], "k", to=TensorProto.FLOAT),
        node("Cast", ["count"], "n", to=TensorProto.FLOAT),
        node("Mul", ["k", "2.0"], "2 k"),
        node("Add", ["2 k", "1.0"], "2 k + 1"),
        node("Div", ["2 k + 1", "n"], "share"),
        node("Sub", ["share", "1.0"], "places"),
        node("Unsqueeze", ["places", "[1, 2]"], "column"),
        node("Concat", ["slices", "batch", "[1]"], "wanted", axis=0),
        node("Expand", ["column", "wanted"], "depths"),
        node(
            "Scan",
            ["volume", "depths"],
            "probabilities_of_volume",
            body=body,
            num_scan_inputs=2,
            scan_input_axes=[2, 0],
            scan_output_axes=[2],
        ),
    ]
    names = [one.dim_param or one.dim_value for one in image.type.tensor_type.shape.dim]
    classes = out.type.tensor_type.shape.dim[1].dim_value
    shape = [names[0], names[1], "slices_of_volume", *names[2:]]
    kind = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "volume",
        [helper.make_tensor_value_info("volume", kind, shape)],
        [
            helper.make_tensor_value_info(
                "probabilities_of_volume", kind, [shape[0], classes, *shape[2:]]
            )
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=opset, ir_version=network.ir_version)
    model.metadata_props.extend(network.metadata_props)
    return model
