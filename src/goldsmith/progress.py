"""Progress of long work: a live table of host and task on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text


@dataclass
class Row:
    """Where one host stands."""

    task: str = ""
    ok: int = 0
    changed: int = 0
    failed: int = 0
    state: str = "running"


class Progress:
    """Shows which host is at which task. Use as a context manager; everything goes to standard error."""

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._rows: dict[str, Row] = {}
        self._started = time.monotonic()
        self._said = ""
        self._live = Live(console=console, get_renderable=self._table, transient=True, refresh_per_second=8)

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    @property
    def live(self) -> bool:
        """Whether there is a table; else lines tell what goes on."""
        return self._console.is_terminal

    def say(self, text: str) -> None:
        """A line that stays."""
        self._console.print(escape(text), highlight=False, soft_wrap=True)

    def row(self, host: str) -> Row:
        """The host's row, to be read and changed."""
        return self._rows.setdefault(host, Row())

    def task(self, host: str, name: str) -> None:
        """A host begins a task. The check of a role's arguments, which Ansible puts first, is no news."""
        if "Validating arguments against arg spec" in name:
            return
        self.row(host).task = name
        if not self._console.is_terminal and name != self._said:
            self._said = name
            self.say(f"  {self.seconds:5.1f} s  {name}")

    def _table(self) -> Table:
        title = f"{self._title}  {self.seconds:.0f} s"
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        table.add_column("host", no_wrap=True)
        for column in ("ok", "changed", "failed"):
            table.add_column(column, justify="right")
        table.add_column("task", no_wrap=True, overflow="ellipsis", ratio=1)
        for host, row in self._rows.items():
            task = Text(row.task) if row.state == "running" else Text(row.state, style="bold red")
            table.add_row(host, *(str(count or "") for count in (row.ok, row.changed, row.failed)), task)
        return table
