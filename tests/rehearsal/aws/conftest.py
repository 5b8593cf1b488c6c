"""One cloud for a test; at its end nothing in it may have gone wrong unasked."""

from collections.abc import Iterator

import pytest

from rehearsal.aws.cloud import Cloud
from tests.rehearsal.aws.sample_deployments import REGION


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud(region=REGION, seed=1) as cloud:
        yield cloud
        assert cloud.defects == []
