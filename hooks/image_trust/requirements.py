"""Judge what a rule requires of one image.

A requirement of signatures holds where one of these is covered by signatures that hold:

::

    the image is ...                       signed may be ...
    an index of images per platform        the index, or all images in it that the task may run
    the image of one platform              that image, or an index under the same tag that lists it

The second is looked at only where the first does not hold. Candidates are tried one by one, and one that does
not hold never hides another that does.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from hooks.image_trust import ecr_facts
from hooks.image_trust.evidence import (
    Attached,
    AttachedTo,
    EcrFacts,
    Evidence,
    FactsOf,
    ImageAt,
    KeyOf,
    Kind,
    RevocationOf,
    RootOf,
    SigningOf,
    Want,
)
from hooks.image_trust.finding import Digest, Finding, Outcome, Problem, Rejected, Signed, Unsettled, combine
from hooks.image_trust.manifest import Descriptor, Manifest, Platform
from hooks.image_trust.pattern import matches
from hooks.image_trust.policy import (
    AtLeast,
    Attestation,
    AwsSigner,
    Cosign,
    Ecr,
    Keyless,
    Leaf,
    Notation,
    Pinned,
    Policy,
    Requirement,
    Rule,
    Where,
)
from hooks.image_trust.reference import Reference
from shared import cold_start
from shared.errors import HookError, shown

if TYPE_CHECKING:
    from hooks.image_trust.formats.keys import PublicKey
    from hooks.image_trust.formats.statement import Statement
    from hooks.image_trust.formats.trusted_root import TrustedRoot

# What a record says of candidates that do not hold: enough to find out why, whatever was attached.
MAX_EXPLAINED = 5

# What an index may list for one task; each has to be asked for. The largest official ones have about twenty
# images for all platforms together.
MAX_RUNNABLE = 32

# What machines run beside their own: https://github.com/containerd/platforms/blob/v1.0.0/compare.go
_RUNS = {"amd64": {"amd64", "386"}, "arm64": {"arm64", "arm"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The image in question, and by what it is judged."""

    reference: Reference
    """With its digest."""
    tag: str | None
    """What it is named by; ``None`` where that is its digest, beside which a tag is decoration."""
    recorded: Digest | None
    """What ECS says that it runs: the image, or one that it lists."""
    platform: Platform | None
    rule: Rule
    policy: Policy
    now: datetime

    @property
    def digest(self) -> Digest:
        assert self.reference.digest is not None  # the only way to ask
        return self.reference.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidates:
    """What was tried for one manifest."""

    subject: Digest | None
    """``None`` where it was not found out which manifest that would be."""
    signed: Signed | None = None
    source: Attached | None = None
    rejected: tuple[Rejected, ...] = ()
    problems: tuple[Problem, ...] = ()
    pending: bool = False

    @property
    def outcome(self) -> Outcome:
        """The best that can still come true."""
        if self.signed:
            return Outcome.PASS
        return _best([problem.outcome for problem in self.problems])


type _Verify = Callable[[Attached, Digest], Signed]


