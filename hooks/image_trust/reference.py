"""References to images, by the grammar that container runtimes use.

::

    reference  := name [ ":" tag ] [ "@" digest ]
    name       := [ host [ ":" port ] "/" ] path-component { "/" path-component }

Sources: https://github.com/distribution/reference/blob/v0.6.0/regexp.go for the grammar, and normalize.go
beside it for what is left out. What has no host is Docker Hub's, as ECS's agent and Docker have it.

One registry can have several hosts. :attr:`Reference.canonical` is the one that policies are held against, so
that an image does not escape its rule by being called otherwise::

    docker.io                                    index.docker.io  registry-1.docker.io
    public.ecr.aws                               ecr-public.aws.com
    ACCOUNT.dkr.ecr.REGION.amazonaws.com         ACCOUNT.dkr.ecr-fips.REGION.amazonaws.com
                                                 ACCOUNT.dkr-ecr.REGION.on.aws  and -fips
    ghcr.io                                      ghcr.io:443
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv6Address
from typing import Self

from hooks.image_trust.finding import Digest, Rejected
from shared.errors import shown

_ALPHANUMERIC = r"[a-z0-9]+"
_SEPARATOR = r"(?:[._]|__|-+)"
_PATH_COMPONENT = rf"{_ALPHANUMERIC}(?:{_SEPARATOR}{_ALPHANUMERIC})*"
_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[(?P<ipv6>[a-f0-9:]+)\])(?::(?P<port>[0-9]{{1,5}}))?")
_PATH = re.compile(
    rf"(?P<path>{_PATH_COMPONENT}(?:/{_PATH_COMPONENT})*)(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}))?"
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# Such a name could be read as an image's id, so that nobody may have it.
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")

# Longer ones are refused by registries; the bound keeps the expressions above from being fed with more.
MAX_REFERENCE_LENGTH = 1024
# https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4, with room for a port
MAX_HOST_LENGTH = 260
# https://github.com/distribution/reference/blob/v0.6.0/reference.go, RepositoryNameTotalLengthMax
MAX_REPOSITORY_LENGTH = 255

HTTPS_PORT = ":443"

DOCKER_HUB = "docker.io"
ECR_PUBLIC = "public.ecr.aws"
# https://github.com/distribution/reference/blob/v0.6.0/normalize.go; registry-1 is where docker.io itself
# leads. ECR Public: https://docs.aws.amazon.com/AmazonECR/latest/public/public-ecr-requests.html
_ALIASES = {
    "index.docker.io": DOCKER_HUB,
    "registry-1.docker.io": DOCKER_HUB,
    "ecr-public.aws.com": ECR_PUBLIC,
}


@dataclass(frozen=True, slots=True)
class _Partition:
    """A part of AWS with domains of its own."""

    regions: str
    """How the names of its Regions begin."""
    dns_suffix: str
    dual_stack_suffix: str | None = None
    """Of ECR's hosts for IPv6; ``None`` where none is documented."""

    def may_have(self, region: str) -> bool:
        """Return whether *region*, or a glob of Regions, can be one of this partition."""
        if "*" in region:
            return True
        first = next(one for one in _PARTITIONS if region.startswith(one.regions))
        return first is self and _REGION.fullmatch(region) is not None


# https://docs.aws.amazon.com/general/latest/gr/rande.html, and partitions.json of the SDKs; dual-stack:
# https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-requests.html. The first that fits: all that is
# not said otherwise is the commercial partition or GovCloud.
_PARTITIONS = (
    _Partition("cn-", "amazonaws.com.cn", "on.amazonwebservices.com.cn"),
    _Partition("eusc-", "amazonaws.eu"),
    _Partition("us-iso-", "c2s.ic.gov"),
    _Partition("us-isob-", "sc2s.sgov.gov"),
    _Partition("us-isof-", "csp.hci.ic.gov"),
    _Partition("eu-isoe-", "cloud.adc-e.uk"),
    _Partition("", "amazonaws.com", "on.aws"),
)
# https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html
_ECR = re.compile(
    r"(?P<account>[0-9*]{1,12})\.dkr(?P<mark>[.-])ecr(?P<fips>-fips)?\."
    r"(?P<region>[a-z0-9*-]{1,32})\.(?P<suffix>[a-z0-9.-]{1,64})"
)
_ACCOUNT = re.compile(r"[0-9]{12}|[0-9]*\*[0-9*]*")
_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]{1,16}){1,3}-[0-9]{1,2}")


def digest(text: object) -> Digest:
    """Return *text* as a digest.

    Raises
    ------
    Rejected
        ``malformed-digest``, also for algorithms other than SHA-256.
    """
    if not isinstance(text, str) or not _DIGEST.fullmatch(text):
        raise Rejected(
            "malformed-digest", f"expected a digest, sha256: and 64 hexadecimal digits, got {shown(text)}"
        )
    return Digest(text)


