"""How many tickets are begun too late by each way of routing, in a simulation of our own code.

    python bench/routing_simulation.py [--scenario NAME_OR_FILE ...] [--seeds 10] [--tickets N]

SimPy drives the `Desk` that the service runs. Every policy meets the same arrivals, each ticket
with the same work. Without --scenario all of bench/scenarios/ are run; see its README for what a
file says. The first tenth of the tickets, while nothing has been learned, is left out.
"""

import argparse
import math
import multiprocessing
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from _routing_bound import fewest_late
from _routing_model import POLICIES, Policy, simulate
from _routing_world import SCENARIOS, Drawn, Scenario, draw, load
from scipy import stats

BASELINE, POOLED, SMART = "push, least loaded", "pooled, first come", "smart"
WARM = 10
RESAMPLES = 2000


@dataclass(frozen=True)
class Row:
    """One policy, one seed; shares are of tickets, times minutes."""

    policy: str
    late: float
    worst: float
    mean: float
    p95: float
    p99: float
    longest: float
    busy: float
    beside: int
    decision: tuple[float, float]


def run(job: tuple[Scenario, float, int, Policy | None, bool]) -> Row:
    """One policy with one seed; without a policy the bound."""
    scenario, utilisation, seed, policy, check = job
    drawn = draw(scenario, utilisation, seed)
    first = scenario.tickets // WARM
    if policy is None:
        late = fewest_late(drawn, first) / (scenario.tickets - first)
        return Row("bound", late, 0, 0, 0, 0, 0, 0, 0, (0, 0))
    outcome = simulate(drawn, policy, check=check)
    counted = drawn.arrivals[first:]
    begun = np.array(outcome.started[first:])
    waits = begun - [each.at for each in counted]
    late = begun > [each.due + 1e-9 for each in counted]
    types = np.array([each.type for each in counted])
    return Row(
        policy.name,
        float(late.mean()),
        float(max(late[types == type].mean() for type in scenario.classes) - late.mean()),
        float(waits.mean()),
        *(float(np.quantile(waits, q)) for q in (0.95, 0.99)),
        float(waits.max()),
        outcome.busy / outcome.present,
        outcome.beside,
        (float(np.median(outcome.decisions)), float(np.quantile(outcome.decisions, 0.99))),
    )


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """How many times fewer ours are, with the interval in which 95 % of resampled seeds lie."""
    mine, other = np.array(ours), np.array(theirs)
    if not mine.sum():
        return "none left" if other.sum() else "-"
    picks = np.random.default_rng(1).integers(0, len(mine), (RESAMPLES, len(mine)))
    sums = mine[picks].sum(axis=1)
    drawn = other[picks].sum(axis=1)[sums > 0] / sums[sums > 0]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return f"{other.sum() / mine.sum():.1f} ({low:.1f} to {high:.1f})"


def interval(values: Sequence[float]) -> float:
    """Half the width of the 95 % confidence interval of the mean, by Student's t."""
    many = len(values)
    if many < 2:
        return math.nan
    return float(stats.t.ppf(0.975, many - 1) * np.std(values, ddof=1) / math.sqrt(many))


def table(utilisation: float, rows: Sequence[Row], policies: Sequence[Policy]) -> None:
    """Print what came out."""

    def of(name: str, what: str) -> list[float]:
        return [getattr(row, what) for row in rows if row.policy == name]

    def mean(name: str, what: str) -> float:
        return float(np.mean(of(name, what)))

    bound = 100 * mean("bound", "late")
    print(f"\nutilisation {utilisation:.0%}; whoever knew the future would have {bound:.2f} % late")
    print(
        "| policy | late, % | times fewer than least loaded | above the bound | worst class above "
        "the mean | wait: mean, p95, p99, longest, min | busy |"
    )
    print("|---|---|---|---|---|---|---|")
    base = of(BASELINE, "late")
    for policy in policies:
        name = policy.name
        late = [100 * each for each in of(name, "late")]
        waits = ", ".join(f"{mean(name, what):.0f}" for what in ("mean", "p95", "p99", "longest"))
        times = ratio(of(name, "late"), base) if base and name != BASELINE else ""
        print(
            f"| {name} | {np.mean(late):.2f} ± {interval(late):.2f} | {times} "
            f"| {np.mean(late) - bound:.2f} | {100 * mean(name, 'worst'):.1f} | {waits} "
            f"| {mean(name, 'busy'):.0%} |"
        )
    names = {policy.name for policy in policies}
    if {POOLED, SMART} <= names:
        print(f"smart to pooled, first come: {ratio(of(SMART, 'late'), of(POOLED, 'late'))}")
    costs = [row.decision for row in rows if row.policy == SMART]
    if costs:
        middle, slow = (1e6 * float(np.median(side)) for side in zip(*costs, strict=True))
        print(f"a decision of smart: p50 {middle:.0f} us, p99 {slow:.0f} us")
        left = sum(row.beside for row in rows if row.policy == SMART)
        print(f"an idle agent beside a ticket they could have had: {left} times")


def simulated(scenario: Scenario, seeds: int, policies: Sequence[Policy], processes: int) -> None:
    """All of one scenario."""
    drawn: Drawn = draw(replace(scenario, tickets=10), 0.9, 0)
    print(f"\n## {scenario.name}: {scenario.title}")
    print(f"{len(drawn.skills)} agents, {scenario.tickets} tickets, {seeds} seeds")
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        for utilisation in scenario.utilisation:
            jobs = [
                (scenario, utilisation, seed, policy, policy is not None and policy.name == SMART)
                for seed in range(seeds)
                for policy in (None, *policies)
            ]
            table(utilisation, pool.map(run, jobs, chunksize=1), policies)
            sys.stdout.flush()


def main() -> None:
    """Simulate, and print tables."""
    options = argparse.ArgumentParser()
    options.add_argument("--scenario", action="append", help="a name or a file; any number")
    options.add_argument("--seeds", type=int, default=10)
    options.add_argument("--tickets", type=int, help="instead of what the file says")
    options.add_argument("--utilisation", type=float, action="append", help="likewise")
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--policy", action="append", help="part of a name; any number")
    asked = options.parse_args()
    paths = [
        Path(name) if name.endswith(".yaml") else SCENARIOS / f"{name}.yaml"
        for name in asked.scenario or sorted(path.stem for path in SCENARIOS.glob("*.yaml"))
    ]
    policies = [
        policy
        for policy in POLICIES
        if not asked.policy or any(part in policy.name for part in asked.policy)
    ]
    for path in paths:
        scenario = load(path)
        if asked.tickets:
            scenario = replace(scenario, tickets=asked.tickets)
        if asked.utilisation:
            scenario = replace(scenario, utilisation=asked.utilisation)
        simulated(scenario, asked.seeds, policies, asked.processes)


if __name__ == "__main__":
    main()
