#!/bin/sh
# Attach the hooks to the service checkout of the cluster shop, which has its load balancer wired already
# (load-balancers.json beside this shows how). The first argument is the hooks' stack.
#
# Needs an AWS CLI of after 19 May 2026, for timeoutConfiguration; hookDetails alone came with 2.31.2. Whoever runs
# it needs cloudformation:DescribeStacks, ecs:UpdateService, and iam:PassRole on the role HookInvocationRoleArn.
set -eu
cd "$(dirname "$0")"
stack=${1:-ecs-lifecycle-hooks}

output() {
  value=$(aws cloudformation describe-stacks --stack-name "$stack" \
    --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue" --output text)
  case $value in
    arn:*) echo "$value" ;;
    # A hook whose Include parameter is false has no output.
    *) echo "the stack $stack has no output $1" >&2 && exit 1 ;;
  esac
}

role=$(output HookInvocationRoleArn)
image_trust=$(output ImageTrustFunctionArn)
manual_approval=$(output ManualApprovalFunctionArn)
canary_comparison=$(output CanaryComparisonFunctionArn)

filled=$(mktemp)
trap 'rm -f "$filled"' EXIT
sed -e "s|\"HookInvocationRoleArn\"|\"$role\"|" \
  -e "s|\"ImageTrustFunctionArn\"|\"$image_trust\"|" \
  -e "s|\"ManualApprovalFunctionArn\"|\"$manual_approval\"|" \
  -e "s|\"CanaryComparisonFunctionArn\"|\"$canary_comparison\"|" \
  deployment-configuration.json >"$filled"

# It starts no deployment: the next one is the first with hooks.
aws ecs update-service --cluster shop --service checkout --deployment-configuration "file://$filled"
