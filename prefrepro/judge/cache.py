"""Replies that were paid for, in one SQLite file.

One commit per reply, so a killed judging loses nothing that was answered. A paid reply is on the disk before anybody
hears of it: SQLite only writes, and we wait for the disk outside its lock, so that threads and processes that write
meanwhile share the wait. (With synchronous = FULL each commit would wait alone.) Several processes may share the file.
It never sees a key: headers do not come here.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefrepro.errors import UserError

PROTOCOL_VERSION = 1
"""Raise it when an old reply no longer answers the same request."""

RESERVED_FOR_S = 6 * 3600.0
"""A reservation ends with its process; where that cannot be seen (another host), after this time, which is longer than
any one request takes."""

CLAIM_POLL_S = 0.005
"""Between two looks at a request that another process is asking. Rare, so it need not be woken."""

PAGE = 4096
"""Bytes that SQLite writes as a whole: its page, unless told otherwise."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, endpoint TEXT NOT NULL, repeat INTEGER NOT NULL, request TEXT NOT NULL,
    body TEXT NOT NULL, cost_usd REAL NOT NULL, attempts INTEGER NOT NULL, created TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS spent (one INTEGER PRIMARY KEY CHECK (one = 1), cost_usd REAL NOT NULL);
INSERT OR IGNORE INTO spent VALUES (1, 0.0);
CREATE TABLE IF NOT EXISTS reservations (
    id INTEGER PRIMARY KEY, usd REAL NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL, expires REAL NOT NULL
);
DROP TRIGGER IF EXISTS add_cost;
"""
"""`spent` holds what every try was billed, kept or not; `replies.cost_usd` what a reply and its failed tries were."""


class OverBudgetError(Exception):
    """What was spent and what is on the way leave too little for another call."""


@dataclass(frozen=True, slots=True)
class Row:
    """One stored reply: the judge's whole JSON answer and how it was got."""

    body: str
    cost_usd: float
    attempts: int
    created: str


