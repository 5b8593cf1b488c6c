"""Smoke test: a few requests to green, before anybody else's.

Does green answer as it should?
"""
