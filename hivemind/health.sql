-- name: record
with old as (delete from health_checks where at < now() - interval '30 days')
insert into health_checks (status, checks) values (%s, %s)

-- name: history
-- The newest first.
select id, at, status, checks from health_checks
where at >= %(since)s and (%(after)s::bigint is null or id < %(after)s)
order by id desc limit %(limit)s
