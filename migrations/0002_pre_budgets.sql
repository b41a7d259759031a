-- Caps, what is held and spent in each, and what every turn cost. Money is integer micro-dollars.

create table caps (
    id            uuid primary key,
    scope         text not null check (scope in ('install', 'profile', 'agent', 'schedule', 'caller')),
    subject       text not null default '',
    period        text not null check (period in ('turn', 'day', 'month')),
    limit_micros  bigint not null check (limit_micros >= 0),
    created_at    timestamptz not null default now(),
    unique (scope, subject, period)
);

create table cap_windows (
    cap_id           uuid not null references caps on delete cascade,
    window_start     date not null,
    spent_micros     bigint not null default 0 check (spent_micros >= 0),
    reserved_micros  bigint not null default 0 check (reserved_micros >= 0),
    primary key (cap_id, window_start)
);

-- Money held for a turn that has not ended; after the lease it is nobody's and is given back.
create table reservations (
    turn_id        uuid not null references turns,
    cap_id         uuid not null references caps on delete cascade,
    window_start   date not null,
    amount_micros  bigint not null check (amount_micros > 0),
    lease_until    timestamptz not null,
    primary key (turn_id, cap_id)
);
create index reservations_lease on reservations (lease_until);

create table costs (
    turn_id        uuid primary key references turns,
    profile_id     uuid not null,
    agent_id       uuid not null,
    caller         text not null,
    model          text not null,
    input_tokens   integer not null,
    output_tokens  integer not null,
    cost_micros    bigint not null,
    at             timestamptz not null default now()
);
create index costs_by_day on costs (at);

-- Hold an amount in every cap that applies to a turn. One conditional update for each cap, always in the order
-- of their ids, so that two turns never wait for each other in a ring. SQLSTATE HM010: a cap does not cover it.
create function reserve(
    p_turn uuid, p_profile uuid, p_agent uuid, p_caller text, p_amount bigint, p_lease interval
) returns void language plpgsql as $$
declare
    cap caps;
    start date;
begin
    if p_amount = 0 then
        return;
    end if;
    for cap in
        select * from caps
        where (scope = 'install')
           or (scope = 'profile' and subject = p_profile::text)
           or (scope = 'agent' and subject = p_agent::text)
           or (scope = 'caller' and subject = p_caller)
        order by id
    loop
        if cap.period = 'turn' then
            if p_amount > cap.limit_micros then
                raise exception using errcode = 'HM010', message = 'cap exceeded',
                    detail = cap.scope || ' cap for one turn';
            end if;
            continue;
        end if;
        start := date_trunc(cap.period, now() at time zone 'UTC')::date;
        insert into cap_windows (cap_id, window_start) values (cap.id, start) on conflict do nothing;
        update cap_windows set reserved_micros = reserved_micros + p_amount
        where cap_id = cap.id and window_start = start
          and spent_micros + reserved_micros + p_amount <= cap.limit_micros;
        if not found then
            raise exception using errcode = 'HM010', message = 'cap exceeded',
                detail = cap.scope || ' cap for this ' || cap.period;
        end if;
        insert into reservations (turn_id, cap_id, window_start, amount_micros, lease_until)
        values (p_turn, cap.id, start, p_amount, now() + p_lease);
    end loop;
end $$;

-- Give back what a turn holds and book what it really cost.
create function settle(p_turn uuid, p_cost bigint) returns void language plpgsql as $$
begin
    with held as (
        delete from reservations where turn_id = p_turn returning cap_id, window_start, amount_micros
    )
    update cap_windows as w
    set reserved_micros = w.reserved_micros - held.amount_micros,
        spent_micros = w.spent_micros + p_cost
    from held where w.cap_id = held.cap_id and w.window_start = held.window_start;
end $$;

-- The first start's profile may spend this much a day.
insert into caps (id, scope, subject, period, limit_micros)
values ('01980000-0000-7000-8000-000000000002', 'profile', '01980000-0000-7000-8000-000000000001', 'day', 5000000);
