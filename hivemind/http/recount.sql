-- What the limits have to know of the time before the process began. The ids of turns are in the order of time,
-- so the primary key finds the newest.

-- name: minute
-- In the fields of `Counted`, the oldest first. A message that opened its conversation did not count in it.
select extract(epoch from now() - t.admitted_at)::float8 as age_seconds, t.caller, t.profile_id,
       case when c.created_at < t.admitted_at then t.agent_id end as conversation_id
from turns t left join conversations c on c.id = t.agent_id
where t.id >= %(first)s and t.admitted_at > now() - interval '1 minute'
union all
select extract(epoch from now() - a.at)::float8, a.caller, a.profile_id, a.agent_id
from audit_log a
where a.action = 'chat:turn:refused' and a.at > now() - interval '1 minute'
order by age_seconds desc

-- name: day
select floor(extract(epoch from now() - at) / 60)::int as minutes_ago, count(*) as count
from (
    select admitted_at as at from turns
    where id >= %(first)s and admitted_at > now() - interval '1 day'
    union all
    select at from audit_log where action = 'chat:turn:refused' and at > now() - interval '1 day'
) counted
group by minutes_ago order by minutes_ago desc
