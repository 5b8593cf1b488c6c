"""The approver's console on this machine, against a rehearsal: `make console`, and the actor ``console``.

::

    browser ─▶ Gateway ─▶ ApprovalConsoleFunction ─▶ the rehearsal's AWS ◀─ hooks ◀─ deployments under way
       └─────▶ DevelopmentProvider ("who do you want to be?") ◀─ its keys, and tokens

What is real is the console itself and all hooks: they run by their Lambda entry points, as deployed.
"""
