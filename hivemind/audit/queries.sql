-- name: record
insert into audit_log (action, profile_id, agent_id, turn_id, caller, detail)
values (%s, %s, %s, %s, %s, %s)
