"""What RootCoord obeys with the configuration's defaults; tests replace single limits."""

from __future__ import annotations

from typing import Final

from milvus_coord.config import Settings
from milvus_coord.coordinators.rootcoord import settings

_DEFAULTS: Final = Settings()

DDL_LIMITS: Final = settings.ddl_limits(_DEFAULTS)
ACCESS_LIMITS: Final = settings.access_limits(_DEFAULTS)
IMPORT_SETTINGS: Final = settings.import_settings(_DEFAULTS)
