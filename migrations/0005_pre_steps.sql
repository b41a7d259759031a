-- What a turn did on its way to the answer: every call to the model that asked for tools, what each tool call may
-- have changed, and what a person has to say first.

create table turn_steps (
    turn_id        uuid not null references turns on delete cascade,
    step           smallint not null,
    model          text not null,
    text           text not null,
    calls          jsonb not null,
    input_tokens   integer not null,
    output_tokens  integer not null,
    cost_micros    bigint not null,
    detail         jsonb not null default '{}',
    began_at       timestamptz not null,
    ended_at       timestamptz not null default now(),
    primary key (turn_id, step)
);

-- One call of a tool. It is written down before the tool hears of it ('started') and again when it has answered;
-- what is 'started' and has no living incarnation may or may not have happened.
create table effects (
    id          uuid primary key,
    turn_id     uuid not null references turns on delete cascade,
    step        smallint not null,
    position    smallint not null,
    call_id     text not null,
    tool        text not null,
    arguments   jsonb not null,
    state       text not null check (state in ('waiting', 'approved', 'started', 'done', 'failed', 'denied', 'unknown')),
    outcome     text,
    detail      jsonb not null default '{}',
    asked_at    timestamptz not null default now(),
    started_at  timestamptz,
    ended_at    timestamptz,
    unique (turn_id, step, position)
);

-- A question to a person: may this call be made ('call'), or, of a call whose outcome nobody knows, may it be made
-- again ('doubt').
create table approvals (
    id           uuid primary key default gen_random_uuid(),
    effect_id    uuid not null references effects on delete cascade,
    turn_id      uuid not null references turns on delete cascade,
    agent_id     uuid not null references agents,
    kind         text not null check (kind in ('call', 'doubt')),
    state        text not null default 'pending' check (state in ('pending', 'approved', 'denied')),
    on_deadline  text not null default 'deny' check (on_deadline in ('approve', 'deny')),
    deadline_at  timestamptz not null,
    asked_at     timestamptz not null default now(),
    answered_at  timestamptz,
    answered_by  text,
    reason       text
);
create unique index approvals_pending on approvals (effect_id) where state = 'pending';
create index approvals_deadline on approvals (deadline_at) where state = 'pending';

-- Lock a turn that is under way against every other incarnation; null where it is not this one's to go on with.
create function own_turn(p_turn uuid, p_epoch bigint) returns turns language plpgsql as $$
declare
    own turns;
begin
    select t.* into own from turns t join agents a on a.id = t.agent_id
    where t.id = p_turn and t.state = 'admitted' and a.epoch = p_epoch for no key update of a, t;
    return own;
end $$;

-- A call to the model that asked for tools, and the intent of each call, in one round trip. `p_effects` is a list of
-- {id, position, call_id, tool, arguments, state, outcome}; those that wait become questions. It may be repeated.
-- False: the turn has ended, or another incarnation owns the agent.
create function record_step(
    p_turn uuid, p_epoch bigint, p_step smallint, p_model text, p_text text, p_calls jsonb, p_input_tokens integer,
    p_output_tokens integer, p_cost bigint, p_detail jsonb, p_began_at timestamptz, p_effects jsonb,
    p_approval interval, p_on_deadline text
) returns boolean language plpgsql as $$
declare
    own turns := own_turn(p_turn, p_epoch);
begin
    if own.id is null then
        return false;
    end if;
    insert into turn_steps (turn_id, step, model, text, calls, input_tokens, output_tokens, cost_micros, detail, began_at)
    values (p_turn, p_step, p_model, p_text, p_calls, p_input_tokens, p_output_tokens, p_cost, p_detail, p_began_at)
    on conflict do nothing;
    if not found then
        return true;
    end if;
    -- A turn that gets on has its attempts again.
    update turns set attempts = 1 where id = p_turn and attempts > 1;
    insert into costs (turn_id, call, profile_id, agent_id, schedule_id, caller, model, input_tokens, output_tokens,
                       cost_micros)
    values (p_turn, p_step, own.profile_id, own.agent_id, own.schedule_id, own.caller, p_model, p_input_tokens,
            p_output_tokens, p_cost);
    insert into effects (id, turn_id, step, position, call_id, tool, arguments, state, outcome, started_at, ended_at)
    select e.id, p_turn, p_step, e.position, e.call_id, e.tool, e.arguments, e.state, e.outcome,
           case e.state when 'started' then now() end, case when e.outcome is not null then now() end
    from jsonb_to_recordset(p_effects) as e (id uuid, position smallint, call_id text, tool text, arguments jsonb,
                                             state text, outcome text);
    insert into approvals (effect_id, turn_id, agent_id, kind, on_deadline, deadline_at)
    select e.id, p_turn, own.agent_id, 'call', p_on_deadline, now() + p_approval
    from jsonb_to_recordset(p_effects) as e (id uuid, state text) where e.state = 'waiting';
    insert into audit_log (action, profile_id, agent_id, turn_id, caller, detail)
    select case e.state when 'waiting' then 'agent:approval:asked' else 'agent:tool:called' end,
           own.profile_id, own.agent_id, p_turn, own.caller,
           jsonb_build_object('effect', e.id, 'tool', e.tool, 'step', p_step, 'state', e.state)
    from jsonb_to_recordset(p_effects) as e (id uuid, tool text, state text);
    return true;
