"""Settings: YAML, environment and etcd overlay, checked as a whole."""

from __future__ import annotations

from milvus_coord.config.errors import ConfigError, Problem
from milvus_coord.config.loading import Loaded, check_start, load, load_stored
from milvus_coord.config.origin import Origin
from milvus_coord.config.role import RoleSettings
from milvus_coord.config.settings import Settings

__all__ = [
    "ConfigError",
    "Loaded",
    "Origin",
    "Problem",
    "RoleSettings",
    "Settings",
    "check_start",
    "load",
    "load_stored",
]
