"""``python -m tlcourse`` is the ``tlcourse`` command."""

from tlcourse.cli import main

raise SystemExit(main())
