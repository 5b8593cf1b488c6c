"""In-toto statements: what an attestation says of an image, and the DSSE envelope it is signed in.

::

    envelope   {"payload": base64, "payloadType": "application/vnd.in-toto+json",
                "signatures": [{"sig": base64, "keyid": hint}]}
    signed     "DSSEv1" SP len(type) SP type SP len(payload) SP payload
    payload    {"_type": "https://in-toto.io/Statement/v1", "subject": [{"digest": {"sha256": hex}, ...}],
                "predicateType": URI, "predicate": {...}}

Sources: https://github.com/secure-systems-lab/dsse/blob/v1.0.2/protocol.md and envelope.md,
https://github.com/in-toto/attestation/blob/v1.1.0/spec/v1/statement.md. What is parsed is the very bytes
whose signature was verified.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeGuard

from hooks.image_trust import strict_base64, strict_json
from hooks.image_trust.finding import Digest, Rejected
from hooks.image_trust.formats.keys import PublicKey, check_signature
from hooks.image_trust.path import MISSING, parse_path
from hooks.image_trust.pattern import matches
from hooks.image_trust.policy import Clause
from shared.errors import Misconfigured, shown

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPES = frozenset({"https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"})

MAX_ENVELOPE_BYTES = 8 * 1024 * 1024
"""An SBOM of a large image, some 60,000 packages. cosign once read whatever was attached until the machine
had no memory left (GHSA-95pr-fxf5-86gv, GHSA-88jx-383q-w4qc), and has read 128 MiB since, more than a
function may have."""
MAX_SIGNATURES = 16
"""Of one envelope; each is a verification. Producers make one, and a bundle may have no more."""
MAX_SUBJECTS = 1024
"""As in https://github.com/sigstore/sigstore-go/blob/v1.1.4/pkg/verify/signature.go."""
MAX_SUBJECT_DIGESTS = 32
"""Likewise."""


# --- The envelope ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EnvelopeSignature:
    """One signature of an envelope."""

    content: bytes
    key_id: str = ""
    """A hint, unsigned."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A DSSE envelope; nothing of it is verified."""

    payload_type: str
    payload: bytes = field(repr=False)
    signatures: tuple[EnvelopeSignature, ...]


def parse_envelope(document: object) -> Envelope:
    """Read an envelope from parsed JSON; what it has beyond DSSE's own fields is ignored, as DSSE demands.

    Raises
    ------
    Rejected
        ``malformed-envelope``, ``malformed-base64``.
    """
    if not isinstance(document, Mapping):
        raise Rejected("malformed-envelope", f"expected a DSSE envelope, got {shown(document)}")
    payload_type, signatures = document.get("payloadType"), document.get("signatures")
    if not isinstance(payload_type, str):
        raise Rejected("malformed-envelope", f"expected payloadType to be text, got {shown(payload_type)}")
    if not isinstance(signatures, list) or not 1 <= len(signatures) <= MAX_SIGNATURES:
        raise Rejected(
            "malformed-envelope", f"expected 1 to {MAX_SIGNATURES} signatures, got {shown(signatures)}"
        )
    return Envelope(
        payload_type,
        strict_base64.decode(document.get("payload"), "the envelope's payload", url_safe=True),
        tuple(map(_envelope_signature, signatures)),
    )


def _envelope_signature(value: object) -> EnvelopeSignature:
    if not isinstance(value, Mapping):
        raise Rejected("malformed-envelope", f"expected a signature, got {shown(value)}")
    key_id = value.get("keyid")
    if not isinstance(key_id, str | None):
        raise Rejected("malformed-envelope", f"expected keyid to be text, got {shown(key_id)}")
    return EnvelopeSignature(
        strict_base64.decode(value.get("sig"), "the envelope's signature", url_safe=True), key_id or ""
    )


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return what the signatures of an envelope are over, the pre-authentication encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def open_envelope(envelope: Envelope, key: PublicKey) -> "Statement":
    """Return the statement in an envelope that has a signature by the key, beside whatever others.

    Whether it is about an image, :meth:`Statement.about` says.

    Raises
    ------
    Rejected
        ``wrong-signature``, ``wrong-payload-type``, and what :func:`parse_statement` raises.
    """
    signed = pae(envelope.payload_type, envelope.payload)
    wrong: Rejected | None = None
    for signature in envelope.signatures:
        try:
            check_signature(key, signature.content, signed)
            break
        except Rejected as error:
            wrong = error
    else:
        raise Rejected(
            "wrong-signature", f"none of {len(envelope.signatures)} signatures of the envelope holds: {wrong}"
        )
    if envelope.payload_type != PAYLOAD_TYPE:
        raise Rejected(
            "wrong-payload-type",
            f"expected a payload of the type {PAYLOAD_TYPE}, got {shown(envelope.payload_type)}",
        )
    return parse_statement(envelope.payload)


