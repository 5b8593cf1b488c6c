import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.manual_approval.approvers import Electorate, matches, same_role

ALICE = "arn:aws:iam::123456789012:user/alice"
DEPLOY = "arn:aws:sts::123456789012:assumed-role/deploy/ci-4711"
ADMIN_ALICE = "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Admin_0a1b/alice@example.com"
READER_ALICE = "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Reader_2c3d/alice@example.com"
ADMIN_BOB = "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Admin_0a1b/bob@example.com"
FEDERATED = "arn:aws:sts::123456789012:federated-user/alice"
SSO = ("arn:*:sts::*:assumed-role/AWSReservedSSO_*",)


@pytest.mark.parametrize(
    ("identity", "pattern", "match"),
    [
        (ALICE, "*", True),
        (ALICE, ALICE, True),
        (ALICE, "arn:aws:iam::123456789012:user/al?ce", True),
        (ALICE, "arn:aws:iam::*:user/*", True),
        (ALICE, "arn:aws:iam::123456789012:user/bob", False),
        (ALICE, "arn:aws:iam::123456789012:user/alic", False),
        (ALICE, "alice", False),
        (ALICE, ALICE.replace("user", "role"), False),
        ("arn:aws:iam::123456789012:user/ops/alice", ALICE, False),
        # A role, by its own ARN, stands for its sessions; their ARNs have lost the path.
        (DEPLOY, "arn:aws:iam::123456789012:role/deploy", True),
        (DEPLOY, "arn:aws:iam::123456789012:role/ci/pipelines/deploy", True),
        (DEPLOY, "arn:aws:iam::123456789012:role/*/deploy", True),
        (DEPLOY, "arn:aws:iam::123456789012:role/dep*", True),
        (DEPLOY, "arn:aws:iam::123456789012:role/*", True),
        (DEPLOY, "arn:*:iam::*:role/deploy", True),
        (DEPLOY, "arn:aws:iam::999999999999:role/deploy", False),
        (DEPLOY, "arn:aws:iam::123456789012:role/deployer", False),
        (DEPLOY, "arn:aws:iam::123456789012:role/deploy/other", False),
        # By the ARN of its sessions, with or without one.
        (DEPLOY, "arn:aws:sts::123456789012:assumed-role/deploy", True),
        (DEPLOY, "arn:aws:sts::123456789012:assumed-role/deploy/*", True),
        (DEPLOY, "arn:aws:sts::*:assumed-role/dep*", True),
        (DEPLOY, DEPLOY, True),
        (DEPLOY, "arn:aws:sts::123456789012:assumed-role/deploy/ci-1", False),
        (DEPLOY, "arn:aws:sts::123456789012:assumed-role/eploy", False),
        (ADMIN_ALICE, "*/alice@example.com", True),
        # Nothing in a pattern but * and ? has a meaning.
        (ALICE, "arn:aws:iam::123456789012:user/.*", False),
        (ALICE, "arn:aws:iam::123456789012:user/(alice|bob)", False),
        (ALICE, "arn:aws:iam::123456789012:user/[a-z]*", False),
        (ALICE + "\n", ALICE, False),
        ("", "*", True),
    ],
)
def test_a_pattern_names_whom_it_seems_to_name(identity: str, pattern: str, match: bool) -> None:
    assert matches(identity, pattern) is match


@given(st.text(), st.text())
def test_any_pattern_can_be_matched_with_anything(identity: str, pattern: str) -> None:
    assert matches(identity, pattern) in (True, False)
    assert matches(pattern, "".join("?" for _ in pattern)) or "\n" in pattern


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (ALICE, ALICE, True),
        (ALICE, ALICE.replace("alice", "bob"), False),
        (DEPLOY, DEPLOY.replace("ci-4711", "ci-4712"), True),
        (DEPLOY, DEPLOY.replace("/deploy/", "/deployer/"), False),
        (DEPLOY, DEPLOY.replace("123456789012", "999999999999"), False),
        (ADMIN_ALICE, ADMIN_BOB, True),
        (FEDERATED, FEDERATED.replace("alice", "bob"), True),
        (FEDERATED, ALICE, False),
        ("", "", True),
    ],
)
def test_sessions_of_one_role_are_one_principal(one: str, other: str, same: bool) -> None:
    assert same_role(one, other) is same


def electorate(
    allowed: tuple[tuple[str, ...], ...] = (("*",), ("*",)),
    excluded: tuple[str, ...] = (),
    personal: tuple[str, ...] = SSO,
) -> Electorate:
    return Electorate(allowed=allowed, excluded=excluded, personal_sessions=personal)


@pytest.mark.parametrize(
    ("who", "identity", "objection"),
    [
        (electorate(), ALICE, None),
        (electorate(), DEPLOY, None),
        (electorate(), "arn:aws:iam::123456789012:root", None),
        (electorate(), "N/A", "AWS recorded no identity"),
        (electorate(), "", "AWS recorded no identity"),
        (electorate(), "*", "AWS recorded no identity"),
        (electorate(), ALICE + " " + DEPLOY, "AWS recorded no identity"),
        (electorate(excluded=(DEPLOY,)), DEPLOY, "excluded by excludedApprovers"),
        (
            electorate(excluded=("arn:aws:iam::123456789012:role/ci/deploy",)),
            DEPLOY,
            "excluded by excludedApprovers",
        ),
        (electorate(allowed=((ALICE,), ("*",))), DEPLOY, "not among allowedApprovers"),
        (electorate(allowed=(("*",), (ALICE,))), DEPLOY, "not among allowedApprovers"),
        (electorate(allowed=((ALICE, DEPLOY), (DEPLOY,))), DEPLOY, None),
        (electorate(allowed=((ALICE, DEPLOY), (DEPLOY,))), ALICE, "not among allowedApprovers"),
        (electorate(allowed=((ALICE,), (ALICE,)), excluded=(ALICE,)), ALICE, "excluded by excludedApprovers"),
    ],
)
def test_who_may_decide_is_in_every_list_and_not_excluded(
    who: Electorate, identity: str, objection: str | None
) -> None:
    assert who.objection(identity) == objection


@pytest.mark.parametrize(
    ("identity", "voter"),
    [
        (ALICE, ALICE),
        (DEPLOY, "arn:aws:sts::123456789012:assumed-role/deploy"),
        (ADMIN_ALICE, "alice@example.com"),
        (READER_ALICE, "alice@example.com"),
        (ADMIN_BOB, "bob@example.com"),
        (FEDERATED, "arn:aws:sts::123456789012:federated-user"),
    ],
)
def test_a_voice_belongs_to_a_person_or_to_a_whole_role(identity: str, voter: str) -> None:
    assert electorate().voter(identity) == voter


def test_a_role_whose_sessions_are_pinned_to_people_can_be_declared_personal() -> None:
    who = electorate(personal=("arn:aws:iam::123456789012:role/deploy",))

    assert (who.voter(DEPLOY), who.voter(ADMIN_ALICE)) == (
        "ci-4711",
        "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Admin_0a1b",
    )
