"""Reading the holder of a port from tables as the kernel writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from milvus_coord.rpc.port_holder import PortHolder, find_holder

_HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  ...\n"


def _line(port: int, state: str, inode: int, *, local: str = "0100007F") -> str:
    return (
        f"   0: {local}:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000"
        f"     0        0 {inode} 1 0000000000000000 100 0 0 10 0\n"
    )


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(_HEAD)
    (tmp_path / "self").mkdir()
    return tmp_path


def _process(proc: Path, pid: int, command: bytes, *inodes: int) -> None:
    folder = proc / str(pid) / "fd"
    folder.mkdir(parents=True)
    (folder.parent / "cmdline").write_bytes(command)
    (folder / "0").symlink_to("/dev/null")
    for number, inode in enumerate(inodes, start=3):
        (folder / str(number)).symlink_to(f"socket:[{inode}]")


def test_the_listener_comes_before_connections(proc: Path) -> None:
    (proc / "net" / "tcp").write_text(
        _HEAD + _line(53100, "01", 11) + _line(53101, "0A", 12) + _line(53100, "06", 0)
    )
    (proc / "net" / "tcp6").write_text(_HEAD + _line(53100, "0A", 13, local="0" * 32))
    _process(proc, 100, b"client\0", 11)
    _process(proc, 200, b"milvus\0run\0rootcoord\0", 13)
    holder = find_holder(53100, proc)
    assert holder == PortHolder(200, "milvus run rootcoord", True)
    assert str(holder) == "process 200 (milvus run rootcoord)"


def test_a_connection_is_told_as_such(proc: Path) -> None:
    (proc / "net" / "tcp").write_text(_HEAD + _line(53100, "01", 11))
    _process(proc, 100, b"client\0", 11)
    assert str(find_holder(53100, proc)) == "an outgoing connection of process 100 (client)"


def test_nobody_and_those_that_cannot_be_seen_are_none(proc: Path) -> None:
    (proc / "net" / "tcp").write_text(_HEAD + _line(53100, "0A", 11))
    _process(proc, 100, b"", 12)
    assert find_holder(53100, proc) is None
    assert find_holder(53101, proc) is None


def test_a_process_without_a_command_line_has_a_number(proc: Path) -> None:
    (proc / "net" / "tcp").write_text(_HEAD + _line(53100, "0A", 11))
    _process(proc, 100, b"", 11)
    assert str(find_holder(53100, proc)) == "process 100 (command unknown)"
