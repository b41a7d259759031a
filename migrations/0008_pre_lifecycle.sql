-- What operators and outside daemons do to agents. Which state follows which is hivemind/agents/lifecycle.py.

-- An external agent is run by an outside daemon, which reports through the API; what it used is its own word.
alter table agents
    add column external       boolean not null default false,
    add column heartbeat_at   timestamptz,
    add column note           text,
    add column input_tokens   bigint not null default 0 check (input_tokens >= 0),
    add column output_tokens  bigint not null default 0 check (output_tokens >= 0),
    add column cost_micros    bigint not null default 0 check (cost_micros >= 0),
    add check (external or heartbeat_at is null);
create index agents_of_parent on agents (parent_id) where parent_id is not null;
create index agents_external on agents (heartbeat_at) where external;
create index turns_of_agent on turns (agent_id, id);
create index approvals_of_agent on approvals (agent_id, id);
create index audit_log_turn on audit_log (turn_id) where turn_id is not null;

-- End an agent and every one below it at once: a new epoch shuts out whoever works for them, what they held is given
-- back, and a call to a model that was under way is booked at the most that it was allowed to cost. The ids of those
-- that were ended.
create function kill_agents(p_agent uuid, p_by text, p_reason text, p_message text) returns setof uuid
language plpgsql as $$
declare
    gone agents;
    left_over record;
begin
    for gone in
        with recursive below as (
            select p_agent as id union select a.id from agents a join below b on a.parent_id = b.id
        )
        select a.* from agents a where a.id in (select id from below) and a.state not in ('killed', 'erased')
        order by a.id for update
    loop
        update agents set state = 'killed', epoch = gone.epoch + 1, updated_at = now() where id = gone.id;
        insert into audit_log (action, profile_id, agent_id, detail)
        values (split_part(p_by, ':', 1) || ':agent:killed', gone.profile_id, gone.id,
                jsonb_build_object('by', p_by, 'reason', p_reason, 'was', gone.state)
                || case when gone.id = p_agent then '{}' else jsonb_build_object('with', p_agent) end);
        for left_over in
            select t.id, case when t.parked then 0 else
                greatest(0, coalesce((select max(r.amount_micros) from reservations r where r.turn_id = t.id), 0)
                            - coalesce((select sum(c.cost_micros) from costs c where c.turn_id = t.id), 0)) end as lost
            from turns t where t.agent_id = gone.id and t.state = 'admitted'
        loop
            perform commit_turn(left_over.id, gone.epoch + 1, 'interrupted', null, null, 0, 0, left_over.lost::bigint,
                                null, 'agent_ended', p_message,
                                jsonb_build_object('error', 'agent_ended', 'lost_micros', left_over.lost));
        end loop;
        perform cancel_directives(d.id, null, split_part(p_by, ':', 1))
        from directives d where d.agent_id = gone.id and d.state in ('queued', 'running');
        return next gone.id;
    end loop;
end $$;
