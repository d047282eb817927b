"""Settings of the embedded market."""

from typing import Annotated

from pydantic import Field, StrictInt

from erawise.base.settings import Data, Section, Seed


class Market(Section):
    seed: Seed
    train_eras: Annotated[StrictInt, Field(ge=20)]
    validation_eras: Annotated[StrictInt, Field(ge=20)]
    stocks: Annotated[StrictInt, Field(ge=20)]
    features: Annotated[StrictInt, Field(ge=10)]
    drift: Annotated[float, Field(ge=0, lt=1)]


class MarketData(Data):
    """The part of the section `data` that the embedded market uses."""

    market: Market
