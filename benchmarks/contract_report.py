"""The figures of a run, and their table for people."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.contract_cases import SOURCES
from benchmarks.contract_runs import Reviewed, Run
from benchmarks.intervals import wilson
from benchmarks.presence import MEASURED_FROM, Numbers, bootstrap, score
from countersign.clauses.cuad import CUAD_CATEGORY
from countersign.words import Outcome, RiskBand

NAMED = 10
"""Contracts named one by one where something went wrong or was held."""


def report(run: Run, families: Sequence[str]) -> dict[str, Any]:  # Any: a JSON object
    """All figures of a run as JSON knows them. Presence is scored for `families` that the experts labelled.

    Shares carry Wilson 95 % intervals, the others bootstrap ones. A figure that nothing was counted for is None.
    """
    reviewed = run.reviewed
    seconds = [one.seconds for one in reviewed if one.seconds is not None and not one.failed]
    findings = sum(one.findings for one in reviewed)
    verbatim = findings - sum(len(one.unverified) for one in reviewed)
    failures = Counter(one.end for one in reviewed if one.failed)
    blocked = sum(one.end == Outcome.BLOCKED for one in reviewed)
    # The time each review added to the run: what its neighbours in flight did not already cover.
    gaps = [later - earlier for earlier, later in pairwise([run.began, *sorted(one.settled for one in reviewed)])]
    scored = _presence(reviewed, families)
    micro: Mapping[str, Any] = scored["micro"] if scored else {}
    return {
        "n_contracts": len(reviewed),
        "failures": failures.total(),
        "failures_by_type": dict(failures),
        "failures_interval": _wilson(failures.total(), len(reviewed)),
        "n_findings": findings,
        "unverified": findings - verbatim,
        "verbatim_share": round(verbatim / findings, 6) if findings else None,
        "verbatim_interval": _wilson(verbatim, findings),
        "n_scored": sum(one.scored for one in reviewed),
        "precision": micro.get("precision"),
        "recall": micro.get("recall"),
        "f1": micro.get("f1"),
        "f1_interval": micro.get("f1_interval"),
        **(scored or {"micro": None, "micro_frequent": None, "macro": None, "rare": None, "per_family": {}}),
        "contracts_per_minute": round(60 * len(gaps) / sum(gaps), 2) if gaps else None,
        "contracts_per_minute_interval": bootstrap(gaps, _a_minute),
        "p50_s": _quantile(seconds, 0.5),
        "p50_interval": bootstrap(seconds, lambda draws: np.quantile(draws, 0.5, axis=1)),
        "p99_s": _quantile(seconds, 0.99),
        "p99_interval": bootstrap(seconds, lambda draws: np.quantile(draws, 0.99, axis=1)),
        "blocked": blocked,
        "blocked_interval": _wilson(blocked, len(reviewed)),
        "elevated": sum(one.band is RiskBand.ELEVATED for one in reviewed),
        "degraded": sum(bool(one.degraded) for one in reviewed),
        "by_source": {source: _of(own) for source in SOURCES if (own := [r for r in reviewed if _is(r, source)])},
        "cpu_s_per_contract": {name: round(spent / max(len(reviewed), 1), 3) for name, spent in run.cpu_s.items()},
        "startup_s": round(run.startup_s, 1),
        "seconds": round(sum(gaps), 1),
    }


def _a_minute(gaps: Numbers) -> Numbers:
    """Contracts a minute from (draws, n) gaps in seconds; a draw of nothing but ties counts as a millisecond each."""
    rates: Numbers = 60 / np.maximum(gaps.mean(axis=1), 1e-3)
    return rates


def _is(one: Reviewed, source: str) -> bool:
    return one.case.source == source


def _of(own: Sequence[Reviewed]) -> dict[str, object]:
    seconds = [one.seconds for one in own if one.seconds is not None and not one.failed]
    findings = sum(one.findings for one in own)
    return {
        "n": len(own),
        "failures": sum(one.failed for one in own),
        "blocked": sum(one.end == Outcome.BLOCKED for one in own),
        "elevated": sum(one.band is RiskBand.ELEVATED for one in own),
        "findings": findings,
        "unverified": sum(len(one.unverified) for one in own),
        "p50_s": _quantile(seconds, 0.5),
        "p99_s": _quantile(seconds, 0.99),
    }


def _presence(reviewed: Sequence[Reviewed], families: Sequence[str]) -> dict[str, Any] | None:
    """Scores over labelled texts that were analysed; None when there are none."""
    own = [(one.claimed, one.case.present) for one in reviewed if one.scored]
    labelled = [(claimed, present) for claimed, present in own if present is not None]
    known = {family for _, present in labelled for family in present}
    keys = [key for key in CUAD_CATEGORY if key in known and key in families]
    if not keys:
        return None
    said = np.array([[key in claimed for key in keys] for claimed, _ in labelled], dtype=bool)
    true = np.array([[present.get(key, False) for key in keys] for _, present in labelled], dtype=bool)
    return score(said, true, keys)


def show(figures: Mapping[str, Any], run: Run) -> None:
    """Print the table for people."""
    print(f"\nplaybook {figures['playbook']}, model {figures['model']}, weights {figures['weights_sha256']}")
    _line("contracts", str(figures["n_contracts"]), None, f"{figures['at_once']} at a time, {figures['seconds']} s")
    kinds = ", ".join(f"{n} {kind}" for kind, n in figures["failures_by_type"].items())
    _line("failures", str(figures["failures"]), _percent(figures["failures_interval"]), kinds or "must be 0")
    _line(
        "verbatim evidence",
        _share(figures["verbatim_share"]),
        _percent(figures["verbatim_interval"]),
        f"of {figures['n_findings']} findings; must be 100 %",
    )
    _line("blocked", str(figures["blocked"]), _percent(figures["blocked_interval"]), "benign, so wrongly")
    _line("elevated", str(figures["elevated"]), None, "benign, sent to a person with a warning")
    _line("degraded", str(figures["degraded"]), None, "reviews that had to do without something")
    rate = figures["contracts_per_minute"]
    _line("contracts a minute", f"{rate:.1f}" if rate else "-", _plain(figures["contracts_per_minute_interval"]), "")
    for name in ("p50", "p99"):
        what = "from handing over to waiting for a person"
        _line(f"{name} seconds", _number(figures[f"{name}_s"]), _plain(figures[f"{name}_interval"]), what)
    cpu = figures["cpu_s_per_contract"]
    parts = ", ".join(f"{name} {spent:.2f}" for name, spent in cpu.items())
    _line("CPU s a contract", f"{sum(cpu.values()):.2f}", None, parts)
    print(
        f"\n{'source':<20}{'n':>5}{'failed':>8}{'blocked':>9}{'elevated':>10}{'findings':>10}{'p50 s':>8}{'p99 s':>8}"
    )
    for source, own in figures["by_source"].items():
        counts = f"{own['n']:>5}{own['failures']:>8}{own['blocked']:>9}{own['elevated']:>10}{own['findings']:>10}"
        print(f"{source:<20}{counts}{_number(own['p50_s']):>8}{_number(own['p99_s']):>8}")
    _show_presence(figures)
    _show_troubles(run.reviewed)


def _show_presence(figures: Mapping[str, Any]) -> None:
    if not figures["per_family"]:
        print("\nno labelled text was reviewed: presence is not scored")
        return
    print(f"\npresence of clauses in {figures['n_scored']} labelled texts")
    print(f"  {'':<54}{'positive':>9}{'precision':>11}{'recall':>9}{'F1':>8}  95 % interval of F1")
    titles = {
        "micro": "all families, pooled",
        "micro_frequent": f"families with {MEASURED_FROM} positives or more, pooled",
        "macro": "the same, averaged",
        "rare": "the rarer families, pooled",
    }
    for key, title in titles.items():
        _score_line(f"{title} ({figures[key]['families']})", figures[key])
    for family, own in sorted(figures["per_family"].items(), key=lambda item: -item[1]["positives"]):
        _score_line(family, own)


def _score_line(title: str, own: Mapping[str, Any]) -> None:
    numbers = f"{_share(own['precision']):>11}{_share(own['recall']):>9}{_share(own['f1']):>8}"
    print(f"  {title:<54}{own.get('positives', ''):>9}{numbers}  {_percent(own['f1_interval'])}")


def _show_troubles(reviewed: Sequence[Reviewed]) -> None:
    """Name the contracts to look at. File names of public data; never a word of a document."""
    troubles = [
        f"{one.end}: {one.case.path.name}"
        + (f" (evidence of {', '.join(one.unverified)} does not hold)" if one.unverified else "")
        for one in reviewed
        if one.failed or one.unverified or one.end == Outcome.BLOCKED
    ]
    if troubles:
        more = f"\n  and {len(troubles) - NAMED} more" if len(troubles) > NAMED else ""
        print("\nto look at\n  " + "\n  ".join(troubles[:NAMED]) + more)


def _line(name: str, value: str, interval: str | None, note: str) -> None:
    print(f"  {name:<20}{value:>9}  {interval or '':<20}{note}".rstrip())


def _wilson(k: int, n: int) -> tuple[float, float] | None:
    return tuple(round(bound, 6) for bound in wilson(k, n)) if n else None  # type: ignore[return-value]


def _quantile(values: Sequence[float], at: float) -> float | None:
    return round(float(np.quantile(values, at)), 2) if values else None


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _percent(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"[{interval[0]:6.2%}, {interval[1]:6.2%}]"


def _plain(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"[{interval[0]:.2f}, {interval[1]:.2f}]"
