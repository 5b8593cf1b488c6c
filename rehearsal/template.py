"""A CloudFormation or SAM template as data: what it would deploy, as far as a laptop can tell.

::

    template = Template.read("template.yaml", parameters={"Stage": "prod"})
    template.functions()          Lambda functions: handler, environment, policy statements
    template.services()           ECS services: properties, and the line of each
    template.find(arn_or_name)    the resource that a reference ended at, nested stacks included
    template.resolve(value, path) any value; what can't be told becomes Unresolved(reason)

Resources whose condition is false are not there. References between resources resolve to made-up,
well-formed names (``rehearsal.resource_names``), so equal references give equal texts.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from rehearsal.document import Document, DocumentError, Path_
from rehearsal.intrinsics import MAX_DEPTH, MAX_NUMBER_BITS, MAX_TEXT, NO_VALUE, Resolver, Unresolved, as_text
from rehearsal.lambda_functions import FUNCTION_TYPES, Function, as_list, dicts_in, function_of, statements_in
from rehearsal.parameters import parameter_values
from rehearsal.resource_names import NamedResource, Place
from shared.errors import JsonObject, shown

__all__ = ["Function", "Place", "Resource", "Template", "Unresolved"]

# Nesting has no quota in CloudFormation; a template that includes itself has to end somewhere.
MAX_NESTING = 5
MAX_TEMPLATES = 50

_ATTRIBUTE = re.compile(r"[A-Za-z0-9_.:-]{1,255}")

_NESTED = {"AWS::CloudFormation::Stack": "TemplateURL", "AWS::Serverless::Application": "Location"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A resource with everything in it resolved."""

    template: "Template"
    logical_id: str
    type: str
    properties: JsonObject
    """Resolved; what could not be is an :class:`Unresolved` in its place."""
    ref: object
    arn: str
    _origins: Mapping[Path_, Path_]

    def line(self, *path: str | int) -> int:
        """Return the line of a property, by its path in :attr:`properties`, or of what it stands in."""
        return self.template.document.line(self.path(*path))

    def path(self, *path: str | int) -> Path_:
        """Return the path in the document of a path in :attr:`properties`."""
        known = path
        while known and known not in self._origins:
            known = known[:-1]
        return self._origins.get(known, ("Resources", self.logical_id))


@dataclass(slots=True)
class _Effort:
    """What resolving has cost so far, over a template and those nested in it."""

    depth: int = 0
    text: int = 0
    templates: int = 1


@dataclass(slots=True)
class _Memory:
    properties: dict[tuple[str, str], object] = field(default_factory=dict)
    conditions: dict[str, bool | Unresolved] = field(default_factory=dict)
    resources: dict[str, Resource] = field(default_factory=dict)
    nested: dict[str, "Template | DocumentError | None"] = field(default_factory=dict)
    open: set[object] = field(default_factory=set)
    """What is being resolved right now: meeting it again is a circle."""


