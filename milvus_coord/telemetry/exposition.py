"""Prometheus' text format 0.0.4 the way Go's client writes it: plain counter names, Go floats."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

from prometheus_client import Metric

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_KINDS: Final = {"unknown": "untyped", "info": "gauge", "stateset": "gauge"}
_LABEL_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})


def exposition(metrics: Iterable[Metric]) -> bytes:
    """The text of `metrics`; families without a sample and `_created` samples are left out."""
    lines: list[str] = []
    for metric in metrics:
        samples = [each for each in metric.samples if not each.name.endswith("_created")]
        if not samples:
            continue
        name = metric.name
        if metric.type in {"counter", "info"}:
            name = samples[0].name
        lines.append(f"# HELP {name} {metric.documentation.translate(_HELP_ESCAPES)}\n")
        lines.append(f"# TYPE {name} {_KINDS.get(metric.type, metric.type)}\n")
        lines += [f"{each.name}{_labels(each.labels)} {go_float(each.value)}\n" for each in samples]
    return "".join(lines).encode("utf-8", "replace")


def go_float(value: float) -> str:
    """The shortest form, with an exponent from 1e+06 on and below 1e-04, as Go's client does."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    if abs(value) < 1_000_000 and value == int(value):
        return str(int(value))
    sign, digits, shift = Decimal(repr(float(value))).normalize().as_tuple()
    exponent = len(digits) + int(shift) - 1
    if -4 <= exponent < 6:
        return repr(float(value))
    head, tail = digits[0], "".join(map(str, digits[1:]))
    mantissa = f"{head}.{tail}" if tail else str(head)
    return f"{'-' if sign else ''}{mantissa}e{exponent:+03d}"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    names = sorted(labels, key=lambda name: (name == "le", name))
    return "{" + ",".join([f'{name}="{_label(name, labels[name])}"' for name in names]) + "}"


def _label(name: str, value: str) -> str:
    if name == "le":
        return go_float(float(value))
    return value.translate(_LABEL_ESCAPES)
