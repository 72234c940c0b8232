"""`python -m milvus_coord` is the `milvus` command."""

from __future__ import annotations

import sys

from milvus_coord.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
