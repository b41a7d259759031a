-- Work that nobody waits for: directives, the tasks and schedules that they come from, and what was pulled.

-- Of `source` 'local' a task is ours; otherwise it mirrors one of another system, which owns its text and state.
create table tasks (
    id                   uuid primary key,
    title                text not null,
    text                 text not null default '',
    state                text not null default 'open' check (state in ('open', 'doing', 'done', 'dropped')),
    source               text not null default 'local',
    external_id          text,
    external_group       text,
    external_url         text,
    external_updated_at  timestamptz,
    profile_id           uuid references agent_profiles on delete set null,
    directive_id         uuid,
    created_at           timestamptz not null default now(),
    updated_at           timestamptz not null default now(),
    check ((source = 'local') = (external_id is null)),
    unique (source, external_id)
);

-- `next_run_at` is null while nothing is due: paused, or `failure` says why it cannot be told.
create table schedules (
    id                 uuid primary key,
    name               text not null unique,
    cron               text not null,
    time_zone          text not null default 'UTC',
    profile_id         uuid not null references agent_profiles,
    text               text not null,
    overlap            text not null default 'skip' check (overlap in ('skip', 'queue', 'replace')),
    catch_up           text not null default 'none' check (catch_up in ('none', 'last', 'all')),
    catch_up_seconds   integer not null default 86400 check (catch_up_seconds > 0),
    retry              jsonb not null default '{}',
    paused             boolean not null default false,
    next_run_at        timestamptz,
    last_run_at        timestamptz,
    last_directive_id  uuid,
    failure            text,
    created_at         timestamptz not null default now(),
    updated_at         timestamptz not null default now()
);
create index schedules_due on schedules (next_run_at) where next_run_at is not null;

-- One row for each due time: who inserts it fires, so nothing fires twice on any number of servers.
create table schedule_ticks (
    schedule_id   uuid not null references schedules on delete cascade,
    due_at        timestamptz not null,
    outcome       text not null check (outcome in ('fired', 'skipped_overlap', 'missed', 'refused_budget', 'refused')),
    directive_id  uuid,
    by_hand       boolean not null default false,
    detail        jsonb not null default '{}',
    at            timestamptz not null default now(),
    primary key (schedule_id, due_at)
);
create index schedule_ticks_directive on schedule_ticks (directive_id) where directive_id is not null;

-- `agent_id` is who carries it out in this attempt or the next. A running directive belongs to its owner (a server
-- process) until the lease ends; `takes` counts how often it was taken in this attempt.
create table directives (
    id               uuid primary key,
    profile_id       uuid not null references agent_profiles,
    agent_id         uuid not null,
    parent_id        uuid references agents,
    text             text not null,
    state            text not null default 'queued'
                     check (state in ('queued', 'running', 'done', 'failed', 'cancelled')),
    source           text not null check (source in ('api', 'schedule', 'task', 'agent')),
    schedule_id      uuid,
    task_id          uuid,
    idempotency_key  text unique,
    retry            jsonb not null default '{}',
    not_before       timestamptz not null default now(),
    attempts         smallint not null default 0,
    takes            smallint not null default 0,
    owner            uuid,
    lease_until      timestamptz,
    result           text,
    failure_code     text,
    failure_message  text,
    created_at       timestamptz not null default now(),
    started_at       timestamptz,
    ended_at         timestamptz,
    check ((state = 'running') = (owner is not null)),
    check ((state in ('done', 'failed', 'cancelled')) = (ended_at is not null))
);
create index directives_open on directives (id) where state in ('queued', 'running');
create index directives_of_schedule on directives (schedule_id, id) where schedule_id is not null;

-- What another system's project looked like when it was pulled last.
create table pulls (
    source       text not null,
    project      text not null,
    updated_to   timestamptz,
    pulls        integer not null default 0,
    pulled_at    timestamptz,
    failure      text,
    primary key (source, project)
);

-- Deliveries of webhooks: each counts once.
create table deliveries (
    source  text not null,
    id      text not null,
    at      timestamptz not null default now(),
    primary key (source, id)
);
create index deliveries_at on deliveries (at);

-- Make a directive and say so in the audit log. No row: there was one with this idempotency key.
create function direct(
    p_id uuid, p_profile uuid, p_agent uuid, p_parent uuid, p_text text, p_source text, p_schedule uuid, p_task uuid,
    p_key text, p_retry jsonb, p_not_before timestamptz
) returns setof directives language plpgsql as $$
begin
    return query insert into directives (id, profile_id, agent_id, parent_id, text, source, schedule_id, task_id,
                                         idempotency_key, retry, not_before)
    values (p_id, p_profile, p_agent, p_parent, p_text, p_source, p_schedule, p_task, p_key, p_retry,
            coalesce(p_not_before, now()))
    on conflict (idempotency_key) do nothing returning *;
    if not found then
        return;
    end if;
    insert into audit_log (action, profile_id, agent_id, detail)
    values (case p_source when 'schedule' then 'schedule' when 'agent' then 'agent' else 'operator' end
                || ':directive:created', p_profile, p_agent,
            jsonb_strip_nulls(jsonb_build_object('directive', p_id, 'source', p_source, 'schedule', p_schedule,
                                                 'task', p_task, 'parent', p_parent)));
    if p_task is not null then
        update tasks set directive_id = p_id, state = case when source = 'local' then 'doing' else state end,
            updated_at = now()
        where id = p_task;
    end if;
end $$;

-- Cancel one directive that has not ended, or all of a schedule; `p_by` is who wants it, in words of the audit log.
create function cancel_directives(p_id uuid, p_schedule uuid, p_by text) returns setof directives
language plpgsql as $$
declare
    gone directives;
begin
    for gone in
        update directives d set state = 'cancelled', owner = null, lease_until = null, ended_at = now()
        where (d.id = p_id or d.schedule_id = p_schedule) and d.state in ('queued', 'running') returning *
    loop
        insert into audit_log (action, profile_id, agent_id, detail)
        values (p_by || ':directive:cancelled', gone.profile_id, gone.agent_id,
                jsonb_build_object('directive', gone.id));
        update tasks set state = 'open', updated_at = now()
        where directive_id = gone.id and source = 'local' and state = 'doing';
        return next gone;
    end loop;
end $$;

-- End a directive that is still its owner's. False: it was cancelled, or is another's.
create function end_directive(
    p_id uuid, p_owner uuid, p_state text, p_result text, p_code text, p_message text, p_tick text
) returns boolean language plpgsql as $$
declare
    ended directives;
begin
    update directives set state = p_state, result = p_result, failure_code = p_code, failure_message = p_message,
        owner = null, lease_until = null, ended_at = now()
    where id = p_id and state = 'running' and owner = p_owner returning * into ended;
    if not found then
        return false;
    end if;
    if p_tick is not null then
        update schedule_ticks set outcome = p_tick where directive_id = p_id;
        insert into audit_log (action, profile_id, detail)
        select 'schedule:tick:' || replace(p_tick, '_', '-'), ended.profile_id,
               jsonb_build_object('schedule', schedule_id, 'due_at', due_at, 'directive', p_id)
        from schedule_ticks where directive_id = p_id;
    end if;
    update tasks set state = case p_state when 'done' then 'done' else 'open' end, updated_at = now()
    where directive_id = p_id and source = 'local' and state = 'doing';
    insert into audit_log (action, profile_id, agent_id, detail)
    values ('work:directive:' || p_state, ended.profile_id, ended.agent_id,
            jsonb_strip_nulls(jsonb_build_object('directive', p_id, 'attempts', ended.attempts, 'code', p_code)));
    return true;
end $$;