class Inspection:
    """The judging of one image by one rule; what it needs to know goes into *wants*."""

    def __init__(self, asked: Asked, evidence: Evidence, wants: set[Want]) -> None:
        self._asked = asked
        self._evidence = evidence
        self._wants = wants

    def check_is_not_denied(self) -> None:
        """Hold the image, and every image that it lists, against what the policy bans whatever is proven.

        Raises
        ------
        Rejected
            ``denied-digest``; ``nested-index``, since what the inner one lists would go unseen.
        Unsettled
            While the image is being fetched, or where it can't be.
        """
        denied = frozenset(self._asked.policy.references.deny_digests)
        if not denied:
            return
        if self._asked.digest in denied:
            raise Rejected("denied-digest", f"the policy bans {self._asked.digest}")
        for entry in self._image(self._asked.reference).manifests:
            if entry.digest in denied:
                raise Rejected("denied-digest", f"the policy bans {entry.digest}, which it lists")
            if entry.is_index:
                raise Rejected(
                    "nested-index", f"it lists another index, {entry.digest}; denyDigests needs a flat one"
                )

    def judge(self, requirement: Requirement) -> Finding:
        """Judge one requirement, with all below it."""
        name, said = requirement.said
        match said:
            case tuple():
                needed = len(said) if name == "allOf" else 1
                return combine(name, needed, [*map(self.judge, said)])
            case AtLeast():
                return combine(name, said.n, [*map(self.judge, said.of)])
        try:
            return replace(self._leaf(said), check=name)
        except Rejected as error:
            return _finding(name, Outcome.UNTRUSTED, error.code, str(error))
        except Unsettled as error:
            problem = error.problem or _WANTED
            return _finding(name, problem.outcome, problem.code, problem.text)

    def _leaf(self, leaf: Leaf) -> Finding:
        found: Finding = _LEAVES[type(leaf)](self, leaf)
        return found

    # --- What needs no signature ------------------------------------------------------------------

    def _where(self, leaf: Where) -> Finding:
        reference = self._asked.reference
        ecr = reference.ecr
        for wanted, seen, what in (
            (leaf.accounts, ecr.account if ecr else None, "account"),
            (leaf.regions, ecr.region if ecr else None, "Region"),
        ):
            if wanted and seen not in wanted:
                raise Rejected(
                    f"other-{what.lower()}", f"{reference.name} is in no {what} of {', '.join(wanted)}"
                )
        if leaf.repositories and not any(matches(glob, reference.repository) for glob in leaf.repositories):
            raise Rejected(
                "other-repository", f"{reference.repository} is none of {', '.join(leaf.repositories)}"
            )
        return _passed(f"{reference.name} is where it may come from")

    def _pinned(self, leaf: Pinned) -> Finding:
        if self._asked.digest not in leaf.digests:
            raise Rejected(
                "other-digest", f"{self._asked.digest} is none of the {len(leaf.digests)} pinned digests"
            )
        return _passed(f"{self._asked.digest} is pinned")

    def _ecr(self, leaf: Ecr) -> Finding:
        reference, now = self._asked.reference, self._asked.now
        if reference.ecr is None:
            raise Rejected("not-ecr", f"{reference.registry} is not ECR, which alone could say this")
        facts = self._facts(self._asked.digest, scan=False)
        said: list[str] = []
        if leaf.tag_immutability:
            said.append(ecr_facts.check_tags_are_immutable(facts, self._asked.tag))
        if leaf.max_image_age_days is not None:
            said.append(ecr_facts.check_age(facts, leaf.max_image_age_days, now))
        if leaf.scan:
            # ECR scans images, not indexes of them.
            targets = self._run_by_the_task(self._image(reference))
            pending = False
            for target in targets:
                try:
                    said.append(ecr_facts.check_scan(self._facts(target, scan=True), leaf.scan, now))
                except Unsettled as error:
                    if error.problem:
                        raise
                    pending = True  # ask for all of them at once
            if pending:
                raise Unsettled(None)
        return _passed("; ".join(said))

    def _facts(self, digest: Digest, *, scan: bool) -> EcrFacts:
        return self._known(self._evidence.facts, FactsOf(self._asked.reference.bare, digest, scan))

    # --- Signatures -------------------------------------------------------------------------------

    def _cosign(self, leaf: Cosign) -> Finding:
        key = self._key(leaf)

        def verify(attached: Attached, digest: Digest) -> Signed:
            if attached.kind is Kind.BUNDLE:
                from hooks.image_trust.formats import bundle  # noqa: PLC0415  # where a rule needs it

                signed = bundle.verify_signature(
                    attached, digest, key, signer=_key_name(leaf), annotations=leaf.annotations
                )
            else:
                from hooks.image_trust.formats import cosign  # noqa: PLC0415

                signed = cosign.verify_signature(
                    attached, digest, key, signer=_key_name(leaf), annotations=leaf.annotations
                )
            return self._within_validity(leaf, attached, key, signed)

        return self._signed(_kinds(leaf, Kind.COSIGN_SIGNATURE), verify)

    def _keyless(self, leaf: Keyless) -> Finding:
        content = self._root(leaf.root)

        def verify(attached: Attached, digest: Digest) -> Signed:
            root = _trusted_root(content, leaf.root)
            from hooks.image_trust.formats import keyless  # noqa: PLC0415  # a quarter of a second

            return keyless.verify_signature(attached, digest, root, leaf)

        return self._signed(_kinds(leaf, Kind.COSIGN_SIGNATURE), verify)

    def _notation(self, leaf: Notation) -> Finding:
        stores = {name: self._asked.policy.trust.stores[name] for name in leaf.stores}

        def verify(attached: Attached, digest: Digest) -> Signed:
            from hooks.image_trust.formats import notation  # noqa: PLC0415

            return notation.verify(attached, digest, stores, leaf, self._asked.now)

        return self._signed(frozenset({Kind.NOTATION}), verify)

    def _aws_signer(self, leaf: AwsSigner) -> Finding:
        store = self._asked.policy.trust.stores[leaf.store] if leaf.store else None

        def verify(attached: Attached, digest: Digest) -> Signed:
            from hooks.image_trust.formats import aws_signer  # noqa: PLC0415

            signed, revocation = aws_signer.verify(attached, digest, store, leaf, self._asked.now)
            return self._unrevoked(leaf, signed, revocation)

        return self._signed(frozenset({Kind.NOTATION}), verify, profiles=leaf.profiles)

    def _unrevoked(self, leaf: AwsSigner, signed: Signed, revocation: RevocationOf) -> Signed:
        try:
            revoked = self._known(self._evidence.revocations, revocation)
        except Unsettled as error:
            if error.problem is None or leaf.revocation == "required":
                raise
            return replace(
                signed, warnings=(*signed.warnings, f"revocation not checked: {error.problem.text}")
            )
        if revoked:
            raise Rejected("revoked", f"AWS Signer has revoked {', '.join(revoked)}")
        return signed

    def _attestation(self, leaf: Attestation) -> Finding:
        signed_by = leaf.signed_by.cosign or leaf.signed_by.keyless
        assert signed_by is not None  # the model's own rule
        key = self._key(signed_by) if isinstance(signed_by, Cosign) else None
        content = self._root(signed_by.root) if isinstance(signed_by, Keyless) else b""

        def verify(attached: Attached, digest: Digest) -> Signed:
            from hooks.image_trust.formats import statement as statements  # noqa: PLC0415

            signed: Signed
            statement: Statement
            if isinstance(signed_by, Keyless):
                root = _trusted_root(content, signed_by.root)
                from hooks.image_trust.formats import keyless  # noqa: PLC0415

                signed, statement = keyless.verify_attestation(attached, digest, root, signed_by)
            else:
                assert key is not None  # of the other branch
                signed, statement = _attested_by_key(attached, digest, key, signed_by)
                signed = self._within_validity(signed_by, attached, key, signed)
            if statement.predicate_type != leaf.predicate_type:
                raise Rejected(
                    "other-predicate",
                    f"it states {shown(statement.predicate_type)}, not {leaf.predicate_type!r}",
                )
            self._check_age(signed, leaf.max_age_hours)
            statements.check_clauses(statement, leaf.where, self._asked.now)
            return signed

        return self._signed(_kinds(signed_by, Kind.COSIGN_ATTESTATION), verify)

    def _check_age(self, signed: Signed, max_age_hours: float | None) -> None:
        if max_age_hours is None:
            return
        if signed.signed_at is None:
            raise Rejected("unproven-time", "nothing proves when it was signed, and the rule limits its age")
        if (self._asked.now - signed.signed_at) / timedelta(hours=1) > max_age_hours:
            raise Rejected(
                "too-old",
                f"it was signed at {signed.signed_at:%Y-%m-%d %H:%M} UTC, over {max_age_hours:g} hours ago",
            )

    def _signed(self, kinds: frozenset[Kind], verify: _Verify, *, profiles: tuple[str, ...] = ()) -> Finding:
        """Look for signatures over the image; see the table at the top.

        Parameters
        ----------
        profiles
            Of AWS Signer, whose signatures ECR may still be making.
        """
        tried: list[list[_Candidates]] = []
        try:
            for alternative in self._alternatives():
                covering = [self._candidates(subject, kinds, verify) for subject in alternative]
                tried.append(covering)
                if all(one.signed for one in covering):
                    return _accepted(covering)
                _check_none_is_pending(covering)
        # That there is no second alternative, or that it can't be looked at, says nothing about the first.
        except Rejected as error:
            if not tried:
                raise
            tried.append([_Candidates(subject=None, rejected=(error,))])
        except Unsettled as error:
            if not tried or error.problem is None:
                raise
            tried.append([_Candidates(subject=None, problems=(error.problem,))])
        finding = _unsigned(kinds, tried)
        if finding.outcome is Outcome.UNTRUSTED and profiles:
            subjects = [one.subject for covering in tried for one in covering if one.subject]
            return self._being_signed(profiles, subjects, finding)
        return finding

    def _candidates(self, subject: Digest, kinds: frozenset[Kind], verify: _Verify) -> _Candidates:
        """Try what hangs on one manifest until something holds."""
        want = AttachedTo(self._asked.reference.bare, subject, kinds)
        attachments = self._evidence.attached.get(want)
        if attachments is None:
            self._wants.add(want)
            return _Candidates(subject=subject, pending=True)
        rejected: list[Rejected] = []
        problems = list(attachments.problems)
        pending = False
        for attached in attachments.found:
            if attached.kind not in kinds or attached.subject != subject:
                continue
            try:
                return _Candidates(
                    subject=subject, signed=_verified(verify, attached, subject), source=attached
                )
            except Rejected as error:
                rejected.append(error)
            except Unsettled as error:
                pending = pending or error.problem is None
                problems += [error.problem] if error.problem else []
        return _Candidates(
            subject=subject, rejected=tuple(rejected), problems=tuple(problems), pending=pending
        )

    def _being_signed(
        self, profiles: Sequence[str], subjects: Sequence[Digest], unsigned: Finding
    ) -> Finding:
        """Say whether ECR is still signing it: a deployment may come before the push's signature."""
        if self._asked.reference.ecr is None:
            return unsigned
        wants = [SigningOf(self._asked.reference.bare, subject) for subject in subjects]
        if missing := [want for want in wants if want not in self._evidence.signing]:
            self._wants.update(missing)
            raise Unsettled(None)
        known = [self._evidence.signing[want] for want in wants]
        for problem in known:
            if isinstance(problem, Problem) and problem.outcome is not Outcome.UNTRUSTED:
                text = f"{unsigned.text}; whether ECR is still signing it is not known: {problem.text}"
                return replace(unsigned, outcome=problem.outcome, code=problem.code, text=text)
        statuses = [
            status
            for found in known
            if not isinstance(found, Problem)
            for status in found
            if _is_of(status.profile_arn, profiles)
        ]
        for status in statuses:
            if status.status == "IN_PROGRESS":
                text = f"{status.profile_arn} is still signing it"
                return replace(unsigned, outcome=Outcome.UNVERIFIABLE, code="signing-in-progress", text=text)
        for status in statuses:
            if status.status == "FAILED":
                text = f"{status.profile_arn} failed to sign it: {status.failure or 'no reason given'}"
                return replace(unsigned, code="signing-failed", text=text)
        return unsigned

    # --- What they rest on ------------------------------------------------------------------------

    def _alternatives(self) -> Iterator[tuple[Digest, ...]]:
        """Yield sets of manifests, one of which has to be signed altogether."""
        scope, image = self._asked.rule.multi_arch, self._image(self._asked.reference)
        if not image.is_index:
            yield (image.digest,)
            if scope != "platform" and (index := self._index_of(image.digest)):
                yield (index,)
            return
        if scope != "platform":
            yield (image.digest,)
        if scope != "index":
            yield self._run_by_the_task(image)

    def _index_of(self, digest: Digest) -> Digest | None:
        """Return the index that the reference's tag leads to, where it lists the image beside the tag."""
        if self._asked.reference.tag is None:
            return None
        try:
            found = self._image(replace(self._asked.reference, digest=None))
        except Unsettled as error:
            # A tag that leads nowhere is no reason against an image named by digest.
            if error.problem and error.problem.outcome is Outcome.UNTRUSTED:
                return None
            raise
        is_denied = found.digest in self._asked.policy.references.deny_digests
        return found.digest if not is_denied and digest in _listed(found) else None

    def _run_by_the_task(self, image: Manifest) -> tuple[Digest, ...]:
        """Return the images that the task may run: those for its platform, or all where that is not known.

        Raises
        ------
        Rejected
            ``no-platform``; ``too-many-platforms``.
        """
        if not image.is_index:
            return (image.digest,)
        platform, recorded = self._asked.platform, self._asked.recorded
        found = {entry.digest for entry in image.runnable if _fits(entry, platform)}
        if recorded is not None and recorded != image.digest:
            found.add(recorded)
        if not found:
            raise Rejected("no-platform", f"the index lists no image for {_shown(platform)}")
        if len(found) > MAX_RUNNABLE:
            lists = f"the index lists {len(found)} images for {_shown(platform)}"
            raise Rejected("too-many-platforms", f"{lists}, at most {MAX_RUNNABLE} are looked at")
        return tuple(sorted(found))

    def _image(self, reference: Reference) -> Manifest:
        return self._known(self._evidence.images, ImageAt(reference))

    def _known[WantT: Want, FactT](self, table: dict[WantT, FactT | Problem], want: WantT) -> FactT:
        found = table.get(want)
        if found is None:
            self._wants.add(want)
            raise Unsettled(None)
        if isinstance(found, Problem):
            raise Unsettled(found)
        return found

    def _key(self, leaf: Cosign) -> "PublicKey":
        from hooks.image_trust.formats.keys import load_public_key  # noqa: PLC0415

        key = self._asked.policy.trust.keys[leaf.key]
        content = key.pem.encode() if key.pem else self._known(self._evidence.keys, KeyOf(key.kms or ""))
        try:
            return load_public_key(content)
        except Rejected as error:
            raise Unsettled(
                Problem(Outcome.MISCONFIGURED, error.code, f"key {leaf.key!r} of the policy: {error}")
            ) from error

    def _root(self, name: str) -> bytes:
        root = self._asked.policy.trust.roots[name]
        if root.fetched and root.max_age_days is not None:
            age = self._asked.now - root.fetched
            if age > timedelta(days=root.max_age_days):
                raise Unsettled(
                    Problem(
                        Outcome.MISCONFIGURED,
                        "root-too-old",
                        f"root {name!r} of the policy is {age.days} days old, {root.max_age_days} allowed",
                    )
                )
        content = self._known(self._evidence.roots, RootOf(name))
        from hooks.image_trust.formats.trusted_root import read  # noqa: PLC0415

        try:
            read(content)
        except Rejected as error:
            raise _bad_root(name, error) from error
        return content

    def _within_validity(self, leaf: Cosign, attached: Attached, key: "PublicKey", signed: Signed) -> Signed:
        """Hold the signature's time against the key's end; without a log, nothing proves an earlier one."""
        at = self._asked.now
        if leaf.log:
            from hooks.image_trust.formats.transparency import verify_logged  # noqa: PLC0415

            at, index = verify_logged(attached, key, self._root(leaf.log))
            signed = replace(signed, signed_at=at, log_index=index)
        valid_until = self._asked.policy.trust.keys[leaf.key].valid_until
        if valid_until and at >= valid_until:
            raise Rejected(
                "key-expired", f"key {leaf.key!r} was valid until {valid_until:%Y-%m-%d %H:%M} UTC"
            )
        return signed


