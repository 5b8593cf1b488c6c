"""Fuzz one parser of what comes from outside: only the error tree's own exceptions may leave it.

    python tests/hooks/image_trust/fuzzing.py jws -max_total_time=600

Guided by coverage (atheris), from the checked-in vectors on; what follows the name are libFuzzer's options.
Ends with a trace where something else is raised, takes longer than two seconds, or more than half a gigabyte.
"""

import base64
import contextlib
import functools
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
VECTORS = Path(__file__).parent / "vectors"
LIMITS = ("-rss_limit_mb=512", "-timeout=2", "-verbosity=0", "-print_final_stats=1", "-max_len=65536")


def reference(data: bytes) -> None:
    from hooks.image_trust.reference import Reference

    Reference.parse(data.decode("utf-8", "replace"))


def manifest(data: bytes) -> None:
    from hooks.image_trust.manifest import parse_manifest

    parse_manifest(data)


def jws(data: bytes) -> None:
    from hooks.image_trust.formats import envelope

    envelope.parse(data, "application/jose+json")


def cose(data: bytes) -> None:
    from hooks.image_trust.formats import envelope

    envelope.parse(data, "application/cose")


def bundle(data: bytes) -> None:
    from hooks.image_trust.formats import bundle

    bundle.parse(data)


def statement(data: bytes) -> None:
    from hooks.image_trust.formats import statement

    statement.parse_statement(data)


def payload(data: bytes) -> None:
    from hooks.image_trust.formats import cosign

    cosign.parse_payload(data)


def timestamp(data: bytes) -> None:
    from hooks.image_trust.formats import chain, timestamp
    from hooks.image_trust.policy import Store

    stamps = Store.model_validate(_vectors("notation")["stores"]["stamps"])
    timestamp.verify(data, b"signature", chain.load_store(stamps))


def policy(data: bytes) -> None:
    from hooks.image_trust.policy_document import load_policy

    load_policy(data, sha256=None)


def challenge(data: bytes) -> None:
    from hooks.image_trust.registry import challenge

    challenge.parse(data.decode("latin-1"))


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        reference,
        manifest,
        jws,
        cose,
        bundle,
        statement,
        payload,
        timestamp,
        policy,
        challenge,
    )
}


def _challenges() -> Iterator[bytes]:
    yield b'Bearer realm="https://auth.example/token",service="registry",scope="repository:a:pull"'


def _references() -> Iterator[bytes]:
    yield b"111122223333.dkr.ecr.eu-west-1.amazonaws.com/shop/web:1@sha256:" + b"ab" * 32
    yield b"localhost:5000/a__b/c.d:v1"


def _bundles() -> Iterator[bytes]:
    yield from (text.encode() for both in _vectors("cosign")["bundles"].values() for text in both.values())


def _statements() -> Iterator[bytes]:
    attestations = _vectors("cosign")["attestation"].values()
    yield from (base64.b64decode(json.loads(text)["payload"]) for text in attestations)


def _envelopes() -> Iterator[bytes]:
    yield from (case["content"].encode() for case in _cases("application/jose+json"))


def _tokens() -> Iterator[bytes]:
    for content in filter(lambda text: text.startswith(b"{"), _envelopes()):
        header = json.loads(content).get("header", {})
        if token := header.get("io.cncf.notary.timestampSignature"):
            yield base64.b64decode(token)


def _policies() -> Iterator[bytes]:
    examples = ROOT / "examples" / "image_policies"
    yield from (path.read_bytes() for path in sorted(examples.glob("*.yaml")))


# What a target is good at: changing it gets further than beginning from nothing.
SEEDS: Mapping[str, Callable[[], Iterable[bytes]]] = {
    "reference": _references,
    "manifest": lambda: [_vectors("cosign")["manifest"].encode()],
    "jws": _envelopes,
    "cose": lambda: [base64.b64decode(case["content"]) for case in _cases("application/cose")],
    "bundle": _bundles,
    "statement": _statements,
    "payload": lambda: [one["payload"].encode() for one in _vectors("cosign")["classic"].values()],
    "timestamp": _tokens,
    "policy": _policies,
    "challenge": _challenges,
}


def _cases(media_type: str) -> Iterator[dict[str, str]]:
    """Yield every fourth: many are alike."""
    cases = _vectors("notation")["cases"].values()
    yield from [case for case in cases if case["mediaType"] == media_type][::4]


@functools.cache
def _vectors(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text())


def main() -> None:
    """Run from the command line."""
    name, options = sys.argv[1], sys.argv[2:]
    sys.path.insert(0, str(ROOT))
    # libFuzzer goes by the most memory the process ever had, and Linux counts in that of whoever started it.
    if child := os.fork():
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    import atheris

    target = TARGETS[name]
    with atheris.instrument_imports(include=["hooks.image_trust"]):
        # What is imported now is what is guided by.
        from shared.errors import HookError

        with contextlib.suppress(HookError):
            target(b"")

    def once(data: bytes) -> None:
        with contextlib.suppress(HookError):
            target(data)

    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(SEEDS[name]()):
            Path(corpus, f"{number}").write_bytes(seed)
            once(seed)
        atheris.Setup([sys.argv[0], *LIMITS, f"-artifact_prefix={corpus}/", *options, corpus], once)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
