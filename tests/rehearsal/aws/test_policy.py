import json
from typing import Any

import pytest

from rehearsal.aws.policy import Request, Verdict, evaluate, unused_grants

READ = "ssm:GetParameter"
ONE = "arn:aws:ssm:eu-west-1:123456789012:parameter/approvals/one"
NOBODY = Verdict(allowed=False, because=f"because no identity-based policy allows the {READ} action")
YES = Verdict(allowed=True)


def allow(**elements: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": READ, "Resource": "*", **elements}


@pytest.mark.parametrize(
    ("statements", "verdict"),
    [
        ([], NOBODY),
        ([allow()], YES),
        ([allow(Action="SSM:getparameter")], YES),
        ([allow(Action=["ssm:Put*", "ssm:Get*"])], YES),
        ([allow(Action="ssm:GetParameters")], NOBODY),
        ([allow(Resource=ONE)], YES),
        ([allow(Resource="arn:aws:ssm:*:*:parameter/approvals/*")], YES),
        ([allow(Resource="arn:aws:ssm:*:*:parameter/approvals/on?")], YES),
        ([allow(Resource="arn:aws:ssm:*:*:parameter/APPROVALS/*")], NOBODY),
        ([allow(Resource="arn:aws:ssm:*:*:parameter/approvals")], NOBODY),
        ([{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}], YES),
        ([{"Effect": "Allow", "NotAction": "ssm:*", "Resource": "*"}], NOBODY),
        ([{"Effect": "Allow", "Action": "*", "NotResource": "*/one"}], NOBODY),
        (
            [allow(), {"Effect": "Deny", "Action": "ssm:*", "Resource": "*/one"}],
            Verdict(allowed=False, because="with an explicit deny in an identity-based policy"),
        ),
        ([allow(), {"Effect": "Deny", "Action": "ssm:*", "Resource": "*/two"}], YES),
        ([allow(Condition={"StringEquals": {"aws:RequestedRegion": ["eu-north-1", "eu-west-1"]}})], YES),
        ([allow(Condition={"StringEquals": {"aws:RequestedRegion": "us-east-1"}})], NOBODY),
        ([allow(Condition={"StringNotEquals": {"aws:RequestedRegion": "us-east-1"}})], YES),
        ([allow(Condition={"StringLike": {"aws:RequestedRegion": "eu-*"}})], YES),
        ([allow(Condition={"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/app*"}})], YES),
        ([allow(Condition={"Bool": {"aws:SecureTransport": "true"}})], YES),
        ([allow(Condition={"StringEquals": {"ecs:cluster": "arn"}})], NOBODY),
        (
            [allow(), allow(Sid="Tagged", Condition={"StringEquals": {"ssm:resourceTag/team": "shop"}})],
            Verdict(
                allowed=False,
                because="because condition key 'ssm:resourcetag/team' of statement Tagged is not supported "
                "in a rehearsal",
            ),
        ),
        (
            [allow(Condition={"DateLessThan": {"aws:PrincipalArn": "2026-01-01"}})],
            Verdict(
                allowed=False,
                because="because condition operator 'DateLessThan' of statement #1 is not supported "
                "in a rehearsal",
            ),
        ),
        (
            [allow(Condition={"StringEqualsIfExists": {"aws:RequestedRegion": "eu-west-1"}})],
            Verdict(
                allowed=False,
                because="because condition operator 'StringEqualsIfExists' of statement #1 is not supported "
                "in a rehearsal",
            ),
        ),
        (
            [allow(Resource="arn:aws:ssm:*:*:parameter/${aws:username}")],
            Verdict(
                allowed=False,
                because="because the policy variable in 'arn:aws:ssm:*:*:parameter/${aws:username}' is not "
                "supported in a rehearsal",
            ),
        ),
        (
            [allow(Principal="*")],
            Verdict(
                allowed=False,
                because="because the element 'Principal' of statement #1 is not supported in a rehearsal",
            ),
        ),
    ],
)
def test_a_request_is_judged_as_iam_does(statements: list[dict[str, Any]], verdict: Verdict) -> None:
    context = {
        "aws:principalarn": "arn:aws:iam::123456789012:role/approvals",
        "aws:requestedregion": "eu-west-1",
        "aws:securetransport": "true",
    }

    assert evaluate([json.dumps({"Statement": statements})], Request(READ, ONE, context)) == verdict


def test_a_single_statement_needs_no_list() -> None:
    assert evaluate([json.dumps({"Statement": allow()})], Request(READ, ONE, {})) == YES


def test_what_no_call_needed_is_named() -> None:
    document = {
        "Statement": [
            allow(
                Sid="Read",
                Action=["ssm:GetParameter", "ssm:GetParameterHistory"],
                Resource=["*/one", "*/two"],
            ),
            allow(Sid="Notify", Action="sns:Publish"),
            {"Sid": "Never", "Effect": "Deny", "Action": "iam:*", "Resource": "*"},
        ]
    }

    assert unused_grants(document, [(READ, ONE)]) == [
        "statement Read: Action ssm:GetParameterHistory",
        "statement Read: Resource */two",
        "statement Notify",
    ]
