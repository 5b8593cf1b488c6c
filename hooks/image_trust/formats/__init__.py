"""The formats in which images are signed, a module each.

Pure: bytes and a time go in, :class:`~hooks.image_trust.finding.Signed` comes out, or ``Rejected`` is raised.
"""
