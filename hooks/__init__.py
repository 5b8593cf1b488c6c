"""One package per lifecycle hook; each is deployable by itself."""
