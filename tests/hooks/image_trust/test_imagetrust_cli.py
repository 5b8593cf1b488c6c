"""The command line, against a registry in this process."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import time_machine
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hooks.image_trust import cli
from hooks.image_trust.cli import main
from hooks.image_trust.finding import Digest
from rehearsal.runtime.lambda_python import ROOT
from rehearsal.schemas import FOLDER
from tests.hooks.image_trust.oci_artifacts import (
    SIGNATURE,
    SIMPLE_SIGNING,
    HttpRepository,
    cosign_tag,
    descriptor,
    manifest,
    push_image,
    push_index,
)
from tests.hooks.image_trust.registry_server import RegistryServer, Status

NOW = "2026-11-24T12:00:00Z"
OTHER = f"sha256:{'e' * 64}"


@dataclass
class Shop:
    """A registry with images, and a policy for them."""

    server: RegistryServer
    policy: Path
    release: ec.EllipticCurvePrivateKey

    @property
    def host(self) -> str:
        return self.server.host

    def push(self, name: str, *, tag: str = "", signed: bool = True, by: Any = None) -> Digest:
        where = HttpRepository(self.server.url, f"shop/{name}")
        found = push_image(where, name.encode(), tag)
        if signed:
            self.sign(where, found, by or self.release)
        return found

    def sign(self, where: HttpRepository, subject: Digest, key: ec.EllipticCurvePrivateKey) -> None:
        payload = json.dumps(
            {
                "critical": {
                    "identity": {"docker-reference": "shop"},
                    "image": {"docker-manifest-digest": subject},
                    "type": "cosign container image signature",
                },
                "optional": None,
            }
        ).encode()
        signature = base64.b64encode(key.sign(payload, ec.ECDSA(hashes.SHA256()))).decode()
        layer = descriptor(SIMPLE_SIGNING, payload, annotations={SIGNATURE: signature})
        where.blob(b"{}")
        where.blob(payload)
        where.manifest(manifest(layers=[layer]), cosign_tag(subject, ".sig"))

    def write(self, *rules: dict[str, Any], **more: Any) -> None:
        pem = self.release.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        document = {
            "version": 1,
            "name": "shop",
            "references": {"requireDigest": False},
            "trust": {"keys": {"release": {"pem": pem}}},
            "rules": rules or [self.rule("our own")],
            **more,
        }
        self.policy.write_text(json.dumps(document))

    def rule(self, name: str, image: str = "shop/*", require: Any = None, **more: Any) -> dict[str, Any]:
        image = image if "." in image.partition("/")[0] else f"{self.host}/{image}"
        return {
            "name": name,
            "match": {"images": [image]},
            "require": require or {"cosign": {"key": "release"}},
            **more,
        }

    def check(self, *images: str, options: tuple[str, ...] = ()) -> int:
        return main(
            ["check", *images, "--policy", str(self.policy), "--insecure-registry", self.host, *options]
        )


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with RegistryServer() as server, time_machine.travel(NOW, tick=True):
        made = Shop(server, tmp_path / "policy.yaml", ec.generate_private_key(ec.SECP256R1()))
        made.write()
        yield made


# --- check ------------------------------------------------------------------------------------------


def test_an_image_that_is_proven_is_trusted(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    digest = shop.push("web", tag="1.4")

    assert shop.check(f"{shop.host}/shop/web@{digest}", f"{shop.host}/shop/web:1.4") == 0
    assert capsys.readouterr() == (
        f"""\
✔ {shop.host}/shop/web@{digest}
  trusted by rule 'our own'
  ✔ cosign signed by key release

✔ {shop.host}/shop/web:1.4
  trusted by rule 'our own'
  the tag led to {digest}
  ✔ cosign signed by key release

policy 'shop': 2 trusted
""",
        "",
    )


def test_one_that_is_not_is_refused_and_why_is_said(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    digest = shop.push("web", signed=False)
    shop.push("cart")

    assert shop.check(f"{shop.host}/shop/web@{digest}", "nginx", f"{shop.host}/shop/cart:latest@{OTHER}") == 1
    out, _ = capsys.readouterr()
    assert out.startswith(
        f"""\
