"""Runs that may have killed their worker: which are tried alone, and which are left alone.

A worker's death says nothing about which of its runs did it. A run that was claimed after five deaths in a row
without its history growing is suspect: suspects are tried one at a time, each marked in the store before its
code runs. A mark that is found after another death names the culprit, which is set aside: it is tried again
(alone) after a minute, then after longer and longer up to a day, in case its code was mended or it was
innocent.
"""

import enum

import msgspec

from perdure_history.records import TurnProblem

POISON = "PoisonRun"
"""Kind of the problem that marks a suspect."""
SUSPECT_CLAIMS = 5
_FIRST_REST_US = 60 * 1_000_000
_LONGEST_REST_US = 24 * 3600 * 1_000_000


class Judgement(enum.Enum):
    """What to do with a claimed run."""

    RUN = "run"
    TRY_ALONE = "try alone"
    SET_ASIDE = "set aside"


def judge(claims: int, problem: TurnProblem | None, now: int) -> Judgement:
    """`claims` counts claims that followed a death while the history did not grow (0: no death before this one)."""
    if problem is not None and problem.kind == POISON:
        died_alone = claims > 0
        return Judgement.SET_ASIDE if died_alone or now < problem.next_at else Judgement.TRY_ALONE
    return Judgement.TRY_ALONE if claims >= SUSPECT_CLAIMS else Judgement.RUN


def marked(problem: TurnProblem | None, claims: int, now: int) -> TurnProblem:
    """The mark that is written before a suspect's code runs."""
    attempts = problem.attempts + 1 if problem is not None and problem.kind == POISON else 1
    return TurnProblem(
        kind=POISON,
        message=f"its worker died {claims} times without the history growing, so it is tried alone",
        attempts=attempts,
        first_at=problem.first_at if problem is not None and attempts > 1 else now,
        next_at=now,
    )


def convicted(problem: TurnProblem, now: int) -> TurnProblem:
    """The problem of a suspect whose worker died while it was tried alone (or the former one, still resting)."""
    if now < problem.next_at:
        return problem
    rest = min(_FIRST_REST_US * 2 ** min(problem.attempts - 1, 20), _LONGEST_REST_US)
    return msgspec.structs.replace(
        problem,
        message="its code killed its worker, also when it was tried alone; it is set aside. Mend the code (os._exit, "
        "a crash in a C extension, too much memory) and it goes on at the time given, or terminate it",
        next_at=now + rest,
    )
