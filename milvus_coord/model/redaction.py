"""Keep secrets out of what is printed, logged and sent."""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "******"

_LOGIN_IN_URL: Final = re.compile(r"(?<=://)[^\s,;\"']*@")
_LOGIN: Final = re.compile(r"(?<![^\s,;\"'=(])[^\s,;\"'=:/@]+:[^\s,;\"'/@]+@(?=[\w.\[-]+:\d)")


def without_logins(text: str) -> str:
    """`text` with `******` for user and password in each address: `http://user:password@host`.

    Also without a scheme, where a port follows: `user:password@host:2379`. A password with a
    blank, a comma or a quote in it is no part of an address.
    """
    if "@" not in text:
        return text
    return _LOGIN.sub(f"{MASK}@", _LOGIN_IN_URL.sub(f"{MASK}@", text))