✘ {shop.host}/shop/web@{digest}
  refused by rule 'our own'
  ✘ cosign no bundle or cosign-signature is attached to {digest}  no-signature

✘ nginx
  refused
  ✘ image no rule of policy 'shop' is for docker.io/library/nginx  no-rule

✘ {shop.host}/shop/cart:latest@{OTHER}
  refused by rule 'our own'
"""
    )
    assert out.endswith("\n\npolicy 'shop': 3 refused\n")


def test_a_tree_shows_what_holds_and_what_does_not(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    require = {
        "allOf": [
            {"anyOf": [{"pinned": {"digests": [OTHER]}}, {"cosign": {"key": "release"}}]},
            {
                "atLeast": {
                    "n": 1,
                    "of": [{"pinned": {"digests": [OTHER]}}, {"registry": {"repositories": ["x"]}}],
                }
            },
        ]
    }
    shop.write(
        shop.rule("tree", require=require), shop.rule("x", "x", require={"pinned": {"digests": [OTHER]}})
    )
    shop.policy.write_text(shop.policy.read_text().replace('["x"]', '["shop/*x"]'))
    digest = shop.push("web")

    assert shop.check(f"{shop.host}/shop/web@{digest}") == 1
    out, _ = capsys.readouterr()
    assert [line.split("sha256:")[0].rstrip() for line in out.splitlines()[1:8]] == [
        "  refused by rule 'tree'",
        "  ✘ allOf",
        "  ├── ✔ anyOf",
        "  │   ├── ✘ pinned",
        "  │   └── ✔ cosign signed by key release",
        "  └── ✘ atLeast 0 of 1 needed hold",
        "      ├── ✘ pinned",
    ]


def test_what_can_t_be_said_is_neither(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    digest = shop.push("web")
    shop.server.fault(r"/referrers/|sha256-", Status(503))

    assert shop.check(f"{shop.host}/shop/web@{digest}") == 2
    out, _ = capsys.readouterr()
    assert out.startswith(f"? {shop.host}/shop/web@{digest}\n  undecided by rule 'our own'\n  ? cosign ")
    assert out.endswith("\n\npolicy 'shop': 1 undecided\n")


def test_a_registry_that_may_not_be_asked_is_an_error_of_the_policy(shop: Shop) -> None:
    require = {"anyOf": [{"pinned": {"digests": [OTHER]}}]}
    shop.write(shop.rule("anything", "**.**", require=require))

    assert shop.check("ghcr.io/example/shop:1") == 2


def test_a_refusal_counts_more_than_what_can_t_be_said(shop: Shop) -> None:
    digest = shop.push("web")
    shop.server.fault(r"/referrers/|sha256-", Status(503))

    assert shop.check(f"{shop.host}/shop/web@{digest}", "nginx") == 1


def test_an_exemption_admits_and_is_said(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    digest = shop.push("web", signed=False)
    exemption = {
        "name": "INC-1",
        "rule": "our own",
        "digests": [digest],
        "reason": "hot fix",
        "approvedBy": "on call",
        "approved": "2026-11-20T09:00:00Z",
        "expires": "2026-12-01T09:00:00Z",
    }
    shop.write(exemptions=[exemption])

    assert shop.check(f"{shop.host}/shop/web@{digest}") == 0
    assert capsys.readouterr().out == (
        f"""\
! {shop.host}/shop/web@{digest}
  exempt from rule 'our own' by exemption 'INC-1'
  exempt until 2026-12-01 09:00 UTC: hot fix
  ✘ cosign no bundle or cosign-signature is attached to {digest}  no-signature

