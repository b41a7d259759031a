-- Caps, what is held and spent in each, and what every call cost. Money is integer micro-dollars.

-- The subject '*' caps everyone of a scope by themselves: each caller, each agent, each profile. Where the soft
-- share is reached, `on_soft` says what becomes of turns that begin then; it is counted in a window, so a cap
-- for one turn has none.
create table caps (
    id            uuid primary key,
    scope         text not null check (scope in ('install', 'profile', 'agent', 'schedule', 'caller')),
    subject       text not null default '' check ((scope = 'install') = (subject = '')),
    period        text not null check (period in ('turn', 'day', 'month')),
    limit_micros  bigint not null check (limit_micros >= 0),
    soft_share    double precision check (soft_share > 0 and soft_share <= 1),
    on_soft       text not null default 'warn' check (on_soft in ('warn', 'cheaper', 'ask')),
    soft_micros   bigint generated always as ((limit_micros * soft_share)::bigint) stored,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    unique (scope, subject, period),
    check (period <> 'turn' or soft_share is null)
);

-- The subject of a window is who it counts for where its cap is for everyone, else ''. `soft_at` is when what
-- was spent reached the soft share; until `acknowledged_until` a person has let turns go on past it.
create table cap_windows (
    cap_id              uuid not null references caps on delete cascade,
    subject             text not null default '',
    window_start        date not null,
    spent_micros        bigint not null default 0 check (spent_micros >= 0),
    reserved_micros     bigint not null default 0 check (reserved_micros >= 0),
    soft_at             timestamptz,
    acknowledged_until  timestamptz,
    primary key (cap_id, subject, window_start)
);

-- Money held for a turn that has not ended. After the lease it is nobody's and is given back: the row stays
-- with nothing in it, so that the cost is booked all the same should the turn be ended later.
create table reservations (
    turn_id        uuid not null references turns,
    cap_id         uuid not null references caps on delete cascade,
    subject        text not null,
    window_start   date not null,
    amount_micros  bigint not null check (amount_micros >= 0),
    lease_until    timestamptz not null,
    primary key (turn_id, cap_id, subject)
);
create index reservations_lease on reservations (lease_until) where amount_micros > 0;

-- A row for each call to a provider: the model may change within a turn.
create table costs (
    turn_id        uuid not null references turns,
    call           smallint not null default 1,
    profile_id     uuid not null,
    agent_id       uuid not null,
    schedule_id    uuid,
    caller         text not null,
    model          text not null,
    input_tokens   integer not null,
    output_tokens  integer not null,
    cost_micros    bigint not null,
    at             timestamptz not null default now(),
    primary key (turn_id, call)
);
create index costs_by_day on costs (at);

-- The first day of the window that a moment falls into; a turn has no window.
create function window_of(p_period text, p_at timestamptz) returns date language sql stable as
    $$ select case p_period when 'day' then (p_at at time zone 'UTC')::date
                            when 'month' then date_trunc('month', p_at at time zone 'UTC')::date end $$;

-- Give back what is held past its lease, in one window of a cap or in all; how many reservations that were. A reservation
-- that somebody settles at this moment is left alone. Windows are taken in the order of `reserve`.
create function release_expired(p_cap uuid default null, p_subject text default null) returns integer
language plpgsql as $$
declare
    given record;
    released integer := 0;
begin
    for given in
        with expired as (
            select r.turn_id, r.cap_id, r.subject, r.amount_micros from reservations r
            where r.amount_micros > 0 and r.lease_until < clock_timestamp()
              and (p_cap is null or r.cap_id = p_cap and r.subject = p_subject)
            for update skip locked
        ), emptied as (
            update reservations r set amount_micros = 0 from expired e
            where r.turn_id = e.turn_id and r.cap_id = e.cap_id and r.subject = e.subject
            returning r.turn_id, r.cap_id, r.subject, r.window_start, e.amount_micros
        )
        select cap_id, subject, window_start, sum(amount_micros)::bigint as amount, array_agg(turn_id) as turns,
               array_agg(amount_micros) as amounts
        from emptied group by 1, 2, 3 order by 1, 2, 3
    loop
        update cap_windows w set reserved_micros = w.reserved_micros - given.amount
        where w.cap_id = given.cap_id and w.subject = given.subject and w.window_start = given.window_start;
        insert into audit_log (action, turn_id, detail)
        select 'budget:reservation:released', e.turn_id,
               jsonb_build_object('cap', given.cap_id, 'amount_micros', e.amount)
        from unnest(given.turns, given.amounts) as e (turn_id, amount);
        released := released + cardinality(given.turns);
    end loop;
    return released;
