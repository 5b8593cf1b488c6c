import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hooks.manual_approval.approvers import Electorate, Person, Voice, matches, same_role

ALICE = "arn:aws:iam::123456789012:user/alice"
DEPLOY = "arn:aws:sts::123456789012:assumed-role/deploy/ci-4711"
ADMIN_ALICE = "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Admin_0a1b/alice@example.com"
READER_ALICE = "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Reader_2c3d/alice@example.com"
ADMIN_BOB = "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Admin_0a1b/bob@example.com"
FEDERATED = "arn:aws:sts::123456789012:federated-user/alice"
SSO = ("arn:*:sts::*:assumed-role/AWSReservedSSO_*",)

ISSUER = "https://login.example.com"
CONSOLE = "arn:aws:iam::123456789012:role/apps/console"
BY_CONSOLE = "arn:aws:sts::123456789012:assumed-role/console/ApprovalConsoleFunction"
PERSON = f"oidc:{ISSUER}#alice@example.com"
RELEASES, CONTRACTORS = f"oidc-group:{ISSUER}#releases", f"oidc-group:{ISSUER}#contractors"


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
        # Persons and groups of the console.
        (PERSON, "*", True),
        (PERSON, PERSON, True),
        (PERSON, f"oidc:{ISSUER}#*@example.com", True),
        (PERSON, f"oidc:{ISSUER}#alice", False),
        (PERSON, "oidc:*#alice@example.com", True),
        (PERSON, "oidc:https://*.example.com#*", True),
        (PERSON, f"oidc-group:{ISSUER}#*", False),
        (RELEASES, "oidc-group:*#releases", True),
        (RELEASES, "oidc:*#releases", False),
        # No pattern of one kind reaches into the other.
        (PERSON, "arn:*", False),
        (ALICE, "oidc:*#*", False),
        # The first # ends the issuer, whatever the subject holds, and no star reaches over it.
        (f"oidc:{ISSUER}#mallory#alice", "oidc:*#alice", False),
        (f"oidc:{ISSUER}#mallory#alice", f"oidc:{ISSUER}#*#alice", True),
        (f"oidc-group:{ISSUER}#visitors#releases", "oidc-group:*#releases", False),
        (f"oidc:{ISSUER}#a\nb", f"oidc:{ISSUER}#a?b", True),
        (f"oidc:{ISSUER}/one#mallory/two#alice", f"oidc:{ISSUER}/*/two#alice", False),
        (f"oidc:{ISSUER}#a", f"oidc:{ISSUER}?a", False),
        (f"oidc:{ISSUER}#a,b", f"oidc:{ISSUER}#a,b", True),
        (f"oidc:{ISSUER}#a,b", f"oidc:{ISSUER}#a", False),
        (f"oidc:{ISSUER}#Alice", f"oidc:{ISSUER}#alice", False),
    ],
)
def test_a_pattern_names_whom_it_seems_to_name(identity: str, pattern: str, match: bool) -> None:
    assert matches(identity, pattern) is match


def plainly(text: str, pattern: str) -> bool:
    """Match by definition: a star is nothing, or any character and the star again."""
    ends = {0}
    for wanted in pattern:
        if wanted == "*":
            ends = set(range(min(ends, default=len(text) + 1), len(text) + 1))
        else:
            ends = {end + 1 for end in ends if end < len(text) and wanted in ("?", text[end])}
    return len(text) in ends


FEW = st.text("ab*?#:/\n", max_size=9)


@given(FEW, FEW)
@example("aab", "*ab")
@example("abab", "*ab*ab")
@example("ab", "*ab*ab")
@example("aXb\n", "a*")
def test_a_pattern_matches_what_it_says(text: str, pattern: str) -> None:
    assert matches(text, pattern) is plainly(text, pattern)


@given(
    st.text("ab#*?", max_size=8), st.text("ab#", max_size=8), st.text("ab*?", max_size=4), st.text("ab#*?")
)
def test_a_pattern_of_people_is_one_of_issuers_and_one_of_names(
    issuer_of: str, name_of: str, issuer: str, name: str
) -> None:
    at, _, who = f"{issuer_of}#{name_of}".partition("#")

    assert matches(f"oidc:{at}#{who}", f"oidc:{issuer}#{name}") is (
        plainly(at, issuer) and plainly(who, name)
    )


