-- What is done to agents from outside of their turns. Kills are a function of migrations/0008.

-- name: lock
-- The agent, and what of it is unfinished.
select a.id, a.profile_id, a.state, a.external,
       case when p.agent_id is not null then 'question' when t.agent_id is not null then 'turn' else 'none' end as work
from agents a
left join lateral (select agent_id from turns where agent_id = a.id and state = 'admitted' limit 1) t on true
left join lateral (select agent_id from approvals where agent_id = a.id and state = 'pending' limit 1) p on true
where a.id = %s for no key update of a

-- name: change
with changed as (
    update agents set state = %(state)s, failure = case when %(state)s = 'failed' then failure end, updated_at = now()
    where id = %(id)s returning id, profile_id
)
insert into audit_log (action, profile_id, agent_id, detail)
select %(action)s, profile_id, id, %(detail)s::jsonb from changed

-- name: below
with recursive below as (
    select %s::uuid as id union select a.id from agents a join below b on a.parent_id = b.id
)
select a.id from agents a join below using (id) where a.state not in ('killed', 'erased')

-- name: kill
select kill_agents as id from kill_agents(%s, %s, %s, %s)

-- name: spawn
with opened as (
    insert into conversations (id, profile_id, caller) values (%(id)s, %(profile_id)s, %(caller)s)
    on conflict (id) do nothing
), spawned as (
    insert into agents (id, profile_id, parent_id, shard, external, heartbeat_at)
    values (%(id)s, %(profile_id)s, %(parent_id)s, %(shard)s::smallint, %(external)s,
            case when %(external)s then now() end)
    on conflict (id) do nothing returning id, profile_id
)
insert into audit_log (action, profile_id, agent_id, detail)
select %(action)s, profile_id, id, %(detail)s::jsonb from spawned

-- name: heartbeat
select report_agent(%(id)s, %(state)s, %(note)s, %(input_tokens)s, %(output_tokens)s, %(cost_micros)s) as state

-- name: family
-- Every agent that works for this one, and for those.
with recursive below as (
    select id from agents where parent_id = %s union select a.id from agents a join below b on a.parent_id = b.id
)
select id from below order by id
