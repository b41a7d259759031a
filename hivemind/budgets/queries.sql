-- name: hold
select hold_more(%s, %s, %s, make_interval(secs => %s)) as held

-- name: release_expired
select release_expired() as released
