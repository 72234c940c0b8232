"""Hosts of their own on one machine: network and process namespaces joined by two bridges.

    with Lan() as lan:                       # the calling thread is in the private network now
        etcd = lan.etcd("m0", folder)        # hosts reach it at lan.etcd_endpoint(etcd)
        left, right = lan.host(), lan.host()
        role = left.house(OurRole(...))      # starts in there from now on, each time
        left.cut(Net.ETCD)
        left.heal()

A host sees its own processes and network alone, and has an address on the network of clients and
another on that of etcd. Nothing is mounted or named outside: all of it ends with this process.
"""

from __future__ import annotations

import ctypes
import enum
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

from milvus_coord.runtime.parent_death import killed_with_parent
from testing.daemon import Daemon
from testing.etcd import EtcdMember, EtcdOptions
from testing.ports import free_ports

_NEWNS, _NEWNET, _NEWPID = 0x20000, 0x40000000, 0x20000000
_TOOLS: Final = ("ip", "nsenter", "mount")
AnyDaemon = TypeVar("AnyDaemon", bound=Daemon)

_ANCHOR = """
import ctypes, os, signal, subprocess
libc = ctypes.CDLL(None, use_errno=True)
def check(code):
    if code:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
check(libc.unshare(0x20000 | 0x40000000 | 0x20000000))
go, ready = os.pipe()
child = os.fork()
if child:
    os.close(ready)
    assert os.read(go, 1) == b"."
    print(child, flush=True)
    os.waitpid(child, 0)
else:
    libc.prctl(1, signal.SIGKILL)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "proc", "proc", "/proc"], check=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    os.write(ready, b".")
    while True:
        signal.pause()
"""