@dataclass(frozen=True, slots=True)
class EcrRepository:
    """Where in ECR a repository is, read from its host name."""

    account: str
    region: str
    dns_suffix: str
    """``amazonaws.com``, ``amazonaws.com.cn``, ..."""
    fips: bool
    dual_stack: bool

    @classmethod
    def at(cls, host: str) -> Self | None:
        """Read the host of a private registry, or a glob of one; ``None`` where it is none of ECR's.

        In a glob account and Region may have stars, which no host has.
        """
        found = _ECR.fullmatch(host)
        if found is None or "**" in host:
            return None
        account, region, is_dual_stack = found["account"], found["region"], found["mark"] == "-"
        for partition in _PARTITIONS:
            suffix = partition.dual_stack_suffix if is_dual_stack else partition.dns_suffix
            if found["suffix"] == suffix and partition.may_have(region) and _ACCOUNT.fullmatch(account):
                return cls(account, region, partition.dns_suffix, bool(found["fips"]), is_dual_stack)
        return None

    @property
    def host(self) -> str:
        """The registry's first name: neither FIPS nor dual-stack."""
        return f"{self.account}.dkr.ecr.{self.region}.{self.dns_suffix}"

    @property
    def hosts(self) -> Iterator[str]:
        """All names of the registry."""
        dual_stack = next(one.dual_stack_suffix for one in _PARTITIONS if one.dns_suffix == self.dns_suffix)
        for fips in ("", "-fips"):
            yield f"{self.account}.dkr.ecr{fips}.{self.region}.{self.dns_suffix}"
            if dual_stack:
                yield f"{self.account}.dkr-ecr{fips}.{self.region}.{dual_stack}"


@dataclass(frozen=True)
class Reference:
    """An image, completed: ``nginx`` is ``docker.io/library/nginx:latest``."""

    registry: str
    """Host, with its port where it has one."""
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read a reference as a task definition has it.

        Raises
        ------
        Rejected
            ``malformed-reference``, ``malformed-digest``.
        """
        if not isinstance(text, str) or not 0 < len(text) <= MAX_REFERENCE_LENGTH:
            raise Rejected("malformed-reference", f"expected an image, got {shown(text)}")
        if _IDENTIFIER.fullmatch(text):
            raise Rejected("malformed-reference", f"expected an image, got what may be an id: {shown(text)}")
        name, at, pinned = text.partition("@")
        host, path = _split(name)
        found = _PATH.fullmatch(path)
        if found is None or (host is not None and not _is_host(host)):
            raise Rejected(
                "malformed-reference", f"expected an image such as registry/name@sha256:…, got {shown(text)}"
            )
        registry = _without_https_port(host or DOCKER_HUB)
        if canonical_host(registry) == DOCKER_HUB:
            registry = DOCKER_HUB  # Amazon's keep their names, which say how they are reached
        repository = found["path"]
        if registry == DOCKER_HUB and "/" not in repository:
            repository = f"library/{repository}"
        if len(repository) > MAX_REPOSITORY_LENGTH:
            raise Rejected(
                "malformed-reference",
                f"the repository of {shown(text)} is longer than {MAX_REPOSITORY_LENGTH} characters",
            )
        tag = found["tag"] or (None if at else "latest")
        return cls(registry, repository, tag, digest(pinned) if at else None)

    @property
    def name(self) -> str:
        """``registry/repository``."""
        return f"{self.registry}/{self.repository}"

    @property
    def bare(self) -> "Reference":
        """The repository, without tag and digest."""
        return Reference(self.registry, self.repository)

    @cached_property
    def ecr(self) -> EcrRepository | None:
        """``None`` where the registry is not a private ECR."""
        return EcrRepository.at(self.registry)

    @property
    def canonical(self) -> str:
        """The registry's host, by its first name."""
        return canonical_host(self.registry)

    @property
    def spellings(self) -> tuple[str, ...]:
        """``registry/repository`` by every name that the registry has, the first one first."""
        first = self.canonical
        others = self.ecr.hosts if self.ecr else (name for name, of in _ALIASES.items() if of == first)
        return tuple(f"{host}/{self.repository}" for host in dict.fromkeys((first, *others)))

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        pinned = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{pinned}"


def canonical_host(host: str) -> str:
    """Return the first name of the registry at *host*."""
    host = _without_https_port(host)
    ecr = EcrRepository.at(host)
    return ecr.host if ecr else _ALIASES.get(host, host)


def can_be_host(part: str) -> bool:
    """Return whether the first part of a name is taken for a host: ``localhost``, or with a dot or a port."""
    return part == "localhost" or "." in part or ":" in part


def _split(name: str) -> tuple[str | None, str]:
    """Split off the host, if there is one."""
    first, slash, rest = name.partition("/")
    lowered = first.lower()
    if not slash or not can_be_host(lowered):
        # Docker takes a part in capitals for a host as well; in lower case, as hosts compare, it is none.
        return None, name
    return lowered, rest


def _is_host(host: str) -> bool:
    found = _HOST.fullmatch(host) if len(host) <= MAX_HOST_LENGTH else None
    if found is None or not 0 < int(found["port"] or 1) < 65_536:
        return False
    try:
        IPv6Address(found["ipv6"] or "::")
    except ValueError:
        return False
    return True


def _without_https_port(host: str) -> str:
    # Without a dot, what is left would be taken for a part of the path.
    return host.removesuffix(HTTPS_PORT) if can_be_host(host.removesuffix(HTTPS_PORT)) else host
