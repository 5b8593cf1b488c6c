import dataclasses
import hashlib
import string
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from itsdangerous import URLSafeTimedSerializer
from itsdangerous.encoding import base64_encode

from hooks.manual_approval.console import cookies, secret
from hooks.manual_approval.console.cookies import (
    FLOW_LENGTH,
    Flow,
    Session,
    TooLarge,
    csrf_holds,
    csrf_token,
    flow_cookie,
    flow_of,
    forget_flow,
    session_cookie,
    session_of,
    sign_out,
)
from rehearsal.aws.cloud import Cloud
from shared.errors import Misconfigured, Transient
from tests.hooks.manual_approval.console.surroundings import (
    COOKIE_SECRET_ARN,
    ISSUER,
    NOW,
    Secrets,
    console_settings,
)

SETTINGS = console_settings()
LOCAL = console_settings(APPROVAL_CONSOLE_URL="http://127.0.0.1:8080")
ALICE = Session(ISSUER, "alice", "Alice", ("release-managers", "shop"), "s" * 32, NOW + timedelta(hours=1))
FLOW = Flow("state", "nonce", "verifier", "/requests/shop/checkout/1")
FORM = "/requests/shop/checkout/1/answer"

SECOND = timedelta(seconds=1)


def sent(line: str) -> str:
    """Return what a browser sends back of a Set-Cookie."""
    return line.partition(";")[0]


def attributes(line: str) -> list[str]:
    return line.split("; ")[1:]


def signed_in(now: datetime = NOW) -> str:
    return sent(session_cookie(SETTINGS, ALICE, now))


# ------------------------------------------------------------------------------------ what is kept


def test_whoever_signed_in_is_known_until_the_session_ends(secrets_kept: Secrets) -> None:
    cookie = signed_in()
    for later in (timedelta(0), timedelta(minutes=30), timedelta(hours=1) - SECOND):
        assert session_of(SETTINGS, [cookie], NOW + later) == ALICE
    for later in (timedelta(hours=1), timedelta(days=365)):
        assert session_of(SETTINGS, [cookie], NOW + later) is None


def test_the_cookie_stays_with_this_host_and_out_of_reach_of_scripts(secrets_kept: Secrets) -> None:
    line = session_cookie(SETTINGS, ALICE, NOW)
    assert line.startswith("__Host-approvals=")
    assert attributes(line) == ["Path=/", "Max-Age=3600", "HttpOnly", "SameSite=Lax", "Secure"]
    line = flow_cookie(SETTINGS, FLOW, NOW)
    assert line.startswith("__Host-approvals-sign-in=")
    assert attributes(line) == ["Path=/", "Max-Age=600", "HttpOnly", "SameSite=Lax", "Secure"]


def test_on_this_machine_the_cookie_does_without_tls(secrets_kept: Secrets) -> None:
    line = session_cookie(LOCAL, ALICE, NOW)
    assert line.startswith("approvals=")
    assert attributes(line) == ["Path=/", "Max-Age=3600", "HttpOnly", "SameSite=Lax"]
    assert session_of(LOCAL, [sent(line)], NOW) == ALICE


def test_a_cookie_of_plain_http_counts_for_nothing_where_there_is_tls(secrets_kept: Secrets) -> None:
    assert session_of(SETTINGS, [sent(session_cookie(LOCAL, ALICE, NOW))], NOW) is None


def test_signing_out_makes_the_browser_forget() -> None:
    assert sign_out(SETTINGS) == (
        "__Host-approvals=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure",
        "__Host-approvals-sign-in=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure",
    )
    assert forget_flow(LOCAL) == "approvals-sign-in=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"


def test_a_sign_in_is_remembered_for_ten_minutes(secrets_kept: Secrets) -> None:
    cookie = sent(flow_cookie(SETTINGS, FLOW, NOW))
    assert flow_of(SETTINGS, [cookie], NOW + FLOW_LENGTH - SECOND) == FLOW
    assert flow_of(SETTINGS, [cookie], NOW + FLOW_LENGTH) is None


