"""Builds the Kubernetes, etcd, KWOK and KubeRay of the tests, from the Go modules pinned beside this file.

`make controlplane` calls it; the tests ask it where things are. What it builds lies outside the clone, in a
folder named after everything that went into it, so that a second clone builds nothing and a changed pin
builds only its own module. Needs the standard library and Go, and knows nothing of how a cluster is started.
"""

import fcntl
import functools
import hashlib
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autolfads" / "controlplane"
# What envtest's users have already; the rest is always ours.
OF_ENVTEST = ("etcd", "kube-apiserver", "kubectl")
# Debug information would be compiled into the cache and thrown away by the linker: a quarter of both.
GO_FLAGS = ("-mod=readonly", "-trimpath", "-gcflags=all=-dwarf=false", "-buildvcs=false")
GO_ENVIRONMENT = {"CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}


class BuildError(Exception):
    """Something is not there, or Go could not build it; the message says what to do."""


@dataclass(frozen=True)
class Module:
    """One go.mod beside this file.

    Attributes:
      folder: where its go.mod lies, below this folder.
      path: the module whose version it pins.
      programs: package of every program.
      stamps: linker variables that tell a program its version; `{version}`, `{major}` and `{minor}` are its.
      files: what the tests read of the module besides its programs, as globs.
    """

    folder: str
    path: str
    programs: dict[str, str]
    stamps: dict[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        for line in (HERE / self.folder / "go.mod").read_text(encoding="utf-8").splitlines():
            words = line.removeprefix("require").split()
            if words[:1] == [self.path] and "=>" not in words:
                return words[1]
        raise BuildError(f"wanted the version of {self.path}, found none in {self.folder}/go.mod; add it")

    @property
    def cache(self) -> Path:
        """Where its programs lie once they are built: another place for other sources, flags or Go."""
        recipe = (go_version(), GO_FLAGS, sorted(GO_ENVIRONMENT.items()), self.linker_flags(), self.files)
        content = hashlib.sha256(repr(recipe).encode())
        for source in sorted((HERE / self.folder).iterdir()):
            content.update(source.read_bytes())
        return CACHE / f"{self.folder}-{self.version}-{content.hexdigest()[:16]}"

    def linker_flags(self) -> str:
        major, minor, *_ = self.version.removeprefix("v").split(".")
        values = {"version": self.version, "major": major, "minor": minor}
        stamps = (f"-X {name}={text.format(**values)}" for name, text in self.stamps.items())
        return " ".join(("-s", "-w", *stamps))


def _kuberay(folder: str, program: str) -> Module:
    path = "github.com/ray-project/kuberay/ray-operator"
    return Module(folder, path, {program: path}, files=("config/crd/bases/*.yaml", "config/rbac/role.yaml"))


# In the order of their worth to the tests, so that an interrupted build has the best of it.
MODULES = (
    Module(
        "kubernetes",
        "k8s.io/kubernetes",
        {
            name: f"k8s.io/kubernetes/cmd/{name}"
            for name in ("kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler", "kubelet")
        },
        {
            "k8s.io/component-base/version.gitVersion": "{version}",
            "k8s.io/component-base/version.gitMajor": "{major}",
            "k8s.io/component-base/version.gitMinor": "{minor}",
        },
    ),
    Module("etcd", "go.etcd.io/etcd/server/v3", {"etcd": "go.etcd.io/etcd/server/v3"}),
    _kuberay("kuberay", "ray-operator"),
    Module(
        "kwok",
        "sigs.k8s.io/kwok",
        {"kwok": "sigs.k8s.io/kwok/cmd/kwok"},
        files=("kustomize/stage/*/fast/*-*.yaml", "kustomize/rbac/role.yaml"),
    ),
    Module("coredns", "github.com/coredns/coredns", {"coredns": "autolfads.dev/tests/controlplane/coredns"}),
    _kuberay("kuberay-before", "ray-operator-before"),
)


def binary(name: str) -> Path:
    """Path of a built program; $KUBEBUILDER_ASSETS wins for what envtest brings."""
    given = _given(name)
    if given:
        return given
    module = next((m for m in MODULES if name in m.programs), None)
    if module is None:
        known = ", ".join(program for m in MODULES for program in m.programs)
        raise BuildError(f"wanted one of {known}, found '{name}'; name one of them")
    return _built(module.cache / name)


def files(folder: str) -> Path:
    """Where the files of a module lie that are no programs, at the same paths as in the module."""
    module = next(m for m in MODULES if m.folder == folder)
    return _built(module.cache / "files")


@functools.cache
def go_version() -> str:
    """Version and platform of the Go that builds; part of the names of the cache's folders."""
    try:
        done = subprocess.run(("go", "env", "GOVERSION", "GOOS", "GOARCH"), capture_output=True, text=True)
    except FileNotFoundError:
        raise BuildError(
            "wanted Go 1.26 or newer to build the tests' control plane, found no `go` on PATH; install it"
        ) from None
    return done.stdout.strip()


def build() -> None:
    """Build what is not there yet; an interrupted build goes on where it was."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with _alone(CACHE / "lock"):
        for module in MODULES:
            module.cache.mkdir(exist_ok=True)
            for name, package in module.programs.items():
                _program(module, name, package)
            if module.files and not (module.cache / "files").exists():
                _copy_files(module)


def _program(module: Module, name: str, package: str) -> None:
    target = module.cache / name
    given = _given(name)
    if given or target.exists():
        print(f"{name:<24} {module.version:<9} ready: {given or target}", flush=True)
        return
    print(f"{name:<24} {module.version:<9} building ...", flush=True)
    start, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    unfinished = target.with_name(f".{name}")
    _go(module, "build", *GO_FLAGS, "-ldflags", module.linker_flags(), "-o", str(unfinished), package)
    unfinished.replace(target)
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    print(
        f"{name:<24} {module.version:<9} built in {time.monotonic() - start:.0f} s, {processor:.0f} s of "
        f"processor time, {target.stat().st_size / 1e6:.0f} MB; largest process so far "
        f"{now.ru_maxrss / 1e6:.1f} GB",
        flush=True,
    )


def _copy_files(module: Module) -> None:
    source = Path(_go(module, "list", "-m", "-f", "{{.Dir}}", module.path).strip())
    unfinished = module.cache / ".files"
    shutil.rmtree(unfinished, ignore_errors=True)
    for pattern in module.files:
        found = sorted(source.glob(pattern))
        if not found:
            raise BuildError(f"wanted {pattern} in {module.path} {module.version}, found none; mend build.py")
        for path in found:
            copy = unfinished / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())  # not copied with its mode: the module cache is read-only
    unfinished.replace(module.cache / "files")


def _go(module: Module, *words: str) -> str:
    done = subprocess.run(
        ("go", *words),
        cwd=HERE / module.folder,
        env={**os.environ, **GO_ENVIRONMENT},
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise BuildError(
            f"wanted `go {words[0]}` to succeed in tests/controlplane/{module.folder}, found exit status "
            f"{done.returncode}; see above, and call make controlplane again: it goes on where it was"
        )
    return done.stdout


def _given(name: str) -> Path | None:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    path = Path(assets) / name if assets and name in OF_ENVTEST else None
    return path if path and path.exists() else None


def _built(path: Path) -> Path:
    if not path.exists():
        raise BuildError(
            f"wanted {path.name} of the tests' control plane, found none at {path}; call make controlplane"
        )
    return path


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two builds at a time would only take each other's cores."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another build is at work; waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    try:
        build()
    except BuildError as error:
        sys.exit(str(error))