end $$;

-- Make a turn hold an amount in every cap that applies to it: those of the installation and of its profile,
-- agent, schedule and caller, and those of the agents it works for. One conditional update for each cap, always
-- in the order of their ids, so that two turns never wait for each other in a ring. A turn counts in the
-- windows in which it began.
--
-- A turn that begins (p_begins) where a soft share is reached holds the amount of the cheaper model, if there is
-- one and the cap asks for it: that is the result. SQLSTATE HM010: a cap does not cover it. HM011: a cap wants a
-- person's word first. The hint is the cap's id.
create function reserve(
    p_turn uuid, p_profile uuid, p_agent uuid, p_caller text, p_schedule uuid, p_parent uuid, p_amount bigint,
    p_cheaper bigint, p_at timestamptz, p_lease interval, p_begins boolean
) returns boolean language plpgsql as $$
declare
    scopes text[] := array['install', 'profile', 'agent', 'caller'];
    subjects text[] := array['', p_profile::text, p_agent::text, p_caller];
    above agents;
    cap record;
    amount bigint;
    held bigint := 0;
    released boolean;
    cheaper boolean := false;
begin
    if p_amount = 0 and p_begins then
        return false;
    end if;
    if p_schedule is not null then
        scopes := scopes || 'schedule'::text;
        subjects := subjects || p_schedule::text;
    end if;
    while p_parent is not null and p_parent::text <> all (subjects) loop
        select * into above from agents where id = p_parent;
        scopes := scopes || array['agent', 'profile'];
        subjects := subjects || array[p_parent::text, above.profile_id::text];
        p_parent := above.parent_id;
    end loop;
    for cap in
        select c.id, c.scope, c.period, c.limit_micros, c.on_soft, c.soft_micros, whom.subject,
               window_of(c.period, p_at) as start, w.cap_id is null as is_new,
               bool_or(c.on_soft = 'cheaper' and w.spent_micros + w.reserved_micros >= c.soft_micros) over ()
               as is_soft
        from (select distinct s.scope, s.subject from unnest(scopes, subjects) as s (scope, subject)) t
        join caps c on c.scope = t.scope and c.subject in (t.subject, '*')
        cross join lateral (select case c.subject when '*' then t.subject else '' end as subject) whom
        left join cap_windows w on w.cap_id = c.id and w.subject = whom.subject
            and w.window_start = window_of(c.period, p_at)
        order by c.id, whom.subject
    loop
        cheaper := p_begins and p_cheaper is not null and coalesce(cap.is_soft, false);
        amount := case when cheaper then p_cheaper else p_amount end;
        if cap.period = 'turn' then
            if amount > cap.limit_micros then
                raise exception using errcode = 'HM010', message = 'cap exceeded', hint = cap.id::text,
                    detail = cap.scope || ' cap for one turn';
            end if;
            continue;
        end if;
        continue when amount = 0 and p_begins;
        if cap.is_new then
            insert into cap_windows (cap_id, subject, window_start) values (cap.id, cap.subject, cap.start)
            on conflict do nothing;
        end if;
        released := false;
        loop
            if not p_begins then
                select r.amount_micros into held from reservations r
                where r.turn_id = p_turn and r.cap_id = cap.id and r.subject = cap.subject;
                held := coalesce(held, 0);
            end if;
            update cap_windows w set reserved_micros = w.reserved_micros + amount - held
            where w.cap_id = cap.id and w.subject = cap.subject and w.window_start = cap.start
              and (amount <= held or w.spent_micros + w.reserved_micros + amount - held <= cap.limit_micros)
              and (cap.on_soft <> 'ask' or not p_begins or cap.soft_micros is null
                   or w.spent_micros + w.reserved_micros < cap.soft_micros or w.acknowledged_until > now());
            exit when found;
            -- What a crash has left behind is nobody's reason to refuse. It may be this turn's own.
            if released or release_expired(cap.id, cap.subject) = 0 then
                raise exception using
                    errcode = case when cap.on_soft = 'ask' and p_begins and exists (
                        select from cap_windows w
                        where w.cap_id = cap.id and w.subject = cap.subject and w.window_start = cap.start
                          and w.spent_micros + w.reserved_micros >= cap.soft_micros
                          and w.spent_micros + w.reserved_micros + amount <= cap.limit_micros
                    ) then 'HM011' else 'HM010' end,
                    message = 'cap exceeded', hint = cap.id::text,
                    detail = cap.scope || ' cap for this ' || cap.period;
            end if;
            released := true;
        end loop;
        insert into reservations as r (turn_id, cap_id, subject, window_start, amount_micros, lease_until)
        values (p_turn, cap.id, cap.subject, cap.start, amount, clock_timestamp() + p_lease)
        on conflict (turn_id, cap_id, subject)
        do update set amount_micros = excluded.amount_micros, lease_until = excluded.lease_until;
    end loop;
    return cheaper;