_WANTED = Problem(Outcome.UNVERIFIABLE, "wanted", "is being fetched")

_LEAVES: Mapping[type, Callable[[Inspection, Any], Finding]] = {
    Where: Inspection._where,  # noqa: SLF001  # its own table
    Pinned: Inspection._pinned,  # noqa: SLF001
    Cosign: Inspection._cosign,  # noqa: SLF001
    Keyless: Inspection._keyless,  # noqa: SLF001
    Notation: Inspection._notation,  # noqa: SLF001
    AwsSigner: Inspection._aws_signer,  # noqa: SLF001
    Attestation: Inspection._attestation,  # noqa: SLF001
    Ecr: Inspection._ecr,  # noqa: SLF001
}


def _attested_by_key(
    attached: Attached, digest: Digest, key: "PublicKey", leaf: Cosign
) -> tuple[Signed, "Statement"]:
    if attached.kind is Kind.BUNDLE:
        from hooks.image_trust.formats import bundle  # noqa: PLC0415

        return bundle.verify_attestation(attached, digest, key, signer=_key_name(leaf))
    from hooks.image_trust.formats import cosign  # noqa: PLC0415

    return cosign.verify_attestation(attached, digest, key, signer=_key_name(leaf))


def _verified(verify: _Verify, attached: Attached, subject: Digest) -> Signed:
    """Verify one candidate; whatever it does to the code that reads it, no other suffers from it."""
    try:
        signed = verify(attached, subject)
    except (Rejected, Unsettled):
        raise
    except HookError as error:
        raise Unsettled(Problem.of(error)) from error
    # Whoever may attach a signature must not be able to end the search for others by it.
    except Exception as error:
        raise Rejected(
            "unreadable",
            f"{attached.kind} in {attached.manifest}: {type(error).__name__}: {shown(str(error))}",
        ) from error
    if signed.digest != subject:
        raise Rejected("signed-other-digest", f"it is the signature of {signed.digest}, not of {subject}")
    return signed