class Template:
    """One template with parameter values, in one place."""

    def __init__(
        self,
        document: Document,
        *,
        parameters: Mapping[str, object] | None = None,
        place: Place | None = None,
        above: tuple[str, ...] = (),
        effort: _Effort | None = None,
    ) -> None:
        self.document = document
        self.place = place or Place()
        self._above = (*above, os.path.realpath(document.file))
        self._effort = effort or _Effort()
        self._memory = _Memory()
        data = document.data
        if not isinstance(data, Mapping) or not isinstance(data.get("Resources"), Mapping):
            raise document.error(("Resources",), "expected a template with a map of Resources")
        for section in ("Parameters", "Conditions", "Mappings", "Globals", "Outputs"):
            if not isinstance(data.get(section) or {}, Mapping):
                raise document.error((section,), f"expected a map, got {shown(data[section])}")
        for logical_id, resource in data["Resources"].items():
            self._check_shape(logical_id, resource)
        self._parameters = parameter_values(document, parameters or {})

    @classmethod
    def read(
        cls, file: str | Path, *, parameters: Mapping[str, object] | None = None, place: Place | None = None
    ) -> "Template":
        """Read a template in YAML or JSON.

        *parameters* go before the defaults; names that the template lacks are ignored
        (see :attr:`parameter_names`).

        Raises
        ------
        DocumentError
            When it is no template, or a parameter's value is not one it allows.

        """
        return cls(_read_document(file), parameters=parameters, place=place)

    @property
    def file(self) -> str:
        return self.document.file

    @property
    def parameter_names(self) -> frozenset[str]:
        """The parameters it declares."""
        return frozenset(self._section("Parameters"))

    def resolve(self, value: Any, path: Path_ = ()) -> Any:
        """Resolve the intrinsic functions in a value that stands at *path* in the document."""
        result = Resolver(self).value(value, path)
        return None if result is NO_VALUE else result

    def document_value(self, path: Path_) -> Any:
        """Return what stands at *path* in the document, unresolved; ``None`` when nothing does."""
        value = self.document.data
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    # ------------------------------------------------------------------ resources

    def resources(self, *types: str) -> list[Resource]:
        """Return this template's resources of the given types (all without any), resolved."""
        known = self._memory.resources
        return [
            known.get(logical_id) or known.setdefault(logical_id, self._resource(logical_id))
            for logical_id, raw in self._present().items()
            if not types or raw["Type"] in types
        ]

    def services(self) -> list[Resource]:
        """Return the ECS services, those in nested local templates included."""
        return [service for template in self.tree() for service in template.resources("AWS::ECS::Service")]

    def functions(self) -> list[Function]:
        """Return the Lambda functions, those in nested local templates included."""
        return [function_of(one) for template in self.tree() for one in template.resources(*FUNCTION_TYPES)]

    def globals_of(self, kind: str) -> JsonObject:
        """Return a part of SAM's Globals, resolved: ``"Function"``."""
        value = self.resolve(self._section("Globals").get(kind), ("Globals", kind))
        return value if isinstance(value, dict) else {}

    def find(self, reference: object, *types: str) -> Resource | None:
        """Return the resource that a resolved ``Ref`` or ARN means, of one of the types if any are given.

        A version or alias behind a function's ARN is allowed; nested local templates are searched too.
        """
        if not isinstance(reference, str) or not reference:
            return None
        candidates = [reference]
        if ":function:" in reference and reference.count(":") == 7:
            candidates.append(reference.rsplit(":", 1)[0])
        for candidate in candidates:
            for resource in self._index.get(candidate, ()):
                if not types or resource.type in types:
                    return resource
        return None

    def tree(self) -> list["Template"]:
        """Return this template and all local templates nested in it."""
        return [
            self,
            *(
                one
                for nested in self.nested.values()
                if isinstance(nested, Template)
                for one in nested.tree()
            ),
        ]

    @property
    def nested(self) -> dict[str, "Template | DocumentError"]:
        """Local templates by the logical id of their stack; the error where one can't be read."""
        stacks = (key for key, raw in self._present().items() if raw["Type"] in _NESTED)
        return {key: nested for key in stacks if (nested := self._nested_stack(key)) is not None}

    @property
    def not_read(self) -> Iterator[tuple[str, str]]:
        """Nested stacks and generated resources that were not looked into, with the reason."""
        for key, raw in self._section("Resources").items():
            if key.startswith("Fn::"):
                yield key, "resources made by a function or macro"
            elif raw["Type"] in _NESTED and self._is_present(key) and key not in self.nested:
                yield key, "a nested stack whose template is not a local file"

    def statements_of(self, role: Resource) -> list[JsonObject]:
        """Return the IAM statements of a role: its own, and those of policies attached to it."""
        documents = [policy.get("PolicyDocument") for policy in dicts_in(role.properties.get("Policies"))]
        for template in dict.fromkeys((role.template, *self.tree())):
            for policy in template.resources(
                "AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy"
            ):
                roles = policy.properties.get("Roles") or [policy.properties.get("RoleName")]
                named = isinstance(roles, list) and role.ref in roles
                if named or policy.ref in as_list(role.properties.get("ManagedPolicyArns")):
                    documents.append(policy.properties.get("PolicyDocument"))
        return [statement for document in documents for statement in statements_in(document)]

    # ------------------------------------------------------------------ what names mean (intrinsics.Scope)

    def ref(self, name: str) -> object:
        """Return what ``Ref`` gives."""
        place = self.place
        pseudo: Mapping[str, object] = {
            "AWS::AccountId": place.account,
            "AWS::NoValue": NO_VALUE,
            "AWS::NotificationARNs": [],
            "AWS::Partition": place.partition,
            "AWS::Region": place.region,
            "AWS::StackId": self._stack_arn(place.stack_name),
            "AWS::StackName": place.stack_name,
            "AWS::URLSuffix": place.url_suffix,
        }
        if name in pseudo:
            return pseudo[name]
        if name in self._parameters:
            return self._parameters[name]
        named = self._named(name)
        return named if isinstance(named, Unresolved) else named.ref()

    def attribute(self, name: str, attribute: str) -> object:
        """Return what ``Fn::GetAtt`` gives."""
        if attribute.startswith("Outputs.") and name in self._section("Resources"):
            return self._nested_output(name, attribute.removeprefix("Outputs."))
        named = self._named(name)
        if isinstance(named, Unresolved):
            return named
        if not _ATTRIBUTE.fullmatch(attribute):
            return Unresolved(f"{name} has no attribute {shown(attribute)}", name)
        if named.type == "AWS::Serverless::Function" and attribute in {"Alias", "Version"}:
            return self.ref(f"{name}.{attribute}")  # written ${Function.Alias}
        return named.attribute(attribute)

    def condition(self, name: str) -> bool | Unresolved:
        """Return the value of a condition."""
        known = self._memory.conditions.get(name)
        if known is not None:
            return known
        if name not in self._section("Conditions"):
            return Unresolved(f"there is no condition {shown(name)}", name)
        if ("condition", name) in self._memory.open:
            return Unresolved(f"the condition {name} depends on itself", name)
        self._memory.open.add(("condition", name))
        try:
            value = Resolver(self).condition(self._section("Conditions")[name])
        finally:
            self._memory.open.discard(("condition", name))
        self._memory.conditions[name] = value
        return value

    def mapping(self, name: str, first: str, second: str) -> object:
        """Return an entry of ``Mappings``."""
        value: Any = self._section("Mappings")
        for key in (name, first, second):
            if not isinstance(value, Mapping) or key not in value:
                return Unresolved(f"Mappings has no {name}.{first}.{second}", name)
            value = value[key]
        return [as_text(item) or "" for item in value] if isinstance(value, list) else as_text(value)

    def enter(self) -> bool:
        """Go one level down."""
        if self._effort.depth >= MAX_DEPTH:
            return False
        self._effort.depth += 1
        return True

    def leave(self) -> None:
        """Come up again."""
        self._effort.depth -= 1

    def wrote(self, length: int) -> bool:
        """Count text that was put together."""
        self._effort.text += length
        return self._effort.text <= MAX_TEXT

    # ------------------------------------------------------------------ inside

    def _section(self, name: str) -> Mapping[str, Any]:
        section: Mapping[str, Any] = self.document.data.get(name) or {}
        return section

    def _check_shape(self, logical_id: str, resource: object) -> None:
        path = ("Resources", logical_id)
        if logical_id.startswith("Fn::"):
            return
        if not isinstance(resource, Mapping):
            raise self.document.error(path, f"expected a resource, got {shown(resource)}")
        if not isinstance(resource.get("Type"), str):
            raise self.document.error(
                (*path, "Type"), f"expected a resource type, got {shown(resource.get('Type'))}"
            )
        properties = resource.get("Properties") or {}
        if not isinstance(properties, Mapping):
            raise self.document.error((*path, "Properties"), f"expected a map, got {shown(properties)}")

    def _present(self) -> dict[str, Mapping[str, Any]]:
        return {
            key: raw
            for key, raw in self._section("Resources").items()
            if not key.startswith("Fn::") and self._is_present(key)
        }

    def _is_present(self, logical_id: str) -> bool:
        condition = self._section("Resources")[logical_id].get("Condition")
        # One that can't be told is taken to hold: better to check too much.
        return not isinstance(condition, str) or self.condition(condition) is not False

    def _raw(self, logical_id: str) -> tuple[Mapping[str, Any], Path_]:
        properties = self._section("Resources")[logical_id].get("Properties") or {}
        return properties, ("Resources", logical_id, "Properties")

    def _property(self, logical_id: str, name: str) -> object:
        """Resolve one property; the only way in which resources depend on each other."""
        key = (logical_id, name)
        if key in self._memory.properties:
            return self._memory.properties[key]
        properties, path = self._raw(logical_id)
        if name not in properties:
            return None
        if key in self._memory.open:
            return Unresolved(f"{logical_id}.{name} depends on itself", logical_id)
        self._memory.open.add(key)
        try:
            value = self.resolve(properties[name], (*path, name))
        finally:
            self._memory.open.discard(key)
        self._memory.properties[key] = value
        return value

    def _named(self, name: str) -> NamedResource | Unresolved:
        resources = self._section("Resources")
        if name in resources and not name.startswith("Fn::"):
            if not self._is_present(name):
                return Unresolved(f"{name} is left out by its condition", name)
            kind = resources[name]["Type"]
            return NamedResource(kind, name, self.place, lambda key: self._property(name, key))
        return self._made_by_sam(name) or Unresolved(f"there is no parameter or resource {shown(name)}", name)

    def _made_by_sam(self, name: str) -> NamedResource | None:
        """Resources that SAM adds: a function's role, alias, version and URL."""
        # https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-generated-resources.html
        for ending, kind in (
            ("Role", "AWS::IAM::Role"),
            (".Alias", "AWS::Lambda::Alias"),
            (".Version", "AWS::Lambda::Version"),
            ("Url", "AWS::Lambda::Url"),
        ):
            function = name.removesuffix(ending)
            raw = self._section("Resources").get(function)
            if function == name or not isinstance(raw, Mapping) or raw["Type"] != "AWS::Serverless::Function":
                continue
            facts = {
                "FunctionName": self.attribute(function, "Arn"),
                "Name": self._property(function, "AutoPublishAlias")
                or self.globals_of("Function").get("AutoPublishAlias"),
            }
            return NamedResource(kind, name, self.place, facts.get)
        return None

    def _resource(self, logical_id: str) -> Resource:
        raw, path = self._raw(logical_id)
        resolver = Resolver(self)
        properties = resolver.value(raw, path)
        named = self._named(logical_id)
        ref, arn = (named, "") if isinstance(named, Unresolved) else (named.ref(), named.arn)
        return Resource(
            template=self,
            logical_id=logical_id,
            type=self._section("Resources")[logical_id]["Type"],
            properties=properties if isinstance(properties, dict) else {},
            ref=ref,
            arn=arn,
            _origins=resolver.origins,
        )

    @cached_property
    def _index(self) -> dict[str, list[Resource]]:
        index: dict[str, list[Resource]] = {}
        for template in self.tree():
            for resource in template.resources():
                for key in {resource.arn, resource.ref}:
                    if isinstance(key, str):
                        index.setdefault(key, []).append(resource)
        return index

    def _stack_arn(self, name: str) -> str:
        place = self.place
        return f"arn:{place.partition}:cloudformation:{place.region}:{place.account}:stack/{name}/{'0' * 8}"

    # ------------------------------------------------------------------ nested templates

    def _nested_stack(self, logical_id: str) -> "Template | DocumentError | None":
        """Read the template of a nested stack, once; ``None`` when it is elsewhere."""
        if logical_id in self._memory.nested:
            return self._memory.nested[logical_id]
        key = ("nested", logical_id)
        if key in self._memory.open:
            return self.document.error(("Resources", logical_id), "the stack depends on itself")
        self._memory.open.add(key)
        try:
            nested = self._read_nested(logical_id)
        finally:
            self._memory.open.discard(key)
        self._memory.nested[logical_id] = nested
        return nested

    def _read_nested(self, logical_id: str) -> "Template | DocumentError | None":
        here: Path_ = ("Resources", logical_id)
        raw = self._section("Resources")[logical_id]
        location = self._property(logical_id, _NESTED[raw["Type"]])
        metadata = raw.get("Metadata")
        is_here = isinstance(location, str) and "://" not in location
        if not is_here and isinstance(metadata, Mapping) and "aws:asset:path" in metadata:
            # The CDK uploads nested templates, and notes where they are on this machine.
            # https://docs.aws.amazon.com/cdk/v2/guide/assets.html
            location = metadata["aws:asset:path"]
        if not isinstance(location, str) or "://" in location or "\0" in location:
            return None
        self._effort.templates += 1
        if len(self._above) > MAX_NESTING or self._effort.templates > MAX_TEMPLATES:
            return self.document.error(
                here, f"more than {MAX_NESTING} templates deep or {MAX_TEMPLATES} in all"
            )
        file = os.path.normpath(Path(self.file).parent / location)
        if not Path(file).is_file():
            return self.document.error(here, f"the nested template {shown(location)} is not a file here")
        if os.path.realpath(file) in self._above:
            return self.document.error(here, f"the template {shown(location)} nests itself, without end")
        parameters = self._property(logical_id, "Parameters")
        place = Place(
            region=self.place.region,
            account=self.place.account,
            partition=self.place.partition,
            stack_name=f"{self.place.stack_name}-{logical_id}",
        )
        try:
            return Template(
                _read_document(file),
                parameters=parameters if isinstance(parameters, dict) else {},
                place=place,
                above=self._above,
                effort=self._effort,
            )
        except DocumentError as error:
            return error

    def _nested_output(self, logical_id: str, output: str) -> object:
        raw = self._section("Resources")[logical_id]
        nested = self._nested_stack(logical_id) if raw["Type"] in _NESTED else None
        if not isinstance(nested, Template):
            return Unresolved(f"{logical_id} is a stack whose template is not at hand", output)
        declared = nested.document_value(("Outputs", output))
        if not isinstance(declared, Mapping) or "Value" not in declared:
            return Unresolved(f"the stack {logical_id} has no output {shown(output)}", output)
        return nested.resolve(declared["Value"], ("Outputs", output, "Value"))


def _read_document(file: str | Path) -> Document:
    if Path(file).exists() and not Path(file).is_file():
        raise DocumentError(f"{file}:1: not a file")
    try:
        document = Document.read(file)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        # From PyYAML's constructors: dates of a 13th month, tagged numbers that are none.
        raise DocumentError(f"{file}:1: a value that YAML can't read ({type(error).__name__})") from error
    open_values = [document.data]
    while open_values:
        value = open_values.pop()
        if isinstance(value, Mapping):
            open_values.extend(value.values())
        elif isinstance(value, list):
            open_values.extend(value)
        elif isinstance(value, int) and value.bit_length() > MAX_NUMBER_BITS:
            raise DocumentError(f"{file}:1: a number of more than {MAX_NUMBER_BITS} bits")
    return document