end $$;

-- Make a turn that goes on hold `p_total` in all: what its calls have cost so far and the worst case of the next.
-- It may be repeated. False: the turn has ended, or another incarnation owns the agent. SQLSTATE as `reserve`.
create function hold_more(p_turn uuid, p_epoch bigint, p_total bigint, p_lease interval) returns boolean
language plpgsql as $$
declare
    held record;
begin
    select t.*, a.parent_id into held from turns t join agents a on a.id = t.agent_id
    where t.id = p_turn and t.state = 'admitted' and a.epoch = p_epoch;
    if not found then
        return false;
    end if;
    -- Reservations before windows, as everywhere: else this and a release could wait for each other.
    perform from reservations r where r.turn_id = p_turn for update;
    perform reserve(p_turn, held.profile_id, held.agent_id, held.caller, held.schedule_id, held.parent_id, p_total,
                    null, held.admitted_at, p_lease, false);
    return true;
end $$;

-- Give back what a turn holds and book what it really cost; whoever takes a window past its soft share says so.
create function settle(p_turn uuid, p_cost bigint) returns void language plpgsql as $$
begin
    with held as (
        delete from reservations where turn_id = p_turn returning cap_id, subject, window_start, amount_micros
    ), locked as (
        select h.* from cap_windows w
        join held h on w.cap_id = h.cap_id and w.subject = h.subject and w.window_start = h.window_start
        order by w.cap_id, w.subject for update of w
    ), booked as (
        update cap_windows w
        set reserved_micros = w.reserved_micros - l.amount_micros,
            spent_micros = w.spent_micros + p_cost,
            soft_at = case when w.soft_at is null and w.spent_micros + p_cost >= c.soft_micros then now()
                           else w.soft_at end
        from locked l join caps c on c.id = l.cap_id
        where w.cap_id = l.cap_id and w.subject = l.subject and w.window_start = l.window_start
        returning w.soft_at, w.spent_micros, w.subject, w.window_start, c.id, c.scope, c.period, c.limit_micros,
                  c.on_soft
    )
    insert into audit_log (action, turn_id, detail)
    select 'budget:cap:soft-reached', p_turn,
           jsonb_build_object('cap', id, 'scope', scope, 'period', period, 'subject', subject, 'on_soft', on_soft,
                              'window_start', window_start, 'spent_micros', spent_micros,
                              'limit_micros', limit_micros)
    from booked where soft_at = now();
end $$;

-- The first start's profile may spend this much a day, and says so when most of it is gone.
insert into caps (id, scope, subject, period, limit_micros, soft_share)
values ('01980000-0000-7000-8000-000000000002', 'profile', '01980000-0000-7000-8000-000000000001', 'day', 5000000,
        0.8);
