"""A person who edits by hand which revision consumes."""

import json
from typing import Any, Self

from botocore.exceptions import ClientError
from pydantic import Field, model_validator

from rehearsal.actors import Actor, actor
from rehearsal.durations import Duration
from rehearsal.timing import Process
from rehearsal.world import World


@actor("edit")
class Edit(Actor):
    """Changes, replaces or deletes the parameter of consumer activation."""

    name: str = Field("erin", pattern=r"^[A-Za-z0-9_.@-]{1,64}$", description="the session's name")
    after: Duration = 180.0
    set: dict[str, Any] | None = Field(
        None, description="keys to change in what stands there; blue and green stand for their revisions' ids"
    )
    keep_version: bool = Field(
        False, description="whether the person leaves the version in, which makes the edit void"
    )
    text: str | None = Field(None, description="what to write instead")
    delete: bool = False

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if (self.set is not None) + (self.text is not None) + self.delete != 1:
            raise ValueError("expected one of set, text and delete")
        return self

    def run(self, world: World) -> Process:
        yield world.env.timeout(self.after)
        ssm = world.client("ssm", role="operator", session=self.name)
        name = world.consumer_parameter
        try:
            if self.delete:
                ssm.delete_parameter(Name=name)
                world.spoke(self.name, f"deletes {name}")
                return
            value = self.text if self.set is None else self._changed(world, ssm, name)
            ssm.put_parameter(Name=name, Value=value, Type="String", Overwrite=True)
            shown = f"sets {json.dumps(self.set)} in" if self.set is not None else f"writes {value!r} to"
            world.spoke(self.name, f"{shown} {name}")
        except ClientError as error:
            world.spoke(self.name, f"can't edit {name}: {error.response['Error'].get('Message', '')}")

    def _changed(self, world: World, ssm: Any, name: str) -> str:
        try:
            found = json.loads(ssm.get_parameter(Name=name)["Parameter"]["Value"])
        except (ClientError, ValueError):
            found = {}
        if not self.keep_version:
            found.pop("version", None)
        ids = {"blue": world.revision_id("blue"), "green": world.revision_id("green")}
        changes = {
            key: ids.get(value, value) if isinstance(value, str) else value
            for key, value in (self.set or {}).items()
        }
        return json.dumps({**found, **changes})
