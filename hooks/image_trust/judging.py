"""Judge containers by the policy: which rule is theirs, and whether what it requires is proven.

::

    container ─▶ reference ─▶ digest ─▶ rule ─▶ requirements ─▶ finding ─▶ verdict
                             (pinned,   (the most   (a tree;         (pass, deny,
                              recorded,  specific)   leaves below)    indeterminate, exempt)
                              looked up)

All of it is pure. What is not known yet is put among the wants (``hooks.image_trust.evidence``), and the
container is judged again when it has been fetched.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from hooks.image_trust.containers import Container
from hooks.image_trust.evidence import Evidence, ImageAt, Want
from hooks.image_trust.finding import Digest, Finding, Outcome, Problem, Rejected, Unsettled
from hooks.image_trust.manifest import Manifest
from hooks.image_trust.policy import Policy, Rule
from hooks.image_trust.reference import Reference
from hooks.image_trust.requirements import Asked, Inspection
from hooks.image_trust.selection import exemption_of, select
from shared.errors import JsonObject

# Tag, image, what hangs on it, whether that is revoked, what hangs on its platforms' images, whether that is,
# whether they are being signed, verdict: eight, where each leads to the next. One that asks on and on is a
# defect, and ends.
MAX_ROUNDS = 10


class Verdict(StrEnum):
    """What becomes of a container."""

    PASS = "pass"  # noqa: S105  # a verdict
    DENY = "deny"
    INDETERMINATE = "indeterminate"
    EXEMPT = "exempt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One container, judged."""

    container: str
    image: str
    digest: Digest | None
    """What was judged; ``None`` where the image could not even be looked up."""
    rule: str | None
    verdict: Verdict
    finding: Finding
    observed: bool = False
    """Whether policy or rule only observe: then the verdict decides nothing."""
    exemption: str | None = None
    notes: tuple[str, ...] = ()
    bind: bool = False
    """Whether the digest was looked up, and has to be the one that ECS will run."""

    def write(self) -> JsonObject:
        """Return what a record says of it."""
        return {
            "container": self.container,
            "image": self.image,
            "digest": self.digest,
            "rule": self.rule,
            "verdict": self.verdict.value,
            "observed": self.observed,
            **({"exemption": self.exemption} if self.exemption else {}),
            **({"notes": list(self.notes)} if self.notes else {}),
            "finding": self.finding.write(),
        }


