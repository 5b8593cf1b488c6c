"""Which service of a template is meant: by its name, its logical id, or a nested stack's.

::

    ui                 ServiceName
    Service            logical id; one of several where nested templates are alike
    Ui, Ui.Service     the nested stack that has it, and the whole way to it
"""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from rehearsal.check.findings import Where
from rehearsal.check.view import ServiceView, Stack
from rehearsal.document import DocumentError
from rehearsal.scenario import nearest
from rehearsal.template import Template
from shared.errors import shown

Asked = Literal["service", "parameters", "hookDetails", "policies"]


class NotInTemplateError(ValueError):
    """What was asked for is not in the template; the text says what is."""

    def __init__(self, key: Asked, place: Where, message: str) -> None:
        super().__init__(message)
        self.key = key
        """Of a scenario's ``template``: which part of the question."""
        self.where = place


@dataclass(frozen=True, slots=True)
class Note:
    """One thing about a reading that a person should know."""

    where: Where
    text: str
    kind: Literal["read", "assumed"] = "read"


def stack_of(file: str, parameters: tuple[tuple[str, str], ...]) -> Stack:
    """Read a template, or remember it: ten scenarios of a tour read the same one."""
    try:
        written = Path(file).stat().st_mtime_ns
    except OSError:
        written = 0
    return _read_stack(file, parameters, written)


@lru_cache(maxsize=32)
def _read_stack(file: str, parameters: tuple[tuple[str, str], ...], _written: int) -> Stack:
    template = Template.read(file, parameters=dict(parameters))
    for name, _ in parameters:
        if name not in template.parameter_names:
            place = Where(template.file, template.document.line(("Parameters",)))
            message = f"no parameter {shown(name)}{hint(name, template.parameter_names)}"
            raise NotInTemplateError("parameters", place, message)
    # Which hooks are ours is told by name here: to import them all would take longer than most rehearsals.
    return Stack(template, {})


@dataclass(frozen=True)
class Candidate:
    """A service, and the nested stacks around it by their logical ids, the outermost first."""

    view: ServiceView
    stacks: tuple[str, ...]

    @property
    def own_name(self) -> str | None:
        given = self.view.properties.get("ServiceName")
        return given if isinstance(given, str) and given else None

    @property
    def path(self) -> str:
        return ".".join((*self.stacks, self.view.name))

    @property
    def name(self) -> str:
        """What messages call it, and what it can be called by."""
        return self.own_name or self.path

    def is_called(self, name: str) -> Iterator[bool]:
        """Yield whether it has the name, from the surest sense to the widest."""
        yield name == self.own_name
        yield name in {self.view.name, self.path}
        yield bool(self.stacks) and name == self.stacks[-1]
        yield name in self.stacks


def services_of(stack: Stack) -> list[Candidate]:
    """Return the services of a template, and of those nested in it that are at hand."""

    def walk(template: Template, stacks: tuple[str, ...]) -> Iterator[Candidate]:
        for resource in template.resources("AWS::ECS::Service"):
            yield Candidate(ServiceView(stack, resource), stacks)
        for logical_id, nested in template.nested.items():
            if isinstance(nested, Template):
                yield from walk(nested, (*stacks, logical_id))

    return list(walk(stack.template, ()))


def unread(stack: Stack) -> Iterator[Note]:
    """Yield the nested stacks that were not looked into, and why."""
    for template in stack.template.tree():
        for logical_id, nested in template.nested.items():
            if isinstance(nested, DocumentError):
                line = template.document.line(("Resources", logical_id))
                place = f"{template.file}:{line}: Resources.{logical_id}: "
                reason = str(nested).removeprefix(place)
                yield Note(Where(template.file, line), f"{logical_id} can't be read: {reason}", "assumed")
        for logical_id, reason in template.not_read:
            line = template.document.line(("Resources", logical_id))
            yield Note(Where(template.file, line), f"{logical_id} is not looked into: {reason}", "assumed")


def chosen(stack: Stack, name: str | None) -> Candidate:
    """Return the service of that name, or the only one; raises :class:`NotInTemplateError`."""
    services = services_of(stack)
    template = stack.template
    place = Where(template.file, template.document.line(("Resources",)))
    others = "".join(f"; {note.text} ({written(note.where)})" for note in unread(stack))
    if not services:
        raise NotInTemplateError("service", place, f"there is no AWS::ECS::Service{others}")
    if name is None:
        if len(services) == 1:
            return services[0]
        message = f"there are {len(services)} services, name one of {_listed(services)}{others}"
        raise NotInTemplateError("service", place, message)
    for sense in range(4):
        if found := [one for one in services if list(one.is_called(name))[sense]]:
            if len(found) > 1:
                message = f"{shown(name)} is any of {_listed(found)}"
                raise NotInTemplateError("service", place, message)
            return found[0]
    near = difflib.get_close_matches(name.lower(), [one.name.lower() for one in services], n=2)
    meant = [one for one in services if one.name.lower() in near]
    instead = f"did you mean {_listed(meant)}?" if meant else f"there is {_listed(services)}"
    raise NotInTemplateError("service", place, f"no service is called {shown(name)}; {instead}{others}")


def _listed(services: Iterable[Candidate]) -> str:
    # Two may have one name, in two clusters.
    names = sorted(services, key=lambda one: one.name)
    alike = {one.name for one in names if sum(other.name == one.name for other in names) > 1}
    return ", ".join(one.path if one.name in alike else one.name for one in names)


def hint(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that says what was meant, or all that there is."""
    choices = sorted(known)
    return nearest(name, choices) or f"; there is {', '.join(choices) or 'none'}"


def written(where: Where) -> str:
    """Write a place as messages do."""
    return f"{where.file}:{where.line}"
