-- Profiles, conversations, agents and turns: what a message becomes.
--
-- A caller is a keyed hash, never an address. Text is stored after the guards
-- have scrubbed it. An agent that serves a conversation has the conversation's id.

create table agent_profiles (
    id                    uuid primary key,
    slug                  text not null unique check (slug ~ '^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$'),
    name                  text not null,
    prompt                text not null,
    tier                  smallint not null default 2 check (tier between 1 and 3),
    model                 text,
    cheaper_model         text,
    max_input_chars       integer not null default 8000 check (max_input_chars > 0),
    max_output_tokens     integer not null default 1024 check (max_output_tokens > 0),
    history_messages      integer not null default 40 check (history_messages >= 0),
    injection_threshold   real not null default 0.5 check (injection_threshold > 0),
    on_injection          text not null default 'refuse' check (on_injection in ('refuse', 'flag')),
    when_busy             text not null default 'queue' check (when_busy in ('queue', 'refuse', 'interrupt')),
    when_client_leaves    text not null default 'finish' check (when_client_leaves in ('finish', 'stop')),
    max_messages_per_minute integer check (max_messages_per_minute > 0),
    max_steps             smallint not null default 16 check (max_steps > 0),
    max_turn_seconds      integer not null default 600 check (max_turn_seconds > 0),
    max_turn_tokens       integer check (max_turn_tokens > 0),
    max_turn_micros       bigint check (max_turn_micros > 0),
    max_same_calls        smallint not null default 3 check (max_same_calls > 0),
    approval_seconds      integer not null default 86400 check (approval_seconds > 0),
    on_approval_deadline  text not null default 'deny' check (on_approval_deadline in ('approve', 'deny')),
    created_at            timestamptz not null default now(),
    updated_at            timestamptz not null default now()
);

create table conversations (
    id           uuid primary key,
    profile_id   uuid not null references agent_profiles,
    caller       text not null,
    created_at   timestamptz not null default now(),
    erased_at    timestamptz
);

-- The shard decides which server owns the agent once there are several; the epoch fences a former owner:
-- every write of an agent states the epoch that it was started with. An agent that works for another spends in
-- the caps of both.
create table agents (
    id           uuid primary key,
    profile_id   uuid not null references agent_profiles,
    state        text not null default 'idle'
                 check (state in ('idle', 'running', 'waiting_approval', 'done', 'paused', 'failed',
                                  'stopped', 'killed', 'erased')),
    parent_id    uuid references agents,
    shard        smallint not null check (shard between 0 and 255),
    epoch        bigint not null default 1,
    claimed_by   uuid,
    failure      text,
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now()
);
create index agents_not_idle on agents (state) where state not in ('idle', 'done');

create table turns (
    id                 uuid primary key,
    agent_id           uuid not null references agents deferrable initially deferred,
    profile_id         uuid not null references agent_profiles,
    caller             text not null,
    schedule_id        uuid,
    state              text not null default 'admitted'
                       check (state in ('admitted', 'answered', 'failed', 'interrupted')),
    idempotency_scope  text,
    idempotency_key    text,
    model              text not null,
    attempts           smallint not null default 1,
    -- Nothing of it is under way: it waits for a person, or its agent is held.
    parked             boolean not null default false,
    resumed_at         timestamptz,
    input_tokens       integer,
    output_tokens      integer,
    cost_micros        bigint,
    incomplete         text,
    error_code         text,
    error_message      text,
    admitted_at        timestamptz not null default now(),
    ended_at           timestamptz
);
-- A message that is sent twice finds its first turn.
create unique index turns_idempotency on turns (idempotency_scope, idempotency_key)
    where idempotency_key is not null;
-- What a server that starts has to take up again.
create index turns_unfinished on turns (agent_id) where state = 'admitted';

create table messages (
    id               bigint generated always as identity primary key,
    conversation_id  uuid not null references conversations on delete cascade,
    turn_id          uuid not null references turns,
    role             text not null check (role in ('user', 'assistant')),
    text             text not null,
    created_at       timestamptz not null default now()
);
create index messages_of_conversation on messages (conversation_id, id);
create index messages_of_turn on messages (turn_id);

