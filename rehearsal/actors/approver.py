"""A person who answers approval requests in Parameter Store, with credentials of their own."""

import itertools
import json
import re
from typing import Literal, Self

import simpy
from pydantic import Field, model_validator

from rehearsal.actors import Actor, actor
from rehearsal.durations import Duration
from rehearsal.timing import Process
from rehearsal.world import World

# The command in the announcement that a person would copy.
_REQUEST = re.compile(r"put-parameter --overwrite --name (\S+) --value APPROVED")


@actor("approver")
class Approver(Actor):
    """Answers requests the way ``aws ssm put-parameter --overwrite`` does."""

    name: str = Field("alice", pattern=r"^[A-Za-z0-9_.@-]{1,64}$", description="the session's name")
    role: str = Field("approver", description="the role the person has assumed")
    answer: Literal["APPROVED", "REJECTED"] = "APPROVED"
    comment: str = ""
    text: str | None = Field(None, description="what to type instead of an answer")
    after: Duration = Field(600.0, description="from the request to the answer")
    each: bool = Field(False, description="whether to answer every request there will be")
    times: int = Field(1, ge=1, description="how many requests to answer before leaving")
    skip: int = Field(0, ge=0, description="how many requests to leave to others first")
    too_early: bool = Field(
        False, description="whether to answer before anything was asked, when the deployment starts"
    )
    on_previous: bool = Field(False, description="whether to answer the request of an earlier deployment")

    @model_validator(mode="after")
    def _one_moment(self) -> Self:
        if self.too_early and self.on_previous:
            raise ValueError("tooEarly and onPrevious are two different mistakes; make one of them")
        return self

    def run(self, world: World) -> Process:
        if self.on_previous:
            yield world.env.timeout(self.after)
            self._write(
                world, f"{world.approval_prefix}/{world.service.cluster}/{world.service.service}/Earlier_one"
            )
            return
        if self.too_early:
            yield world.env.timeout(0)
            self._write(world, f"{world.approval_prefix}/{_path(world)}")
            return
        asked = simpy.Store(world.env)

        def read_mail(message: str) -> None:
            if request := _REQUEST.search(message):
                asked.put(request[1])

        world.mail_readers.append(read_mail)
        answers = 0
        for number in itertools.count(1):
            name = yield asked.get()
            if number <= self.skip:
                continue
            yield world.env.timeout(self.after)
            self._write(world, name)
            answers += 1
            if not self.each and answers >= self.times:
                return

    def _write(self, world: World, name: str) -> None:
        value = self.text if self.text is not None else self.answer
        if self.comment and self.text is None:
            value = json.dumps({"state": self.answer, "comment": self.comment})
        ssm = world.client("ssm", role=self.role, session=self.name)
        ssm.put_parameter(Name=name, Value=value, Type="String", Overwrite=True)
        where = name.removeprefix(world.approval_prefix)
        world.spoke(self.name, f"writes {value} to …{where}")


def _path(world: World) -> str:
    deployment = world.machine.deployment.arn
    return f"{deployment.cluster}/{deployment.service}/{deployment.id}"
