"""`python -m autolfads_spec`: write the files generated from the models, or check that they are fresh."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from autolfads_spec import document, reference, schema

REPOSITORY = Path(__file__).resolve().parents[2]
CRD_HEAD = (
    "# Generated from autolfads_spec by `python -m autolfads_spec`; edit the models, then run `make crds`.\n"
)


def generated() -> dict[Path, str]:
    """Every generated file with its text."""
    return {
        Path("crds/autolfadsruns.yaml"): CRD_HEAD + document.dump(schema.custom_resource_definition()),
        Path("docs/run-yaml.md"): reference.markdown(),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m autolfads_spec", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 when a file is not fresh"
    )
    parser.add_argument(
        "--root", type=Path, default=REPOSITORY, help="the repository (default: where this lies)"
    )
    options = parser.parse_args(arguments)
    stale = 0
    for name, text in generated().items():
        path = options.root / name
        if options.check:
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                sys.stderr.write(
                    f"{name}: wanted what the models say, found something else; run `make crds`\n"
                )
                stale = 1
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main())
