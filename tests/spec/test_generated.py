import subprocess
import sys
from pathlib import Path

import pytest

from autolfads_spec import reference
from autolfads_spec.__main__ import generated, main
from autolfads_spec.run import RunSpec

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("name", generated(), ids=str)
def test_generated_files_are_fresh(name):
    assert (REPOSITORY / name).read_text(encoding="utf-8") == generated()[name], "run `make crds`"


def test_checking_tells_a_stale_file_and_writing_cures_it(tmp_path, capsys):
    assert main(["--check", "--root", str(tmp_path)]) == 1
    assert "crds/autolfadsruns.yaml: wanted what the models say" in capsys.readouterr().err

    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--check", "--root", str(tmp_path)]) == 0


def test_the_command_checks_this_repository():
    command = [sys.executable, "-m", "autolfads_spec", "--check"]

    assert subprocess.run(command, check=False, timeout=60).returncode == 0


def test_the_reference_has_every_field():
    page = reference.markdown()

    def visit(block, prefix):
        for field in block.model_fields.values():
            assert f"`{prefix}{field.alias}`" in page, f"{prefix}{field.alias}"

    for name, child in RunSpec.blocks_inside():
        assert f"\n## {name}\n" in page
        visit(child, "")
        for inner_name, inner in child.blocks_inside():
            visit(inner, f"{inner_name}[]." if inner_name == "searchSpace" else f"{inner_name}.")


def test_no_cell_of_the_reference_breaks_its_table():
    for line in reference.markdown().splitlines():
        if line.startswith("| `"):
            assert line.endswith(" |")
            assert line.count("|") in (7, 9), line
