"""A local ECS for deployments: stage machine, control-plane API, actors, scenarios and reports."""
