"""Who calls: roles, users and their credentials, kept in moto's IAM and STS.

A key is computed from the name of its owner. So the credentials of a role's session are the same in
every run, clients made in one run work in the next, and reports of equal runs are equal.
"""

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from moto.core.utils import utcnow
from moto.iam.models import AccessKey, Group, IAMBackend, Role, User, iam_backends
from moto.sts.models import AssumedRole, STSBackend, sts_backends

from rehearsal.aws.call import JsonObject

PARTITION = "aws"

# Anyone of the account may assume a rehearsal's roles: trust policies are not what is rehearsed.
_TRUST: JsonObject = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
}
ALLOW_ALL: JsonObject = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}
"""What an administrator has; for actors whose permissions are not what is tested."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a caller signs with."""

    arn: str
    """The caller as AWS records it: an IAM user, or a role's session."""
    access_key: str
    secret_key: str
    token: str | None
    """``None`` for a user's long-term key."""


class Identities:
    """The roles and users of one account."""

    def __init__(self, account: str, region: str) -> None:
        self.account = account
        self.region = region

    @property
    def _iam(self) -> IAMBackend:
        return iam_backends[self.account][PARTITION]

    @property
    def _sts(self) -> STSBackend:
        return sts_backends[self.account][PARTITION]

    def role(self, name: str, policies: Iterable[JsonObject] | None = None) -> str:
        """Create a role, or give an existing one other policies; return its ARN.

        *policies* are inline documents; ``None`` leaves an existing role as it is.
        """
        role = next((role for role in self._iam.roles.values() if role.name == name), None)
        if role is None:
            role = self._iam.create_role(name, json.dumps(_TRUST), "/", None, "", [], "3600")
        if policies is not None:
            role.policies.clear()
            for index, document in enumerate(policies):
                role.put_policy(f"policy-{index}", json.dumps(document))
        return str(role.arn)

    def session(self, role: str, session: str, policies: Iterable[JsonObject] | None = None) -> Credentials:
        """Assume a role, which is created when missing."""
        role_arn = self.role(role, policies)
        key, secret, token = _keys("ASIA", self.account, "role", role, session)
        if not any(known.access_key_id == key for known in self._sts.assumed_roles):
            access_key = self._register(key, secret, None)
            access_key.role_arn = role_arn
            assumed = AssumedRole(self.account, self.region, access_key, session, role_arn, "", 3600, "")
            assumed.session_token = token
            self._sts.assumed_roles.append(assumed)
        return Credentials(
            f"arn:{PARTITION}:sts::{self.account}:assumed-role/{role}/{session}", key, secret, token
        )

    def user(self, name: str, policies: Iterable[JsonObject] | None = None) -> Credentials:
        """Create an IAM user with an access key, or give an existing one other policies."""
        user = self._iam.users.get(name)
        if user is None:
            user = self._iam.create_user(self.region, name)
        if policies is not None:
            user.policies.clear()
            for index, document in enumerate(policies):
                user.put_policy(f"policy-{index}", json.dumps(document))
        key, secret, _ = _keys("AKIA", self.account, "user", name)
        if not any(known.access_key_id == key for known in user.access_keys):
            user.access_keys.append(self._register(key, secret, name))
        return Credentials(str(user.arn), key, secret, None)

    def _register(self, key: str, secret: str, user: str | None) -> AccessKey:
        access_key = AccessKey(user, key[:4], self.account)  # type: ignore[abstract]  # moto's own oversight
        access_key.access_key_id, access_key.secret_access_key = key, secret
        access_key.create_date = utcnow()
        self._iam.access_keys[key] = access_key
        return access_key

    def caller(self, access_key: str) -> str:
        """Return the ARN that AWS records for a key; moto's stand-in for one it does not know."""
        return self._sts.get_caller_identity(access_key, self.region)[1]

    def policies(self, access_key: str) -> list[str] | None:
        """Return the policy documents that apply to a key; ``None`` for a key that does not exist.

        Inline and attached policies of the role, or of the user and the user's groups. Boundaries and
        session policies are not looked at.
        """
        assumed = self._sts.get_assumed_role_from_access_key(access_key)
        if assumed is not None:
            name = assumed.role_arn.rpartition("/")[2]
            holders: list[Role | User | Group] = [
                role for role in self._iam.roles.values() if role.name == name
            ]
        else:
            user = self._iam.get_user_from_access_key_id(access_key)
            if user is None:
                return None
            holders = [user, *self._iam.get_groups_for_user(user.name)]
        documents: list[str] = []
        for holder in holders:
            documents += holder.policies.values()
            documents += [
                str(version.document)
                for policy in holder.managed_policies.values()
                for version in policy.versions
                if version.is_default
            ]
        return documents


def _keys(prefix: str, *owner: str) -> tuple[str, str, str]:
    digest = hashlib.sha512("\0".join(owner).encode()).digest()
    key = prefix + base64.b32encode(digest[:10]).decode()
    secret = base64.b64encode(digest[10:40]).decode()
    return key, secret, "token." + base64.b64encode(digest[40:]).decode().rstrip("=")