policy 'shop': 1 exempt
"""
    )


@pytest.mark.parametrize("where", ["rule", "policy"])
def test_what_is_only_observed_does_not_count(
    shop: Shop, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = shop.push("web", signed=False)
    if where == "rule":
        shop.write(shop.rule("our own", mode="observe"))
    else:
        shop.write(mode="observe")

    assert shop.check(f"{shop.host}/shop/web@{digest}") == 0
    assert (
        "  refused by rule 'our own'; only observed, so the hook lets it through\n" in capsys.readouterr().out
    )


def test_the_platform_says_which_image_of_an_index_has_to_be_signed(shop: Shop) -> None:
    where = HttpRepository(shop.server.url, "shop/multi")
    amd64, arm64 = (push_image(where, content) for content in (b"amd64", b"arm64"))
    index = push_index(where, {"amd64": amd64, "arm64": arm64})
    shop.sign(where, arm64, shop.release)
    image = f"{shop.host}/shop/multi@{index}"

    assert shop.check(image, options=("--platform", "linux/arm64")) == 0
    assert shop.check(image, options=("--platform", "linux/amd64")) == 1
    assert shop.check(image) == 1


def test_containers_and_services_choose_the_rule(shop: Shop) -> None:
    digest = shop.push("web", signed=False)
    pinned = {"pinned": {"digests": [digest]}}
    for match, options in (
        ({"containers": ["log"]}, ("--container", "log")),
        ({"services": ["shop/*"]}, ("--service", "shop/checkout")),
    ):
        rule = shop.rule("certain", require=pinned)
        shop.write(shop.rule("our own"), {**rule, "match": {**rule["match"], **match}})

        assert shop.check(f"{shop.host}/shop/web@{digest}", options=options) == 0
        assert shop.check(f"{shop.host}/shop/web@{digest}") == 1


def test_json_is_what_a_record_would_hold(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    digest = shop.push("web")
    image = f"{shop.host}/shop/web@{digest}"

    assert shop.check(image, "nginx", options=("--json",)) == 1
    found = json.loads(capsys.readouterr().out)

    assert found["policy"] == {"name": "shop", "sha256": hashlib.sha256(shop.policy.read_bytes()).hexdigest()}
    assert found["verdict"] == "refused"
    assert [(one["image"], one["rule"], one["verdict"]) for one in found["images"]] == [
        (image, "our own", "pass"),
        ("nginx", None, "deny"),
    ]
    assert found["images"][1]["finding"]["code"] == "no-rule"


def test_what_a_registry_says_can_t_move_the_cursor(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert shop.check("\x1b[2J\x1b[31mnginx\r\u202e") == 1
    out, _ = capsys.readouterr()

    assert "\x1b" not in out
    assert out.startswith("✘ \\x1b[2J\\x1b[31mnginx\\r\\u202e\n")


# --- policy lint ------------------------------------------------------------------------------------


def test_lint_says_what_is_wrong_and_what_comes_of_it(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.write(shop.rule("one"), shop.rule("other"))

    assert main(["policy", "lint", str(shop.policy)]) == 1
    assert capsys.readouterr().out == (
        f"""\
