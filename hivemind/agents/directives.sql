-- The statements of directives. Those that are audited are functions of migrations/0007.

-- name: direct
select * from direct(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s)

-- name: by_key
select * from directives where idempotency_key = %s

-- name: by_id
select * from directives where id = %s

-- name: page
-- Newest first; the conditions that are null count for nothing.
select * from directives
where (%(after)s::uuid is null or id < %(after)s)
  and (%(state)s::text is null or state = %(state)s)
  and (%(profile_id)s::uuid is null or profile_id = %(profile_id)s)
  and (%(schedule_id)s::uuid is null or schedule_id = %(schedule_id)s)
  and (%(task_id)s::uuid is null or task_id = %(task_id)s)
order by id desc limit %(limit)s

-- name: change
with old as (
    select * from directives where id = %(id)s and state = 'queued' for update
), changed as (
    update directives d set text = %(text)s, not_before = %(not_before)s, retry = %(retry)s::jsonb
    from old where d.id = old.id returning d.*
), audited as (
    insert into audit_log (action, profile_id, agent_id, detail)
    select 'operator:directive:changed', profile_id, agent_id, jsonb_build_object('directive', id) from changed
)
select * from changed

-- name: cancel
select * from cancel_directives(%s, %s, %s)

-- name: delete
with gone as (
    delete from directives where id = %s and state in ('done', 'failed', 'cancelled') returning *
), audited as (
    insert into audit_log (action, profile_id, agent_id, detail)
    select 'operator:directive:deleted', profile_id, agent_id, jsonb_build_object('directive', id) from gone
)
select id from gone

-- name: take
-- Those that are due, and those whose owner is gone; of a schedule only the eldest that has not ended.
with free as (
    select d.id, d.state from directives d
    where (d.state = 'queued' and d.not_before <= now() or d.state = 'running' and d.lease_until < now())
      and d.id <> all(%(in_hand)s)
      and (d.schedule_id is null or not exists (
          select from directives e
          where e.schedule_id = d.schedule_id and e.id < d.id and e.state in ('queued', 'running')))
    order by d.id limit %(limit)s for update of d skip locked
)
update directives d
set state = 'running', owner = %(owner)s, lease_until = now() + make_interval(secs => %(lease_seconds)s),
    attempts = d.attempts + (free.state = 'queued')::int, takes = d.takes + 1,
    started_at = coalesce(d.started_at, now())
from free where d.id = free.id
returning d.*

-- name: keep
-- Lease anew what is still this owner's, and say whose agent waits for a person.
update directives d set lease_until = now() + make_interval(secs => %(lease_seconds)s)
where d.owner = %(owner)s and d.id = any(%(in_hand)s)
returning d.id, exists (select from agents a where a.id = d.agent_id and a.state in ('waiting_approval', 'paused')) as waits

-- name: let_go
-- What an owner holds is free after that long; at once where it is all that it holds.
update directives set lease_until = now() + make_interval(secs => %(seconds)s)
where owner = %(owner)s and (%(id)s::uuid is null or id = %(id)s)

-- name: outcome
-- How the turn of an attempt stands, and whether it called tools. No row: it was not admitted.
select t.state, t.incomplete, t.error_code, t.error_message, m.text,
       exists (select from effects e where e.turn_id = t.id and e.started_at is not null) as acted
from turns t left join messages m on m.turn_id = t.id and m.role = 'assistant'
where t.idempotency_scope = 'directive' and t.idempotency_key = %s

-- name: end
select end_directive(%s, %s, %s, %s, %s, %s, %s) as done

-- name: again
with again as (
    update directives
    set state = 'queued', agent_id = %(agent_id)s, owner = null, lease_until = null, takes = 0,
        not_before = now() + make_interval(secs => %(seconds)s),
        failure_code = %(code)s, failure_message = %(message)s
    where id = %(id)s and state = 'running' and owner = %(owner)s returning *
), audited as (
    insert into audit_log (action, profile_id, agent_id, detail)
    select 'work:directive:retried', profile_id, %(old_agent_id)s,
           jsonb_build_object('directive', id, 'attempts', attempts, 'code', failure_code)
    from again
)
select id from again