@pytest.mark.parametrize(
    "lines",
    [
        ["theme=dark", "{cookie}"],
        ["theme=dark; {cookie}; x=y"],
        ["{cookie}; flag"],
        ["  {cookie}\t"],
    ],
)
def test_the_cookie_is_found_among_others(secrets_kept: Secrets, lines: list[str]) -> None:
    found = [line.format(cookie=signed_in()) for line in lines]
    assert session_of(SETTINGS, found, NOW) == ALICE


# ------------------------------------------------------------------------- what reads as signed out


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [""],
        [";;;=;"],
        ["__Host-approvals"],
        ["__Host-approvals="],
        ["__Host-approvals=."],
        ["__Host-approvals=.."],
        ["__Host-approvals=a.b.c"],
        ["__Host-approvals=" + "a" * 100_000],
        ["__Host-approvals=\u00e4.b.c"],
        ["__Host-approvals=\ud800"],
        ["__HOST-APPROVALS={value}"],
        ["approvals={value}"],
        ["__Host-approvals-sign-in={value}"],
        ['__Host-approvals="{value}"'],
        ["__Host-approvals={value} "],
        ["__Host-approvals={value}="],
        ["__Host-approvals= {value}"],
        ["__Host-approvals={value}", "__Host-approvals={value}"],
        ["__Host-approvals={value}; __Host-approvals=x"],
        ["__Host-approvals=; __Host-approvals={value}"],
    ],
)
def test_a_cookie_that_is_anything_but_one_of_ours_signs_nobody_in(
    secrets_kept: Secrets, lines: list[str]
) -> None:
    value = signed_in().partition("=")[2]
    found = [line.replace("{value}", value) for line in lines]
    # Space around a pair is HTTP's, not the cookie's.
    expected = ALICE if lines == ["__Host-approvals={value} "] else None
    assert session_of(SETTINGS, found, NOW) == expected


@pytest.mark.parametrize("kind", ["session", "flow", "form"])
def test_no_character_can_be_changed_left_out_or_added(secrets_kept: Secrets, kind: str) -> None:
    made = {
        "session": signed_in(),
        "flow": sent(flow_cookie(SETTINGS, FLOW, NOW)),
        "form": "csrf=" + csrf_token(SETTINGS, ALICE, FORM, NOW),
    }[kind]
    name, _, value = made.partition("=")

    def holds(changed: str) -> bool:
        cookie = [f"{name}={changed}"]
        return {
            "session": lambda: session_of(SETTINGS, cookie, NOW) is not None,
            "flow": lambda: flow_of(SETTINGS, cookie, NOW) is not None,
            "form": lambda: csrf_holds(SETTINGS, ALICE, FORM, changed, NOW),
        }[kind]()

    assert holds(value)
    alphabet = string.ascii_letters + string.digits + "-_."
    for at, character in enumerate(value):
        # The neighbours too: the last bits of a base64 text say nothing, if they are let.
        position = alphabet.index(character)
        for other in {alphabet[(position + step) % len(alphabet)] for step in (1, -1, 2, 32)}:
            assert not holds(value[:at] + other + value[at + 1 :]), at
        assert not holds(value[:at] + value[at + 1 :]), at
        assert not holds(value[:at] + character.swapcase() + value[at:]), at


def test_a_cookie_of_one_purpose_serves_no_other(secrets_kept: Secrets) -> None:
    session = signed_in().partition("=")[2]
    flow = sent(flow_cookie(SETTINGS, FLOW, NOW)).partition("=")[2]
    token = csrf_token(SETTINGS, ALICE, FORM, NOW)
    for value in (flow, token):
        assert session_of(SETTINGS, [f"__Host-approvals={value}"], NOW) is None
    for value in (session, token):
        assert flow_of(SETTINGS, [f"__Host-approvals-sign-in={value}"], NOW) is None
    for value in (session, flow):
        assert not csrf_holds(SETTINGS, ALICE, FORM, value, NOW)
    assert cookies._SESSION_SALT != cookies._FLOW_SALT


