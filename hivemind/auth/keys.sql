-- name: make
with made as (
    insert into api_keys (id, name, role, hint, hash, made_by, expires_at)
    values (%(id)s, %(name)s, %(role)s, %(hint)s, %(hash)s, %(by)s, %(expires_at)s)
    returning *
), noted as (
    insert into audit_log (action, detail)
    select 'admin:api-key:created', jsonb_build_object('key', name, 'id', id, 'role', role, 'by', made_by) from made
)
select * from made

-- name: rotate
with former as (
    update api_keys set expires_at = least(expires_at, now() + make_interval(secs => %(seconds)s))
    where id = %(former)s and revoked_at is null and (expires_at is null or expires_at > now())
    returning *, (select o.expires_at from api_keys o where o.id = %(former)s) as was
), made as (
    insert into api_keys (id, name, role, hint, hash, made_by, replaces, expires_at)
    select %(id)s, name, role, %(hint)s, %(hash)s, %(by)s, id, case when was is not null then now() + (was - created_at) end
    from former
    returning *
), noted as (
    insert into audit_log (action, detail)
    select 'admin:api-key:rotated', jsonb_build_object('key', name, 'id', id, 'replaces', replaces, 'by', made_by) from made
)
select * from made

-- name: revoke
with gone as (
    update api_keys set revoked_at = now() where id = %(id)s and revoked_at is null returning *
)
insert into audit_log (action, detail)
select 'admin:api-key:revoked', jsonb_build_object('key', name, 'id', id, 'by', %(by)s::text) from gone

-- name: key
select * from api_keys where id = %s

-- name: page
select * from api_keys where %(after)s::uuid is null or id < %(after)s order by id desc limit %(limit)s

-- name: find
with live as (
    select id, name, role, used_at from api_keys
    where hash = %s and revoked_at is null and (expires_at is null or expires_at > now())
), used as (
    update api_keys k set used_at = now() from live
    where k.id = live.id and (live.used_at is null or live.used_at < now() - interval '1 minute')
)
select * from live
