"""Load test: load green beside blue where real clients are, and let only what holds it go on.

Does green hold the load, next to blue, inside the Service Connect namespace?
"""
