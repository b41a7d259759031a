-- name: conversations
-- The newest first: the ids are in the order of time.
select c.id, c.profile_id, p.slug as profile, c.caller, c.created_at, c.erased_at, a.state
from conversations c join agent_profiles p on p.id = c.profile_id left join agents a on a.id = c.id
where (%s::uuid is null or c.id < %s) order by c.id desc limit %s

-- name: conversation
select c.id, c.profile_id, p.slug as profile, c.caller, c.created_at, c.erased_at, a.state
from conversations c join agent_profiles p on p.id = c.profile_id left join agents a on a.id = c.id
where c.id = %s

-- name: messages
select id, turn_id, role, text, created_at from messages
where conversation_id = %s and id > %s order by id limit %s