-- Accept a message: everything that must be true before the caller is told so, in one round trip.
-- Outcomes: 'admitted'; 'known' (its idempotency key was seen: the turn and agent of that time); 'fenced'
-- (another incarnation owns the agent); 'held' (its state lets nothing begin). A cap that does not cover the turn raises HM010, one that wants a person's
-- word first HM011, and nothing is left. `model` is the one to ask: the cheaper one where a cap's soft share says so.
create function admit(
    p_turn uuid, p_agent uuid, p_profile uuid, p_caller text, p_opens boolean, p_shard smallint, p_epoch bigint,
    p_scope text, p_key text, p_model text, p_text text, p_reserve bigint, p_lease interval, p_detail jsonb,
    p_cheaper_model text, p_cheaper_reserve bigint, p_schedule uuid, p_parent uuid,
    out outcome text, out turn uuid, out agent uuid, out model text
) language plpgsql as $$
declare
    parent uuid := p_parent;
begin
    insert into turns (id, agent_id, profile_id, caller, schedule_id, idempotency_scope, idempotency_key, model)
    values (p_turn, p_agent, p_profile, p_caller, p_schedule, p_scope, p_key, p_model)
    on conflict (idempotency_scope, idempotency_key) where idempotency_key is not null do nothing;
    if not found then
        select 'known', t.id, t.agent_id, t.model into outcome, turn, agent, model
        from turns t where t.idempotency_scope = p_scope and t.idempotency_key = p_key;
        return;
    end if;
    if p_opens then
        -- Both are there already where an operator has spawned the agent.
        insert into conversations (id, profile_id, caller) values (p_agent, p_profile, p_caller)
        on conflict (id) do nothing;
        insert into agents as a (id, profile_id, parent_id, state, shard, epoch)
        values (p_agent, p_profile, p_parent, 'running', p_shard, p_epoch)
        on conflict (id) do update set state = 'running', updated_at = now()
            where a.epoch = p_epoch and a.state in ('idle', 'running', 'waiting_approval', 'done')
        returning a.parent_id into parent;
    else
        update agents a set state = 'running', updated_at = now()
        where a.id = p_agent and a.epoch = p_epoch and a.state in ('idle', 'running', 'waiting_approval', 'done')
        returning a.parent_id into parent;
    end if;
    if not found then
        delete from turns where id = p_turn;
        outcome := case when exists (select from agents a where a.id = p_agent and a.epoch = p_epoch)
                        then 'held' else 'fenced' end;
        return;
    end if;
    model := p_model;
    if reserve(p_turn, p_profile, p_agent, p_caller, p_schedule, parent, p_reserve, p_cheaper_reserve, now(), p_lease,
               true) then
        model := p_cheaper_model;
        update turns set model = p_cheaper_model where id = p_turn;
    end if;
    insert into messages (conversation_id, turn_id, role, text) values (p_agent, p_turn, 'user', p_text);
    insert into audit_log (action, profile_id, agent_id, turn_id, caller, detail, text)
    values ('chat:turn:admitted', p_profile, p_agent, p_turn, p_caller, p_detail, p_text);
    outcome := 'admitted'; turn := p_turn; agent := p_agent;
end $$;

-- End a turn once: reply, cost, settlement and audit in one round trip. Tokens and cost are those of the last call to
-- the model, whose number is `p_call` (null: the one after those that were recorded); `p_incomplete` names the bound
-- that cut the answer short. False: it had ended already, or another incarnation owns the agent; then nothing was
-- written.
create function commit_turn(
    p_turn uuid, p_epoch bigint, p_state text, p_reply text, p_call smallint, p_input_tokens integer,
    p_output_tokens integer, p_cost bigint, p_incomplete text, p_error_code text, p_error_message text, p_detail jsonb
) returns boolean language plpgsql as $$
declare
    ended turns;
    called smallint := coalesce(p_call, (select count(*) + 1 from costs where turn_id = p_turn));
    input bigint := p_input_tokens;
    output bigint := p_output_tokens;
    cost bigint := p_cost;
