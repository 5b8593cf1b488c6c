"""A Sigstore trusted root: whose certificates, log entries and time-stamps count, and of which time.

::

    trusted_root.json
    ├── tlogs[]                   Rekor: each a public key, its id, and when it was in use
    ├── ctlogs[]                  certificate transparency: the same
    ├── certificateAuthorities[]  Fulcio: a chain, its root last, and when it issued certificates
    └── timestampAuthorities[]    RFC 3161: the same, the signing certificate first

All of it is trusted because the policy pins its digest; what a signature brings along never adds to it.

Source: https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_trustroot.proto, in the JSON of
https://protobuf.dev/programming-guides/json/.
"""

import contextlib
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_public_key

from hooks.image_trust import strict_base64, strict_json
from hooks.image_trust.finding import Rejected
from hooks.image_trust.formats.keys import Algorithm, PublicKey, as_public_key, check_signature
from shared.errors import shown

MEDIA_TYPES = frozenset(
    {
        "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "application/vnd.dev.sigstore.trustedroot.v0.2+json",
    }
)

MAX_BYTES = 512 * 1024
"""Of the file. The public instance's has 7 KiB."""
MAX_ENTRIES = 50
"""Of one kind, and certificates in one chain."""
MAX_RESPONSE_BYTES = 64 * 1024
"""Of a time-stamp. With a chain of certificates it has about 6,000."""
MAX_RESPONSES = 32
"""As in https://github.com/sigstore/sigstore-go/blob/main/internal/limits/limits.go."""

# How a log signs, by its key's keyDetails. PKCS1_RSA_PKCS1V5 is deprecated, and an old log of staging's.
# https://github.com/sigstore/architecture-docs/blob/main/algorithm-registry.md
_ALGORITHMS = {
    "PKIX_ECDSA_P256_SHA_256": Algorithm.ECDSA_P256_SHA256,
    "PKIX_ECDSA_P384_SHA_384": Algorithm.ECDSA_P384_SHA384,
    "PKIX_ECDSA_P521_SHA_512": Algorithm.ECDSA_P521_SHA512,
    "PKCS1_RSA_PKCS1V5": Algorithm.RSA_PKCS1_SHA256,
    "PKIX_RSA_PKCS1V15_2048_SHA256": Algorithm.RSA_PKCS1_SHA256,
    "PKIX_RSA_PKCS1V15_3072_SHA256": Algorithm.RSA_PKCS1_SHA256,
    "PKIX_RSA_PKCS1V15_4096_SHA256": Algorithm.RSA_PKCS1_SHA256,
    "PKIX_ED25519": Algorithm.ED25519,
}

# https://protobuf.dev/programming-guides/json/, of google.protobuf.Timestamp.
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})"
)


@dataclass(frozen=True, slots=True)
class Period:
    """When something counts: from *start* to *end*, both included; ``None`` is without limit."""

    start: datetime | None
    end: datetime | None

    def covers(self, at: datetime) -> bool:
        return (self.start is None or self.start <= at) and (self.end is None or at <= self.end)


