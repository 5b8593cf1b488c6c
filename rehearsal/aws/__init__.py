"""The AWS that a rehearsal runs against, on a laptop: moto, and what hooks need beyond it.

::

    cloud    one account in this process, and its levers: identities, IAM, faults
    server   the same account as an HTTP endpoint, for functions in containers
      │
    door     every request passes it: faults, IAM, operations of ours, moto
      ├── call        what a request asks, and how answers are written
      ├── identities  who asks
      ├── policy, resources   may they
      ├── faults      what goes wrong on purpose
      └── ecs, ecs_tasks, ecr, signer, kms, elbv2, sqs, ssm, cloudwatch, metric_math, logs, access_logs
                      what moto lacks
"""

from rehearsal.aws import model_files  # noqa: F401  # before anything imports moto