begin
    if called > 1 then
        select input + sum(c.input_tokens), output + sum(c.output_tokens), cost + sum(c.cost_micros)
        into input, output, cost from costs c where c.turn_id = p_turn;
    end if;
    update agents a set updated_at = now(),
        state = case when a.state not in ('idle', 'running', 'waiting_approval', 'done') then a.state
                     when t.idempotency_scope = 'directive' then 'done' else 'idle' end
    from turns t where t.id = p_turn and a.id = t.agent_id and a.epoch = p_epoch and t.state = 'admitted';
    if not found then
        return false;
    end if;
    update turns set state = p_state, input_tokens = input, output_tokens = output, cost_micros = cost,
        incomplete = p_incomplete, error_code = p_error_code, error_message = p_error_message, ended_at = now(),
        asked = p_detail->'asked'
    where id = p_turn and state = 'admitted' returning * into ended;
    if not found then
        return false;
    end if;
    if p_reply is not null then
        insert into messages (conversation_id, turn_id, role, text)
        values (ended.agent_id, p_turn, 'assistant', p_reply);
    end if;
    perform settle(p_turn, cost);
    insert into costs (turn_id, call, profile_id, agent_id, schedule_id, caller, model, input_tokens, output_tokens,
                       cost_micros)
    values (p_turn, called, ended.profile_id, ended.agent_id, ended.schedule_id, ended.caller, ended.model,
            p_input_tokens, p_output_tokens, p_cost);
    if called > 1 then
        -- What was under way when the turn was cut off may or may not have happened, and nobody is asked any more.
        update effects set state = 'unknown' where turn_id = p_turn and state = 'started';
        update effects set state = 'denied', outcome = 'The turn has ended before this call was made.', ended_at = now()
        where turn_id = p_turn and state in ('waiting', 'approved');
        update approvals set state = 'denied', answered_at = now(), answered_by = 'end', reason = 'The turn has ended.'
        where turn_id = p_turn and state = 'pending';
    end if;
    insert into audit_log (action, profile_id, agent_id, turn_id, caller, detail, text)
    values ('chat:turn:' || p_state, ended.profile_id, ended.agent_id, p_turn, ended.caller, p_detail - 'asked', p_reply);
    return true;
end $$;

-- Take an agent over: a new epoch shuts out every earlier incarnation, and what its unfinished turn holds is
-- leased anew; `agent_state` says whether it may go on. No row: there is no such agent, or it was erased.
create function claim(p_agent uuid, p_lease interval, p_claimant uuid, out epoch bigint, out profile_id uuid,
                      out agent_state text, out turn uuid, out turn_attempts smallint) returns setof record language plpgsql as $$
declare
    was text;
    claimed uuid;
begin
    select a.state, a.claimed_by into was, claimed from agents a where a.id = p_agent and a.state <> 'erased' for no key update;
    if not found then
        return;
    end if;
    -- What waited for a person runs again as soon as nothing is left to answer, whatever the answers were.
    update agents a set epoch = a.epoch + 1, claimed_by = p_claimant, updated_at = now(),
        state = case when was = 'waiting_approval' and not exists (
                    select from approvals p where p.agent_id = a.id and p.state = 'pending') then 'running'
                else a.state end
    where a.id = p_agent returning a.epoch, a.profile_id, a.state into epoch, profile_id, agent_state;
    -- A turn that waited for a person or for its agent was not cut off, nor one whose claimant claims again because
    -- the answer was lost.
    update turns t set parked = agent_state = 'paused', resumed_at = now(),
        attempts = t.attempts + case when t.parked or was = 'waiting_approval' or claimed = p_claimant then 0 else 1 end
    where t.agent_id = p_agent and t.state = 'admitted'
    returning t.id, t.attempts into turn, turn_attempts;
    if turn is not null then
        update reservations r set lease_until = now() + p_lease where r.turn_id = turn;
    end if;
    return next;
end $$;

-- What a profile of the first start looks like; the owner edits or deletes it.
insert into agent_profiles (id, slug, name, prompt, tier, max_input_chars, max_output_tokens)
values ('01980000-0000-7000-8000-000000000001', 'hello', 'Hello',
        'You are a helpful AI assistant named Hivemind.', 1, 4000, 256);
