-- name: judge_now
-- One row for the one watchdog of all servers that judges in this interval.
update watchdog set judged_at = now() where judged_at <= now() - make_interval(secs => %s) returning judged_at

-- name: suspects
-- Agents that break a rule now, or have strikes. Those that have ended are not judged any more.
with running as (
    select t.agent_id,
           now() - coalesce(t.resumed_at, t.admitted_at)
               > make_interval(secs => p.max_turn_seconds + %(grace_seconds)s) as runtime,
           (select sum(c.cost_micros) from costs c where c.turn_id = t.id) > p.max_turn_micros as cost
    from turns t join agent_profiles p on p.id = t.profile_id
    where t.state = 'admitted' and not t.parked
)
select a.id, a.state, a.profile_id, coalesce(s.strikes, 0) as strikes, array_remove(array[
           case when a.external and a.heartbeat_at < now() - make_interval(secs => %(heartbeat_seconds)s)
                then 'heartbeat' end,
           case when exists (select from running r where r.agent_id = a.id and r.runtime) then 'runtime' end,
           case when exists (select from running r where r.agent_id = a.id and r.cost) then 'cost' end
       ], null) as breaches
from agents a left join watchdog_strikes s on s.agent_id = a.id
where a.state in ('idle', 'running', 'waiting_approval', 'paused')
  and (s.agent_id is not null
       or a.id in (select agent_id from running where runtime or cost)
       or (a.external and a.state <> 'paused'
           and a.heartbeat_at < now() - make_interval(secs => %(heartbeat_seconds)s)))
order by a.id

-- name: set_strikes
insert into watchdog_strikes (agent_id, strikes, breaches) values (%s, %s, %s)
on conflict (agent_id) do update set strikes = excluded.strikes, breaches = excluded.breaches, judged_at = now()

-- name: forget_strikes
delete from watchdog_strikes where agent_id = %s

-- name: forget_ended
delete from watchdog_strikes s using agents a
where a.id = s.agent_id and a.state not in ('idle', 'running', 'waiting_approval', 'paused')