class Fetch(Protocol):
    """The edge: puts what is wanted into the evidence, or a ``Problem`` for it."""

    def __call__(self, wants: Iterable[Want], evidence: Evidence) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What holds for all containers of one call."""

    policy: Policy
    service: str
    """``cluster/service``."""
    now: datetime
    require_digest: bool = False
    """Whether the service demands it although the policy does not."""
    is_running: bool = False
    """Whether tasks run by now, so that ECS has recorded what."""
    bound: Mapping[str, Digest] = field(default_factory=dict)
    """What was admitted under a tag before anything ran, by container."""


def judge(containers: Sequence[Container], circumstances: Circumstances, fetch: Fetch) -> tuple[Judged, ...]:
    """Judge all containers, and fetch what that takes."""
    evidence = Evidence()
    for _ in range(MAX_ROUNDS):
        wants: set[Want] = set()
        judged = tuple(_judge(container, circumstances, evidence, wants) for container in containers)
        if not wants:
            return judged
        fetch(sorted(wants, key=repr), evidence)
    raise RuntimeError(f"still wanted after {MAX_ROUNDS} rounds: {sorted(map(repr, wants))[:3]}")


def _judge(
    container: Container, circumstances: Circumstances, evidence: Evidence, wants: set[Want]
) -> Judged:
    policy = circumstances.policy
    is_observed = policy.mode == "observe"
    blank = Judged(
        container=container.name,
        image=container.image,
        digest=None,
        rule=None,
        verdict=Verdict.DENY,
        finding=_REFUSED,
        observed=is_observed,
    )
    try:
        reference = Reference.parse(container.image)
        selected = _rule(container, reference, circumstances)
        blank = replace(blank, rule=selected.name, observed=is_observed or selected.mode == "observe")
        _check_is_pinned(reference, circumstances)
        found = _identify(container, reference, circumstances, evidence, wants)
    except Rejected as error:
        return replace(blank, finding=_finding("image", Outcome.UNTRUSTED, error.code, str(error)))
    except Unsettled as error:
        return _unsettled(blank, error.problem)
    blank = replace(blank, digest=found.reference.digest, notes=found.notes, bind=found.bind)
    asked = Asked(
        reference=found.reference,
        tag=None if reference.digest else reference.tag,
        recorded=container.recorded,
        platform=container.platform,
        rule=selected,
        policy=policy,
        now=circumstances.now,
    )
    return _inspect(blank, asked, evidence, wants)


def _inspect(blank: Judged, asked: Asked, evidence: Evidence, wants: set[Want]) -> Judged:
    """Judge the image that was identified."""
    inspection = Inspection(asked, evidence, wants)
    try:
        inspection.check_is_not_denied()
    except Rejected as error:
        # The policy's word, whatever mode the rule is in.
        return replace(
            blank,
            finding=_finding("denyDigests", Outcome.UNTRUSTED, error.code, str(error)),
            observed=asked.policy.mode == "observe",
        )
    except Unsettled as error:
        return _unsettled(blank, error.problem)
    finding = inspection.judge(asked.rule.require)
    if finding.outcome is Outcome.PASS:
        return replace(blank, verdict=Verdict.PASS, finding=finding)
    exemption = exemption_of(asked.policy, asked.rule, blank.container, asked.digest, asked.now)
    if exemption:
        until = f"exempt until {exemption.expires:%Y-%m-%d %H:%M} UTC: {exemption.reason}"
        return replace(
            blank,
            verdict=Verdict.EXEMPT,
            finding=finding,
            exemption=exemption.name,
            notes=(*blank.notes, until),
        )
    waits = finding.outcome is Outcome.UNVERIFIABLE
    return replace(blank, verdict=Verdict.INDETERMINATE if waits else Verdict.DENY, finding=finding)


def _rule(container: Container, reference: Reference, circumstances: Circumstances) -> Rule:
    policy = circumstances.policy
    selected = select(policy, reference, container.name, circumstances.service)
    if selected is None:
        raise Rejected("no-rule", f"no rule of policy {policy.name!r} is for {reference.name}")
    return selected


def _check_is_pinned(reference: Reference, circumstances: Circumstances) -> None:
    demanded = circumstances.require_digest or circumstances.policy.references.require_digest
    if demanded and reference.digest is None:
        raise Rejected("tag", "it is named by a tag, which can be moved; name it by its digest")


@dataclass(frozen=True, slots=True)
class _Identified:
    """Which digest is judged."""

    reference: Reference
    notes: tuple[str, ...] = ()
    bind: bool = False


def _identify(
    container: Container,
    reference: Reference,
    circumstances: Circumstances,
    evidence: Evidence,
    wants: set[Want],
) -> _Identified:
    """Find the digest that is to be judged, and hold against it what ECS recorded."""
    recorded, admitted = container.recorded, reference.digest or circumstances.bound.get(container.name)
    if reference.digest is None and not container.is_consistent:
        raise Rejected(
            "version-consistency-disabled",
            "it is named by a tag, and versionConsistency is disabled: every task may run another image",
        )
    if recorded is None:
        if circumstances.is_running and reference.digest is None:
            raise Unsettled(
                Problem(Outcome.UNVERIFIABLE, "not-recorded", "ECS has not recorded yet which digest it runs")
            )
        if admitted is not None:
            # A runtime that is given a digest runs that or nothing.
            return _Identified(replace(reference, digest=admitted))
        image = _image(reference, evidence, wants)
        return _Identified(
            replace(reference, digest=image.digest), (f"the tag led to {image.digest}",), bind=True
        )
    if admitted is None:
        note = ("was not admitted before it started",) if circumstances.is_running else ()
        return _Identified(replace(reference, digest=recorded), note, bind=not circumstances.is_running)
    if recorded != admitted:
        index = _image(replace(reference, digest=admitted), evidence, wants)
        if recorded not in {entry.digest for entry in index.runnable}:
            raise Rejected("drift", f"admitted was {admitted}, ECS runs {recorded}")
    return _Identified(replace(reference, digest=admitted))


def _image(reference: Reference, evidence: Evidence, wants: set[Want]) -> Manifest:
    want = ImageAt(reference)
    found = evidence.images.get(want)
    if found is None:
        wants.add(want)
        raise Unsettled(None)
    if isinstance(found, Problem):
        raise Unsettled(found)
    return found


def _unsettled(blank: Judged, problem: Problem | None) -> Judged:
    problem = problem or Problem(Outcome.UNVERIFIABLE, "wanted", "is being fetched")
    verdict = Verdict.INDETERMINATE if problem.outcome is Outcome.UNVERIFIABLE else Verdict.DENY
    return replace(
        blank, verdict=verdict, finding=_finding("image", problem.outcome, problem.code, problem.text)
    )


def _finding(check: str, outcome: Outcome, code: str, text: str) -> Finding:
    return Finding(check=check, outcome=outcome, code=code, text=text)


_REFUSED = _finding("image", Outcome.UNTRUSTED, "not-judged", "was not judged")
"""Until something else is known."""
