"""TensorBoard's event files: records of one protocol buffer each.

https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto
"""

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cluster.contracts.evaluation import EvaluationReport, evaluation_numbers
from service.db.scheduler.store import TimedMetrics

_NOT_SCALARS = {"attempt", "step", "total_steps", "eta_seconds"}
_POLYNOMIAL = 0x82F63B78
"""Polynomial of CRC-32C, reversed."""
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5
"""Wire types of protocol buffers."""
_STRING = 7
"""TensorFlow's data type."""


def event_file(
    metrics: Iterable[TimedMetrics], report: EvaluationReport | None, config: Mapping[str, Any]
) -> bytes:
    """Writes every number of every step as a scalar, under its name in the job's events, then the evaluation
    at the last step, and the configuration as text. Null, which stands for a value that is not a number,
    becomes NaN."""
    return b"".join(map(_record, _events(list(metrics), report, config)))


def _events(
    metrics: list[TimedMetrics], report: EvaluationReport | None, config: Mapping[str, Any]
) -> Iterator[bytes]:
    first, last = (metrics[0].at, metrics[-1]) if metrics else (0, TimedMetrics(0, {"step": 0}))
    yield _field(1, _DOUBLE, struct.pack("<d", first)) + _text(3, "brain.Event:2")
    document = "```json\n" + json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n```"
    yield _event(first, 0, [_text_value("config", document)])
    for at, values in metrics:
        scalars = {name: value for name, value in values.items() if name not in _NOT_SCALARS}
        yield _event(at, values["step"], _scalars(scalars))
    if report is not None:
        yield _event(last.at, last.values["step"], _scalars(evaluation_numbers(report)))


def _event(at: int, step: int, values: Iterable[bytes]) -> bytes:
    summary = b"".join(_message(1, value) for value in values)
    return (
        _field(1, _DOUBLE, struct.pack("<d", at)) + _field(2, _VARINT, _varint(step)) + _message(5, summary)
    )


def _scalars(numbers: Mapping[str, float | None]) -> Iterator[bytes]:
    for name, number in numbers.items():
        yield _text(1, name) + _field(2, _FLOAT, _float(float("nan") if number is None else number))


def _float(number: float) -> bytes:
    try:
        return struct.pack("<f", number)
    except OverflowError:
        return struct.pack("<f", float("inf") if number > 0 else float("-inf"))


def _text_value(name: str, text: str) -> bytes:
    """A summary of TensorBoard's text plug-in: a tensor with one string."""
    plugin = _message(1, _text(1, "text"))
    tensor = _field(1, _VARINT, _varint(_STRING)) + _text(8, text)
    return _text(1, name) + _message(8, tensor) + _message(9, plugin)


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def _checksum(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    masked = ((crc >> 15) | (crc << 17)) + 0xA282EAD8
    return struct.pack("<I", masked & 0xFFFFFFFF)


def _message(number: int, content: bytes) -> bytes:
    return _field(number, _BYTES, _varint(len(content)) + content)


def _text(number: int, text: str) -> bytes:
    return _message(number, text.encode())


def _field(number: int, wire_type: int, content: bytes) -> bytes:
    return _varint(number << 3 | wire_type) + content


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def _crc_of_byte(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_TABLE = [_crc_of_byte(byte) for byte in range(256)]
