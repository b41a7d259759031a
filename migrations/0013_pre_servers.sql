-- Servers that share this database, which turns each of them works on, and what outside daemons spend.

-- A server renews its row every few seconds; one that does not any more has died.
create table servers (
    id           uuid primary key,
    alive_until  timestamptz not null
);

-- Who works on a turn, as of the last few seconds. A turn that has just been admitted or taken up has not been kept yet.
alter table turns
    add column kept_by     uuid,
    add column kept_until  timestamptz;

-- Say that a server lives, and which turns it works on in which epochs: what they hold is leased anew, however long a
-- step takes. A turn that somebody is writing at this moment is left out until the next time, so that nobody waits for
-- anybody here.
create function keep_turns(p_server uuid, p_for interval, p_turns uuid[], p_epochs bigint[], p_lease interval)
returns void language plpgsql as $$
declare
    mine uuid[];
begin
    insert into servers as s (id, alive_until) values (p_server, now() + p_for)
    on conflict (id) do update set alive_until = excluded.alive_until;
    delete from servers where alive_until < now() - interval '1 day';
    with own as (
        select t.id from unnest(p_turns, p_epochs) as k (turn, epoch)
        join turns t on t.id = k.turn and t.state = 'admitted'
        join agents a on a.id = t.agent_id and a.epoch = k.epoch
        for no key update of t skip locked
    ), kept as (
        update turns t set kept_by = p_server, kept_until = now() + p_for from own where t.id = own.id returning t.id
    )
    select array_agg(id) into mine from kept;
    update reservations r set lease_until = greatest(r.lease_until, clock_timestamp() + p_lease)
    from (select x.turn_id, x.cap_id, x.subject from reservations x
          where x.turn_id = any (mine) and x.amount_micros > 0 for update skip locked) held
    where r.turn_id = held.turn_id and r.cap_id = held.cap_id and r.subject = held.subject;
end $$;

-- A server that ends in order lets go of everything at once.
create function leave_turns(p_server uuid) returns void language sql as $$
    delete from servers where id = p_server;
    update turns set kept_until = now() where state = 'admitted' and kept_by = p_server and kept_until > now();
$$;

-- The windows of now in which an agent's money counts, those of the agents it works for included.
create function windows_of_agent(p_agent uuid)
returns table (cap_id uuid, subject text, window_start date, limit_micros bigint, soft_micros bigint)
language sql stable as $$
    with recursive above as (
        select a.id, a.profile_id, a.parent_id from agents a where a.id = p_agent
        union select a.id, a.profile_id, a.parent_id from agents a join above b on a.id = b.parent_id
    ), subjects as (
        select 'install' as scope, '' as subject
        union select 'agent', id::text from above
        union select 'profile', profile_id::text from above
        union select 'caller', caller from conversations where id = p_agent
    )
    select distinct c.id, case c.subject when '*' then s.subject else '' end, window_of(c.period, now()),
           c.limit_micros, c.soft_micros
    from subjects s join caps c on c.scope = s.scope and c.subject in (s.subject, '*') and c.period <> 'turn'
$$;

-- Book what an outside daemon says that its agent has spent: nobody was asked before, so nothing is refused here.
create function spend(p_agent uuid, p_micros bigint) returns void language sql as $$
    with booked as (
        insert into cap_windows as w (cap_id, subject, window_start, spent_micros)
        select o.cap_id, o.subject, o.window_start, p_micros from windows_of_agent(p_agent) o
        order by o.cap_id, o.subject
        on conflict (cap_id, subject, window_start) do update set spent_micros = w.spent_micros + excluded.spent_micros
        returning w.*
    ), soft as (
        select b.* , c.scope, c.period, c.limit_micros, c.on_soft
        from booked b join caps c on c.id = b.cap_id
        where b.soft_at is null and b.spent_micros >= c.soft_micros
    )
    insert into audit_log (action, agent_id, detail)
    select 'budget:cap:soft-reached', p_agent,
           jsonb_build_object('cap', cap_id, 'scope', scope, 'period', period, 'subject', subject, 'on_soft', on_soft,
                              'window_start', window_start, 'spent_micros', spent_micros, 'limit_micros', limit_micros)
    from soft;
    update cap_windows w set soft_at = now()
    from windows_of_agent(p_agent) o
    where w.cap_id = o.cap_id and w.subject = o.subject and w.window_start = o.window_start
      and w.soft_at is null and w.spent_micros >= o.soft_micros;
$$;

-- What an outside daemon reports; the state that its agent is to be in, null where it is none of its. Totals only grow.
-- An operator's word stands against the daemon's own, and so does a cap: an agent whose money is used up is paused.
create function report_agent(
    p_agent uuid, p_state text, p_note text, p_input bigint, p_output bigint, p_cost bigint
) returns text language plpgsql as $$
declare
    was agents;
    told text;
    used_up uuid;
begin
    select * into was from agents where id = p_agent and external and state <> 'erased' for no key update;
    if not found then
        return null;
    end if;
    if p_cost > was.cost_micros then
        perform spend(p_agent, p_cost - was.cost_micros);
    end if;
    told := case when was.state in ('paused', 'stopped', 'killed') then was.state else coalesce(p_state, was.state) end;
    if told in ('running', 'waiting_approval') then
        select w.cap_id into used_up from windows_of_agent(p_agent) o
        join cap_windows w on w.cap_id = o.cap_id and w.subject = o.subject and w.window_start = o.window_start
        where w.spent_micros + w.reserved_micros >= o.limit_micros order by 1 limit 1;
        if found then
            told := 'paused';
            insert into audit_log (action, profile_id, agent_id, detail)
            values ('watchdog:agent:paused', was.profile_id, p_agent,
                    jsonb_build_object('by', 'watchdog:cap', 'reason', 'A cap is used up', 'was', was.state, 'cap', used_up));
        end if;
    end if;
    update agents set heartbeat_at = now(), updated_at = now(), state = told,
        failure = case when p_state = 'failed' then coalesce(p_note, failure) end,
        note = coalesce(p_note, note),
        input_tokens = greatest(input_tokens, coalesce(p_input, 0)),
        output_tokens = greatest(output_tokens, coalesce(p_output, 0)),
        cost_micros = greatest(cost_micros, coalesce(p_cost, 0))
    where id = p_agent;
    return told;
end $$;
