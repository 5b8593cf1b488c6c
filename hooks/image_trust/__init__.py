"""Admit images only from sources we trust, and see that ECS started exactly what was admitted.

:mod:`hooks.image_trust.handler` is the Lambda function; README.md says how the parts fit.
"""
