"""The certificates of a process: read at start, on SIGHUP, and when their files change."""

from __future__ import annotations

from pathlib import Path
from ssl import SSLContext
from typing import Final

from milvus_coord.config import Settings
from milvus_coord.role.tasks.loop import Loop
from milvus_coord.rpc.client_tls import client_tls, read_files
from milvus_coord.rpc.tls import ServerTls, TlsFileError
from milvus_coord.telemetry.log import log

_LOOK_EVERY_S: Final = 60.0

_Stamp = tuple[tuple[int, int, int], ...] | None


class Certificates:
    """`server` is for our port, `client` for calling the other of the pair, whose port is as ours.

    Both are None without `common.security.tlsMode`. Raises TlsFileError.
    """

    def __init__(self, settings: Settings) -> None:
        mode, files = settings.common.security.tls_mode, settings.tls
        self.server: ServerTls | None = None
        self.client: SSLContext | None = None
        self._cert_file, self._key_file = files.server_pem_path, files.server_key_path
        use_ca = mode == 2 or Path(files.ca_pem_path).is_file()
        self._ca_file = files.ca_pem_path if use_ca else None
        if mode:
            self.server = ServerTls(
                self._cert_file, self._key_file, files.ca_pem_path, mutual=mode == 2
            )
            self.client = client_tls(self._cert_file, self._key_file, self._ca_file)
        self._read = self._stamp()

    def reload(self) -> None:
        """Read certificate and key again; connections from now on get them.

        When they cannot be used, that is logged and the pair before stays in use.
        """
        if self.server is None or self.client is None:
            return
        self._read = self._stamp()
        try:
            self.server.reload()
            read_files(self.client, self._cert_file, self._key_file, self._ca_file)
        except TlsFileError as error:
            log.warn("certificate not read again, the one before stays in use", error=str(error))
        else:
            log.info("certificate read again", file=self._cert_file)

    def loop(self) -> Loop:
        """Read them again when their files have changed, as a renewal does it."""

        async def turn() -> None:
            if self._stamp() != self._read:
                self.reload()

        return Loop("app.certificates", _LOOK_EVERY_S, turn)

    def _stamp(self) -> _Stamp:
        """What tells one version of the files from another; None while one of them is missing."""
        try:
            found = [Path(name).stat() for name in (self._cert_file, self._key_file)]
        except OSError:
            return None
        return tuple((each.st_ino, each.st_mtime_ns, each.st_size) for each in found)
