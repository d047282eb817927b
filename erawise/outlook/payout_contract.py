"""Staking on single rounds, as since round 1343, in exact decimals: positions, claims, debt and idle NMR of one account.

A position is a model's stake on one round. When the round is over, stake and settlement become a claim. The model's next submission claims
it and stakes again in one step. docs/payout.md says how rules that Numerai leaves open are read here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

Mode = Literal["constant", "compound"]

ZERO = Decimal(0)

GRACE = 7
"""Days that a claim may wait; then the first scoring run pays it out."""


@dataclass
class Capital:
    """The NMR that was put in, as the site counts it for its return.

    Attributes
    ----------
    committed : sum of the stakes so far, each without the NMR that earlier positions had released.
    released : NMR that claims have released and no stake has used since.
    profit : payouts less burns of rounds that are over.
    """

    committed: Decimal = ZERO
    released: Decimal = ZERO
    profit: Decimal = ZERO

    @property
    def rate(self) -> Decimal | None:
        """Return the profit for each committed NMR; None without any."""
        return self.profit / self.committed if self.committed else None

    def stake(self, amount: Decimal) -> None:
        """Count a stake, from released NMR first."""
        used = min(amount, self.released)
        self.released -= used
        self.committed += amount - used


@dataclass(frozen=True)
class Claim:
    """A position whose round is over: its stake, the win (positive) or burn (negative), and the day."""

    round: int
    stake: Decimal
    settlement: Decimal
    day: int

    @property
    def claimable(self) -> Decimal:
        """Return the sum of stake and settlement."""
        return self.stake + self.settlement


@dataclass
class Model:
    """A model of the account.

    Attributes
    ----------
    stake : S, on each round.
    mode : `constant` stakes S again; `compound` stakes the newest claim, and S at least.
    is_staking : whether it stakes; if not, it is like a model of stake 0.
    debt : burns that were claimed and staked again; later payouts offset them.
    positions : stakes of open rounds, by round.
    claims : of rounds that are over, the newest last.
    """

    stake: Decimal
    mode: Mode
    is_staking: bool = True
    debt: Decimal = ZERO
    positions: dict[int, Decimal] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    capital: Capital = field(default_factory=Capital)

    @property
    def locked(self) -> Decimal:
        """Return the NMR in open rounds and in claims that wait."""
        return sum(self.positions.values(), ZERO) + sum((claim.claimable for claim in self.claims), ZERO)


@dataclass(frozen=True)
class Step:
    """A claim that was made.

    Attributes
    ----------
    model, claim : the model, and its claim.
    offset : part of the payout that offset debt.
    net_payout : the rest of the payout.
    debt : of the model, after the step.
    burned : NMR that the step burned for good.
    next_stake : on the round that the model submitted to; None if the claim was paid out.
    idle : of the account, after the step.
    """

    model: str
    claim: Claim
    offset: Decimal
    net_payout: Decimal
    debt: Decimal
    burned: Decimal
    next_stake: Decimal | None
    idle: Decimal


def rate(scores: Mapping[str, Decimal], multipliers: Mapping[str, float], factor: float, clip: float) -> tuple[Decimal, Decimal]:
    """Return the weighted score, and the win or loss of each NMR of stake: `clip(factor · weighted, ±clip)`.

    Parameters
    ----------
    scores, multipliers : by Numerai's names.
    """
    weighted = sum((scores[name] * Decimal(str(multiplier)) for name, multiplier in multipliers.items()), ZERO)
    most = Decimal(str(clip))
    return weighted, max(-most, min(most, weighted * Decimal(str(factor))))


class Strategy:
    """The NMR of an account in one tournament.

    Attributes
    ----------
    idle : NMR that isn't locked; all models share it.
    burned : NMR that is burned for good; debt isn't.
    capital : of the account as a whole.
    """

    def __init__(self, deposit: Decimal, models: Mapping[str, Model]) -> None:
        self.idle = deposit
        self.models = dict(models)
        self.burned = ZERO
        self.capital = Capital()

    @property
    def locked(self) -> Decimal:
        """Return the NMR in open rounds and in claims that wait."""
        return sum((model.locked for model in self.models.values()), ZERO)

    def submit(self, number: int, models: Iterable[str]) -> list[Step]:
        """Submit models to a round: each claims its newest claim and stakes on the round.

        Models with a payout come first, then models with a burn, both by the stake of the claim, the largest first, then models without a
        claim. If a model doesn't stake, all of its claims are paid out.
        """
        steps = []
        for name in sorted(models, key=self._turn):
            model = self.models[name]
            if not model.is_staking or not model.stake:
                steps += [self.pay_out(name, claim) for claim in list(model.claims)]
            elif model.claims:
                steps.append(self._claim(name, model.claims[-1], number))
            else:
                self._open(model, number, ZERO)
        return steps

    def settle(self, name: str, number: int, rate: Decimal, day: int = 0) -> Claim:
        """End a round: a model's position becomes a claim."""
        model = self.models[name]
        stake = model.positions.pop(number)
        claim = Claim(number, stake, stake * rate, day)
        model.claims.append(claim)
        for capital in (self.capital, model.capital):
            capital.profit += claim.settlement
        return claim

    def score(self, day: int) -> list[Step]:
        """Run the scoring of a day: pay out claims that have waited for more than `GRACE` days."""
        late = [(name, claim) for name, model in self.models.items() for claim in model.claims if day - claim.day > GRACE]
        return [self.pay_out(name, claim) for name, claim in late]

    def pay_out(self, name: str, claim: Claim) -> Step:
        """Pay out a claim: the rest of the model's debt is burned, and nothing is staked."""
        return self._claim(name, claim, None)

    def _turn(self, name: str) -> tuple[int, Decimal, str]:
        model = self.models[name]
        if not model.claims:
            return 2, -model.stake, name
        return int(model.claims[-1].settlement < 0), -model.claims[-1].stake, name

    def _claim(self, name: str, claim: Claim, number: int | None) -> Step:
        model = self.models[name]
        model.claims.remove(claim)
        for capital in (self.capital, model.capital):
            capital.released += claim.claimable
        payout, burn = max(claim.settlement, ZERO), max(-claim.settlement, ZERO)
        offset = min(payout, model.debt)
        model.debt += burn - offset
        burned = ZERO
        self.idle += claim.claimable
        if number is None:
            burned, model.debt = model.debt, ZERO
            self.burned += burned
        staked = None if number is None else self._open(model, number, claim.claimable)
        return Step(name, claim, offset, payout - offset, model.debt, burned, staked, self.idle)

    def _open(self, model: Model, number: int, claimable: Decimal) -> Decimal:
        wanted = model.stake if model.mode == "constant" else max(model.stake, claimable)
        stake = min(wanted, self.idle)
        self.idle -= stake
        model.positions[number] = stake
        for capital in (self.capital, model.capital):
            capital.stake(stake)
        return stake
