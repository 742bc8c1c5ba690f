"""Write the 16 kHz half of Silero VAD as matrix products: what src/repartee/plugins/local/data/silero_vad_16k.onnx is.

    python scripts/flatten_silero.py silero_vad.onnx silero_vad_16k.onnx     (needs the package onnx)

The published graph holds two models (16 and 8 kHz) as branches of an If and computes its short convolutions one
stream at a time, which is most of its cost in a batch. Here every layer is one product over the whole batch, with
the same weights: about a third of the time for 32 streams, results equal to rounding (1e-5).
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PUBLISHED_SHA256 = "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3"


class Graph:
    """Nodes and constants as they are added; each method returns the name of what it computes."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def numbers(self, *values: int) -> str:
        return self.constant(f"numbers_{len(self.constants)}", np.array(values, np.int64))

    def __call__(self, kind: str, *inputs: str, outputs: int = 1, **attributes: object) -> str:
        names = [f"{kind.lower()}_{len(self.nodes)}_{k}" for k in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0]

    def slice(self, value: str, axis: int, start: int, stop: int) -> str:
        return self("Slice", value, self.numbers(start), self.numbers(stop), self.numbers(axis))

    def dense(self, value: str, name: str, weight: np.ndarray, bias: np.ndarray) -> str:
        product = self("MatMul", value, self.constant(f"{name}.weight", weight))
        return self("Add", product, self.constant(f"{name}.bias", bias))


def weights_of(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The weights of the branch for 16 kHz, by their names in PyTorch."""
    (choice,) = (node for node in model.graph.node if node.op_type == "If")
    (branch,) = (a.g for a in choice.attribute if a.name == "then_branch")
    return {
        node.output[0].split("__")[-1]: numpy_helper.to_array(node.attribute[0].t)
        for node in branch.node
        if node.op_type == "Constant"
    }


def flatten(w: dict[str, np.ndarray]) -> onnx.ModelProto:
    g = Graph()
    # Four frames of 256 samples, 128 apart, of the 576 and their last 64 mirrored.
    mirrored = g("Pad", "input", g.numbers(0, 0, 0, 64), mode="reflect")
    halves = g("Reshape", mirrored, g.numbers(-1, 5, 128))
    frames = g("Concat", g.slice(halves, 1, 0, 4), g.slice(halves, 1, 1, 5), axis=2)
    basis = w["stft.forward_basis_buffer"][:, 0, :].T
    spectrum = g("MatMul", frames, g.constant("stft", basis))
    real, imaginary = g.slice(spectrum, 2, 0, 129), g.slice(spectrum, 2, 129, 258)
    power = g("Add", g("Mul", real, real), g("Mul", imaginary, imaginary))
    magnitude = g("Sqrt", power)

    # A convolution is a product with the three neighbours side by side; weight [out, in, 3] becomes [3 * in, out].
    def taps(layer: int) -> np.ndarray:
        return w[f"encoder.{layer}.reparam_conv.weight"].transpose(2, 1, 0)

    def bias(layer: int) -> np.ndarray:
        return w[f"encoder.{layer}.reparam_conv.bias"]

    padded = g("Pad", magnitude, g.numbers(0, 1, 0, 0, 1, 0))
    near = g("Concat", *(g.slice(padded, 1, k, k + 4) for k in range(3)), axis=2)
    x = g("Relu", g.dense(near, "encoder.0", taps(0).reshape(3 * 129, 128), bias(0)))
    # Stride 2: frames (none, 0, 1) and (1, 2, 3).
    row = g("Reshape", g("Pad", x, g.numbers(0, 1, 0, 0, 0, 0)), g.numbers(-1, 5 * 128))
    both = g("Concat", g.slice(row, 1, 0, 384), g.slice(row, 1, 256, 640), axis=1)
    both = g("Reshape", both, g.numbers(-1, 2, 384))
    x = g("Relu", g.dense(both, "encoder.1", taps(1).reshape(3 * 128, 64), bias(1)))
    # Stride 2 again: frames (none, 0, 1); then one frame between nothing and nothing.
    x = g("Reshape", x, g.numbers(-1, 128))
    x = g("Relu", g.dense(x, "encoder.2", taps(2)[1:].reshape(2 * 64, 64), bias(2)))
    x = g("Relu", g.dense(x, "encoder.3", taps(3)[1], bias(3)))

    # LSTM cell, gates in PyTorch's order: input, forget, candidate, output.
    h, c = (g("Reshape", g.slice("state", 0, k, k + 1), g.numbers(-1, 128)) for k in range(2))
    kernel = np.concatenate([w["decoder.rnn.weight_ih"], w["decoder.rnn.weight_hh"]], axis=1).T
    gates = g.dense(g("Concat", x, h, axis=1), "rnn", kernel, w["decoder.rnn.bias_ih"] + w["decoder.rnn.bias_hh"])
    first = g("Sigmoid", g.slice(gates, 1, 0, 256))
    candidate = g("Tanh", g.slice(gates, 1, 256, 384))
    out = g("Sigmoid", g.slice(gates, 1, 384, 512))
    kept = g("Mul", g.slice(first, 1, 128, 256), c)
    c = g("Add", kept, g("Mul", g.slice(first, 1, 0, 128), candidate))
    h = g("Mul", out, g("Tanh", c))
    last = g.dense(g("Relu", h), "decoder", w["decoder.decoder.2.weight"][:, :, 0].T, w["decoder.decoder.2.bias"])
    g.nodes.append(helper.make_node("Sigmoid", [last], ["output"]))
    one = g.numbers(0)
    g.nodes.append(helper.make_node("Concat", [g("Unsqueeze", h, one), g("Unsqueeze", c, one)], ["stateN"], axis=0))

    def tensor(name: str, *shape: str | int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        g.nodes,
        "silero_vad_16k",
        [tensor("input", "streams", 576), tensor("state", 2, "streams", 128)],
        [tensor("output", "streams", 1), tensor("stateN", 2, "streams", 128)],
        g.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def main(source: Path, target: Path) -> None:
    published = source.read_bytes()
    found = hashlib.sha256(published).hexdigest()
    if found != PUBLISHED_SHA256:
        sys.exit(f"{source} is not the file this was written for: its sha256 is {found}, not {PUBLISHED_SHA256}")
    target.write_bytes(flatten(weights_of(onnx.load_from_string(published))).SerializeToString())
    print(target, hashlib.sha256(target.read_bytes()).hexdigest())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
