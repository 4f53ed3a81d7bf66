"""YAML text to plain values and back, with the line of every value kept for error messages.

Stricter than YAML where YAML surprises: a key given twice, several documents, merge keys, keys that are not
text. Kinder in one place: 1e-3 is a number, as in YAML 1.2 and in kubectl, where PyYAML would read text.
Dates stay text, as in Kubernetes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from autolfads_spec.errors import SpecError

Place = tuple[str | int, ...]

LARGEST_FILE_BYTES = 1_000_000  # Kubernetes refuses objects above about 1.5 MB
MOST_NODES = 20_000  # aliases can make a short text enormous

_INT = re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$")
_FLOAT = re.compile(
    r"^[-+]?(?:[0-9]+\.[0-9]*|\.?[0-9]+)(?:[eE][-+]?[0-9]+)?$|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$"
)
_NUMBER_TAGS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp")


class _Loader(yaml.SafeLoader):
    pass


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _NUMBER_TAGS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


# Text that any reader could take for a number is put in quotes.
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def _construct_float(loader: _Loader, node: yaml.ScalarNode) -> float:
    text = str(loader.construct_scalar(node)).lower()
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)


@dataclass(frozen=True)
class Document:
    """A document's content, the line (from 1) on which each value starts, and what to call its source."""

    content: dict[str, Any]
    lines: dict[Place, int]
    source: str


def read(path: Path) -> Document:
    """The document in a file.

    Raises:
      SpecError: when there is no such file, or no document in it.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise SpecError(
            f"{path}: wanted a YAML file with an AutoLFADSRun, found no such file; check the path"
        ) from error
    except IsADirectoryError as error:
        raise SpecError(
            f"{path}: wanted a YAML file with an AutoLFADSRun, found a folder; name the file in it"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError(
            f"{path}: wanted a YAML file with an AutoLFADSRun, found one that cannot be read ({reason}); "
            "check the path and its permissions"
        ) from error
    if len(data) > LARGEST_FILE_BYTES:
        raise SpecError(
            f"{path}: wanted a YAML file of at most {LARGEST_FILE_BYTES} bytes, found {len(data)}; "
            "give the run's YAML, not the recording"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(
            f"{path}: wanted YAML text in UTF-8, found other bytes at position {error.start}; "
            "give the run's YAML, saved as UTF-8"
        ) from error
    return parse(text, str(path))


def parse(text: str, source: str) -> Document:
    """The document in a text.

    Raises:
      SpecError: with line and column, when it is not YAML; when it is empty, or not a mapping.
    """
    strange = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if strange:
        line = text.count("\n", 0, strange.start()) + 1
        raise SpecError(
            f"{source}: wanted YAML, found the character U+{ord(strange.group()):04X} on line {line}; "
            "remove it, or save the file as plain text"
        )
    loader = _Loader(text)
    try:
        nodes = []
        while loader.check_node():
            nodes.append(loader.get_node())
        if len(nodes) > 1:
            raise SpecError(
                f"{source}: wanted one YAML document, found {len(nodes)}; put each run in a file of its own"
            )
        builder = _Builder(loader)
        content = builder.build(nodes[0], ()) if nodes and nodes[0] else None
    except yaml.MarkedYAMLError as error:
        raise SpecError(_syntax_sentence(error, source)) from error
    finally:
        loader.dispose()
    if builder.problems:
        raise SpecError(*(f"{source}: {problem}" for problem in builder.problems))
    if content is None:
        raise SpecError(
            f"{source}: wanted an AutoLFADSRun, found nothing; start from examples/lorenz/run.yaml"
        )
    if not isinstance(content, dict):
        kind = "a list" if isinstance(content, list) else "text"
        raise SpecError(
            f"{source}: wanted a mapping with apiVersion, kind, metadata and spec, found {kind}; "
            "start from examples/lorenz/run.yaml"
        )
    return Document(content, builder.lines, source)


def _syntax_sentence(error: yaml.MarkedYAMLError, source: str) -> str:
    # An open quote is found at the end of the text, and was meant to be closed where it began.
    is_open = "end of stream" in (error.problem or "") and error.context_mark is not None
    mark = error.context_mark if is_open else error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "an unknown place"
    found = (error.problem or "something else").replace("\n", " ")
    if "\\t" in found:
        cure = "use blanks, never tabs, to indent"
    elif is_open:
        cure = "check the quote that begins there"
    else:
        cure = (
            "check the indentation, colons (with a blank after each) and quotes there and on the line above"
        )
    return f"{source}: wanted YAML, found at {place}: {found}; {cure}"


class _Builder:
    """Turns the nodes of a document into values, noting lines and what YAML would silently accept."""

    def __init__(self, loader: _Loader) -> None:
        self.lines: dict[Place, int] = {}
        self.problems: list[str] = []
        self._loader = loader
        self._nodes = 0

    def build(self, node: yaml.Node, path: Place) -> Any:
        self._nodes += 1
        if self._nodes > MOST_NODES or len(path) > 50:
            raise yaml.constructor.ConstructorError(
                None, None, "aliases that make the document endless", node.start_mark
            )
        self.lines[path] = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, i)) for i, item in enumerate(node.value)]
        return self._loader.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, path: Place) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == "tag:yaml.org,2002:merge":
                self.problems.append(
                    f"line {line}: wanted fields, found a merge key (<<); write the fields out"
                )
                continue
            key = self._loader.construct_object(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                self.problems.append(
                    f"line {line}: wanted a name before the colon, found {key!r}; put it in quotes"
                )
                continue
            if key in result:
                first = self.lines[(*path, key)]
                self.problems.append(
                    f"line {line}: wanted {key} once, found it again (first on line {first}); remove one "
                    "of them"
                )
                continue
            result[key] = self.build(value_node, (*path, key))
            self.lines[(*path, key)] = line
        return result


def check_kind(content: Mapping[str, Any], api_version: str, kind: str, parsed: Document) -> None:
    """Refuse a document that is another kind of thing: listing its unknown fields would help nobody.

    Raises:
      SpecError: naming what was found.
    """
    problems = []
    for name, right in (("apiVersion", api_version), ("kind", kind)):
        found = content.get(name)
        if found == right:
            continue
        line = parsed.lines.get((name,))
        what = f"'{found}'" if name in content else "none"
        cure = f"write {name}: {right}" + (f" (line {line})" if line else "")
        problems.append(f"{name}: wanted {right}, found {what}; {cure}")
    if problems:
        raise SpecError(*problems)


def dump(content: Mapping[str, Any]) -> str:
    """YAML text of plain values, keys in their order."""
    text = _dump(content, allow_unicode=True)
    # Some readers take these for line breaks or drop them; escaped they are safe, if ugly.
    return _dump(content, allow_unicode=False) if any(c in text for c in "\x85\u2028\u2029\ufeff") else text


def _dump(content: Mapping[str, Any], allow_unicode: bool) -> str:
    return yaml.dump(
        dict(content),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=allow_unicode,
        default_flow_style=False,
        width=110,
    )
