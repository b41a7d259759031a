-- name: read
select stage, reason, changed_by, changed_at from kill_switch

-- name: turn
select done, stage, reason, changed_by, changed_at from turn_kill_switch(%s::smallint, %s, %s)
