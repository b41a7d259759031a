-- name: begin
-- Those that are over go with it: nobody asks for them any more.
with over as (
    delete from web_sessions where expires_at < now()
), seen as (
    update users set signed_in_at = now() where id = %(user)s returning username
), noted as (
    insert into audit_log (action, caller, detail)
    select 'auth:session:opened', %(caller)s, jsonb_build_object('user', username) from seen
)
insert into web_sessions (hash, id, user_id, epoch, caller, user_agent, expires_at)
values (%(hash)s, %(id)s, %(user)s, %(epoch)s, %(caller)s, %(user_agent)s, now() + make_interval(secs => %(seconds)s))
returning expires_at

-- name: find
with live as (
    select s.hash, s.id as session_id, s.seen_at, u.id, u.username, u.email, u.role, u.issuer
    from web_sessions s join users u on u.id = s.user_id and u.epoch = s.epoch
    where s.hash = %(hash)s and s.expires_at > now() and u.disabled_at is null
      and s.seen_at > now() - make_interval(secs => %(idle)s)
), seen as (
    update web_sessions s set seen_at = now() from live
    where s.hash = live.hash and live.seen_at < now() - interval '1 minute'
)
select * from live

-- name: end
with gone as (
    delete from web_sessions where hash = %s returning user_id
)
insert into audit_log (action, detail)
select 'auth:session:ended', jsonb_build_object('user', u.username) from gone join users u on u.id = gone.user_id

-- name: of_user
select id, caller, user_agent, created_at, seen_at, expires_at from web_sessions
where user_id = %s and expires_at > now() order by created_at desc

-- name: revoke
with gone as (
    delete from web_sessions where user_id = %(user)s and id = %(id)s returning user_id
)
insert into audit_log (action, detail)
select 'admin:session:revoked', jsonb_build_object('user', u.username, 'by', %(by)s::text)
from gone join users u on u.id = gone.user_id