def _trusted_root(content: bytes, name: str) -> "TrustedRoot":
    """Read a trusted root of the policy, which is to blame if that fails."""
    try:
        # securesystemslib, below it, signs with keys in KMS where it finds boto3, and Lambda has one.
        with cold_start.importing_late(without="boto3"):
            from hooks.image_trust.formats.keyless import load_root  # noqa: PLC0415  # a quarter of a second

        return load_root(content)
    except ImportError as error:
        text = f"this function was built without {error.name}, which keyless signatures take"
        raise Unsettled(Problem(Outcome.MISCONFIGURED, "not-built-in", text)) from error
    except Rejected as error:
        raise _bad_root(name, error) from error


def _bad_root(name: str, error: Rejected) -> Unsettled:
    return Unsettled(Problem(Outcome.MISCONFIGURED, error.code, f"root {name!r} of the policy: {error}"))


def _is_of(profile: str, profiles: Sequence[str]) -> bool:
    """Tell whether a signing profile, named without version, is among those of a rule."""
    return any(f"{one}/".lower().startswith(f"{profile}/".lower()) for one in profiles)


def _listed(index: Manifest) -> frozenset[Digest]:
    return frozenset(entry.digest for entry in index.runnable)


def _kinds(leaf: Cosign | Keyless, tagged: Kind) -> frozenset[Kind]:
    kinds = {"tag": tagged, "bundle": Kind.BUNDLE}
    return frozenset(kinds[name] for name in leaf.formats)


