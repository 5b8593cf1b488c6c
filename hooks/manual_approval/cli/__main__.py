"""``python -m hooks.manual_approval.cli``."""

from hooks.manual_approval.cli import main

raise SystemExit(main())