@given(st.text(), st.text())
def test_any_pattern_can_be_matched_with_anything(identity: str, pattern: str) -> None:
    assert matches(identity, pattern) in (True, False)
    assert matches(pattern, "".join("?" for _ in pattern))


def test_no_pattern_is_too_costly_to_match() -> None:
    # As many stars as a setting may hold, against a name that almost has what they seek.
    hostile = "arn:" + "*a" * 125 + "*b"
    began = time.process_time()

    assert not matches("arn:" + "a" * 4000, hostile)
    assert not matches(f"oidc:{ISSUER}#" + "a" * 4000, "oidc:" + "*/" * 60 + "#" + "*a" * 60 + "*b")
    # It takes some milliseconds. Twice the stars once took a million times as long.
    assert time.process_time() - began < 1


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
        # Either may be the role itself, whatever its path.
        (BY_CONSOLE, CONSOLE, True),
        (CONSOLE, CONSOLE.replace("/apps/", "/"), True),
        (CONSOLE, CONSOLE.replace("/apps/", "/apps/more/"), True),
        (BY_CONSOLE, CONSOLE.replace("123456789012", "999999999999"), False),
        (BY_CONSOLE, CONSOLE.replace("console", "consol"), False),
        (BY_CONSOLE, CONSOLE.replace("arn:aws:", "arn:aws-cn:"), False),
        # It is a name, and no pattern.
        (BY_CONSOLE, CONSOLE.replace("console", "*"), False),
        (BY_CONSOLE, CONSOLE.replace("123456789012", "*"), False),
        (BY_CONSOLE, "*", False),
        (BY_CONSOLE + "/more", CONSOLE, False),
        ("arn:aws:iam::123456789012:user/:sts::123456789012:assumed-role/console/x", CONSOLE, False),
    ],
)
def test_sessions_of_one_role_are_one_principal(one: str, other: str, same: bool) -> None:
    assert same_role(one, other) is same


def electorate(
    allowed: tuple[tuple[str, ...], ...] = (("*",), ("*",)),
    excluded: tuple[str, ...] = (),
    personal: tuple[str, ...] = SSO,
    console: str = CONSOLE,
) -> Electorate:
    return Electorate(allowed=allowed, excluded=excluded, personal_sessions=personal, console=console)


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
        # The path of a user is free text, and may hold what another's ARN consists of.
        (electorate(), "arn:aws:iam::123456789012:user/ops/alice", None),
        (
            electorate(allowed=(("arn:*:sts::*:assumed-role/release/*",),)),
            "arn:aws:iam::123456789012:user/:sts::123456789012:assumed-role/release/mallory",
            "AWS recorded no identity",
        ),
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


@pytest.mark.parametrize("spelt", [DEPLOY, DEPLOY.upper().replace("ARN:AWS:STS", "arn:aws:sts")])
def test_an_exclusion_holds_in_any_spelling(spelt: str) -> None:
    assert electorate(excluded=("arn:aws:iam::123456789012:role/Deploy",)).objection(DEPLOY) == (
        "excluded by excludedApprovers"
    )
    assert electorate(excluded=(spelt,)).objection(DEPLOY) == "excluded by excludedApprovers"


# ---------------------------------------------------------------------------------- persons of the console


