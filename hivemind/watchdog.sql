-- name: record_health
insert into health_checks (status, checks) values (%s, %s)
