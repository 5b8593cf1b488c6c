"""Canary comparison: refuse a worse green early, and a healthy one almost never.

Is green worse than blue on real traffic?
"""