_ENTER = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
folder = os.getcwd()
for fd in [os.open(f"/proc/{sys.argv[1]}/ns/{kind}", os.O_RDONLY) for kind in ("net", "mnt")]:
    if libc.setns(fd, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    os.close(fd)
os.chdir(folder)
os.execv(sys.argv[2], sys.argv[2:])
"""


class Net(enum.Enum):
    """The networks; the value is the first three bytes of their addresses."""

    CLIENTS = "10.203.0"  # clients, and hosts among themselves
    ETCD = "10.204.0"


class NoNamespaces(Exception):
    """This machine lets us make none; the text says why, fit for a skipped test."""


class Host:
    """One host of a `Lan`; made by `Lan.host`. `address` is what clients and the peer dial."""

    def __init__(self, number: int, anchor: int) -> None:
        self.number, self._anchor = number, anchor
        self.address = self.address_in(Net.CLIENTS)

    def address_in(self, net: Net) -> str:
        return f"{net.value}.{self.number + 1}"

    def house(self, daemon: AnyDaemon) -> AnyDaemon:
        """Start `daemon` in here from now on; its pid stays the one that is seen from outside."""
        start = daemon.start

        def start_inside() -> None:
            with self._children_inside():
                start()

        daemon.argv = self.inside(daemon.argv)
        daemon.start = start_inside  # type: ignore[method-assign]  # of this one only
        return daemon

    def inside(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs `argv` with the network and files of this host."""
        return [sys.executable, "-ISc", _ENTER, str(self._anchor), *argv]

    def cut(self, *nets: Net) -> None:
        """Take the links down, of both networks without arguments: nothing passes or answers."""
        _ip(*(f"link set {self._port(net)} down" for net in nets or Net))

    def heal(self) -> None:
        """All links up again."""
        _ip(*(f"link set {self._port(net)} up" for net in Net))

    def connect(self) -> None:
        """Put a cable into each bridge; called once, by the Lan."""
        inner = []
        for net in Net:
            name = net.name.lower()
            _ip(
                f"link add {self._port(net)} type veth peer name {name} netns {self._anchor}",
                f"link set {self._port(net)} master {_bridge(net)}",
                f"link set {self._port(net)} up",
            )
            inner += [f"addr add {self.address_in(net)}/24 dev {name}", f"link set {name} up"]
        _ip("link set lo up", *inner, inside=self._anchor)

    def _port(self, net: Net) -> str:
        return f"{net.name.lower()}{self.number}"

    @contextmanager
    def _children_inside(self) -> Iterator[None]:
        """Whatever this thread starts meanwhile begins in the host's process namespace."""
        with ExitStack() as stack:
            ours, theirs = (
                stack.enter_context(open(f"/proc/{who}/ns/pid", "rb"))
                for who in ("self", self._anchor)
            )
            _setns(theirs.fileno(), _NEWPID)
            try:
                yield
            finally:
                _setns(ours.fileno(), _NEWPID)


class Lan:
    """A private network for the calling thread and its children, with hosts on it.

    Threads that exist already stay where they are: one that this process' gRPC started before, for
    instance, does not reach anything in here. Raises NoNamespaces when entered.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._anchors: list[subprocess.Popen[str]] = []
        self._outside = -1

    def __enter__(self) -> Lan:
        if why := _missing():
            raise NoNamespaces(why)
        self._outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _checked(_libc().unshare(_NEWNET))
        except OSError as error:
            os.close(self._outside)
            raise NoNamespaces(f"no network namespace: {error}") from error
        _ip("link set lo up")
        for net in Net:
            bridge = _bridge(net)
            _ip(
                f"link add {bridge} type bridge",
                f"addr add {self.address_in(net)}/24 dev {bridge}",
                f"link set {bridge} up",
            )
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None
    ) -> None:
        for anchor in self._anchors:
            anchor.kill()
            anchor.communicate()
        _setns(self._outside, _NEWNET)
        os.close(self._outside)

    def address_in(self, net: Net) -> str:
        """Where hosts reach this thread's processes."""
        return f"{net.value}.1"

    def host(self) -> Host:
        """A new host, connected."""
        anchor = subprocess.Popen(
            [*killed_with_parent(), sys.executable, "-ISc", _ANCHOR],
            stdout=subprocess.PIPE,
            text=True,
        )
        self._anchors.append(anchor)
        assert anchor.stdout is not None
        pid = anchor.stdout.readline()
        if not pid:
            raise NoNamespaces("the anchor of a host ended")
        host = Host(next(self._numbers), int(pid))
        host.connect()
        return host

    def etcd(self, name: str, folder: Path) -> EtcdMember:
        """A lone member, not started, that hosts reach too."""
        client_port, peer_port, metrics_port = free_ports(3)
        listen = f"--listen-client-urls=http://0.0.0.0:{client_port}"
        options = EtcdOptions(extra_args=(listen,))
        return EtcdMember(name, folder, options, client_port, peer_port, metrics_port)

    def etcd_endpoint(self, member: EtcdMember) -> str:
        """`host:port` of `member` as a host sees it."""
        return f"{self.address_in(Net.ETCD)}:{member.client_port}"


def _missing() -> str:
    if os.geteuid() != 0:
        return "namespaces need root"
    lacking = [tool for tool in _TOOLS if not any(map(os.path.exists, _places(tool)))]
    return f"no {', '.join(lacking)} on this machine" if lacking else ""


def _places(tool: str) -> list[str]:
    return [os.path.join(folder, tool) for folder in os.get_exec_path()]


def _bridge(net: Net) -> str:
    return f"br-{net.name.lower()}"


def _ip(*commands: str, inside: int = 0) -> None:
    """Run `ip` commands, in the network of process `inside` if given."""
    argv = ["nsenter", f"--net=/proc/{inside}/ns/net"] if inside else []
    subprocess.run([*argv, "ip", "-batch", "-"], input="\n".join(commands), text=True, check=True)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _setns(fd: int, kind: int) -> None:
    _checked(_libc().setns(fd, kind))


def _checked(code: int) -> None:
    if code:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