error    rule 'one': as specific as rule 'other', so that neither decides on images {shop.host}/shop/*
warning  references.requireDigest is false: what a tag leads to may change between two deployments

{shop.policy}: 1 error and 1 warning; the function refuses every deployment under it
"""
    )
    assert shop.check("nginx") == 2
    assert "imagetrust: " in capsys.readouterr().err


def test_lint_says_what_is_no_policy_at_all(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.policy.write_text("version: 1\nname: p\nruels: []\nmode: off\n")

    assert main(["policy", "lint", str(shop.policy)]) == 1
    assert capsys.readouterr().out == (
        f"""\
error  unknown key 'ruels', did you mean 'rules'?
error  mode: input should be 'enforce' or 'observe', got 'off'
error  rules: is missing

{shop.policy}: 3 errors; the function refuses every deployment under it
"""
    )


def test_warnings_fail_where_that_is_asked_for(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "lint", str(shop.policy)]) == 0
    assert main(["policy", "lint", str(shop.policy), "--strict"]) == 1
    shop.write(references={})
    capsys.readouterr()

    assert main(["policy", "lint", str(shop.policy), "--strict"]) == 0
    assert capsys.readouterr().out == f"✔ {shop.policy}: nothing to say\n"


def test_lint_knows_what_time_it_is(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(shop.policy.read_text())
    document["trust"]["keys"]["release"]["validUntil"] = "2026-11-24T11:59:59Z"
    shop.policy.write_text(json.dumps(document))

    assert main(["policy", "lint", str(shop.policy), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[-1] == {
        "level": "warning",
        "rule": None,
        "text": "trust.keys.release was valid until 2026-11-24 11:59 UTC",
    }


# --- policy explain ---------------------------------------------------------------------------------

MIXED = str(ROOT / "examples" / "image_policies" / "mixed.yaml")
EXEMPT = f"sha256:{'4711' * 16}"


def test_explain_says_which_rule_decides_and_what_it_wants(capsys: pytest.CaptureFixture[str]) -> None:
    image = f"111122223333.dkr-ecr.eu-west-1.on.aws/shop/web@{EXEMPT}"
    with time_machine.travel(NOW):
        assert main(["policy", "explain", image, "--policy", MIXED]) == 0

    assert capsys.readouterr().out == (
        f"""\
image      {image}
registry   also called 111122223333.dkr.ecr.eu-west-1.amazonaws.com, and covered as such
ECR        account 111122223333, Region eu-west-1
container  app
service    not said

    rule      by its image                                   container   service   specificity
▶   our own   111122223333.dkr.ecr.*.amazonaws.com/shop/**   *           **        41 literal, 1 **, 1 *

rule 'our own' wants proven
└── allOf
    ├── atLeast 2 of 3
    │   ├── awsSigner
    │   │   └── profiles arn:aws:signer:eu-west-1:111122223333:/signing-profiles/release
    │   ├── cosign key build
    │   └── cosign key review
    └── ecr
        └── scan
            ├── maxAgeHours 24
            └── block CRITICAL 0
exemption 'INC-4711' until 2026-12-11 09:00 UTC: a CRITICAL finding in a library that the image has and \
never loads; fixed in the next release (security on call)
"""
    )


@pytest.mark.parametrize(
    ("now", "digest", "said"),
    [
        ("2026-12-11T09:00:00Z", EXEMPT, "exemption 'INC-4711' expired at 2026-12-11 09:00 UTC: "),
        ("2026-11-19T09:00:00Z", EXEMPT, "exemption 'INC-4711' holds from 2026-11-20 09:00 UTC on: "),
        (NOW, OTHER, "exemption 'INC-4711' for other digests, until 2026-12-11 09:00 UTC: "),
    ],
)
def test_explain_says_whether_an_exemption_holds(
    now: str, digest: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    image = f"111122223333.dkr.ecr.eu-west-1.amazonaws.com/shop/web@{digest}"
    with time_machine.travel(now):
        main(["policy", "explain", image, "--policy", MIXED])

    assert f"\n{said}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("image", "options", "code", "said"),
    [
        ("nginx", (), 1, "✘ no rule of policy 'mixed' is for it: refused\n"),
        ("public.ecr.aws/datadog/agent:7", (), 1, "✘ no rule of policy 'mixed' is for it: refused\n"),
        ("public.ecr.aws/datadog/agent:7", ("--container", "datadog-agent"), 0,
         "├── a digest: this one is named by a tag, and refused for it\n"),
        (f"111122223333.dkr.ecr.eu-west-1.amazonaws.com/shop/web@sha256:{'bad0' * 16}", (), 0,
         "├── nothing: the policy bans this digest\n"),
        (f"public.ecr.aws/aws-observability/aws-for-fluent-bit@{OTHER}", ("--container", "log_router"), 0,
         "only observed: judged and recorded, and never refused\n"),
    ],
)  # fmt: skip
def test_explain_says_what_comes_of_it(
    image: str, options: tuple[str, ...], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["policy", "explain", image, "--policy", MIXED, *options]) == code
    assert said in capsys.readouterr().out


def test_explain_shows_all_that_were_considered_and_a_tie(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.write(
        shop.rule("one", "shop/*-web"),
        shop.rule("other", "shop/web-*"),
        shop.rule("all", "**.**", require={"pinned": {"digests": [OTHER]}}),
    )

    assert main(["policy", "explain", f"{shop.host}/shop/web-web", "--policy", str(shop.policy)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[5:8]] == [["▶", "one"], ["▶", "other"], ["all", "**.**"]]
    assert lines[-1] == "✘ two rules are equally specific: the policy can't be used"


# --- policy schema, policy digest -------------------------------------------------------------------


def test_the_schema_in_the_docs_is_that_of_the_models(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = (FOLDER / "image_trust.policy_document.json").read_text()

    # `imagetrust policy schema --to docs/schema/image_trust.policy_document.json` writes it anew.
    assert main(["policy", "schema"]) == 0
    assert capsys.readouterr().out == written
    assert main(["policy", "schema", "--to", str(tmp_path / "schema.json")]) == 0
    assert (tmp_path / "schema.json").read_text() == written
    assert main(["policy", "schema", "--to", str(tmp_path / "none" / "schema.json")]) == 2


def test_the_digest_is_what_the_hook_pins(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "digest", str(shop.policy)]) == 0
    assert capsys.readouterr().out == f"{hashlib.sha256(shop.policy.read_bytes()).hexdigest()}\n"


# --- Misuse, and the terminal -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["check"], ["check", "nginx"], ["policy"], ["policy", "lint"], ["no-such-command"],
        ["check", "nginx", "--policy", "x", "--platform", "linux"],
        ["check", "nginx", "--policy", "x", "--platform", "linux/arm64/v8"],
    ],
)  # fmt: skip
def test_misuse_is_no_refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(arguments)

    assert error.value.code == 2
    assert "usage: imagetrust" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "nginx", "--policy", "none.yaml"],
        ["policy", "lint", "none.yaml"],
        ["policy", "digest", "none.yaml"],
        ["policy", "explain", "nginx", "--policy", "none.yaml"],
        ["policy", "explain", "NGINX", "--policy", MIXED],
        ["policy", "lint", "ssm:none"],
    ],
)
def test_what_can_t_be_read_is_no_refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"imagetrust: .+\n", err)


def test_a_defect_is_no_refusal(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "judge", lambda *_: 1 // 0)

    assert shop.check("nginx") == 2
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt, 130), (BrokenPipeError, 2)])
def test_an_end_before_the_end_is_no_verdict(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], code: int
) -> None:
    def judge(*_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "judge", judge)
    monkeypatch.setattr(cli.os, "dup2", lambda *_: None)

    assert shop.check("nginx") == code


@pytest.mark.parametrize(
    "command", [[], ["check"], ["policy", "lint"], ["policy", "explain"], ["policy", "digest"]]
)
def test_help_teaches_with_examples_that_can_be_used(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    examples = re.findall(r"^  imagetrust (.*?)(?:   .*)?$", capsys.readouterr().out, re.MULTILINE)

    assert examples
    parser = cli._parser()
    assert [parser.parse_args(example.split()).run for example in examples]


def test_colours_are_for_terminals(shop: Shop) -> None:
    command = [sys.executable, "-c", "from hooks.image_trust.cli import main; raise SystemExit(main())"]
    lint = [*command, "policy", "lint", str(shop.policy)]
    piped, coloured = (
        subprocess.run(
            lint, env={"PYTHONPATH": str(ROOT), **more}, capture_output=True, text=True, check=True
        ).stdout
        for more in ({}, {"FORCE_COLOR": "1"})
    )

    assert "\x1b" not in piped
    assert "\x1b[33mwarning" in coloured


def test_without_rich_the_extra_is_named() -> None:
    program = "import sys; sys.modules['rich'] = None; import hooks.image_trust.cli"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (
        2,
        "imagetrust: needs rich: pip install 'ecs-lifecycle-hooks[command-line]'\n",
    )
