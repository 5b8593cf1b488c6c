"""ECR, those who push to it and sign there, and the policy of the image trust hook.

::

    actors:
      - registry:
          images:
            shop/checkout:41: {signed: [{by: release}]}
            shop/checkout:42: {signed: [{how: signer, by: ci, after: 4m}]}    # still being signed at first
          named: digest
          policy:
            version: 1
            name: shop
            trust: {keys: {release: {pem: "${key release}"}}}
            rules: ...

What of a policy is only known here is written ``${...}``:

====================  ==========================================================
``${ecr}``            the host of this account's registry
``${digest NAME}``    digest of an image: ``${digest shop/checkout:42}``
``${key NAME}``       PEM of a public key; whatever is signed ``by: NAME`` fits it
``${kms NAME}``       ARN of the KMS key that has the same public key
``${profile NAME}``   ARN of a signing profile
``${fingerprint}``    SHA-256 of the root that signing profiles lead to
``${in 12h}``         the time so long after the start; ``${ago 12h}``: before it
====================  ==========================================================
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from rehearsal import functions
from rehearsal.actors import Actor, actor
from rehearsal.aws.call import AwsError
from rehearsal.aws.cloud import ACCOUNT, Cloud
from rehearsal.aws.ecr import Registries, Repository, Scan, Signing
from rehearsal.aws.kms import PublicKey
from rehearsal.aws.ssm import MAX_VALUE_BYTES
from rehearsal.document import DocumentError
from rehearsal.durations import Duration, seconds
from rehearsal.images import Images
from rehearsal.signing import Artifact, Key, Profile, SigningService, image, index
from rehearsal.timing import Process
from rehearsal.world import REGION, World

_PLACEHOLDER = re.compile(r"\$\{(?P<what>[a-z]+)(?: (?P<name>[^}]+))?\}")

# What is there before the deployment was pushed, signed and scanned so long before it.
BEFORE = timedelta(days=1)
SCANNED_BEFORE = timedelta(hours=1)

ImageName = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9._/-]{1,254}:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$"),
]
Platform = Literal["amd64", "arm64"]
Severity = Literal["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL", "UNDEFINED"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)


class Signature(_Part):
    """One signature of an image."""

    by: str = Field(
        "release", pattern=r"^[A-Za-z0-9_]{2,64}$", description="the name of a key or of a signing profile"
    )
    how: Literal["tag", "bundle", "signer"] = Field(
        "tag",
        description="tag: by cosign 2, under a tag of its own; bundle: by cosign 3; signer: by AWS Signer, "
        "as ECR's managed signing does on a push",
    )
    over: Literal["image", "platforms"] = Field(
        "image", description="of an image for several platforms: its index, or each of its images"
    )
    after: Duration | None = Field(None, description="from the start; without it as soon as it is pushed")
    fails: bool = Field(False, description="signer: whether signing fails")

    @model_validator(mode="after")
    def _only_signer_fails(self) -> Self:
        if self.fails and self.how != "signer":
            raise ValueError(f"nothing is known of a signature by {self.how} that fails")
        return self


class PushedImage(_Part):
    """An image of the registry."""

    signed: tuple[Signature, ...] = ()
    platforms: tuple[Platform, ...] = Field(
        ("amd64",), min_length=1, description="several make an index of images"
    )
    pushed: Duration | None = Field(None, description="when, from the start; without it a day before")
    found: dict[Severity, int] | None = Field(
        None, description="what its scan has found, an hour before the start; without it nobody has scanned"
    )

    def build(self, name: str) -> Artifact:
        """Build it; its name decides what is in it."""
        images = [image(f"{name} for {platform}", architecture=platform) for platform in self.platforms]
        return images[0] if len(images) == 1 else index(*images)


class Move(_Part):
    """A tag that is pushed anew."""

    tag: ImageName
    to: ImageName = Field(description="the image that it leads to from then on")
    after: Duration


class Loss(_Part):
    """Signatures that are deleted."""

    of: ImageName
    after: Duration


class Revocation(_Part):
    """A signing profile that is revoked, for all that it has ever signed."""

    profile: str
    after: Duration


@actor("registry")
class Registry(Actor):
    """Holds the service's images in ECR, signs, moves and loses what it is told to, and has the policy."""

    images: dict[ImageName, PushedImage] = Field(description="by repository:tag, as service.images has them")
    named: Literal["digest", "tag"] = Field("digest", description="how task definitions name the images")
    immutable: bool = Field(False, description="whether the repositories let no tag move")
    moves: tuple[Move, ...] = ()
    losses: tuple[Loss, ...] = ()
    revocations: tuple[Revocation, ...] = ()
    policy: dict[str, Any] | None = Field(
        None, description="the default policy document of the image trust hook; its ${...} are filled in"
    )

    @model_validator(mode="after")
    def _knows_what_it_names(self) -> Self:
        named = [*(move.tag for move in self.moves), *(move.to for move in self.moves)]
        named += [loss.of for loss in self.losses]
        for what, name in _placeholders(self.policy):
            if what == "digest":
                named.append(name)
            elif what in {"in", "ago"}:
                seconds(name)
            elif what not in _NAMED if name else what not in _BARE:
                raise ValueError(f"policy: ${{{f'{what} {name}'.strip()}}} is nothing that can be filled in")
        for name in named:
            if name not in self.images:
                raise ValueError(f"there is no image {name!r} here, but {', '.join(self.images)}")
        return self

    def prepare(self, world: World) -> None:
        """Have everything there that was before the deployment."""
        shelf = Shelf(self, world.cloud, world.now)
        world.images = shelf
        for name, pushed in self.images.items():
            if pushed.pushed is None:
                shelf.push(name, world.now() - BEFORE)
            if pushed.found is not None:
                shelf.scanned(name, pushed.found, world.now() - SCANNED_BEFORE)
        if self.policy is not None:
            self._publish(world, shelf)

    def run(self, world: World) -> Process:
        shelf = world.images
        assert isinstance(shelf, Shelf)  # prepared above
        for at, who, act in sorted(self._plan(shelf), key=lambda step: step[0]):
            yield world.env.timeout(max(at - world.env.now, 0.0))
            try:
                world.spoke(who, act())
            except AwsError as error:
                world.spoke(who, f"refuses: {error.message}")

    def _plan(self, shelf: "Shelf") -> Iterator[tuple[float, str, Callable[[], str]]]:
        """Yield what happens when: who does it, and what does it and says so."""
        for name, pushed in self.images.items():
            if pushed.pushed is not None:
                yield pushed.pushed, "ECR", partial(shelf.push_now, name)
            for signature in pushed.signed:
                if signature.after is not None:
                    yield (
                        signature.after,
                        "AWS Signer" if signature.how == "signer" else signature.by,
                        partial(shelf.sign_now, name, signature),
                    )
        for move in self.moves:
            yield move.after, "ECR", partial(shelf.move, move.tag, move.to)
        for loss in self.losses:
            yield loss.after, "ECR", partial(shelf.lose, loss.of)
        for one in self.revocations:
            yield one.after, "AWS Signer", partial(shelf.revoke, one.profile)

    def _publish(self, world: World, shelf: "Shelf") -> None:
        """Put the policy where the function looks for it."""
        source = functions.environment(functions.deployed()["ImageTrustFunction"])["IMAGE_POLICY"]
        keys = sorted({name for what, name in _placeholders(self.policy) if what == "kms"})
        if keys:
            arns = ",".join(shelf.filled("kms", name) for name in keys)
            world.template_parameters["ImageTrustKeyArns"] = arns
        text = json.dumps(_filled(self.policy, shelf.filled))
        if len(text.encode()) > MAX_VALUE_BYTES["Advanced"]:
            raise DocumentError(f"{world.scenario.name}: the policy is too long for a parameter")
        world.cloud.parameters.write_earlier(source.removeprefix("ssm:"), text, world.now() - BEFORE)


