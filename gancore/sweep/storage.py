"""Where a sweep is stored: the optuna storage of its trials, and the folder of their runs.

All workers share both. Imports optuna only in functions.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gancore.errors import ConfigError, StorageError, describe_error
from gancore.file_lock import FileLock, LockedError, file_lock, is_locked
from gancore.files import atomic_write, read_json_object
from gancore.run_folder import RunFolder

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

JOURNAL, IDENTITY, CLAIM = "sweep.journal", "sweep.json", "claim"
CLAIM_GRACE_SECONDS = 120
"""After this time the lock of a worker that was killed while it chose its trial is removed."""
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_PASSWORD = re.compile(r"(?<=://)([^:@/]*):[^@/]*@")


def require_optuna() -> None:
    """Raises ConfigError if the extra ``sweep`` is not installed."""
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError("a sweep needs Optuna, which is not installed", 'pip install "gancore[sweep]"')


def is_url(storage: str) -> bool:
    return _URL.match(storage) is not None


def shown(storage: str) -> str:
    """The storage without the password of its URL."""
    return _PASSWORD.sub(r"\1:***@", storage)


@dataclass
class SweepFolder:
    """The folder of a sweep: a run folder for each trial in ``trials``, and locks."""

    path: Path

    def __post_init__(self) -> None:
        self.journal = self.path / JOURNAL
        self.identity_file = self.path / IDENTITY
        self.trials = self.path / "trials"
        self.locks = self.path / "locks"

    def run(self, number: int) -> RunFolder:
        return RunFolder(self.trials / f"{number:04d}")

    def create(self, flag: str) -> None:
        """Create the folder.

        Raises:
            ConfigError: it cannot be written, contains other files, or a part of it is no file or folder.
        """
        try:
            self._check_parts(flag)
            self.path.mkdir(parents=True, exist_ok=True)
            others = {path.name for path in self.path.iterdir() if not path.name.startswith(".")}
            own = {self.locks.name, self.trials.name}  # another worker may be making them
            if others - own and not self.identity_file.is_file():
                raise ConfigError(f"{flag} {self.path} contains other files", "give a new or empty folder")
            for folder in (self.locks, self.trials):
                folder.mkdir(exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{flag} {self.path}: {error.strerror}", "give another folder") from error

    def _check_parts(self, flag: str) -> None:
        """Raises ConfigError for links and pipes: optuna would write into the files of others, or wait."""
        for path in (self.journal, self.identity_file, self.trials, self.locks):
            expected = stat.S_ISREG if path in (self.journal, self.identity_file) else stat.S_ISDIR
            with contextlib.suppress(FileNotFoundError):
                if not expected(path.lstat().st_mode):
                    kind = "regular file" if expected is stat.S_ISREG else "folder"
                    raise ConfigError(f"{flag} {self.path}: {path.name} is no {kind}", "give another folder")

    def identity(self) -> str:
        """The name by which storage and folder know each other; it is made if there is none.

        Raises:
            CheckpointError: it cannot be read or written.
        """
        with contextlib.suppress(FileNotFoundError):
            return str(read_json_object(self.identity_file).get("id"))
        identity = secrets.token_hex(8)
        atomic_write(self.identity_file, json.dumps({"id": identity}) + "\n")
        return identity

    @contextlib.contextmanager
    def claiming(self) -> Iterator[None]:
        """Context manager in which this worker alone creates the study, or chooses a trial.

        The lock is a file that is created exclusively, which works on network file systems, too.
        """
        from optuna.storages.journal import JournalFileOpenLock

        lock = JournalFileOpenLock(str(self.locks / CLAIM), CLAIM_GRACE_SECONDS)
        try:
            lock.acquire()
        except OSError as error:
            raise ConfigError(f"{self.locks}: {error.strerror}", "make the folder writable") from error
        try:
            yield
        finally:
            with contextlib.suppress(RuntimeError):  # another worker took this one for killed
                lock.release()

    def try_lock(self, number: int, stack: contextlib.ExitStack) -> FileLock | None:
        """Lock a trial until ``stack`` is closed; None if another worker has it."""
        path = self._lock_file(number)
        if is_locked(path):
            return None
        try:
            return stack.enter_context(file_lock(path))
        except LockedError:
            return None

    def is_locked(self, number: int) -> bool:
        """Whether a worker has this trial, as far as it is known without waiting."""
        return is_locked(self._lock_file(number))

    def _lock_file(self, number: int) -> Path:
        return self.locks / f"{number:04d}.lock"


def open_storage(storage: str) -> BaseStorage:
    """The optuna storage in a folder that exists, or at a URL.

    Raises:
        ConfigError: it cannot be opened, or is none of optuna.
    """
    import optuna
    from optuna.storages import JournalStorage, get_storage

    from gancore.sweep.journal import SweepJournal

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        if not is_url(storage):
            return JournalStorage(SweepJournal(str(SweepFolder(Path(storage)).journal)))
        return get_storage(storage)
    except Exception as error:  # of any driver of any database
        raise _storage_error(storage, error) from error


@contextlib.contextmanager
def storage_errors(storage: str) -> Iterator[None]:
    """Context manager that raises StorageError if a database fails while a worker uses it."""
    from optuna.exceptions import StorageInternalError

    try:
        yield
    except Exception as error:
        if not isinstance(error, StorageInternalError) and not _is_of(error, "sqlalchemy", "redis"):
            raise
        reason = shown(describe_error(error.__cause__ or error))
        raise StorageError(
            f"--storage {shown(storage)} failed: {reason}", "repeat the command when it works again"
        ) from error


def _is_of(error: Exception, *packages: str) -> bool:
    return type(error).__module__.partition(".")[0] in packages


def _storage_error(storage: str, error: Exception) -> ConfigError:
    if isinstance(error, OSError):
        return ConfigError(f"--storage {shown(storage)}: {error.strerror or error}", "make it readable")
    if isinstance(error, ImportError):
        reason = f"its driver is not installed ({describe_error(error)})"
        return ConfigError(f"--storage {shown(storage)}: {reason}", "install it, or give a folder")
    reason = shown(describe_error(error))
    fix = "give a URL that optuna opens" if is_url(storage) else f"restore {JOURNAL}, or give a new folder"
    return ConfigError(f"--storage {shown(storage)} cannot be opened: {reason}", fix)
