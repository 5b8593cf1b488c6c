"""Print what comes of checked-in signatures; test_artifact.py runs it with an artifact and its layers alone.

python verify_vectors.py FOLDER-OF-VECTORS [keyless]
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hooks.image_trust.evidence import Attached, Kind
from hooks.image_trust.finding import Digest, Rejected
from hooks.image_trust.formats import cosign
from hooks.image_trust.formats.keys import load_public_key
from hooks.image_trust.manifest import digest_of
from hooks.image_trust.policy import Keyless


def outcome_of(verify: Callable[[], object]) -> str:
    try:
        verify()
    except Rejected as error:
        return error.code
    return "accept"


def attached(kind: Kind, content: str, digest: Digest, annotations: dict[str, str]) -> Attached:
    return Attached(
        kind=kind,
        subject=digest,
        manifest=digest,
        media_type="application/octet-stream",
        content=content.encode(),
        annotations=annotations,
    )


def by_key(made: dict[str, Any]) -> dict[str, str]:
    """Verify cosign's signatures by every kind of key, each against the right key and against another."""
    digest = digest_of(made["manifest"].encode())
    other = load_public_key(made["keys"]["other"].encode())
    found = {}
    for name, one in made["classic"].items():
        signed = attached(
            Kind.COSIGN_SIGNATURE, one["payload"], digest, {cosign.SIGNATURE_ANNOTATION: one["signature"]}
        )
        for title, key in (
            (name, load_public_key(made["keys"][name].encode())),
            (f"{name}, other key", other),
        ):
            found[title] = outcome_of(
                lambda signed=signed, key=key: cosign.verify_signature(
                    signed, digest, key, signer="", annotations={}
                )
            )
    return found


def by_identity(made: dict[str, Any]) -> dict[str, str]:
    """Verify keyless signatures, with sigstore-python and rfc3161-client."""
    from hooks.image_trust.formats import keyless

    root = keyless.load_root(json.dumps(made["trustedRoot"]).encode())
    who = Keyless.model_validate(made["identity"])
    found = {}
    for case in made["cases"]:
        if case.get("logged"):
            continue  # by a key, not by an identity
        kind = Kind(case["kind"])
        one = attached(kind, case["content"], made["image"], case["annotations"])
        verify = keyless.verify_attestation if kind is Kind.COSIGN_ATTESTATION else keyless.verify_signature
        found[f"{kind}: {case['name']}"] = outcome_of(
            lambda verify=verify, one=one: verify(one, made["image"], root, who)
        )
    return found


def main() -> None:
    folder = Path(sys.argv[1])
    name, verify = ("sigstore", by_identity) if "keyless" in sys.argv else ("cosign", by_key)
    print(json.dumps(verify(json.loads((folder / f"{name}.json").read_text()))))  # noqa: T201


if __name__ == "__main__":
    main()
