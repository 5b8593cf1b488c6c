"""Which rule decides: none does where two are equally specific, and some never do."""

import re
from collections.abc import Iterator, Sequence
from itertools import combinations, product

from hooks.image_trust.finding import Rejected
from hooks.image_trust.image_glob import ImageGlob, image_glob
from hooks.image_trust.lint.note import Note, error
from hooks.image_trust.pattern import Star, Token, common, matches, overlap, specificity, tokens
from hooks.image_trust.policy import Policy, Rule
from hooks.image_trust.reference import EcrRepository, Reference

# Both bound what it takes to tell rules apart, to some seconds; real policies take a thousandth of it.
MAX_STEPS = 1_000_000
MAX_STARRED = 300
"""Globs of images with stars, in a policy."""

# A name that nobody has: another glob that covers it has a star there, and covers any name.
ANYBODY = "zq9x7k"


def notes(policy: Policy) -> Iterator[Note]:
    """Yield errors."""
    placed = [(rule, image_glob(text)) for rule in policy.rules for text in rule.match.images]
    starred = [(rule, glob) for rule, glob in placed if "*" in glob.text]
    if len(starred) > MAX_STARRED:
        yield error(None, f"more than {MAX_STARRED} globs of images have stars; split the policy")
        return
    yield from _equally_specific(placed)
    for rule, glob in placed:
        yield from _decides_nothing(policy, rule, glob, starred)
    for rule in policy.rules:
        yield from _covers_nobody(rule)


type _Placed = tuple[Rule, ImageGlob]
"""A glob of images, and the rule in which it stands."""


def _equally_specific(placed: Sequence[_Placed]) -> Iterator[Note]:
    """Find pairs of rules of which neither comes before the other for some container."""
    steps, tied = 0, set[tuple[str, str]]()
    for (one, left), (other, right) in _alike(placed):
        if (one.name, other.name) in tied:
            continue
        steps += left.steps_beside(right)
        if steps > MAX_STEPS:
            yield error(None, "its globs of images are too much alike to be told apart; split the policy")
            return
        if (image := left.overlap(right)) is None:
            continue
        containers = _both_cover(one.match.containers, other.match.containers)
        services = _both_cover(one.match.services, other.match.services)
        if containers and services:
            tied.add((one.name, other.name))
            yield error(one, _tie(other, (left.text, right.text), image, containers, services))


def _alike(placed: Sequence[_Placed]) -> Iterator[tuple[_Placed, _Placed]]:
    """Yield the globs, of two rules, that may be equally specific for some image."""
    exact: dict[tuple[object, object], list[_Placed]] = {}
    starred: dict[tuple[int, int, int], list[_Placed]] = {}
    for one in placed:
        _, glob = one
        # The number of stars counts: what has none is only as specific as what is the same.
        if "*" in glob.text:
            starred.setdefault(glob.specificity, []).append(one)
        else:
            exact.setdefault((glob.name, glob.suffix), []).append(one)
    for alike in (*exact.values(), *starred.values()):
        yield from (pair for pair in combinations(alike, 2) if pair[0][0] is not pair[1][0])


def _both_cover(one: Sequence[str], other: Sequence[str]) -> tuple[str, str] | None:
    """Return a pair of equally specific globs that cover the same name."""
    pairs = product(one, other)
    return next(
        (pair for pair in pairs if specificity(pair[0]) == specificity(pair[1]) and overlap(*pair)), None
    )


def _tie(
    other: Rule, images: tuple[str, str], image: str, containers: tuple[str, str], services: tuple[str, str]
) -> str:
    such_as = f" ({image} is one)" if images[0] != images[1] and _parsed(image) else ""
    both = [
        f"images {_pair(images)}{such_as}",
        *([f"containers {_pair(containers)}"] if containers != ("*", "*") else []),
        *([f"services {_pair(services)}"] if services != ("**", "**") else []),
    ]
    return f"as specific as rule {other.name!r}, so that neither decides on {', '.join(both)}"


def _pair(globs: tuple[str, str]) -> str:
    return globs[0] if globs[0] == globs[1] else f"that both {globs[0]} and {globs[1]} cover"


# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html
_CONTAINER_GLOB = re.compile(r"[A-Za-z0-9_*-]+")
_SERVICE: tuple[Token, ...] = (Star.SEGMENT, "/", Star.SEGMENT)


