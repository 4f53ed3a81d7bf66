"""The output folder of a run, wherever it is.

What is committed and read back goes through `store`. Whatever needs real files (HDF5, MATLAB,
figures, the log) is made in `folder`, a folder of this machine, and then published: for an
address of this machine that is the output folder itself, and publishing has nothing to do; for
one in Cloud Storage it is a private folder that ends with the process. Nobody else asks which.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from autolfads_spec import RunPaths
from autolfads_spec.errors import MissingError
from autolfads_spec.store import PATIENCE_SECONDS, FolderStore, Store, open_store


class Output:
    """An output folder of this machine.

    Attributes:
      store: its files by name; each is whole or absent.
      folder: where results are made.
      is_here: whether that is the output folder itself.
    """

    is_here = True

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.folder = folder

    @property
    def paths(self) -> RunPaths:
        """The names of everything below `folder`."""
        return RunPaths(str(self.folder))

    def path(self, name: str) -> Path:
        """Where a file is made."""
        return self.folder / name

    def shown(self, name: str) -> str:
        """A file's address, for users."""
        return RunPaths(self.store.address).path(name)

    def fetch(self, names: Iterable[str]) -> None:
        """Brings files into `folder`; one that does not exist stays missing."""

    def publish(self, names: Iterable[str]) -> None:
        """Puts files of `folder` into the store, in this order, each in one step."""


class StagedOutput(Output):
    """An output folder in Cloud Storage, with a folder of this machine before it."""

    is_here = False

    def fetch(self, names: Iterable[str]) -> None:
        for name in names:
            path = self.path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(MissingError):
                self.store.read_file(name, path)

    def publish(self, names: Iterable[str]) -> None:
        for name in names:
            self.store.write_file(name, self.path(name))


def in_folder(folder: Path) -> Output:
    """The output folder on this machine."""
    return Output(FolderStore(folder), folder)


@contextmanager
def open_output(address: str, patience_seconds: float = PATIENCE_SECONDS) -> Iterator[Output]:
    """The output folder at an address; nothing is made or asked for yet.

    Args:
      address: where.
      patience_seconds: how long Cloud Storage may be out of reach before that is an error.

    Raises:
      StoreError: if it is no address of a folder.
    """
    store = open_store(address, patience_seconds)
    if isinstance(store, FolderStore):
        yield in_folder(Path(store.address))
        return
    with TemporaryDirectory(prefix="autolfads-", ignore_cleanup_errors=True) as folder:
        yield StagedOutput(store, Path(folder))
