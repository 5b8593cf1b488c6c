"""The ID token: what an issuer signs about whoever has just signed in to it.

::

    HEADER.CLAIMS.SIGNATURE     {"alg": "RS256", "kid": "..."}
                                {"iss", "aud", "sub", "exp", "iat", "nonce", "azp"?, "name"?, "groups"?, ...}

Believed is a token that a key of the issuer's has signed, by an algorithm that only its owner can sign with,
for this client, in answer to this very sign-in, just now.
Source: https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation
"""

import hmac
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hooks.manual_approval.console.access import is_name

if TYPE_CHECKING:
    from joserfc.jwk import Key

# All asymmetric: with HS256 the public key, which everybody has, could be the secret of a forged token.
# https://www.rfc-editor.org/rfc/rfc8725#section-2.1
ALGORITHMS = {
    "RS256": "RSA",
    "RS384": "RSA",
    "RS512": "RSA",
    "PS256": "RSA",
    "PS384": "RSA",
    "PS512": "RSA",
    "ES256": "EC",
    "ES384": "EC",
    "EdDSA": "OKP",
}
"""Allowed algorithms, and the kind of key of each."""

# RFC 7518, 3.3; the upper bound is what a check of one signature may cost.
RSA_KEY_BITS = range(2048, 8192 + 1)

MAX_KEYS = 50
MAX_GROUPS = 200
MAX_IDENTITY_BYTES = 256
MAX_NAME_CHARACTERS = 100

SKEW_SECONDS = 60

Claims = Mapping[str, Any]


class NotBelieved(Exception):
    """A token or claim is not as it has to be; *reason* is a code that holds nothing of it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class KeyUnknown(NotBelieved):
    """The token names a key that is not among the issuer's, as far as they are known."""

    def __init__(self) -> None:
        super().__init__("key-unknown")


@dataclass(frozen=True, slots=True)
class Who:
    """A person, as the claims tell."""

    subject: str
    name: str
    groups: tuple[str, ...]


def read_keys(document: Any) -> "tuple[Key, ...]":
    """Read a JWK set: the public keys in it that can sign tokens. What else is in it is passed over."""
    from joserfc.errors import JoseError, SecurityWarning  # noqa: PLC0415 - only a sign-in needs it
    from joserfc.jwk import JWKRegistry, RSAKey  # noqa: PLC0415 - as above

    listed = document.get("keys") if isinstance(document, dict) else None
    keys = []
    for entry in listed[:MAX_KEYS] if isinstance(listed, list) else []:
        if not isinstance(entry, dict) or entry.get("kty") not in ALGORITHMS.values():
            continue
        if entry.get("use", "sig") != "sig":
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SecurityWarning)  # of short keys, which are left out below
                key = JWKRegistry.import_key(entry)
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if isinstance(key, RSAKey) and key.public_key.key_size not in RSA_KEY_BITS:
            continue
        keys.append(key)
    return tuple(keys)


def verified(token: str, keys: "Sequence[Key]") -> dict[str, Any]:
    """Check a token's signature and return its claims, not judged yet.

    Raises
    ------
    KeyUnknown
        When it names a key that is not among *keys*.
    NotBelieved
    """
    from joserfc import jws, jwt  # noqa: PLC0415 - only a sign-in needs it
    from joserfc.errors import JoseError, SecurityWarning  # noqa: PLC0415 - as above

    class Registry(jws.JWSRegistry):
        max_header_length = 8 * 1024  # some issuers put a certificate into it

    # What a header says beyond the registered parameters is to be ignored (RFC 7515, 4), but for "crit".
    registry = Registry(algorithms=list(ALGORITHMS), strict_check_header=False)
    try:
        header = jws.extract_compact(token.encode(), registry=registry).headers()
        key = _key_of(header, keys)
        with warnings.catch_warnings():
            # EdDSA is the name by which issuers know it, and RFC 9864 wants it to be called Ed25519.
            warnings.simplefilter("ignore", SecurityWarning)
            return jwt.decode(token, key, registry=registry).claims
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise NotBelieved("token-signature") from error


def _key_of(header: Mapping[str, Any], keys: "Sequence[Key]") -> "Key":
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise NotBelieved("token-algorithm")
    fitting = [key for key in keys if key.key_type == ALGORITHMS[algorithm]]
    if kid is not None:
        fitting = [key for key in fitting if key.kid == kid]
    # An issuer with several keys has to say which (OpenID Connect Core, 10.1).
    if len(fitting) != 1:
        raise KeyUnknown
    return fitting[0]


def judge(claims: Claims, *, issuer: str, client_id: str, nonce: str, now: datetime) -> None:
    """Raise :class:`NotBelieved` unless the claims are for this client, and for this sign-in."""
    if claims.get("iss") != issuer:
        raise NotBelieved("token-issuer")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if client_id not in audiences:
        raise NotBelieved("token-audience")
    # Where it is for others as well, it has to say that it was this client which asked.
    if claims.get("azp", client_id if len(audiences) == 1 else None) != client_id:
        raise NotBelieved("token-authorized-party")
    expires = _seconds(claims.get("exp"))
    if expires is None or expires + SKEW_SECONDS <= now.timestamp():
        raise NotBelieved("token-expired")
    for begins in (_seconds(claims.get("iat")), _seconds(claims.get("nbf", 0))):
        if begins is None or begins - SKEW_SECONDS > now.timestamp():
            raise NotBelieved("token-from-the-future")
    found = claims.get("nonce")
    if not isinstance(found, str) or not hmac.compare_digest(found.encode(), nonce.encode()):
        raise NotBelieved("token-nonce")
    if not _is_identity(claims.get("sub")):
        raise NotBelieved("token-subject")


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # A NaN is before and after nothing.
    return value if math.isfinite(value) else None


def who(claims: Claims, userinfo: Claims, *, identity_claim: str, groups_claim: str) -> Who:
    """Make out who it is.

    Parameters
    ----------
    claims
        Of the ID token, judged.
    userinfo
        What the issuer says beyond it, of the same ``sub``; a claim that the token has is the token's.
    """
    source = claims if identity_claim in claims else userinfo
    subject = source.get(identity_claim)
    if not isinstance(subject, str) or not _is_identity(subject):
        raise NotBelieved("identity-claim")
    # Anybody can say that somebody else's address is theirs, until they have proved it.
    if identity_claim == "email" and source.get("email_verified") is not True:
        raise NotBelieved("email-not-verified")
    told = (document.get(claim) for claim in _NAME_CLAIMS for document in (claims, userinfo))
    name = next((found for text in told if (found := _readable(text))), subject)
    groups = _groups((claims if groups_claim in claims else userinfo).get(groups_claim))
    return Who(subject, name[:MAX_NAME_CHARACTERS], groups)


_NAME_CLAIMS = ("name", "preferred_username", "email")


def _is_identity(value: Any) -> bool:
    return isinstance(value, str) and is_name(value) and len(value.encode()) <= MAX_IDENTITY_BYTES


def _readable(text: Any) -> str:
    """Leave out what can't be seen, such as what turns the direction of writing around."""
    if not isinstance(text, str):
        return ""
    return "".join(character for character in text[:1000] if character.isprintable()).strip()


def _groups(value: Any) -> tuple[str, ...]:
    """Read the groups: a list of names, or one name. Names that no policy can have are passed over."""
    listed = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(group, str) for group in listed):
        raise NotBelieved("groups-malformed")
    if len(listed) > MAX_GROUPS:
        raise NotBelieved("groups-too-many")
    return tuple(dict.fromkeys(group for group in listed if is_name(group)))