def forged(key: str, digest: Any = hashlib.sha256, derivation: str = "hmac", salt: str = "session 1") -> str:
    """Sign a session as somebody would who has read this code."""
    serializer = URLSafeTimedSerializer(
        key,
        salt=f"approvals {salt}",
        signer_kwargs={"digest_method": digest, "key_derivation": derivation},
    )
    document = {"iss": ISSUER, "sub": "alice", "name": "", "groups": [], "sid": "", "exp": 2**33}
    return f"__Host-approvals={serializer.dumps(document)}"


@pytest.mark.parametrize(
    ("key", "options", "signs_in"),
    [
        ("k" * 32, {}, True),
        ("", {}, False),
        ("k", {}, False),
        ("k" * 31 + "l", {}, False),
        ("k" * 32, {"salt": "sign-in 1"}, False),
        # What itsdangerous does by itself.
        ("k" * 32, {"digest": hashlib.sha1, "derivation": "django-concat"}, False),
        ("k" * 32, {"digest": hashlib.sha1}, False),
        ("k" * 32, {"derivation": "django-concat"}, False),
    ],
)
def test_whoever_lacks_the_secret_can_sign_nothing(
    secrets_kept: Secrets, key: str, options: dict[str, Any], signs_in: bool
) -> None:
    assert (session_of(SETTINGS, [forged(key, **options)], datetime.now(UTC)) is not None) is signs_in


@pytest.mark.parametrize(
    "kept",
    [
        None,
        7,
        [],
        {},
        {"iss": ISSUER, "sub": "alice", "name": "Alice", "groups": [], "sid": "s"},
        {"iss": ISSUER, "sub": "alice", "name": "Alice", "groups": [], "sid": "s", "exp": "4000000000"},
        {"iss": ISSUER, "sub": "alice", "name": "Alice", "groups": "shop", "sid": "s", "exp": 4000000000},
        {"iss": ISSUER, "sub": "", "name": "Alice", "groups": [], "sid": "s", "exp": 4000000000},
        {"iss": ISSUER, "sub": None, "name": "Alice", "groups": [], "sid": "s", "exp": 4000000000},
        {
            "iss": "https://old.example.com",
            "sub": "a",
            "name": "",
            "groups": [],
            "sid": "s",
            "exp": 4000000000,
        },
    ],
)
def test_what_another_version_has_signed_signs_nobody_in(secrets_kept: Secrets, kept: object) -> None:
    value = cookies._signed(SETTINGS, cookies._SESSION_SALT, kept, NOW)
    assert session_of(SETTINGS, [f"__Host-approvals={value}"], NOW) is None


def test_a_session_lasts_no_longer_than_the_settings_say_now(secrets_kept: Secrets) -> None:
    cookie = signed_in()
    shorter = console_settings(CONSOLE_SESSION_MINUTES="10")
    assert session_of(shorter, [cookie], NOW + timedelta(minutes=9)) == ALICE
    assert session_of(shorter, [cookie], NOW + timedelta(minutes=10)) is None
    longer = console_settings(CONSOLE_SESSION_MINUTES="120")
    assert session_of(longer, [cookie], NOW + timedelta(minutes=60)) is None


def test_a_session_has_no_group_that_the_policy_names_no_longer(secrets_kept: Secrets) -> None:
    rules = [{"groups": ["shop"], "services": ["shop/*"], "may": "view"}]
    found = session_of(console_settings(rules), [signed_in()], NOW)
    assert found == dataclasses.replace(ALICE, groups=("shop",))


def test_a_session_of_another_issuer_ends_when_the_console_changes_to_a_new_one(
    secrets_kept: Secrets,
) -> None:
    assert (
        session_of(console_settings(CONSOLE_ISSUER="https://login.example.org"), [signed_in()], NOW) is None
    )


def test_a_clock_that_is_a_little_slow_signs_nobody_out(secrets_kept: Secrets) -> None:
    cookie = signed_in()
    assert session_of(SETTINGS, [cookie], NOW - timedelta(seconds=60)) == ALICE
    assert session_of(SETTINGS, [cookie], NOW - timedelta(seconds=61)) is None


