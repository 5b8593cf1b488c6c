"""YAML (and so JSON) files whose every value knows its line, for errors that point.

CloudFormation's short tags (``!Ref x``, ``!GetAtt a.b``) are read as their long forms.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

# A template may be 1 MB in S3 (CloudFormation quota); a scenario is a few lines.
MAX_BYTES = 1_000_000

Path_ = tuple[str | int, ...]
"""The way to a value: keys and indexes from the top."""


class DocumentError(Exception):
    """A file that can't be used, as ``FILE:LINE: KEY: what is wrong``."""


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file and the line of every key in it."""

    file: str
    data: Any
    lines: dict[Path_, int]

    @classmethod
    def read(cls, file: str | Path) -> "Document":
        """Read a file; raises :class:`DocumentError` when it is missing, too large or no YAML."""
        path = Path(file)
        try:
            if path.exists() and not path.is_file():
                raise DocumentError(f"{file}: not a file")
            if path.stat().st_size > MAX_BYTES:
                raise DocumentError(f"{file}: larger than {MAX_BYTES} bytes")
            return cls.parse(path.read_text(encoding="utf-8"), str(file))
        except OSError as error:
            raise DocumentError(f"{file}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise DocumentError(f"{file}: not UTF-8 text") from error

    @classmethod
    def parse(cls, text: str, file: str) -> "Document":
        """Parse text that came from *file*."""
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            lines: dict[Path_, int] = {(): 1}
            data = None if node is None else _Reader(file, lines).value(node, ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise DocumentError(
                f"{file}:{mark.line + 1 if mark else 1}: {error.problem or error.context}"
            ) from error
        except (yaml.YAMLError, RecursionError) as error:
            raise DocumentError(f"{file}: not readable as YAML: {type(error).__name__}") from error
        return cls(file, data, lines)

    def line(self, path: Path_) -> int:
        """Return the line of the value at *path*, or of the nearest thing above it that exists."""
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]

    def error(self, path: Path_, message: str) -> DocumentError:
        """Make the error that points at *path*."""
        where = ".".join(str(part) for part in path)
        return DocumentError(f"{self.file}:{self.line(path)}: {where + ': ' if where else ''}{message}")


class _Reader:
    """Builds plain data from YAML nodes; aliases are counted, so that nothing can explode."""

    MAX_VALUES = 200_000

    def __init__(self, file: str, lines: dict[Path_, int]) -> None:
        self.file = file
        self.lines = lines
        self.scalars = yaml.SafeLoader("")
        self.seen = 0

    def value(self, node: yaml.Node, path: Path_) -> Any:
        self.seen += 1
        if self.seen > self.MAX_VALUES:
            raise DocumentError(f"{self.file}: more than {self.MAX_VALUES} values")
        self.lines.setdefault(path, node.start_mark.line + 1)
        if node.tag.startswith("!") and node.tag != "!":
            return self._function(node, path)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        try:
            return self.scalars.construct_object(node)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise DocumentError(
                f"{self.file}:{node.start_mark.line + 1}: not a value YAML can read"
            ) from error

    def _mapping(self, node: yaml.MappingNode, path: Path_) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else None
            if key is None:
                raise DocumentError(f"{self.file}:{key_node.start_mark.line + 1}: a key that is not a word")
            if key in result:
                raise DocumentError(f"{self.file}:{key_node.start_mark.line + 1}: {key}: stands twice")
            self.lines[(*path, key)] = key_node.start_mark.line + 1
            result[key] = self.value(value_node, (*path, key))
        return result

    def _function(self, node: yaml.Node, path: Path_) -> dict[str, Any]:
        name = node.tag[1:]
        long = name if name in {"Ref", "Condition"} else f"Fn::{name}"
        inner = (*path, long)
        self.lines[inner] = node.start_mark.line + 1
        value: Any
        if isinstance(node, yaml.ScalarNode):
            value = node.value
            if name == "GetAtt":
                value = value.split(".", 1)
        elif isinstance(node, yaml.SequenceNode):
            value = [self.value(item, (*inner, index)) for index, item in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode):
            value = self._mapping(node, inner)
        return {long: value}
