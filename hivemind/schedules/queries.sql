-- The statements of schedules and their ticks.

-- name: create
-- No row: the name is taken, or the id.
with made as (
    insert into schedules (id, name, cron, time_zone, profile_id, text, overlap, catch_up, catch_up_seconds, retry,
                           next_run_at)
    values (%(id)s, %(name)s, %(cron)s, %(time_zone)s, %(profile_id)s, %(text)s, %(overlap)s, %(catch_up)s,
            %(catch_up_seconds)s, %(retry)s::jsonb, %(next_run_at)s)
    on conflict do nothing returning *
), audited as (
    insert into audit_log (action, profile_id, agent_id, detail)
    select %(by)s || ':schedule:created', profile_id, %(agent_id)s,
           jsonb_build_object('schedule', id, 'name', name, 'cron', cron, 'time_zone', time_zone)
    from made
)
select * from made

-- name: page
select * from schedules where id = coalesce(%s, id) and (%s::uuid is null or id > %s) order by id limit %s

-- name: change
with changed as (
    update schedules s
    set name = %(name)s, cron = %(cron)s, time_zone = %(time_zone)s, profile_id = %(profile_id)s, text = %(text)s,
        overlap = %(overlap)s, catch_up = %(catch_up)s, catch_up_seconds = %(catch_up_seconds)s,
        retry = %(retry)s::jsonb, failure = null, updated_at = now(),
        next_run_at = case when s.paused then null
                           when s.failure is not null or s.next_run_at is null
                                or (s.cron, s.time_zone) <> (%(cron)s, %(time_zone)s) then %(next_run_at)s
                           else s.next_run_at end
    where s.id = %(id)s returning s.*
), audited as (
    insert into audit_log (action, profile_id, detail)
    select 'operator:schedule:changed', profile_id,
           jsonb_build_object('schedule', id, 'name', name, 'cron', cron, 'time_zone', time_zone)
    from changed
)
select * from changed

-- name: pause
with paused as (
    update schedules set paused = %(paused)s, next_run_at = %(next_run_at)s, updated_at = now()
    where id = %(id)s returning *
), audited as (
    insert into audit_log (action, profile_id, detail)
    select case when paused then 'operator:schedule:paused' else 'operator:schedule:resumed' end, profile_id,
           jsonb_build_object('schedule', id)
    from paused
)
select * from paused

-- name: delete
with gone as (
    delete from schedules where id = %s returning *
), audited as (
    insert into audit_log (action, profile_id, detail)
    select 'operator:schedule:deleted', profile_id, jsonb_build_object('schedule', id, 'name', name) from gone
)
select id from gone

-- name: ticks
select t.due_at, t.outcome, t.directive_id, t.by_hand, t.detail, t.at, d.state
from schedule_ticks t left join directives d on d.id = t.directive_id
where t.schedule_id = %s and (%s::timestamptz is null or t.due_at < %s)
order by t.due_at desc limit %s

-- name: due
select id from schedules where next_run_at <= %s order by next_run_at limit %s

-- name: lock_due
-- Only one server at a time looks at a schedule; no row: another has done so.
select * from schedules where id = %s and next_run_at <= %s for update skip locked

-- name: lock
select * from schedules where id = %s for update

-- name: unfinished
select count(*) as count from directives where schedule_id = %s and state in ('queued', 'running')

-- name: record
-- No row: this due time has been seen to.
with made as (
    insert into schedule_ticks (schedule_id, due_at, outcome, by_hand, detail)
    values (%(schedule_id)s, %(due_at)s, %(outcome)s, %(by_hand)s, %(detail)s::jsonb)
    on conflict do nothing returning *
), audited as (
    insert into audit_log (action, profile_id, detail)
    select 'schedule:tick:' || replace(outcome, '_', '-'), %(profile_id)s,
           jsonb_build_object('schedule', schedule_id, 'due_at', due_at, 'by_hand', by_hand) || detail
    from made
)
select due_at from made

-- name: miss
with made as (
    insert into schedule_ticks (schedule_id, due_at, outcome)
    select %(schedule_id)s, due_at, 'missed' from unnest(%(due_at)s::timestamptz[]) due_at
    on conflict do nothing returning due_at
)
insert into audit_log (action, profile_id, detail)
select 'schedule:tick:missed', %(profile_id)s,
       jsonb_build_object('schedule', %(schedule_id)s::uuid, 'count', count(*), 'first', min(due_at), 'last', max(due_at))
from made having count(*) > 0

-- name: stamp
update schedule_ticks set directive_id = %s where schedule_id = %s and due_at = %s

-- name: ran
update schedules set last_run_at = %s, last_directive_id = %s where id = %s

-- name: advance
update schedules set next_run_at = %s where id = %s

-- name: fail
update schedules set next_run_at = null, failure = %s where id = %s