class Shelf(Images):
    """The images of one run, in ECR or on their way there."""

    def __init__(self, settings: Registry, cloud: Cloud, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._cloud = cloud
        self._clock = clock
        self._started_at = clock()
        self._signer = SigningService()
        self._built = {name: pushed.build(name) for name, pushed in settings.images.items()}

    @property
    def _registries(self) -> Registries:
        return self._cloud.registries

    def reference(self, image: str) -> str:
        built = self._built.get(image)
        if built is None:
            return image
        repository = self._repository(image)
        if self._settings.named == "tag":
            return f"{repository.host}/{image}"
        return f"{repository.uri}@{built.digest}"

    def digest(self, reference: str, *, architecture: str | None = None) -> str | None:
        if ".dkr.ecr." not in reference:
            return super().digest(reference, architecture=architecture)
        found = self._registries.find(reference)
        if found is None:
            return None
        repository, digest = found
        images = repository.manifests[digest].document.get("manifests", [])
        if architecture is None or not images:
            return digest
        fitting = (one for one in images if one["platform"]["architecture"] == architecture)
        return str(next(fitting, images[0])["digest"])

    def push_now(self, name: str) -> str:
        """Push an image, with the signatures that it has from then on."""
        self.push(name, self._clock())
        return f"{name} is pushed"

    def push(self, name: str, at: datetime) -> None:
        """Have an image pushed at a time."""
        self._push(name, self._built[name], at, tag=_tag(name))
        repository = self._repository(name)
        for signature in self._settings.images[name].signed:
            if signature.after is None:
                self.sign(name, signature, at)
            elif signature.how == "signer":
                self._note(repository, name, signature, Signing("IN_PROGRESS"))

    def sign_now(self, name: str, signature: Signature) -> str:
        """Sign an image, or fail to."""
        return self.sign(name, signature, self._clock())

    def sign(self, name: str, signature: Signature, at: datetime) -> str:
        """Have an image signed at a time, or not."""
        repository = self._repository(name)
        if signature.fails:
            failed = Signing("FAILED", "AccessDenied", f"{signature.by} may not be used by whoever pushed")
            self._note(repository, name, signature, failed)
            return f"fails to sign {name} with profile {signature.by}"
        built = self._built[name]
        for subject in built.images if signature.over == "platforms" and built.images else (built,):
            made = self._sign(subject, signature, at)
            self._push(name, made, at, tag=made.tag)
        if signature.how == "signer":
            self._note(repository, name, signature, Signing("COMPLETE"))
            return f"signs {name} with profile {signature.by}"
        return f"signs {name}"

    def move(self, tag: str, to: str) -> str:
        """Let a tag lead elsewhere."""
        self._push(tag, self._built[to], self._clock(), tag=_tag(tag))
        return f"{tag} now leads to what {to} is"

    def lose(self, name: str) -> str:
        """Delete all signatures of an image."""
        repository = self._repository(name)
        built = self._built[name]
        for subject in (built, *built.images):
            stem = subject.digest.replace(":", "-")
            gone = [digest for digest, _ in repository.referrers(subject.digest)]
            gone += [repository.tags[tag] for tag in (f"{stem}.sig", f"{stem}.att") if tag in repository.tags]
            for digest in gone:
                repository.delete(digest=digest)
        return f"the signatures of {name} are gone"

    def revoke(self, profile: str) -> str:
        """Revoke all that a profile has signed."""
        self._cloud.revocations.revoked[_profile(profile).version_arn] = datetime.min.replace(tzinfo=UTC)
        return f"profile {profile} is revoked"

    def scanned(self, name: str, found: Mapping[Severity, int], at: datetime) -> None:
        """Have an image scanned, and each of its platforms."""
        repository, built = self._repository(name), self._built[name]
        # Of an index ECR scans the images.
        for one in built.images or (built,):
            repository.scans[one.digest] = Scan(
                at, {str(severity): count for severity, count in found.items()}
            )

    def filled(self, what: str, name: str) -> str:
        """Return what stands in a policy for a placeholder."""
        if what in _BARE:
            return {"ecr": self._registry_host, "fingerprint": self._signer.fingerprint}[what]
        match what:
            case "digest":
                return self._built[name].digest
            case "key":
                return Key(name).pem
            case "kms":
                return self._cloud.public_keys.add(name, PublicKey(Key(name).der))
            case "profile":
                return _profile(name).arn
            case _:
                lasts = timedelta(seconds=seconds(name))
                return (self._started_at + (lasts if what == "in" else -lasts)).isoformat()

    @property
    def _registry_host(self) -> str:
        return f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"

    def _repository(self, image: str) -> Repository:
        return self._registries.repository(
            image.partition(":")[0], mutability="IMMUTABLE" if self._settings.immutable else "MUTABLE"
        )

    def _push(self, name: str, built: Artifact, at: datetime, *, tag: str | None) -> None:
        repository = self._repository(name)
        for one in built.images:
            repository.push(one.manifest, one.media_type, blobs=one.blobs, at=at)
        repository.push(built.manifest, built.media_type, blobs=built.blobs, tag=tag, at=at)

    def _sign(self, subject: Artifact, signature: Signature, at: datetime) -> Artifact:
        match signature.how:
            case "tag":
                return Key(signature.by).sign_under_tag(subject)
            case "bundle":
                return Key(signature.by).bundle(subject)
            case "signer":
                return self._signer.sign(subject, _profile(signature.by), at)

    def _note(self, repository: Repository, name: str, signature: Signature, state: Signing) -> None:
        """Have ECR say how its managed signing stands."""
        signings = repository.signings.setdefault(self._built[name].digest, {})
        signings[_profile(signature.by).arn] = state


_BARE = ("ecr", "fingerprint")
_NAMED = ("key", "kms", "profile")


def _tag(name: str) -> str:
    return name.partition(":")[2]


def _profile(name: str) -> Profile:
    return Profile(name, ACCOUNT, REGION)


def _placeholders(value: object) -> Iterator[tuple[str, str]]:
    """Yield what a policy leaves to be filled in."""
    if isinstance(value, str):
        for found in _PLACEHOLDER.finditer(value):
            yield found["what"], found["name"] or ""
    elif isinstance(value, dict):
        for part in (*value, *value.values()):
            yield from _placeholders(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _placeholders(part)


def _filled(value: Any, fill: Callable[[str, str], str]) -> Any:
    """Return a policy with everything filled in."""
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda found: fill(found["what"], found["name"] or ""), value)
    if isinstance(value, dict):
        return {_filled(key, fill): _filled(part, fill) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(part, fill) for part in value]
    return value.isoformat() if isinstance(value, datetime) else value
