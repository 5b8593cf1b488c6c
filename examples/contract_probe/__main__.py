"""``python -m examples.contract_probe``."""

from examples.contract_probe.run import main

raise SystemExit(main())
