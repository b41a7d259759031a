-- What operators switched off for the whole installation, and what the watchdog remembers of agents.

-- One row, read by every process: 0 everything runs, 1 no tools that reach outside, 2 no new turns, 3 nothing.
create table kill_switch (
    one         boolean primary key default true check (one),
    stage       smallint not null default 0 check (stage between 0 and 3),
    reason      text not null default '',
    changed_by  text not null default '',
    changed_at  timestamptz not null default now()
);
insert into kill_switch default values;

-- Set the stage, with who and why. It may be raised at once and is lowered one stage at a time: a lower one is
-- left as it was. The row as it is afterwards; `done` says whether it is what was asked for.
create function turn_kill_switch(p_stage smallint, p_reason text, p_by text)
returns table (done boolean, stage smallint, reason text, changed_by text, changed_at timestamptz)
language plpgsql as $$
declare
    was kill_switch;
begin
    select * into strict was from kill_switch for update;
    if p_stage < was.stage - 1 then
        return query select false, was.stage, was.reason, was.changed_by, was.changed_at;
        return;
    end if;
    insert into audit_log (action, detail)
    values (case when p_stage < was.stage then 'operator:kill-switch:lowered' else 'operator:kill-switch:raised' end,
            jsonb_build_object('stage', p_stage, 'was', was.stage, 'reason', p_reason, 'by', p_by));
    return query update kill_switch k set stage = p_stage, reason = p_reason, changed_by = p_by, changed_at = now()
    returning true, k.stage, k.reason, k.changed_by, k.changed_at;
end $$;

-- One watchdog of all servers on this database judges the agents in an interval: the one that moved the time on.
create table watchdog (
    one        boolean primary key default true check (one),
    judged_at  timestamptz not null default '-infinity'
);
insert into watchdog default values;

-- Strikes against an agent. None: no row.
create table watchdog_strikes (
    agent_id   uuid primary key references agents on delete cascade,
    strikes    smallint not null check (strikes between 1 and 3),
    breaches   text[] not null,
    judged_at  timestamptz not null default now()
);
