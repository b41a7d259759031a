-- What a turn is run again from; the frames are kept by `recording`.

-- name: keep_frame
insert into turn_frames (digest, frame) values (%s, %s::jsonb) on conflict do nothing

-- name: turn
select t.id, t.agent_id, t.profile_id, t.caller, t.state, t.model, t.incomplete, t.error_code, t.error_message,
       t.asked, t.admitted_at, t.ended_at, coalesce(t.cost_micros, 0) as cost_micros, u.id as message, u.text, r.text as reply,
       given_of(t.id) as given, g.calls
from turns t
join messages u on u.turn_id = t.id and u.role = 'user'
left join messages r on r.turn_id = t.id and r.role = 'assistant'
left join turn_given g on g.turn_id = t.id
where t.id = %s

-- name: history
-- The newest messages that were answered before a message, oldest first.
select role, text from (
    select m.id, m.role, m.text
    from messages m join turns t on t.id = m.turn_id
    where m.conversation_id = %s and m.id < %s and t.state = 'answered'
    order by m.id desc limit %s
) newest order by id

-- name: steps
select step, detail, began_at, ended_at from turn_steps where turn_id = %s order by step

-- name: effects
select step, state, detail, started_at, ended_at from effects where turn_id = %s order by step, position

-- name: last_cost
select input_tokens, output_tokens, cost_micros from costs where turn_id = %s and call = %s

-- name: frame
select frame from turn_frames where digest = %s
