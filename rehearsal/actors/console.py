"""A person who decides in the approvers' console, in a browser."""

import itertools
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal

import simpy
from pydantic import Field

from rehearsal.actors import Actor, actor
from rehearsal.durations import Duration
from rehearsal.timing import Process
from rehearsal.world import World

if TYPE_CHECKING:
    from rehearsal.console.browser import Browser

# The link in the announcement; a reminder has it as well, and is not another request.
_REQUEST = re.compile(r"https?://\S+/requests/\S+")

# What stands above the reason on the page.
_WHY_NOT = "You can't decide this"
_ALREADY = "You have approved this"

_DONE = {
    "approve": "approves",
    "reject": "rejects",
    "extend": "puts the expiry off",
    "stop": "stops the deployment",
}


@actor("console")
class Console(Actor):
    """Follows the link of an announcement, signs in, reads the page and sends its form."""

    name: str = Field("alice", pattern=r"^[a-z0-9_.-]{1,64}$", description="the subject at the provider")
    groups: tuple[str, ...] = Field(
        ("release-managers",), description="which may decide; others may look, and not decide"
    )
    answer: Literal["approve", "reject", "extend", "stop"] = "approve"
    comment: str = ""
    after: Duration = Field(600.0, description="from the announcement to the answer")
    each: bool = Field(False, description="whether to answer every request there will be")
    times: int = Field(1, ge=1, description="how many requests to answer before leaving")
    skip: int = Field(0, ge=0, description="how many requests to leave to others first")

    def prepare(self, world: World) -> None:
        # Only here: most rehearsals need no console, and no HTTP.
        from rehearsal.console.provider import Identity  # noqa: PLC0415
        from rehearsal.console.site import ConsoleSite  # noqa: PLC0415

        if world.console is None:
            world.console = ConsoleSite.for_actors(world)
        world.console.admit(Identity(self.name, self.name.capitalize(), self.groups))

    def run(self, world: World) -> Process:
        asked = simpy.Store(world.env)
        known: set[str] = set()

        def read_mail(message: str) -> None:
            if (request := _REQUEST.search(message)) and request[0] not in known:
                known.add(request[0])
                asked.put(request[0])

        world.mail_readers.append(read_mail)
        assert world.console is not None
        browser = world.console.browser_in(world, self.name)
        answers = 0
        for number in itertools.count(1):
            url = yield asked.get()
            if number <= self.skip:
                continue
            yield world.env.timeout(self.after)
            world.spoke(self.name, self._visit(browser, url))
            answers += 1
            if not self.each and answers >= self.times:
                return

    def _visit(self, browser: "Browser", url: str) -> str:
        """Decide one request; tell what came of it."""
        page = browser.open(url)
        if page.status == HTTPStatus.FORBIDDEN and page.has_link("/sign-in"):
            page = page.follow("/sign-in").submit("/authorize", {}, press=("person", self.name))
        if page.status != HTTPStatus.OK:
            return f"can't {self.answer} in the console: {page.heading}"
        button = ("answer", self.answer)
        form = page.form("/stop" if self.answer == "stop" else "/answer", button)
        if form is None:
            # The title says how the request stands.
            why_not = page.words_after(_WHY_NOT) or (_ALREADY if _ALREADY in page.text else page.title)
            return f"can't {self.answer} in the console: {why_not}"
        filled_in = {"comment": self.comment} if self.comment else {}
        if self.answer == "extend":
            filled_in["expires_at"] = form.choices["expires_at"][-1]
        page = page.submit(form.action, filled_in, press=button)
        if page.status != HTTPStatus.OK:
            return f"can't {self.answer} in the console: {page.alert or page.heading}"
        return f"{_DONE[self.answer]} in the console: {page.alert}"
