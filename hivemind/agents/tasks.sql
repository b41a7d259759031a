-- The statements of tasks.

-- name: create
with made as (
    insert into tasks (id, title, text, profile_id)
    values (%(id)s, %(title)s, %(text)s, %(profile_id)s) on conflict (id) do nothing returning *
), audited as (
    insert into audit_log (action, profile_id, agent_id, detail)
    select %(by)s || ':task:created', profile_id, %(agent_id)s, jsonb_build_object('task', id) from made
)
select * from made

-- name: by_id
select * from tasks where id = %s

-- name: page
-- Newest first; the conditions that are null count for nothing.
select * from tasks
where (%(after)s::uuid is null or id < %(after)s)
  and (%(state)s::text is null or state = %(state)s)
  and (%(source)s::text is null or source = %(source)s)
  and (%(profile_id)s::uuid is null or profile_id = %(profile_id)s)
order by id desc limit %(limit)s

-- name: change
with changed as (
    update tasks set title = %(title)s, text = %(text)s, state = %(state)s, profile_id = %(profile_id)s,
        updated_at = now()
    where id = %(id)s returning *
), audited as (
    insert into audit_log (action, profile_id, detail)
    select 'operator:task:changed', profile_id, jsonb_build_object('task', id, 'state', state) from changed
)
select * from changed

-- name: delete
with gone as (
    delete from tasks where id = %s and source = 'local' returning *
), audited as (
    insert into audit_log (action, profile_id, detail)
    select 'operator:task:deleted', profile_id, jsonb_build_object('task', id) from gone
)
select id from gone

-- name: mirror
-- Written only where the other side has a newer version, or a task that had been given up is there again.
insert into tasks as t (id, title, text, state, source, external_id, external_group, external_url, external_updated_at)
values (%(id)s, %(title)s, %(text)s, %(state)s, %(source)s, %(external_id)s, %(external_group)s, %(external_url)s,
        %(external_updated_at)s)
on conflict (source, external_id) do update
set title = excluded.title, text = excluded.text, state = excluded.state, external_group = excluded.external_group,
    external_url = excluded.external_url, external_updated_at = excluded.external_updated_at, updated_at = now()
where t.external_updated_at is null or excluded.external_updated_at > t.external_updated_at
returning (xmax = 0) as is_new

-- name: mirrored
select external_id from tasks where source = %s and external_group = %s and external_updated_at is not null

-- name: vanish
-- Gone on the other side: it stays here as dropped, and comes back when it is seen again.
update tasks set state = 'dropped', external_updated_at = null, updated_at = now()
where source = %s and external_id = %s and external_updated_at is not null returning id
