"""The certificates of a process: read at start, on SIGHUP, and when their files change."""

from __future__ import annotations

from pathlib import Path
from ssl import SSLContext
from typing import Final

from milvus_coord.config import Settings
from milvus_coord.rpc.tls import ClientTls, ServerTls, TlsFileError
from milvus_coord.runtime.loop import Loop
from milvus_coord.telemetry.log import log

_LOOK_EVERY_S: Final = 60.0

_Stamp = tuple[tuple[int, int, int], ...] | None


class Certificates:
    """`server` is for our port, `client` for calling the other of the pair, whose port is as ours.

    Both are None without `ha.tls.mode`. Raises TlsFileError.
    """

    def __init__(self, settings: Settings) -> None:
        mode, files = settings.ha.tls.mode, settings.ha.tls
        self._files = (files.server_pem_path, files.server_key_path)
        self._sides: tuple[ServerTls, ClientTls] | None = None
        self._read = self._stamp()
        if mode:
            use_ca = mode == 2 or Path(files.ca_pem_path).is_file()
            self._sides = (
                ServerTls(*self._files, files.ca_pem_path, mutual=mode == 2),
                ClientTls(*self._files, files.ca_pem_path if use_ca else None),
            )

    @property
    def server(self) -> ServerTls | None:
        return self._sides[0] if self._sides else None

    @property
    def client(self) -> SSLContext | None:
        return self._sides[1].context if self._sides else None

    def reload(self) -> None:
        """Read certificate and key again; connections from now on get them.

        When they cannot be used, that is logged, the pair before stays in use, and `loop` tries
        again.
        """
        if self._sides is None:
            return
        stamp = self._stamp()
        try:
            for side in self._sides:
                side.reload()
        except TlsFileError as error:
            log.warn("certificate not read again, the one before stays in use", error=str(error))
        else:
            self._read = stamp
            log.info("certificate read again", file=self._files[0])

    def loop(self) -> Loop:
        """Read them again when their files have changed, as a renewal does it."""

        async def turn() -> None:
            if self._stamp() != self._read:
                self.reload()

        return Loop("app.certificates", _LOOK_EVERY_S, turn)

    def _stamp(self) -> _Stamp:
        """What tells one version of the files from another; None while one of them is missing."""
        try:
            found = [Path(name).stat() for name in self._files]
        except OSError:
            return None
        return tuple((each.st_ino, each.st_mtime_ns, each.st_size) for each in found)
