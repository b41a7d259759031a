"""One message from its first life to its last, and what must hold whatever died on the way."""

import os
import signal
from collections import Counter
from uuid import UUID

MAX_LIVES = 40
MAX_ATTEMPTS = 3
TAKEN = {"interrupted", "conflict"}
# More than any call of the story can cost.
WORST_MICROS = 5_000
REPEATABLE = {"look"}


def play(world, story, fates, *, person=None):
    """Let the message live until it is answered, struck by these fates in turn, and check; where it was struck.

    `person` says whether somebody answers questions at once; None leaves it to the seed.
    """
    stopped, turn_id, last, struck = [], None, None, []
    rng = story.rng
    try:
        for number in range(MAX_LIVES):
            kind, at = fates[number] if number < len(fates) else ("none", 0)
            wakes = (stopped[-1].pid, rng.randrange(1, 60)) if stopped else None
            life = world.begin(
                story,
                kind,
                at,
                rng.random(),
                number=number,
                # Who was told of the turn follows it, or sends the message again.
                turn_id=UUID(turn_id) if turn_id and rng.random() < 0.7 else None,
                person=rng.random() < 0.5 if person is None else person,
                nudged=rng.random() < 0.5,
                wakes=wakes,
            )
            world.lives += 1
            _, status = os.waitpid(life.pid, os.WUNTRACED)
            said = life.hear()
            for word in said:
                if word["word"] == "struck":
                    world.struck[word["kind"], word["point"]] += 1
                    struck.append(tuple(word["boundary"]))
            accepted = [word["turn_id"] for word in said if word["word"] == "accepted"]
            assert len({*accepted, *([turn_id] if turn_id else [])}) <= 1, "the message became two turns"
            turn_id = turn_id or (accepted[-1] if accepted else None)
            if os.WIFSTOPPED(status):
                stopped.append(life)
            elif os.WIFSIGNALED(status):
                assert os.WTERMSIG(status) == signal.SIGKILL, f"life {number} hung: {said}"
            else:
                assert os.WEXITSTATUS(status) == 0
                last = said[-1]["what"]
                world.ends[last.get("message", next(iter(last), "nothing"))] += 1
                if world.ended(story):
                    world.passed = [tuple(place) for place in said[-1]["boundaries"]]
                    break
            world.say(story)
        else:
            raise AssertionError(f"not answered in {MAX_LIVES} lives: {last}")
    finally:
        for life in stopped:
            os.kill(life.pid, signal.SIGCONT)
        heard = []
        for life in stopped:
            _, status = os.waitpid(life.pid, 0)
            heard += [word["what"] for word in life.hear() if word["word"] == "ended"]
    check(world, story, last, heard, len(struck), bool(stopped))
    return struck


