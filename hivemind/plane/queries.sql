-- The statements of the pull.

-- name: last
select updated_to, pulls from pulls where source = 'plane' and project = %s

-- name: pulled
-- What a pull did is audited where it did something.
with noted as (
    insert into pulls as p (source, project, updated_to, pulls, pulled_at, failure)
    values ('plane', %(project)s, %(updated_to)s, 1, now(), null)
    on conflict (source, project) do update
    set updated_to = coalesce(excluded.updated_to, p.updated_to), pulls = p.pulls + 1, pulled_at = now(), failure = null
    returning project
)
insert into audit_log (action, detail)
select 'plane:project:pulled', %(detail)s::jsonb || jsonb_build_object('project', project)
from noted where %(worth)s

-- name: failed
insert into pulls as p (source, project, failure) values ('plane', %s, %s)
on conflict (source, project) do update set failure = excluded.failure

-- name: deliver
-- No row: it was delivered before.
with old as (
    delete from deliveries where at < now() - interval '7 days'
)
insert into deliveries (source, id) values ('plane', %s) on conflict do nothing returning id
