"""What Lambda runs for ECS: ``validate_checkout``, which was written for CodeDeploy."""

from codedeploy_adapter import adapt

from shared.lifecycle import Stage

handler = adapt(
    "validate_checkout.handler",
    stages=[Stage.POST_TEST_TRAFFIC_SHIFT],  # AfterAllowTestTraffic in the AppSpec
)
