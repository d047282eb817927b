"""Settings of the checks."""

from erawise.base.settings import Section, Share


class Explore(Section):
    max_constant_share: Share
