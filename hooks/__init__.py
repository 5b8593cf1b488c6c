"""One package per lifecycle hook; each is deployable by itself."""

from shared import cold_start

cold_start.importing()