def check(world, story, last, heard, strikes, stopped):
    """The invariants, one by one."""
    agent = story.agent_id

    def holds(claim, *told):
        world.checks += 1
        assert claim, "; ".join(map(repr, told))

    # The message is answered once, with the whole answer, and everybody hears the same.
    (turn,) = world.rows("select * from turns where agent_id = %s", agent)
    said = world.rows("select role, text from messages where conversation_id = %s order by id", agent)
    if turn["state"] == "answered":
        holds([row["role"] for row in said] == ["user", "assistant"], said)
        holds(said[1]["text"] == story.reply, said[1]["text"])
        # Whoever was told by a life that another one took the turn from asks again, and then hears the answer.
        holds(
            last == {"reply": story.reply, "incomplete": None} or (stopped and last["failed"] in TAKEN), last
        )
    else:
        # Not for ever: it was cut off in one place as often as it may be.
        holds(turn["attempts"] > MAX_ATTEMPTS and turn["state"] == "failed", turn)
        holds([row["role"] for row in said] == ["user"], said)
        holds(last.get("failed") == turn["error_code"], last)
    for what in heard:
        holds("reply" not in what or what["reply"] == story.reply, what)

    # Each step is written down once and as it was.
    steps = world.rows("select * from turn_steps where turn_id = %s order by step", turn["id"])
    holds([row["step"] for row in steps] == list(range(1, len(steps) + 1)))
    holds(turn["state"] != "answered" or len(steps) == len(story.steps), len(steps))
    effects = world.rows("select * from effects where turn_id = %s order by step, position", turn["id"])
    for number, step in enumerate(steps, 1):
        tools = tuple(effect["tool"] for effect in effects if effect["step"] == number)
        holds(tools == story.steps[number - 1], tools)

    # No call is made that was not written down, none twice without a person's word, none is forgotten.
    done = Counter(row["effect_id"] for row in world.rows(
        "select d.effect_id from sim_done d join effects e on e.id = d.effect_id where e.turn_id = %s", turn["id"]
    ))  # fmt: skip
    stray = world.rows(
        "select * from sim_done d where not exists (select from effects e where e.id = d.effect_id)"
    )
    holds(not stray, stray)
    asked = world.rows("select * from approvals where turn_id = %s", turn["id"])
    for effect in effects:
        questions = [row for row in asked if row["effect_id"] == effect["id"]]
        again = sum(row["kind"] == "doubt" and row["state"] == "approved" for row in questions)
        times = done[effect["id"]]
        holds(effect["tool"] in REPEATABLE or times <= 1 + again, effect, questions, times)
        holds(effect["state"] != "done" or times >= 1, effect, times)
        if effect["tool"] == "order":
            (first,) = (row for row in questions if row["kind"] == "call")
            holds(first["state"] == "approved" or times == 0, first, times)
            holds(first["state"] != "denied" or effect["state"] in ("denied", "failed"), first, effect)
        if effect["state"] == "denied":
            holds(times == 0, effect)
        if turn["state"] == "answered":
            holds(effect["state"] in ("done", "denied", "failed"), effect)
            holds(effect["outcome"] is not None, effect)
    holds(not [row for row in asked if row["state"] == "pending"], asked)

    # Two owners never write in the same epoch.
    owners = world.rows(
        "select epoch, array_agg(distinct life) as lives from sim_writes where agent_id = %s and life like 'life%%' "
        "group by epoch having count(distinct life) > 1",
        agent,
    )
    holds(not owners, owners)

    # Every call to the model is paid, none twice; nothing stays held.
    costs = world.rows("select * from costs where turn_id = %s order by call", turn["id"])
    holds([row["call"] for row in costs] == list(range(1, len(steps) + 2)), costs)
    made = world.rows("select * from sim_asked where turn_agent = %s order by id", agent)
    true = [row["input"] * 1 + row["output"] * 2 for row in made]
    booked = sum(row["cost_micros"] for row in costs)
    holds(booked >= sum(true), booked, true)
    # What was lost is booked at its worst: once for each death, and for whoever comes back and claims again.
    holds(
        booked - sum(true) <= 2 * strikes * WORST_MICROS,
        booked,
        true,
        strikes,
        [c["cost_micros"] for c in costs],
    )
    holds(turn["cost_micros"] == booked, turn, booked)
    # What was answered is booked exactly.
    for row in steps:
        (cost,) = (paid for paid in costs if paid["call"] == row["step"])
        holds(
            cost["cost_micros"] == row["cost_micros"] and cost["input_tokens"] == 20 + row["step"], cost, row
        )
    holds(not world.rows("select * from reservations where turn_id = %s", turn["id"]))
    held = world.rows(
        "select subject, reserved_micros, (select array_agg(row(turn_id, amount_micros)::text) from reservations r "
        "where r.cap_id = cap_windows.cap_id and r.subject = cap_windows.subject) as rs from cap_windows where reserved_micros <> (select coalesce(sum(amount_micros), 0) from reservations r "
        "where r.cap_id = cap_windows.cap_id and r.subject = cap_windows.subject)"
    )
    holds(not held, held)
    wrong = world.rows(
        "select c.scope, w.* from cap_windows w join caps c on c.id = w.cap_id where w.spent_micros <> ("
        "select coalesce(sum(k.cost_micros), 0) from costs k join turns t on t.id = k.turn_id where t.state <> 'admitted' and case c.scope when 'install' then true "
        "when 'profile' then k.profile_id::text = w.subject when 'agent' then k.agent_id::text = w.subject "
        "else k.caller = w.subject end) and c.id <> '01980000-0000-7000-8000-000000000002'"
    )
    holds(not wrong, wrong)

    # The audit log tells all of it once.
    told = Counter(
        row["action"] for row in world.rows("select action from audit_log where turn_id = %s", turn["id"])
    )
    holds(told["chat:turn:admitted"] == 1 and told[f"chat:turn:{turn['state']}"] == 1, told)
    holds(told["agent:tool:called"] + told["agent:approval:asked"] == len(effects), told)
    answered = sum(row["state"] != "pending" and row["answered_by"] != "end" for row in asked)
    holds(told["operator:approval:approved"] + told["operator:approval:denied"] == answered, told)
