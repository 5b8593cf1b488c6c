"""Manual approval: has a person who may decide accepted this very deployment.

Has a person who may decide accepted this very deployment?
"""