@given(st.text(), st.lists(st.text(), max_size=3))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_cookie_breaks_the_console(secrets_kept: Secrets, value: str, others: list[str]) -> None:
    lines = [f"__Host-approvals={value}", f"__Host-approvals-sign-in={value}", *others]
    assert session_of(SETTINGS, lines, NOW) is None
    assert flow_of(SETTINGS, lines, NOW) is None
    assert not csrf_holds(SETTINGS, ALICE, FORM, value, NOW)


# ------------------------------------------------------------------------------------ how large it is


@given(
    subject=st.text(
        st.characters(exclude_categories=("Cc", "Cf", "Cs", "Co", "Cn", "Z")), min_size=1, max_size=64
    ),
    name=st.text(max_size=100),
)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whoever_it_is_comes_back_as_they_were(secrets_kept: Secrets, subject: str, name: str) -> None:
    session = dataclasses.replace(ALICE, subject=subject, name=name)
    line = session_cookie(SETTINGS, session, NOW)
    assert len(line.encode()) <= 4096
    assert line.isascii()
    assert line.isprintable()
    assert session_of(SETTINGS, [sent(line)], NOW) == session


def test_a_cookie_is_at_most_4096_bytes(secrets_kept: Secrets) -> None:
    many = tuple(hashlib.sha256(str(number).encode()).hexdigest() for number in range(200))
    sizes = []
    for count in range(len(many)):
        try:
            line = session_cookie(SETTINGS, dataclasses.replace(ALICE, groups=many[:count]), NOW)
        except TooLarge:
            break
        sizes.append(len(line))
    assert 3900 < sizes[-1] <= 4096


# ------------------------------------------------------------------------------------ the form's token


def test_a_form_counts_in_its_session_and_at_its_path_only(secrets_kept: Secrets) -> None:
    token = csrf_token(SETTINGS, ALICE, FORM, NOW)
    assert csrf_holds(SETTINGS, ALICE, FORM, token, NOW)
    for path in ("", "/", FORM + "/", "/requests/shop/checkout/2/answer", "/sign-out"):
        assert not csrf_holds(SETTINGS, ALICE, path, token, NOW)
    for other in (dataclasses.replace(ALICE, id="t" * 32), dataclasses.replace(ALICE, id="")):
        assert not csrf_holds(SETTINGS, other, FORM, token, NOW)


def test_a_form_lasts_as_long_as_a_session(secrets_kept: Secrets) -> None:
    token = csrf_token(SETTINGS, ALICE, FORM, NOW)
    assert csrf_holds(SETTINGS, ALICE, FORM, token, NOW + timedelta(hours=1) - SECOND)
    assert not csrf_holds(SETTINGS, ALICE, FORM, token, NOW + timedelta(hours=1))


def test_a_form_says_nothing_of_its_session(secrets_kept: Secrets) -> None:
    token = csrf_token(SETTINGS, ALICE, FORM, NOW)
    assert token.startswith(base64_encode("0").decode() + ".")
    assert len(token) < 64


# ------------------------------------------------------------------------------------ the secret


def test_a_rotation_signs_nobody_out_and_two_sign_out_everybody(secrets_kept: Secrets) -> None:
    cookie = signed_in()
    secrets_kept.rotate(COOKIE_SECRET_ARN, "l" * 32)
    later = NOW + secret.TIME_TO_LIVE
    assert session_of(SETTINGS, [cookie], later) == ALICE
    assert session_of(SETTINGS, [signed_in(later)], later) == ALICE
    secrets_kept.rotate(COOKIE_SECRET_ARN, "m" * 32)
    later += secret.TIME_TO_LIVE
    assert session_of(SETTINGS, [cookie], later) is None


def test_a_cookie_signed_after_a_rotation_counts_where_it_has_not_been_seen_yet(
    secrets_kept: Secrets,
) -> None:
    assert session_of(SETTINGS, [signed_in()], NOW) == ALICE
    secrets_kept.rotate(COOKIE_SECRET_ARN, "l" * 32)
    elsewhere = {**secret._kept}
    secret.forget()
    later = NOW + timedelta(minutes=2)
    cookie = signed_in(later)
    secret._kept.update(elsewhere)
    assert session_of(SETTINGS, [cookie], later) == ALICE