@pytest.mark.parametrize(
    ("who", "person", "objection"),
    [
        (electorate(), Person(PERSON), None),
        (electorate(), Person(PERSON, (RELEASES,)), None),
        (electorate(), None, "the console names no person"),
        # All that is known of a person may let them decide, or keep them from it.
        (electorate(allowed=((PERSON,), ("*",))), Person(PERSON), None),
        (electorate(allowed=((RELEASES,), ("*",))), Person(PERSON, (CONTRACTORS, RELEASES)), None),
        (electorate(allowed=((RELEASES,), (PERSON,))), Person(PERSON, (RELEASES,)), None),
        (electorate(allowed=((CONSOLE,), ("*",))), Person(PERSON), None),
        (electorate(allowed=((CONSOLE,), (RELEASES,))), Person(PERSON), "not among allowedApprovers"),
        (electorate(allowed=((RELEASES,), ("*",))), Person(PERSON), "not among allowedApprovers"),
        (electorate(allowed=((ALICE,), ("*",))), Person(PERSON, (RELEASES,)), "not among allowedApprovers"),
        (electorate(allowed=(("oidc:*#bob",), ("*",))), Person(PERSON), "not among allowedApprovers"),
        (electorate(excluded=(PERSON,)), Person(PERSON), "excluded by excludedApprovers"),
        (
            electorate(allowed=((RELEASES,), ("*",)), excluded=(CONTRACTORS,)),
            Person(PERSON, (RELEASES, CONTRACTORS)),
            "excluded by excludedApprovers",
        ),
        (electorate(excluded=(CONSOLE,)), Person(PERSON), "excluded by excludedApprovers"),
        # As an issuer spells it, and as the organisation does.
        (
            electorate(excluded=(f"oidc:{ISSUER}#alice@EXAMPLE.com",)),
            Person(f"oidc:{ISSUER}#Alice@example.com"),
            "excluded by excludedApprovers",
        ),
        # What is no name of a person is no person.
        (electorate(), Person(ALICE), "the console names no person"),
        (electorate(), Person(RELEASES), "the console names no person"),
        (electorate(), Person(f"oidc:{ISSUER}#"), "the console names no person"),
        (electorate(), Person("oidc:#alice"), "the console names no person"),
        (electorate(), Person(f" {PERSON}"), "the console names no person"),
        (electorate(), Person(PERSON + "\n"), "the console names no person"),
        (electorate(), Person(PERSON + "\0"), "the console names no person"),
        (electorate(), Person(PERSON + "\x7f"), "the console names no person"),
        (electorate(), Person(PERSON + "\u202e"), "the console names no person"),
        (electorate(), Person(PERSON + "\u200b"), "the console names no person"),
        (electorate(), Person(PERSON + "\ud800"), "the console names no person"),
        (electorate(), Person("oidc:https://login\0.example.com#alice"), "the console names no person"),
        # A group that is none might be a role, and let anybody decide.
        (electorate(allowed=((ALICE,),)), Person(PERSON, (ALICE,)), "the console names no person"),
        (electorate(), Person(PERSON, (RELEASES, "")), "the console names no person"),
        (electorate(), Person(PERSON, (PERSON,)), "the console names no person"),
        (electorate(), Person(PERSON, (f"{RELEASES}\u2028",)), "the console names no person"),
    ],
)
def test_a_person_of_the_console_counts_by_name_by_group_or_by_the_console(
    who: Electorate, person: Person | None, objection: str | None
) -> None:
    assert who.objection(BY_CONSOLE, person) == objection


@pytest.mark.parametrize(
    "caller", [DEPLOY, ALICE, ADMIN_ALICE, BY_CONSOLE.replace("/console/", "/console2/")]
)
def test_whom_anybody_but_the_console_names_is_not_believed(caller: str) -> None:
    who = electorate(allowed=((PERSON, RELEASES),))
    person = Person(PERSON, (RELEASES,))

    assert who.objection(caller, person) == "not among allowedApprovers"
    assert who.voice(caller, person) == who.voice(caller)
    assert who.voice(caller).names == (caller,)


@pytest.mark.parametrize("console", ["", "*", "arn:aws:iam::*:role/*", "arn:aws:sts::*:assumed-role/*/*"])
def test_where_there_is_no_console_nobody_is_one(console: str) -> None:
    who = electorate(allowed=((PERSON,),), console=console)

    assert who.objection(BY_CONSOLE, Person(PERSON)) == "not among allowedApprovers"
    assert not any(who.is_console(caller) for caller in ("", BY_CONSOLE, ALICE))


@pytest.mark.parametrize("console", [CONSOLE, CONSOLE.replace("/apps/", "/"), BY_CONSOLE])
def test_the_console_is_known_by_its_role_however_that_is_written(console: str) -> None:
    who = electorate(allowed=((PERSON,),), console=console)

    assert who.objection(BY_CONSOLE, Person(PERSON)) is None
    assert who.objection(BY_CONSOLE.replace("/ApprovalConsoleFunction", "/by-hand"), Person(PERSON)) is None


def test_a_pattern_of_all_sessions_lets_everybody_of_the_console_decide() -> None:
    # The console's own role is one of an answer's names: on purpose, and documented.
    who = electorate(allowed=(("arn:aws:sts::*:assumed-role/*",),))

    assert who.objection(BY_CONSOLE, Person(PERSON)) is None
    assert electorate(allowed=(("arn:aws:iam::*:role/release",),)).objection(BY_CONSOLE, Person(PERSON)) == (
        "not among allowedApprovers"
    )


