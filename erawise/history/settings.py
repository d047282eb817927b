"""Settings of the tracking."""

from typing import Literal

from erawise.base.settings import Section


class Tracking(Section):
    wandb: Literal["disabled", "offline", "online"]