def test_rubbish_has_the_secret_read_once_a_minute_at_most(secrets_kept: Secrets) -> None:
    rubbish = f"__Host-approvals=a.b.{'A' * 43}"
    for second in range(120):
        assert session_of(SETTINGS, [rubbish], NOW + timedelta(seconds=second)) is None
    both = [(COOKIE_SECRET_ARN, "AWSCURRENT"), (COOKIE_SECRET_ARN, "AWSPREVIOUS")]
    assert secrets_kept.reads == both * 2


def test_the_secret_is_read_anew_every_five_minutes(secrets_kept: Secrets) -> None:
    cookie = signed_in()
    for minute in range(15):
        assert session_of(SETTINGS, [cookie], NOW + timedelta(minutes=minute)) == ALICE
    assert secrets_kept.reads.count((COOKIE_SECRET_ARN, "AWSCURRENT")) == 3


@pytest.mark.parametrize("weak", ["", "k" * 31])
def test_a_weak_secret_signs_nothing(secrets_kept: Secrets, weak: str) -> None:
    secrets_kept.kept[COOKIE_SECRET_ARN, "AWSCURRENT"] = weak
    with pytest.raises(Misconfigured) as raised:
        signed_in()
    assert str(raised.value) == f"{COOKIE_SECRET_ARN}: expected at least 32 random characters"


@pytest.mark.parametrize(("before", "counts"), [("", False), ("j" * 31, False), ("j" * 32, True)])
def test_a_weak_secret_of_before_counts_no_longer(secrets_kept: Secrets, before: str, counts: bool) -> None:
    secrets_kept.kept[COOKIE_SECRET_ARN, "AWSPREVIOUS"] = before
    assert (session_of(SETTINGS, [forged(before)], datetime.now(UTC)) is not None) is counts


# ------------------------------------------------------------------------------------ Secrets Manager


@pytest.fixture(scope="module")
def aws() -> Iterator[Cloud]:
    with Cloud(region="us-east-1", seed=1) as cloud:
        yield cloud


@pytest.fixture
def cloud(aws: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    aws.reset(seed=1)
    secret.forget()
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with aws.acting_as("console"):
        yield aws
    secret.forget()
    assert aws.defects == []


def made(cloud: Cloud, **kept: str | bytes) -> str:
    arn = cloud.client("secretsmanager", role="console").create_secret(Name="cookies", **kept)["ARN"]
    assert isinstance(arn, str)
    return arn


def test_both_versions_of_a_secret_are_read(cloud: Cloud) -> None:
    arn = made(cloud, SecretString="first")
    assert (secret.secret(arn, NOW), secret.secret(arn, NOW, stage=secret.PREVIOUS)) == ("first", "")
    cloud.client("secretsmanager", role="console").put_secret_value(SecretId=arn, SecretString="second")
    assert secret.secret(arn, NOW + timedelta(minutes=4)) == "first"
    later = NOW + timedelta(minutes=5)
    assert secret.secret(arn, later) == "second"
    assert secret.secret(arn, later, stage=secret.PREVIOUS) == "first"


def test_a_secret_that_cannot_be_read_is_named_and_never_shown(cloud: Cloud) -> None:
    gone = "arn:aws:secretsmanager:us-east-1:123456789012:secret:gone-AbCdEf"
    with pytest.raises(Misconfigured, match=f"secretsmanager:GetSecretValue on {gone}: ResourceNotFound"):
        secret.secret(gone, NOW)
    arn = made(cloud, SecretBinary=b"\x00hunter2")
    with pytest.raises(Misconfigured) as raised:
        secret.secret(arn, NOW)
    assert str(raised.value) == f"{arn}: expected a text, got binary"
    cloud.faults.add(action="secretsmanager:GetSecretValue", error="ThrottlingException")
    with pytest.raises(Transient):
        secret.secret(arn, NOW)
