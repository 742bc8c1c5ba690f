"""Tiny ONNX graphs with the inputs and outputs of a Piper voice and of a Kokoro model: they hum instead of speaking.

They need the package onnx, which is no dependency of the tests: without it what uses them is skipped.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

HOP = 256
PIPER_PHONEMES = {"_": [0], "^": [1], "$": [2], " ": [3]}


def _hum(nodes: list[Any], helper: Any) -> list[Any]:
    """From ``frames`` (per phoneme) to ``audio``: HOP samples a frame."""
    return [
        *nodes,
        helper.make_node("ReduceSum", ["frames"], ["total"], keepdims=0),
        helper.make_node("Mul", ["total", "hop"], ["samples"]),
        helper.make_node("Range", ["zero", "samples", "one"], ["time"]),
        helper.make_node("Mul", ["time", "step"], ["phase"]),
        helper.make_node("Sin", ["phase"], ["audio"]),
    ]


def _constants(numpy_helper: Any, **values: float) -> list[Any]:
    return [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in values.items()]


def write_piper_voice(path: Path, *, rate: int = 22_050) -> Path:
    """A voice that hums four frames a phoneme."""
    import onnx  # type: ignore[import-not-found, unused-ignore]
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        _hum(
            [
                helper.make_node("Cast", ["input"], ["ids"], to=TensorProto.FLOAT),
                helper.make_node("Mul", ["ids", "zero"], ["nought"]),
                helper.make_node("Slice", ["scales", "first", "second"], ["scale"]),
                helper.make_node("Mul", ["scale", "each"], ["long"]),
                helper.make_node("Add", ["nought", "long"], ["wanted"]),
                helper.make_node("Ceil", ["wanted"], ["frames"]),
            ],
            helper,
        ),
        "piper",
        [
            helper.make_tensor_value_info("input", TensorProto.INT64, [1, "n"]),
            helper.make_tensor_value_info("input_lengths", TensorProto.INT64, [1]),
            helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
        ],
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["samples"])],
        [
            *_constants(numpy_helper, zero=0.0, one=1.0, hop=HOP, step=0.1, each=4.0),
            numpy_helper.from_array(np.array([1], np.int64), "first"),
            numpy_helper.from_array(np.array([2], np.int64), "second"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    letters = "abcdefghijklmnopqrstuvwxyzæðŋɐɑɒɔəɚɛɜɝɡɪɹɾʃʊʌʒˈˌːθᵻ,.!?'-"
    phonemes = {**PIPER_PHONEMES, **{letter: [at + 4] for at, letter in enumerate(letters)}}
    config = {
        "audio": {"sample_rate": rate},
        "espeak": {"voice": "en-us"},
        "language": {"code": "en_US"},
        "inference": {"noise_scale": 0.667, "length_scale": 1.0, "noise_w": 0.8},
        "num_symbols": len(phonemes),
        "num_speakers": 1,
        "speaker_id_map": {},
        "phoneme_id_map": phonemes,
        "hop_length": HOP,
    }
    path.with_name(path.name + ".json").write_text(json.dumps(config), "utf-8")
    return path


def write_kokoro_model(path: Path, *, timed: bool = True) -> Path:
    """A model that hums six frames a phoneme, with two voices beside it."""
    import onnx  # type: ignore[import-not-found, unused-ignore]
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Cast", ["tokens"], ["ids"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["ids", "zero"], ["nought"]),
        helper.make_node("ReduceSum", ["style"], ["styled"], keepdims=0),
        helper.make_node("Mul", ["styled", "zero"], ["unstyled"]),
        helper.make_node("Div", ["each", "speed"], ["long"]),
        helper.make_node("Add", ["long", "unstyled"], ["longer"]),
        helper.make_node("Add", ["nought", "longer"], ["wanted"]),
        helper.make_node("Ceil", ["wanted"], ["frames"]),
        helper.make_node("Cast", ["frames"], ["duration"], to=TensorProto.INT64),
    ]
    outputs = [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["samples"])]
    if timed:
        outputs.append(helper.make_tensor_value_info("duration", TensorProto.INT64, [1, "n"]))
    graph = helper.make_graph(
        _hum(nodes, helper),
        "kokoro",
        [
            helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, "n"]),
            helper.make_tensor_value_info("style", TensorProto.FLOAT, [1, 256]),
            helper.make_tensor_value_info("speed", TensorProto.FLOAT, [1]),
        ],
        outputs,
        _constants(numpy_helper, zero=0.0, one=1.0, hop=HOP, step=0.1, each=6.0),
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    style = np.zeros((510, 1, 256), np.float32)
    with path.with_name("voices-v1.0.bin").open("wb") as file:
        np.savez(file, af_heart=style, bm_george=style)
    return path