end $$;

-- Calls that a person has allowed are about to be made. It may be repeated.
create function start_effects(p_turn uuid, p_epoch bigint, p_effects uuid[]) returns boolean language plpgsql as $$
declare
    own turns := own_turn(p_turn, p_epoch);
begin
    if own.id is null then
        return false;
    end if;
    update agents set state = 'running', updated_at = now() where id = own.agent_id and state = 'waiting_approval';
    update effects set state = 'started', started_at = now()
    where turn_id = p_turn and id = any (p_effects) and state = 'approved';
    return true;
end $$;

-- What a call came to: 'done' or 'failed', as the model is told. It may be repeated.
create function end_effect(p_turn uuid, p_epoch bigint, p_effect uuid, p_state text, p_outcome text, p_detail jsonb)
returns boolean language plpgsql as $$
declare
    own turns := own_turn(p_turn, p_epoch);
begin
    if own.id is null then
        return false;
    end if;
    update effects set state = p_state, outcome = p_outcome, detail = p_detail, ended_at = now()
    where id = p_effect and turn_id = p_turn and state = 'started';
    if found then
        if own.attempts > 1 then
            update turns set attempts = 1 where id = p_turn;
        end if;
        insert into audit_log (action, profile_id, agent_id, turn_id, caller, detail)
        values ('agent:tool:ended', own.profile_id, own.agent_id, p_turn, own.caller,
                p_detail || jsonb_build_object('effect', p_effect, 'state', p_state));
    end if;
    return true;
end $$;

-- The turn waits, for a person or because its agent halts: nothing is under way. Calls in doubt become questions.
create function park(
    p_turn uuid, p_epoch bigint, p_doubts uuid[], p_known text[], p_approval interval
) returns boolean language plpgsql as $$
declare
    own turns := own_turn(p_turn, p_epoch);
begin
    if own.id is null then
        return false;
    end if;
    -- Who waits with a call has asked the model nothing that is not written down.
    update turns set parked = true, attempts = case
        when attempts > 1 and exists (select from effects where turn_id = p_turn and outcome is null) then 1
        else attempts end
    where id = p_turn;
    with doubts as (
        update effects e set state = 'unknown', detail = jsonb_strip_nulls(jsonb_build_object('known', d.known))
        from unnest(p_doubts, p_known) as d (id, known)
        where e.turn_id = p_turn and e.id = d.id and e.state = 'started'
        returning e.id, e.tool
    ), asked as (
        insert into approvals (effect_id, turn_id, agent_id, kind, deadline_at)
        select id, p_turn, own.agent_id, 'doubt', now() + p_approval from doubts
    )
    insert into audit_log (action, profile_id, agent_id, turn_id, caller, detail)
    select 'agent:tool:in-doubt', own.profile_id, own.agent_id, p_turn, own.caller,
           jsonb_build_object('effect', id, 'tool', tool)
    from doubts;
    -- Even where the last answer came meanwhile: whoever waits for nobody any more is taken up (unfinished_agents).
    -- What holds the agent besides counts more.
    update agents set state = 'waiting_approval', updated_at = now()
    where id = own.agent_id and state in ('idle', 'running', 'waiting_approval', 'done');
    return true;
end $$;

-- A person's answer, once. The agent whose turn goes on; null: there is no such question, or it was answered.
create function answer_approval(p_approval uuid, p_approve boolean, p_by text, p_reason text) returns uuid
language plpgsql as $$
declare
    asked approvals;
    tool text;
begin
    update approvals set state = case when p_approve then 'approved' else 'denied' end, answered_at = now(),
        answered_by = p_by, reason = p_reason
    where id = p_approval and state = 'pending' returning * into asked;
    if not found then
        return null;
    end if;
    update effects e set
        state = case when p_approve then 'approved' when asked.kind = 'doubt' then 'failed' else 'denied' end,
        outcome = case when p_approve then null
                       when asked.kind = 'doubt' then 'It is not known whether this call took effect. '
                       else 'A person denied this call. ' end || coalesce(p_reason, ''),
        ended_at = case when p_approve then null else now() end
    where e.id = asked.effect_id returning e.tool into tool;
    insert into audit_log (action, agent_id, turn_id, detail)
    values (case when p_approve then 'operator:approval:approved' else 'operator:approval:denied' end,
            asked.agent_id, asked.turn_id,
            jsonb_build_object('approval', p_approval, 'effect', asked.effect_id, 'tool', tool, 'by', p_by,
                               'reason', p_reason, 'kind', asked.kind));
    return asked.agent_id;
end $$;

-- Answer the questions whose time is over as they say themselves; the agents whose turns go on.
create function expire_approvals() returns setof uuid language sql as $$
    select answer_approval(a.id, a.on_deadline = 'approve', 'deadline', 'Nobody answered in time.')
    from (select id, on_deadline from approvals where state = 'pending' and deadline_at < now()
          for update skip locked) a
$$;

-- What calls to the model are made with besides what turns say themselves; kept once, for running turns again.
create table turn_frames (
    digest         text primary key,
    frame          jsonb not null,
    first_used_at  timestamptz not null default now()
);
-- Of the last call of the turn: its frame, and the digest of its request (turn_steps.detail has those before it).
alter table turns add column asked jsonb;
