import platform
import subprocess
import sys
from importlib import metadata

from lfads_worker.results.provenance import package_version, versions


def test_versions_name_python_and_every_package_that_numbers_depend_on():
    found = versions()

    assert list(found) == ["python", "autolfads", "tensorflow", "ray", "numpy", "scipy", "h5py"]
    assert found["python"] == platform.python_version()
    assert found["numpy"] == metadata.version("numpy")
    assert found["tensorflow"]  # on most machines it comes from the distribution tensorflow-cpu


def test_a_package_that_is_not_installed_has_no_version():
    assert package_version("no-such-package-anywhere") is None
    assert package_version("no-such-package-anywhere", "numpy") == metadata.version("numpy")


def test_collecting_loads_neither_tensorflow_nor_ray():
    script = (
        "import sys, lfads_worker.results.collect; "
        "from lfads_worker.results.provenance import versions; versions(); "
        "print([m for m in ('tensorflow', 'ray') if m in sys.modules])"
    )

    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "[]"
