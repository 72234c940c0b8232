"""`milvus completion SHELL`: what a shell must know to complete the command line."""

from __future__ import annotations

from argcomplete.shell_integration import shellcode


def script(shell: str) -> str:
    """For bash, zsh or fish; it calls `milvus` at each Tab, with `_ARGCOMPLETE` set."""
    return str(shellcode(["milvus"], shell=shell))