# --- The statement ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An artifact that a statement is about."""

    name: str = ""
    digests: Mapping[str, str]
    """By algorithm: ``{"sha256": hexadecimal}``."""
    annotations: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What an attestation says."""

    predicate_type: str
    predicate: object
    """An object; of some older SPDX attestations, text."""
    subjects: tuple[Subject, ...]

    def about(self, digest: Digest) -> Subject:
        """Return the first subject that is the image.

        Raises
        ------
        Rejected
            ``signed-other-digest``.
        """
        wanted = digest.removeprefix("sha256:")
        for subject in self.subjects:
            if subject.digests.get("sha256") == wanted:
                return subject
        others = ", ".join(shown(subject.digests.get("sha256")) for subject in self.subjects[:3])
        raise Rejected("signed-other-digest", f"the statement is not about {digest} but about {others}")


def parse_statement(payload: bytes) -> Statement:
    """Read a statement.

    Raises
    ------
    Rejected
        ``malformed-statement``, ``too-large``, ``malformed-json``.
    """
    document = strict_json.loads(payload, "the in-toto statement", limit_bytes=MAX_ENVELOPE_BYTES)
    if not isinstance(document, Mapping):
        raise Rejected("malformed-statement", f"expected an in-toto statement, got {shown(document)}")
    if not isinstance(kind := document.get("_type"), str) or kind not in STATEMENT_TYPES:
        raise Rejected(
            "malformed-statement", f"expected _type to be an in-toto Statement v0.1 or v1, got {shown(kind)}"
        )
    predicate_type, subjects = document.get("predicateType"), document.get("subject")
    if not isinstance(predicate_type, str) or not predicate_type:
        raise Rejected(
            "malformed-statement", f"expected predicateType to be text, got {shown(predicate_type)}"
        )
    if not isinstance(subjects, list) or not 1 <= len(subjects) <= MAX_SUBJECTS:
        raise Rejected("malformed-statement", f"expected 1 to {MAX_SUBJECTS} subjects, got {shown(subjects)}")
    predicate = document.get("predicate")
    if not isinstance(predicate, Mapping | str | None):
        raise Rejected("malformed-statement", f"expected predicate to be an object, got {shown(predicate)}")
    return Statement(
        predicate_type=predicate_type,
        predicate={} if predicate is None else predicate,
        subjects=tuple(map(_subject, subjects)),
    )


def _subject(value: object) -> Subject:
    if not isinstance(value, Mapping):
        raise Rejected("malformed-statement", f"expected a subject, got {shown(value)}")
    name, digests, annotations = value.get("name"), value.get("digest"), value.get("annotations")
    if not isinstance(digests, Mapping) or not 1 <= len(digests) <= MAX_SUBJECT_DIGESTS:
        raise Rejected(
            "malformed-statement",
            f"expected a subject to have 1 to {MAX_SUBJECT_DIGESTS} digests, got {shown(digests)}",
        )
    if not all(isinstance(text, str) for text in digests.values()):
        raise Rejected("malformed-statement", "expected the digests of a subject to be text")
    if not isinstance(name, str | None) or not isinstance(annotations, Mapping | None):
        raise Rejected(
            "malformed-statement",
            "expected a subject's name to be text and its annotations an object, "
            f"got {shown(name)} and {shown(annotations)}",
        )
    return Subject(name=name or "", digests=digests, annotations=annotations or {})


# --- What its predicate has to say -----------------------------------------------------------------

# https://www.rfc-editor.org/rfc/rfc3339.html#section-5.6; fromisoformat reads dates without a zone as well.
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)


@dataclass(frozen=True, slots=True)
class _Demand:
    """What a clause expects, in words and as a test of each value at its path."""

    text: str
    holds: Callable[[object], bool]
    is_of_nothing: bool = False
    """Whether it is true where the path leads nowhere."""


def check_clauses(statement: Statement, clauses: Sequence[Clause], now: datetime) -> None:
    """Return only if every clause is true of the statement's predicate.

    A clause is true if it is of every value at its path, and there is at least one: what the document lacks,
    for one element of an array as well, satisfies ``noneOf`` and ``exists: false`` only. Types are strict:
    ``true`` is not ``1``, and ``"1"`` isn't either; ``1`` and ``1.0`` are one number, as in JSON. An object
    or an array satisfies ``exists`` only.

    Parameters
    ----------
    now
        For ``withinHours``; with a time zone.

    Raises
    ------
    Rejected
        ``clause-not-met``, for the first that is not.
    Misconfigured
        When a path is none; policies are refused for it when they are loaded.
    """
    for clause in clauses:
        try:
            path = parse_path(clause.path)
        except ValueError as error:
            raise Misconfigured(f"a clause of the policy: {error}") from error
        demand = _demand(clause, now)
        values = path.select(statement.predicate)
        if demand.is_of_nothing:
            values = [value for value in values if value is not MISSING]
        elif not values:
            raise Rejected("clause-not-met", f"{path} leads to nothing, expected {demand.text}")
        for value in values:
            if value is MISSING:
                raise Rejected("clause-not-met", f"{path} is missing, expected {demand.text}")
            if not demand.holds(value):
                raise Rejected("clause-not-met", f"{path} is {shown(value)}, expected {demand.text}")


def _demand(clause: Clause, now: datetime) -> _Demand:
    for name, demand in _DEMANDS.items():
        value = getattr(clause, name)
        if value is not None:
            return demand(value, now)
    raise Misconfigured(f"a clause of the policy about {clause.path!r} demands nothing")


def _equals(expected: object, _: datetime) -> _Demand:
    return _Demand(f"{expected!r}", lambda value: _same(value, expected))


def _one_of(allowed: Sequence[object], _: datetime) -> _Demand:
    return _Demand(f"one of {_listed(allowed)}", lambda value: any(_same(value, one) for one in allowed))


def _none_of(banned: Sequence[object], _: datetime) -> _Demand:
    # An array may hold what is banned, and the clause's path may lack its star.
    return _Demand(
        f"none of {_listed(banned)}",
        lambda value: not isinstance(value, Mapping | list) and not any(_same(value, one) for one in banned),
        is_of_nothing=True,
    )


def _matches(glob: str, _: datetime) -> _Demand:
    return _Demand(
        f"text that matches {glob!r}", lambda value: isinstance(value, str) and matches(glob, value)
    )


def _at_least(least: float, _: datetime) -> _Demand:
    return _Demand(f"a number, at least {least!r}", lambda value: _is_number(value) and value >= least)


def _at_most(most: float, _: datetime) -> _Demand:
    return _Demand(f"a number, at most {most!r}", lambda value: _is_number(value) and value <= most)


def _within(hours: float, now: datetime) -> _Demand:
    return _Demand(
        f"a time of the last {hours:g} hours before {now.isoformat()}",
        lambda value: _is_recent(value, hours, now),
    )


def _exists(wanted: object, _: datetime) -> _Demand:
    if wanted:
        return _Demand("something there", lambda _: True)
    return _Demand("nothing there", lambda _: False, is_of_nothing=True)


_DEMANDS: Mapping[str, Callable[[Any, datetime], _Demand]] = {
    "equals": _equals,
    "one_of": _one_of,
    "none_of": _none_of,
    "matches": _matches,
    "at_least": _at_least,
    "at_most": _at_most,
    "within_hours": _within,
    "exists": _exists,
}
"""By the names of the fields of :class:`Clause`, of which it has one."""


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(repr, values))


def _same(value: object, expected: object) -> bool:
    if isinstance(value, bool) or isinstance(expected, bool):
        return value is expected  # to Python, True == 1
    if isinstance(value, int | float) and isinstance(expected, int | float):
        return value == expected
    return isinstance(value, str) and value == expected


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_recent(value: object, hours: float, now: datetime) -> bool:
    if not isinstance(value, str) or not _TIMESTAMP.fullmatch(value):
        return False
    try:
        age = now - datetime.fromisoformat(value.upper())
    except ValueError:  # a 30th of February
        return False
    return 0 <= age.total_seconds() <= hours * 3600
