"""Settings of a ridge model."""

from typing import Literal

from erawise.base.settings import NonNegative
from erawise.models.shared.settings import Entry


class Ridge(Entry):
    kind: Literal["ridge"]
    l2: NonNegative
