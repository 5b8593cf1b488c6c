"""Print where botocore would send requests; test_artifact.py runs it with an artifact's and the whole.

    python resolve_endpoints.py SERVICE...

In a process of its own: botocore trusts its data only where it stands beside its code.
"""

import itertools
import json
import sys
from typing import Any

import botocore.session
from botocore.config import Config

OPTIONS: tuple[dict[str, bool], ...] = ({}, {"use_fips_endpoint": True}, {"use_dualstack_endpoint": True})

# Not there yet; the second is of a partition that is not the first one.
FUTURE_REGIONS = ("us-east-9", "cn-south-9")


def regions(session: botocore.session.Session) -> list[str]:
    """Return all regions that the partitions themselves name."""
    resolver = session.get_component("endpoint_resolver")
    known = {region for partition in resolver._endpoint_data["partitions"] for region in partition["regions"]}
    return sorted({*known, *FUTURE_REGIONS})


def resolved(session: botocore.session.Session, service: str, region: str, options: dict[str, bool]) -> Any:
    """Return the endpoint of a service's every operation, and how requests are signed."""
    try:
        client: Any = session.create_client(
            service, region, aws_access_key_id="A", aws_secret_access_key="S", config=Config(**options)
        )
        context = {"client_region": region, "client_config": client.meta.config}
        given = {"Bucket": "records"} if service == "s3" else {}
        name = {"s3": "PutObject"}.get(service, client.meta.service_model.operation_names[0])
        endpoint = client._ruleset_resolver.construct_endpoint(
            client.meta.service_model.operation_model(name), given, context
        )
    except Exception as error:  # noqa: BLE001  # what fails must fail alike with both
        return f"{type(error).__name__}: {error}"
    return [
        client.meta.endpoint_url,
        endpoint.url,
        endpoint.properties,
        client.meta.config.signature_version,
        client._request_signer.region_name,
        client.meta.partition,
    ]


def main() -> None:
    session = botocore.session.Session()
    # One model and one set of rules for all regions; reading them each time would take minutes.
    print(  # noqa: T201
        json.dumps({
            f"{service} {region} {options}": resolved(session, service, region, options)
            for service, region, options in itertools.product(sys.argv[1:], regions(session), OPTIONS)
        })
    )  # fmt: skip


if __name__ == "__main__":
    main()
