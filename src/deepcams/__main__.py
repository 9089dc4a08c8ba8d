"""``python -m deepcams``, the same as ``deepcams``; what ``torchrun -m deepcams`` starts."""

from deepcams.cli import main

raise SystemExit(main())
