"""aetcd's protobuf messages and stubs; they carry no types, so they are `Any` here."""

from __future__ import annotations

import importlib
from typing import Any, Final

pb: Final[Any] = importlib.import_module("aetcd.rpc")
