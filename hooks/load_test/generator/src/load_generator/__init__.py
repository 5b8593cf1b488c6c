"""The load test hook's generator."""