@dataclass(frozen=True, slots=True)
class Log:
    """A transparency log: of signatures, or of certificates."""

    id: bytes
    checkpoint_id: bytes
    """What its signatures of checkpoints are called by; most often the same."""
    key: PublicKey
    period: Period


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority, or a time-stamp authority."""

    chain: tuple[x509.Certificate, ...]
    """Its root is the last."""
    period: Period


@dataclass(frozen=True, slots=True, eq=False)
class TrustedRoot:
    """A trusted root; made by :func:`read`."""

    document: bytes = field(repr=False)
    """What it was read from."""
    logs: tuple[Log, ...]
    certificate_logs: tuple[Log, ...]
    authorities: tuple[Authority, ...]
    time_stampers: tuple[Authority, ...]


@lru_cache(maxsize=8)
def read(content: bytes) -> TrustedRoot:
    """Read trusted_root.json.

    A log with a kind of key that is unknown here is left out: what only it vouches for is not accepted.

    Raises
    ------
    Rejected
        ``malformed-root``.
    """
    try:
        document = _object(strict_json.loads(content, "the trusted root", limit_bytes=MAX_BYTES), "it")
        _check_media_type(_text(document, "mediaType"))
        return TrustedRoot(
            document=content,
            logs=tuple(_logs(document, "tlogs")),
            certificate_logs=tuple(_logs(document, "ctlogs")),
            authorities=tuple(_authorities(document, "certificateAuthorities")),
            time_stampers=tuple(_authorities(document, "timestampAuthorities")),
        )
    except (Rejected, ValueError, TypeError) as error:
        raise Rejected("malformed-root", f"the trusted root can't be used: {error}") from error


def signer(logs: Iterable[Log], signature: bytes, message: bytes) -> Log:
    """Return the one of several logs that made a signature.

    Raises
    ------
    Rejected
        ``wrong-signature``.
    """
    for log in logs:
        try:
            check_signature(log.key, signature, message)
        except Rejected:
            continue
        return log
    raise Rejected("wrong-signature", "the signature is by no log of the trusted root, or of something else")


def certificate(der: bytes) -> x509.Certificate:
    """Read a certificate in DER.

    Raises
    ------
    ValueError
        Also for what the library still reads but warns of, such as a serial number that is not positive.
    """
    return _certificates(lambda: [x509.load_der_x509_certificate(der)])[0]


def certificates(pem: bytes) -> list[x509.Certificate]:
    """Read certificates in PEM, one after the other.

    Raises
    ------
    ValueError
        As :func:`certificate`; also where there is none.
    """
    return _certificates(lambda: x509.load_pem_x509_certificates(pem))


def _certificates(load: Callable[[], list[x509.Certificate]]) -> list[x509.Certificate]:
    # What the library warns of, such as a serial number that is not positive, it will refuse one day.
    with contained("a certificate"), warnings.catch_warnings(action="error"):
        found = load()
        for one in found:
            # Read only when they are asked for, and then raised for, or warned of.
            _ = one.serial_number, one.extensions, one.public_key()
    return found


def times_of(responses: Iterable[bytes], signature: bytes, root: TrustedRoot) -> tuple[datetime, ...]:
    """Return when a signature was there, by every time-stamp that an authority of the root made for it.

    A response that none of them made proves nothing, and is left aside.

    Parameters
    ----------
    responses
        DER of TimeStampResp, https://www.rfc-editor.org/rfc/rfc3161.html.

    Raises
    ------
    Rejected
        ``unsupported`` where what reads them is not installed.
    """
    times = []
    for response in tuple(responses)[:MAX_RESPONSES]:
        for authority in root.time_stampers:
            with contextlib.suppress(ValueError):
                times.append(_time_by(authority, response, signature))
                break
    return tuple(times)


def _time_by(authority: Authority, content: bytes, signature: bytes) -> datetime:
    """Return the time that a time-stamp has, if the authority, in its time, made it."""
    try:
        import rfc3161_client  # noqa: PLC0415  # 30 ms, and not in artifacts without keyless rules
    except ImportError as error:
        raise Rejected("unsupported", "time-stamps can't be read: rfc3161-client is not installed") from error

    # The signing certificate first, the root last: less than these two is no chain.
    if len(content) > MAX_RESPONSE_BYTES or len(authority.chain) < 2:
        raise ValueError("a time-stamp that is too large, or an authority without its root")
    signing, *between, anchor = authority.chain
    with contained("a time-stamp"):
        response = rfc3161_client.decode_timestamp_response(content)
        verifier = rfc3161_client.VerifierBuilder(
            tsa_certificate=signing, intermediates=between, roots=[anchor]
        ).build()
        is_by_it, at = verifier.verify_message(response, signature), response.tst_info.gen_time
    if is_by_it is not True or not authority.period.covers(at):
        raise ValueError("a time-stamp by another authority, or of another time")
    return at


@contextlib.contextmanager
def contained(what: str) -> Iterator[None]:
    """Turn whatever a library raises into ``ValueError``, and hide its warnings; ``Rejected`` passes.

    What reads certificates, time-stamps and bundles documents only some of its exceptions.
    """
    with warnings.catch_warnings(action="ignore"):
        try:
            yield
        except Rejected:
            raise
        except Exception as error:
            raise ValueError(f"{what} that can't be read, or does not hold: {shown(str(error))}") from error
        # A panic of Rust code is none of Exception's kind. All else that is not ends the process.
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            raise ValueError(f"{what} that its parser gave up on") from error


def _check_media_type(text: str) -> None:
    if text not in MEDIA_TYPES:
        raise ValueError(f"mediaType: expected {' or '.join(sorted(MEDIA_TYPES))}, got {shown(text)}")


def _logs(document: Mapping[str, object], name: str) -> Iterator[Log]:
    for entry in _objects(document, name):
        details = _object(entry.get("publicKey"), f"{name}.publicKey")
        # Rekor's and CT's trees are of SHA-256 all; a tree of another hash would need other proofs.
        algorithm = _ALGORITHMS.get(_text(details, "keyDetails"))
        if algorithm is None or _text(entry, "hashAlgorithm") != "SHA2_256":
            continue
        with contained(f"{name}: a key"):
            key = as_public_key(load_der_public_key(_bytes(details, "rawBytes")))
        if key.algorithm is not algorithm:
            raise ValueError(f"{name}: a key for {algorithm} is one for {key.algorithm}")
        log_id = _object(entry.get("logId"), f"{name}.logId")
        checkpoint_id = _object(entry.get("checkpointKeyId", log_id), f"{name}.checkpointKeyId")
        yield Log(_bytes(log_id, "keyId"), _bytes(checkpoint_id, "keyId"), key, _period(details))


def _authorities(document: Mapping[str, object], name: str) -> Iterator[Authority]:
    for entry in _objects(document, name):
        chain = _objects(_object(entry.get("certChain"), f"{name}.certChain"), "certificates")
        if not chain:
            raise ValueError(f"{name}: an authority without certificates")
        yield Authority(
            chain=tuple(certificate(_bytes(one, "rawBytes")) for one in chain),
            period=_period(entry),
        )


def _period(owner: Mapping[str, object]) -> Period:
    found = _object(owner.get("validFor", {}), "validFor")
    return Period(_time(found, "start"), _time(found, "end"))


def _time(owner: Mapping[str, object], name: str) -> datetime | None:
    if name not in owner:
        return None
    text = _text(owner, name)
    if not _TIME.fullmatch(text):
        raise ValueError(f"{name}: expected a time with its zone, got {shown(text)}")
    return datetime.fromisoformat(text)


def _objects(owner: Mapping[str, object], name: str) -> list[Mapping[str, object]]:
    found = owner.get(name, [])
    if not isinstance(found, list) or len(found) > MAX_ENTRIES:
        raise TypeError(f"{name}: expected at most {MAX_ENTRIES} entries, got {shown(found)}")
    return [_object(one, name) for one in found]


def _object(value: object, name: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{name}: expected an object, got {shown(value)}")
    # Null is how JSON of protocol buffers may write what is not there.
    return {key: found for key, found in value.items() if found is not None}


def _text(owner: Mapping[str, object], name: str) -> str:
    value = owner.get(name)
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected text, got {shown(value)}")
    return value


def _bytes(owner: Mapping[str, object], name: str) -> bytes:
    return strict_base64.decode(owner.get(name), name)