def _key_name(leaf: Cosign) -> str:
    return f"key {leaf.key}"


def _fits(entry: Descriptor, platform: Platform | None) -> bool:
    """Tell whether a machine may run it; what the index leaves open may be for any."""
    if platform is None or entry.platform is None:
        return True
    return entry.platform.os in {"", platform.os} and (
        entry.platform.architecture in {"", *_RUNS.get(platform.architecture, {platform.architecture})}
    )


def _shown(platform: Platform | None) -> str:
    return f"{platform.os}/{platform.architecture}" if platform else "any platform"


def _accepted(covering: Sequence[_Candidates]) -> Finding:
    signatures = [
        {**found.signed.write(), "in": found.source.manifest, "kind": found.source.kind.value}
        for found in covering
        if found.signed and found.source
    ]
    signers = ", ".join(sorted({str(one["signer"]) for one in signatures}))
    return Finding(
        check="", outcome=Outcome.PASS, code="ok", text=f"signed by {signers}",
        evidence={"signatures": signatures},
    )  # fmt: skip


def _check_none_is_pending(tried: Sequence[_Candidates]) -> None:
    if any(found.pending for found in tried):
        raise Unsettled(None)


def _best(outcomes: Sequence[Outcome]) -> Outcome:
    return min(outcomes, key=list(Outcome).index, default=Outcome.UNTRUSTED)


