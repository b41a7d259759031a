-- name: is_empty
select not exists (select from users) as is_empty

-- name: register
with made as (
    insert into users (id, username, email, role, password_hash, first)
    select %(id)s, %(username)s, %(email)s, 'admin', %(password_hash)s, true
    where not exists (select from users)
    on conflict do nothing
    returning *
), noted as (
    insert into audit_log (action, detail)
    select 'auth:user:registered', jsonb_build_object('user', username, 'role', role) from made
)
select * from made

-- name: create
with made as (
    insert into users (id, username, email, role, password_hash, issuer, subject, bound)
    values (%(id)s, %(username)s, %(email)s, %(role)s, %(password_hash)s, %(issuer)s, %(subject)s,
            %(issuer)s::text is not null)
    returning *
), noted as (
    insert into audit_log (action, detail)
    select 'admin:user:created', jsonb_build_object('user', username, 'role', role, 'issuer', issuer,
                                                    'subject', subject, 'by', %(by)s::text)
    from made
)
select * from made

-- name: known
select *, signed_in_at is null or signed_in_at < now() - interval '1 hour' as is_stale
from users where issuer = %(issuer)s and subject = %(subject)s

-- name: arrive
with made as (
    insert into users (id, username, email, role, issuer, subject, signed_in_at)
    values (%(id)s, %(username)s, %(email)s, %(role)s, %(issuer)s, %(subject)s, now())
    on conflict (issuer, subject) do nothing
    returning *
), noted as (
    insert into audit_log (action, detail)
    select 'auth:user:arrived', jsonb_build_object('user', username, 'role', role, 'issuer', issuer, 'subject', subject)
    from made
)
select * from made

-- name: renew
-- What the provider says now; the role only where no admin has said another.
with former as (
    select id, role from users where id = %(id)s
), changed as (
    update users u
    set email = %(email)s, role = case when u.bound then u.role else %(role)s end,
        epoch = u.epoch + case when u.bound or u.role = %(role)s then 0 else 1 end,
        signed_in_at = now(), updated_at = now()
    where u.id = %(id)s
    returning u.*
), ended as (
    delete from web_sessions s using changed c where s.user_id = c.id and s.epoch < c.epoch
), noted as (
    insert into audit_log (action, detail)
    select 'auth:user:changed', jsonb_build_object('user', username, 'role', c.role, 'former', f.role)
    from changed c join former f using (id) where c.role <> f.role
)
select * from changed

-- name: shut_out
-- Nobody with a role any more: what is open under the former one ends.
with ended as (
    delete from web_sessions where user_id = %s returning user_id
)
update users set epoch = epoch + 1 where id in (select user_id from ended)

-- name: page
select * from users where %(after)s::text is null or username > %(after)s order by username limit %(limit)s

-- name: user
select * from users where id = %s

-- name: proof
select * from users where username = %s and disabled_at is null and password_hash is not null

-- name: change
-- No row where the last account that may administer would go.
with changed as (
    update users u
    set email = coalesce(%(email)s::text, u.email), role = coalesce(%(role)s::text, u.role),
        password_hash = coalesce(%(password_hash)s::text, u.password_hash),
        bound = u.issuer is not null and coalesce(%(bound)s::boolean, u.bound or %(role)s::text is not null),
        disabled_at = case %(disabled)s::boolean when true then coalesce(u.disabled_at, now()) when false then null
                                                  else u.disabled_at end,
        epoch = u.epoch + case when %(password_hash)s::text is not null or %(role)s::text is not null
                                    or %(disabled)s::boolean or not %(bound)s::boolean then 1 else 0 end,
        updated_at = now()
    where u.id = %(id)s
      and ((coalesce(%(role)s::text, u.role) = 'admin' and not coalesce(%(disabled)s::boolean, u.disabled_at is not null))
           or exists (select from users o where o.id <> u.id and o.role = 'admin' and o.disabled_at is null for update)
           or u.role <> 'admin' or u.disabled_at is not null)
    returning u.*
), ended as (
    delete from web_sessions s using changed c
    where s.user_id = c.id and s.epoch < c.epoch
), noted as (
    insert into audit_log (action, detail)
    select 'admin:user:changed', jsonb_build_object('user', username, 'role', role, 'disabled', disabled_at is not null,
                                                    'password', %(password_hash)s::text is not null, 'bound', bound,
                                                    'by', %(by)s::text)
    from changed
)
select * from changed

-- name: delete
with gone as (
    delete from users u
    where u.id = %(id)s
      and (u.role <> 'admin' or u.disabled_at is not null
           or exists (select from users o where o.id <> u.id and o.role = 'admin' and o.disabled_at is null for update))
    returning u.*
)
insert into audit_log (action, detail)
select 'admin:user:deleted', jsonb_build_object('user', username, 'role', role, 'by', %(by)s::text) from gone

-- name: change_password
with changed as (
    update users set password_hash = %(password_hash)s, epoch = epoch + 1, updated_at = now() where id = %(id)s returning *
), ended as (
    delete from web_sessions s using changed c where s.user_id = c.id and s.hash <> %(keep)s
), kept as (
    update web_sessions s set epoch = c.epoch from changed c where s.user_id = c.id and s.hash = %(keep)s
)
insert into audit_log (action, detail)
select 'auth:password:changed', jsonb_build_object('user', username, 'by', %(by)s::text) from changed
