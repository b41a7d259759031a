-- What the limits have to know of the time before the process began. The ids of turns are in the order of time,
-- so the primary key finds the newest. Only what the edge counted does: messages of public chat, whose caller
-- is the hash of an address, and those with a key, over `/v1` and `/mcp`; not what was given out as a job.

-- name: minute
-- In the fields of `Counted`, the oldest first. A message that opened its conversation did not count in it.
select extract(epoch from now() - t.admitted_at)::float8 as age_seconds, t.caller, t.profile_id,
       case when c.created_at < t.admitted_at then t.agent_id end as conversation_id
from turns t join agents g on g.id = t.agent_id left join conversations c on c.id = t.agent_id
where t.id >= %(first)s and t.admitted_at > now() - interval '1 minute'
  and (t.caller ~ '^[0-9a-f]{8}-[0-9a-f]{32}$'
       or (t.caller ~ '^(key|user):' and t.idempotency_scope ~ '^(openai|mcp):')) and g.parent_id is null
union all
select extract(epoch from now() - a.at)::float8, a.caller, a.profile_id, a.agent_id
from audit_log a
where a.action = 'chat:turn:refused' and a.at > now() - interval '1 minute'
  and a.caller ~ '^([0-9a-f]{8}-[0-9a-f]{32}$|(key|user):)' and not exists (select from effects e where e.id = a.agent_id)
order by age_seconds desc

-- name: day
select floor(extract(epoch from now() - at) / 60)::int as minutes_ago, count(*) as count
from (
    select t.admitted_at as at from turns t join agents g on g.id = t.agent_id
    where t.id >= %(first)s and t.admitted_at > now() - interval '1 day'
      and (t.caller ~ '^[0-9a-f]{8}-[0-9a-f]{32}$'
       or (t.caller ~ '^(key|user):' and t.idempotency_scope ~ '^(openai|mcp):')) and g.parent_id is null
    union all
    select a.at from audit_log a
    where a.action = 'chat:turn:refused' and a.at > now() - interval '1 day'
      and a.caller ~ '^([0-9a-f]{8}-[0-9a-f]{32}$|(key|user):)' and not exists (select from effects e where e.id = a.agent_id)
) counted
group by minutes_ago order by minutes_ago desc