def _worst(outcomes: Sequence[Outcome]) -> Outcome:
    return max(outcomes, key=list(Outcome).index)


def _unsigned(kinds: frozenset[Kind], tried: Sequence[Sequence[_Candidates]]) -> Finding:
    """Say why no signature holds: of the alternatives, the best one counts, and of that the worst part."""
    all_ = [found for covering in tried for found in covering]
    rejected = [error for found in all_ for error in found.rejected]
    problems = [problem for found in all_ for problem in found.problems]
    evidence = {
        "candidates": [
            *({"code": error.code, "text": str(error)} for error in rejected[:MAX_EXPLAINED]),
            *({"code": problem.code, "text": problem.text} for problem in problems[:MAX_EXPLAINED]),
        ]
    }
    outcome = _best([_worst([found.outcome for found in covering]) for covering in tried])
    if outcome is not Outcome.UNTRUSTED:
        telling = next(problem for problem in problems if problem.outcome is outcome)
        return replace(_finding("", outcome, telling.code, telling.text), evidence=evidence)
    reasons = [(error.code, str(error)) for error in rejected]
    reasons += [(problem.code, problem.text) for problem in problems]
    if not reasons:
        subjects = " or ".join(dict.fromkeys(found.subject for found in all_ if found.subject))
        text = f"no {' or '.join(sorted(kinds))} is attached to {subjects}"
        return _finding("", Outcome.UNTRUSTED, "no-signature", text)
    code = reasons[0][0] if len({code for code, _ in reasons}) == 1 else "no-valid-signature"
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return replace(_finding("", Outcome.UNTRUSTED, code, reasons[0][1] + more), evidence=evidence)


def _passed(text: str) -> Finding:
    return _finding("", Outcome.PASS, "ok", text)


def _finding(check: str, outcome: Outcome, code: str, text: str) -> Finding:
    return Finding(check=check, outcome=outcome, code=code, text=text)
