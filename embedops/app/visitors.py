"""Who is here, what works for them, and the files that are theirs."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from embedops.app.jobs import Job
from embedops.app.turns import Turns

T = TypeVar("T")


class Visitors:
    """The jobs and the files of everybody who has the page open, by session."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[tuple[str, str], Job[Any]] = {}
        self._asked: dict[tuple[str, str], tuple[Any, ...]] = {}
        self._uploads: dict[str, set[Path]] = {}
        self._home = tempfile.TemporaryDirectory(prefix="embedops-")

    def start(
        self, session: str, name: str, turns: Turns, work: Callable[[Job[T]], Iterator[T]]
    ) -> Job[T]:
        """A job called `name` in place of the session's last one of that name, which stops."""
        job = Job(turns, work)
        with self._lock:
            before = self._jobs.get((session, name))
            self._jobs[session, name] = job
        if before is not None:
            before.stop()
        return job

    def stop(self, session: str, name: str) -> Job[Any] | None:
        """Stop the session's job of that name, and give it, if there is one."""
        with self._lock:
            job = self._jobs.get((session, name))
        if job is not None:
            job.stop()
        return job

    def asks(self, session: str, name: str, values: tuple[Any, ...]) -> None:
        """Remember what the session asks of the tab called `name`."""
        with self._lock:
            self._asked[session, name] = values

    def asked(self, session: str, name: str) -> tuple[Any, ...] | None:
        """What the session asked last."""
        with self._lock:
            return self._asked.get((session, name))

    def running(self) -> int:
        """How many jobs have not ended."""
        with self._lock:
            return sum(job.alive for job in self._jobs.values())

    def folder(self, session: str) -> Path:
        """A folder for the session's files, which goes when it leaves."""
        path = self._path(session)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def own(self, session: str, files: Sequence[Path]) -> None:
        """Remember uploads of the session, to remove them when it leaves."""
        with self._lock:
            self._uploads.setdefault(session, set()).update(files)

    def leave(self, session: str) -> None:
        """The page was closed: stop what works for it and remove its files."""
        with self._lock:
            mine = [key for key in self._jobs if key[0] == session]
            jobs = [self._jobs.pop(key) for key in mine]
            for key in [key for key in self._asked if key[0] == session]:
                del self._asked[key]
            uploads = self._uploads.pop(session, set())
        for job in jobs:
            job.stop()
        for upload in uploads:
            upload.unlink(missing_ok=True)
        shutil.rmtree(self._path(session), ignore_errors=True)

    def close(self) -> None:
        """Stop everything and remove all files."""
        for session in {key[0] for key in self._jobs}:
            self.leave(session)
        self._home.cleanup()

    def _path(self, session: str) -> Path:
        # The browser names the session, so that its name must not become a path.
        return Path(self._home.name) / hashlib.sha256(session.encode()).hexdigest()[:24]
