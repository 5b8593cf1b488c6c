"""What a reader of a record sees first."""

from hooks.image_trust.finding import Digest, Finding, Outcome
from hooks.image_trust.judging import Judged, Verdict
from hooks.image_trust.tables import MAX_ROWS, tables

DIGEST = Digest("sha256:" + "ab" * 32)


def finding(check: str, outcome: Outcome, text: str, *parts: Finding) -> Finding:
    return Finding(check=check, outcome=outcome, code="code", text=text, parts=parts)


def judged(container: str = "web", **changes: object) -> Judged:
    tree = finding(
        "allOf",
        Outcome.UNTRUSTED,
        "no signature",
        finding("cosign", Outcome.UNTRUSTED, "no signature"),
        finding("ecr", Outcome.PASS, "scanned"),
    )
    values = {
        "container": container,
        "image": f"registry.example/shop/web:1@{DIGEST}",
        "digest": DIGEST,
        "rule": "ours",
        "verdict": Verdict.DENY,
        "finding": tree,
    }
    return Judged(**{**values, **changes})  # type: ignore[arg-type]


def test_each_container_is_a_row_and_each_requirement_below_it() -> None:
    assert tables([judged(observed=True, notes=("was not admitted before",))]) == [
        {
            "title": "Containers",
            "columns": ["container", "image", "rule", "verdict", "why"],
            "rows": [
                [
                    "web",
                    "registry.example/shop/web:1@abababababab…",
                    "ours",
                    "deny",
                    "no signature; was not admitted before; only observed",
                ]
            ],
        },
        {
            "title": "What was required",
            "columns": ["container", "requirement", "outcome", "found"],
            "rows": [
                ["web", "allOf", "untrusted", "no signature"],
                ["web", "\u2002\u2002cosign", "untrusted", "no signature"],
                ["web", "\u2002\u2002ecr", "pass", "scanned"],
            ],
        },
    ]


def test_an_image_without_digest_and_rule_is_shown_as_it_is() -> None:
    [containers, _] = tables([judged(image="nginx:latest", digest=None, rule=None)])

    assert containers["rows"][0][1:3] == ["nginx:latest", "none"]


def test_no_number_of_containers_makes_a_record_too_large() -> None:
    assert [len(table["rows"]) for table in tables([judged(f"c{n}") for n in range(500)])] == [
        MAX_ROWS,
        MAX_ROWS,
    ]
