"""The same daemon, whose event loop stands still when told by a signal, as by a bad callback.

python -m tests.rig.blockable run rootcoord; SIGUSR1 blocks its main thread for `BLOCK_S`, and
nothing else: its other threads and the kernel's side of its sockets go on.
"""

from __future__ import annotations

import signal
import sys
import time
from typing import Final

from milvus_coord.cli.main import main

BLOCK_S: Final = 5.0

if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, lambda *_: time.sleep(BLOCK_S))
    sys.exit(main())
