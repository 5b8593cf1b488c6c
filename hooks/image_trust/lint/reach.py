"""What a rule asks for has to be there: in a registry that the policy names, and that can say it."""

from collections.abc import Iterator

from hooks.image_trust.image_glob import ImageGlob, image_glob
from hooks.image_trust.lint.note import Note, error, warning
from hooks.image_trust.pattern import overlap
from hooks.image_trust.policy import Policy, Requirement, Rule, Where


def notes(policy: Policy, rule: Rule) -> Iterator[Note]:
    """Yield errors and warnings."""
    leaves = tuple(rule.require.leaves)
    for text in rule.match.images:
        glob = image_glob(text)
        if any(_asks_registry(leaf) for leaf in leaves):
            yield from _unnamed(policy, rule, glob)
        if not _can_hold(rule.require, glob):
            yield error(rule, f"what it requires can never hold for {text}: {_why_not(leaves, glob)}")
        elif any(leaf.aws_signer for leaf in leaves) and glob.ecr is None:
            yield warning(
                rule,
                f"outside ECR, as with {text}, nothing says that AWS Signer is still signing: a deployment "
                "right after a push is refused instead of waiting",
            )


def _asks_registry(leaf: Requirement) -> bool:
    return leaf.registry is None and leaf.pinned is None


def _unnamed(policy: Policy, rule: Rule, glob: ImageGlob) -> Iterator[Note]:
    """Say that signatures are asked of no registry but those that the policy spells out."""
    if glob.names_registry or glob.host in policy.registries:
        return
    if glob.host == "**" and policy.registries:
        yield warning(rule, f"{glob.text}: only registries that the policy names are asked for signatures")
        return
    what = "account" if glob.ecr else "registry"
    yield error(
        rule,
        f"{glob.text} leaves open which {what} is asked for signatures, and whoever deploys would choose; "
        f"spell the {what} out",
    )


def _can_hold(requirement: Requirement, glob: ImageGlob) -> bool:
    """Return whether a requirement can hold for some image that the glob covers."""
    if requirement.parts:
        return sum(_can_hold(part, glob) for part in requirement.parts) >= requirement.needed
    if requirement.ecr:
        return glob.host == "**" or glob.ecr is not None
    return requirement.registry is None or _can_be_there(requirement.registry, glob)


def _can_be_there(where: Where, glob: ImageGlob) -> bool:
    if glob.host != "**" and glob.ecr is None:
        if where.accounts or where.regions:
            return False
    elif glob.ecr is not None:
        if where.accounts and not any(overlap(glob.ecr.account, account) for account in where.accounts):
            return False
        if where.regions and not any(overlap(glob.ecr.region, region) for region in where.regions):
            return False
    path = glob.path
    return not where.repositories or any(overlap(repository, path) for repository in where.repositories)


def _why_not(leaves: tuple[Requirement, ...], glob: ImageGlob) -> str:
    if glob.ecr is None and any(leaf.ecr for leaf in leaves):
        return "ecr is said by ECR alone"
    return "registry names other places"