def canonical(value: Any) -> str:
    """JSON in which equal values are equal text."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def cache_key(request: dict[str, Any], identity: str, repeat: int) -> str:
    """Hex SHA-256 that names a reply: what was asked, of whom, under which version, for which time."""
    asked = {"request": request, "endpoint": identity, "protocol_version": PROTOCOL_VERSION, "repeat": repeat}
    return hashlib.sha256(canonical(asked).encode()).hexdigest()


class ReplyCache:
    """Thread-safe; what is `durable` also survives a power cut (worth its wait for paid replies)."""

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self._path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if path.is_file() and path.stat().st_size % PAGE:
                raise sqlite3.DatabaseError("it is cut")  # SQLite would take it for new, or read zeros
            self._db = sqlite3.connect(path, timeout=60, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._create()
            self._log = path.with_name(f"{path.name}-wal").open("rb") if durable else None
            self._claims = path.with_name(f"{path.name}.lock").open("ab")
            found = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        except (sqlite3.Error, OSError) as error:
            found = str(error)
        if found != "ok":
            raise UserError(
                f"{path}: the judge's reply cache cannot be opened: {found}. Expected an SQLite file on a local disk "
                "that may be written. Next: free the file; where it is torn, get back what it still holds with: "
                f"python -m prefrepro.judge.salvage {path}. Without the file every reply is asked (and paid) again."
            )

    def _create(self) -> None:
        """Turning a new file to WAL answers «locked» at once when several processes do it: then try again."""
        for remaining in reversed(range(100)):
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.executescript(_SCHEMA)
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or not remaining:
                    raise
                time.sleep(0.05)

    @contextlib.contextmanager
    def claimed(self, key: str) -> Iterator[None]:
        """Keep every other process from asking the same; who waited here finds the reply, or a killed process's claim.

        A lock of one byte, which ends with its process. Threads of one process are not kept apart. Not waited for in
        the kernel, which takes processes whose threads wait for each other for a deadlock.
        """
        place = int(key[:15], 16)
        while True:
            try:
                fcntl.lockf(self._claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
                break
            except (BlockingIOError, PermissionError):
                time.sleep(CLAIM_POLL_S)
        try:
            yield
        finally:
            fcntl.lockf(self._claims, fcntl.LOCK_UN, 1, place)

    def get(self, key: str) -> Row | None:
        """The stored reply, or None."""
        query = "SELECT body, cost_usd, attempts, created FROM replies WHERE key = ?"
        try:
            with self._lock:
                found = self._db.execute(query, (key,)).fetchone()
        except sqlite3.Error as error:
            raise UserError(
                f"{self._path}: the reply cache cannot be read: {error}. Next: check the disk; where the file is torn, "
                f"python -m prefrepro.judge.salvage {self._path}"
            ) from error
        return Row(*found) if found else None

    def put(self, key: str, identity: str, repeat: int, request: dict[str, Any], row: Row) -> Row:
        """Store a reply in one commit; where another process was first, its reply is kept and returned.

        Its cost is booked apart (`settle`, `book`).
        """
        values = (key, identity, repeat, canonical(request), row.body, row.cost_usd, row.attempts, row.created)
        try:
            with self._lock:
                new = self._db.execute("INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
            if self._log is not None:
                os.fsync(self._log.fileno())  # the log holds the commit, unless a checkpoint has synced it already
        except (sqlite3.Error, OSError) as error:
            raise UserError(f"{self._path}: a reply could not be stored: {error}. Check the disk.") from error
        if new.rowcount == 1:
            return row
        return self.get(key) or row

    def reserve(self, usd: float, budget_usd: float) -> int:
        """Set `usd` aside for one call, for all processes that share the file; returns what `settle` takes.

        Raises OverBudgetError where what was spent and what is on the way leave less than that of `budget_usd`.
        """
        now = time.time()
        try:
            with self._lock, self._db:
                self._db.execute("BEGIN IMMEDIATE")  # no other process writes between our reading and our writing
                self._book_the_dead(now)
                spent = self._db.execute("SELECT cost_usd FROM spent").fetchone()[0]
                on_the_way = self._db.execute("SELECT total(usd) FROM reservations").fetchone()[0]
                if spent + on_the_way + usd > budget_usd:
                    raise OverBudgetError(f"spent {spent:.4f}, on the way {on_the_way:.4f}")
                values = (usd, platform.node(), os.getpid(), now + RESERVED_FOR_S)
                added = self._db.execute(
                    "INSERT INTO reservations (usd, host, pid, expires) VALUES (?, ?, ?, ?)", values
                )
                return int(added.lastrowid or 0)
        except sqlite3.Error as error:
            raise UserError(f"{self._path}: the budget could not be checked: {error}. Check the disk.") from error

    def settle(self, reservation: int, usd: float) -> None:
        """Book what a call was billed, in the place of what `reserve` set aside for it."""
        with self._lock, contextlib.suppress(sqlite3.Error), self._db:  # else all of it is booked once we are no more
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("UPDATE spent SET cost_usd = cost_usd + ?", (usd,))
            self._db.execute("DELETE FROM reservations WHERE id = ?", (reservation,))

    def book(self, usd: float) -> None:
        """Count `usd` as spent."""
        with self._lock:
            self._db.execute("UPDATE spent SET cost_usd = cost_usd + ?", (usd,))

    def _book_the_dead(self, now: float) -> None:
        """Book the calls that were under way when their process ended: they may have been answered, and billed."""
        here = platform.node()
        over: list[tuple[str, tuple[Any, ...]]] = [("expires < ?", (now,))]
        for (pid,) in self._db.execute("SELECT DISTINCT pid FROM reservations WHERE host = ?", (here,)).fetchall():
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                over.append(("host = ? AND pid = ?", (here, pid)))
            except OSError:
                continue  # it lives, and is another user's
        for condition, values in over:
            usd = f"(SELECT total(usd) FROM reservations WHERE {condition})"
            self._db.execute(f"UPDATE spent SET cost_usd = cost_usd + {usd}", values)
            self._db.execute(f"DELETE FROM reservations WHERE {condition}", values)

    def spent_usd(self) -> float:
        """What was booked in this file: every try, also of replies that were lost."""
        with self._lock:
            return self._db.execute("SELECT cost_usd FROM spent").fetchone()[0]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()
            self._claims.close()
            if self._log is not None:
                self._log.close()
