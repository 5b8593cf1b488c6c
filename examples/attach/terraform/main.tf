# The service checkout in the cluster shop: CANARY behind an Application Load Balancer, with three lifecycle hooks
# attached. The same service as cloudformation.yaml, cdk/ and cli/ beside it; docs/attaching.md goes through it.

terraform {
  required_version = ">= 1.6"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.21" # the first with CANARY and LINEAR
    }
  }
}

# ------------------------------------------------------------------------------------- what is there already

variable "vpc_id" {
  type = string
}

variable "subnet_ids" {
  type        = list(string)
  description = "Subnets of the tasks, with a way to the registry."
}

variable "security_group_ids" {
  type        = list(string)
  description = "Let the load balancer in on port 8080."
}

variable "listener_arn" {
  type        = string
  description = "Listener of the Application Load Balancer that gets the two rules."
}

variable "task_definition_arn" {
  type        = string
  description = "With a container app that listens on port 8080."
}

variable "alarm_name" {
  type    = string
  default = "checkout-5xx"
}

# Outputs of the hooks' stack, which CloudFormation deployed.
data "aws_cloudformation_stack" "hooks" {
  name = "ecs-lifecycle-hooks"
}

locals {
  hooks = data.aws_cloudformation_stack.hooks.outputs
}

# --------------------------------------------------------------------------------- target groups and rules

# Two of them, of which either may be blue: the colours change places with each deployment.
resource "aws_lb_target_group" "a" {
  name        = "checkout-a"
  vpc_id      = var.vpc_id
  target_type = "ip"
  protocol    = "HTTP"
  port        = 8080

  health_check {
    path = "/health"
  }
}

resource "aws_lb_target_group" "b" {
  name        = "checkout-b"
  vpc_id      = var.vpc_id
  target_type = "ip"
  protocol    = "HTTP"
  port        = 8080

  health_check {
    path = "/health"
  }
}

# It has the lower number: what it matches, the production rule matches too.
resource "aws_lb_listener_rule" "test" {
  listener_arn = var.listener_arn
  priority     = 10

  condition {
    path_pattern {
      values = ["/checkout/*"]
    }
  }

  condition {
    http_header {
      http_header_name = "X-BG-Test"
      values           = ["green"]
    }
  }

  action {
    type = "forward"

    forward {
      target_group {
        arn    = aws_lb_target_group.a.arn
        weight = 1
      }

      target_group {
        arn    = aws_lb_target_group.b.arn
        weight = 0
      }
    }
  }

  # From the first deployment on, the weights are ECS's. Without this, an apply sets them back, and users get
  # 503s from a group without tasks.
  lifecycle {
    ignore_changes = [action]
  }
}

resource "aws_lb_listener_rule" "production" {
  listener_arn = var.listener_arn
  priority     = 20

  condition {
    path_pattern {
      values = ["/checkout/*"]
    }
  }

  action {
    type = "forward"

    forward {
      target_group {
        arn    = aws_lb_target_group.a.arn
        weight = 1
      }

      target_group {
        arn    = aws_lb_target_group.b.arn
        weight = 0
      }
    }
  }

  lifecycle {
    ignore_changes = [action]
  }
}

# With it, ECS moves the weights of these rules.
resource "aws_iam_role" "load_balancer" {
  name_prefix = "checkout-load-balancer-"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

data "aws_partition" "current" {}

resource "aws_iam_role_policy_attachment" "load_balancer" {
  role       = aws_iam_role.load_balancer.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/AmazonECSInfrastructureRolePolicyForLoadBalancers"
}

# ----------------------------------------------------------------------------------------------- the service

resource "aws_ecs_service" "checkout" {
  name            = "checkout"
  cluster         = "shop"
  task_definition = var.task_definition_arn
  launch_type     = "FARGATE"
  desired_count   = 2

  network_configuration {
    subnets         = var.subnet_ids
    security_groups = var.security_group_ids
  }

  load_balancer {
    container_name   = "app"
    container_port   = 8080
    target_group_arn = aws_lb_target_group.a.arn

    advanced_configuration {
      alternate_target_group_arn = aws_lb_target_group.b.arn
      production_listener_rule   = aws_lb_listener_rule.production.arn
      test_listener_rule         = aws_lb_listener_rule.test.arn
      role_arn                   = aws_iam_role.load_balancer.arn
    }
  }

  # The provider has them beside deployment_configuration; in the API they are a part of it.
  alarms {
    alarm_names = [var.alarm_name]
    enable      = true
    rollback    = true
  }

  deployment_configuration {
    strategy             = "CANARY"
    bake_time_in_minutes = 30

    canary_configuration {
      canary_percent              = 10
      canary_bake_time_in_minutes = 10
    }

    # No time-outs: the provider documents timeout_configuration for PAUSE hooks alone. ECS's own holds,
    # a day and then ROLLBACK, and each of these hooks answers long before.

    # Before a task starts, and again once ECS has recorded what it started.
    lifecycle_hook {
      hook_target_arn  = local.hooks["ImageTrustFunctionArn"]
      role_arn         = local.hooks["HookInvocationRoleArn"]
      lifecycle_stages = ["PRE_SCALE_UP", "POST_SCALE_UP"]
    }

    # Green has all of test traffic, and none of production's.
    lifecycle_hook {
      hook_target_arn  = local.hooks["ManualApprovalFunctionArn"]
      role_arn         = local.hooks["HookInvocationRoleArn"]
      lifecycle_stages = ["POST_TEST_TRAFFIC_SHIFT"]
      hook_details     = jsonencode({ requiredApprovals = 2, expiresAfterMinutes = 480 })
    }

    # Green has a tenth of production traffic, then all of it.
    lifecycle_hook {
      hook_target_arn  = local.hooks["CanaryComparisonFunctionArn"]
      role_arn         = local.hooks["HookInvocationRoleArn"]
      lifecycle_stages = ["PRODUCTION_TRAFFIC_SHIFT"]
      hook_details     = jsonencode({ holdMinutes = 15 })
    }
  }

  # Its policy first, and on the way out last: ECS needs it to drain.
  depends_on = [aws_iam_role_policy_attachment.load_balancer]
}
