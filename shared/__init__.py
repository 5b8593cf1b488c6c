"""The common hook module: the only code that all hooks import."""
