"""`milvus status` on a terminal: in colour, as wide as the screen; with `-w` redrawn in place."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from milvus_coord.cli.format import clock_time
from milvus_coord.cli.ha_status_events import events
from milvus_coord.cli.ha_status_show import (
    HEAD,
    NUMBERS,
    RoleSeen,
    exit_code,
    notes_of,
    rows_of,
)

EVENTS_KEPT: Final = 8
SPARE: Final = ("HTTP", "SERVE", "LEASE", "BEHIND", "VERSION", "EPOCH", "ROLE")
"""Columns that a narrow screen goes without, the first of them first."""

_GAP: Final = 2
_STYLES: Final = {"active": "green", "deposed": "red", "no": "yellow", "yes": "green"}


class Screen:
    """Draws pictures. NO_COLOR and what the terminal can do are `rich`'s to know."""

    def __init__(self, meta_root: str, console: Console | None = None) -> None:
        self._meta_root, self._console = meta_root, console or Console(highlight=False)
        self._seen: Sequence[RoleSeen] | None = None
        self._in_trouble = False
        self._events: deque[str] = deque(maxlen=EVENTS_KEPT)

    def show(self, seen: Sequence[RoleSeen], now_ms: int) -> None:
        """Print one picture."""
        self._console.print(self._picture(seen, now_ms))

    @contextmanager
    def live(self) -> Iterator[Live]:
        """Inside the block `draw` redraws; what was drawn last stays on the screen."""
        with Live(console=self._console, auto_refresh=False, transient=False) as live:
            yield live

    def draw(self, live: Live, seen: Sequence[RoleSeen], now_ms: int, trouble: str = "") -> None:
        """The picture, a clock, what has happened of late, and `trouble` above all of it.

        While there is trouble nothing is told of the instances: nobody knows what they do.
        """
        at = clock_time(now_ms)
        if bool(trouble) != self._in_trouble:
            self._in_trouble = bool(trouble)
            self._events.append(f"{at}  etcd {'does not answer' if trouble else 'answers again'}")
        if self._seen is not None and not trouble:
            self._events.extend(f"{at}  {text}" for text in events(self._seen, seen, now_ms))
        self._seen = seen if not trouble or self._seen is None else self._seen
        head = Text(f"{clock_time(now_ms)}  {self._meta_root}  Ctrl-C ends", style="dim")
        told = [Text(text, overflow="ellipsis", no_wrap=True) for text in self._events]
        above = [head, *([Text(trouble, style="red")] if trouble else [])]
        below = [*([Text("")] if told else []), *told]
        live.update(Group(*above, self._picture(seen, now_ms), *below))
        live.refresh()

    def _picture(self, seen: Sequence[RoleSeen], now_ms: int) -> RenderableType:
        rows = rows_of(seen)
        if not rows:
            return Text(f"nobody has registered below {self._meta_root}/session")
        shown = fitting(rows, self._console.width)
        table = Table(box=None, padding=(0, _GAP, 0, 0), header_style="bold", pad_edge=False)
        for name in shown:
            table.add_column(
                name,
                justify="right" if name in NUMBERS.split() else "left",
                min_width=max(len(str(one)) for one in _ids(seen)) if name == "ID" else None,
                no_wrap=True,
                overflow="ellipsis",
            )
        for row in rows:
            cells = dict(zip(HEAD, row, strict=True))
            table.add_row(
                *(Text(cells[name], style=_STYLES.get(cells[name], "")) for name in shown)
            )
        style = "yellow" if exit_code(seen) else ""
        notes = [Text(text, style=style) for text in notes_of(seen, now_ms)]
        return Group(table, *([Text("")] if notes else []), *notes)


def _ids(seen: Sequence[RoleSeen]) -> list[int]:
    return [one.server_id for role in seen for one in role.snapshot.instances]


def fitting(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """The names of the columns that there is room for."""
    widths = {name: max(len(name), *(len(row[at]) for row in rows)) for at, name in enumerate(HEAD)}
    shown = list(HEAD)
    for name in SPARE:
        if sum(widths[each] + _GAP for each in shown) - _GAP <= width:
            break
        shown.remove(name)
    return shown