def _decides_nothing(
    policy: Policy, rule: Rule, glob: ImageGlob, starred: Sequence[_Placed]
) -> Iterator[Note]:
    text = glob.text
    if not (samples := _samples(glob)):
        yield error(rule, f"{text} covers no image, because none can be called so")
    elif _looks_like_ecr(glob):
        yield error(rule, f"{text} is no host of ECR: an account has 12 digits, and a Region its own domain")
    elif glob.has_tag and policy.references.require_digest:
        yield error(
            rule, f"{text} covers tags, and references.requireDigest refuses whatever is named by one"
        )
    elif rival := _always_before(rule, glob, samples, starred):
        yield error(rule, f"{text} decides nothing: wherever it covers, rule {rival!r} is more specific")


def _covers_nobody(rule: Rule) -> Iterator[Note]:
    for text in rule.match.containers:
        if not _CONTAINER_GLOB.fullmatch(text):
            yield error(rule, f"{text!r} covers no container: their names are letters, digits, _ and -")
    for text in rule.match.services:
        if common(tokens(text), _SERVICE) is None:
            yield error(rule, f"{text!r} covers no service: they are called cluster/service")


# What stars may stand for, in one segment (of a host also a port) and across several.
_IN_A_SEGMENT = (ANYBODY, "", "5000")
_ACROSS = (ANYBODY, f"{ANYBODY}/{ANYBODY}", "", f"{ANYBODY}.example/{ANYBODY}", f".example/{ANYBODY}")
_DIGEST = f"sha256:{'0123456789abcdef' * 4}"


def _samples(glob: ImageGlob) -> list[Reference]:
    """Return some of the images that a glob covers, as general as can be."""
    suffixes = ("", filled(glob.suffix, ANYBODY, ""), f"@{_DIGEST}")
    host = tokens(glob.host, Star.LABEL) if glob.host != "**" else ()
    for segment in _IN_A_SEGMENT:
        names = dict.fromkeys(
            (_some_host(glob.ecr) if glob.ecr else filled(host, segment, across))
            + filled(glob.name[len(host) :], segment, across)
            for across in _ACROSS
        )
        found = [reference for pair in product(names, suffixes) if (reference := _parsed("".join(pair)))]
        if covered := [reference for reference in found if glob.covers(reference)]:
            return covered
    return []


def _some_host(ecr: EcrRepository) -> str:
    """Return a host of ECR's that has its account and Region; nothing, where there is none."""
    digits = ecr.account.replace("*", "", ecr.account.count("*") - 1)
    account = digits.replace("*", "0" * (13 - len(digits)))
    regions = (
        f"{'-'.join(parts)}-{number}" for parts in product(_BEGINNINGS, _DIRECTIONS) for number in (1, 2, 3)
    )
    hosts = (
        f"{account}.dkr.ecr.{region}.{ecr.dns_suffix}" for region in regions if matches(ecr.region, region)
    )
    return next((host for host in hosts if EcrRepository.at(host)), "")


# Of which Regions' names are made: https://docs.aws.amazon.com/general/latest/gr/rande.html
_BEGINNINGS = (
    *("us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx", "us-gov", "cn"),
    *("eusc-de", "us-iso", "us-isob", "us-isof", "eu-isoe"),
)
_DIRECTIONS = (
    *("east", "west", "north", "south", "central"),
    *("northeast", "northwest", "southeast", "southwest"),
)


def filled(glob: Sequence[Token], segment: str, across: str) -> str:
    """Return a text that a glob covers: *across* for each ``**``, *segment* for each other star."""
    return "".join(
        token if isinstance(token, str) else across if token is Star.ANY else segment for token in glob
    )


def _parsed(text: str) -> Reference | None:
    try:
        return Reference.parse(text)
    except Rejected:
        return None


def _looks_like_ecr(glob: ImageGlob) -> bool:
    return glob.ecr is None and "**" not in glob.host and re.search(r"\.dkr[.-]ecr", glob.host) is not None


def _always_before(
    rule: Rule, glob: ImageGlob, samples: Sequence[Reference], starred: Sequence[_Placed]
) -> str | None:
    """Return a rule that decides instead of *rule* wherever *glob* covers."""
    if "*" not in glob.text:
        return None  # what covers one repository alone is as specific as can be
    rivals = [
        (other.name, rival)
        for other, rival in starred
        if other is not rule and rival.specificity > glob.specificity and _covers_as_much(other, rule)
    ]
    names = [next((name for name, rival in rivals if rival.covers(sample)), None) for sample in samples]
    return names[0] if all(names) else None


def _covers_as_much(one: Rule, other: Rule) -> bool:
    """Return whether *one* is for all containers and services that *other* is for."""
    return all(
        any(matches(glob, filled(tokens(text), ANYBODY, f"{ANYBODY}/{ANYBODY}")) for glob in globs)
        for globs, texts in (
            (one.match.containers, other.match.containers),
            (one.match.services, other.match.services),
        )
        for text in texts
    )
