"""Base64 of which every content has one spelling, so that no two texts are the same signature.

Source: https://www.rfc-editor.org/rfc/rfc4648.html, sections 4 and 5; with its padding, and with the bits
that the last character has to spare at zero (section 3.5).
"""

import base64
import contextlib

from hooks.image_trust.finding import Rejected
from shared.errors import shown

_STANDARD = b"+/"
_URL_SAFE = b"-_"


def decode(text: object, what: str, *, url_safe: bool = False) -> bytes:
    """Decode a text.

    Parameters
    ----------
    what
        What it is, for the message: ``"the signature"``.
    url_safe
        Whether the other alphabet will do as well.

    Raises
    ------
    Rejected
        ``malformed-base64``.
    """
    if isinstance(text, str):
        for alphabet in (_STANDARD, _URL_SAFE) if url_safe else (_STANDARD,):
            with contextlib.suppress(ValueError):
                content = base64.b64decode(text, altchars=alphabet)
                # What is no base64 was left out, and is missed now.
                if base64.b64encode(content, altchars=alphabet).decode("ascii") == text:
                    return content
    raise Rejected("malformed-base64", f"{what}: expected base64, got {shown(text)}")