# ---------------------------------------------------------------------------------- voices


@pytest.mark.parametrize(
    ("caller", "person", "voice"),
    [
        (ALICE, None, Voice(ALICE, (ALICE,), "alice")),
        (
            "arn:aws:iam::123456789012:user/ops/Alice",
            None,
            Voice(
                "arn:aws:iam::123456789012:user/ops/Alice",
                ("arn:aws:iam::123456789012:user/ops/Alice",),
                "alice",
            ),
        ),
        (
            "arn:aws:iam::123456789012:root",
            None,
            Voice(
                "arn:aws:iam::123456789012:root",
                ("arn:aws:iam::123456789012:root",),
                "arn:aws:iam::123456789012:root",
            ),
        ),
        (DEPLOY, None, Voice(DEPLOY, (DEPLOY,), "arn:aws:sts::123456789012:assumed-role/deploy")),
        (ADMIN_ALICE, None, Voice(ADMIN_ALICE, (ADMIN_ALICE,), "alice@example.com")),
        (READER_ALICE, None, Voice(READER_ALICE, (READER_ALICE,), "alice@example.com")),
        (ADMIN_BOB, None, Voice(ADMIN_BOB, (ADMIN_BOB,), "bob@example.com")),
        (
            ADMIN_BOB.replace("/bob", "/Bob"),
            None,
            Voice(ADMIN_BOB.replace("/bob", "/Bob"), (ADMIN_BOB.replace("/bob", "/Bob"),), "bob@example.com"),
        ),
        (FEDERATED, None, Voice(FEDERATED, (FEDERATED,), "arn:aws:sts::123456789012:federated-user")),
        (
            BY_CONSOLE,
            Person(PERSON, (RELEASES,), "Alice"),
            Voice(PERSON, (PERSON, RELEASES, BY_CONSOLE), "alice@example.com"),
        ),
        (
            BY_CONSOLE,
            Person(f"oidc:{ISSUER}#Alice@Example.com"),
            Voice(
                f"oidc:{ISSUER}#Alice@Example.com",
                (f"oidc:{ISSUER}#Alice@Example.com", BY_CONSOLE),
                "alice@example.com",
            ),
        ),
        (
            BY_CONSOLE,
            Person(f"oidc:{ISSUER}#a#b"),
            Voice(f"oidc:{ISSUER}#a#b", (f"oidc:{ISSUER}#a#b", BY_CONSOLE), "a#b"),
        ),
        (
            BY_CONSOLE,
            None,
            Voice(BY_CONSOLE, (BY_CONSOLE,), "arn:aws:sts::123456789012:assumed-role/console"),
        ),
    ],
)
def test_a_voice_belongs_to_a_person_or_to_a_whole_role(
    caller: str, person: Person | None, voice: Voice
) -> None:
    assert electorate().voice(caller, person) == voice


def test_somebody_who_is_called_the_same_in_the_console_and_by_aws_has_one_voice() -> None:
    spellings = ("alice@example.com", "Alice@Example.com")
    sessions = [electorate().voice(ADMIN_ALICE.replace("alice@example.com", name)) for name in spellings]
    signed_in = [electorate().voice(BY_CONSOLE, Person(f"oidc:{ISSUER}#{name}")) for name in spellings]
    users = [electorate().voice(f"arn:aws:iam::123456789012:user/{name}") for name in spellings]

    assert {voice.one for voice in (*sessions, *signed_in, *users)} == {"alice@example.com"}


def test_the_console_s_own_session_name_is_nobody_s_even_where_all_sessions_are_personal() -> None:
    who = electorate(personal=("arn:aws:sts::*:assumed-role/*",))

    assert who.voice(BY_CONSOLE, Person(PERSON)).one == "alice@example.com"


def test_a_role_whose_sessions_are_pinned_to_people_can_be_declared_personal() -> None:
    who = electorate(personal=("arn:aws:iam::123456789012:role/deploy",))

    assert (who.voice(DEPLOY).one, who.voice(ADMIN_ALICE).one) == (
        "ci-4711",
        "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Admin_0a1b",
    )
