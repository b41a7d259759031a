-- What people see of agents.

-- name: agents
-- The newest first; a condition that is null counts for nothing.
select a.id, a.profile_id, p.slug as profile, a.state, a.parent_id, a.external, a.failure, a.note, a.heartbeat_at,
       a.created_at, a.updated_at
from agents a join agent_profiles p on p.id = a.profile_id
where (%(after)s::uuid is null or a.id < %(after)s)
  and (%(id)s::uuid is null or a.id = %(id)s)
  and (%(state)s::text is null or a.state = %(state)s)
  and (%(profile)s::text is null or p.slug = %(profile)s)
  and (%(parent_id)s::uuid is null or a.parent_id = %(parent_id)s)
order by a.id desc limit %(limit)s

-- name: used
-- What an agent has used in all, by this server's books and by the reports of its daemon.
select coalesce(c.input_tokens, 0) + a.input_tokens as input_tokens,
       coalesce(c.output_tokens, 0) + a.output_tokens as output_tokens,
       coalesce(c.cost_micros, 0) + a.cost_micros as cost_micros
from agents a
left join lateral (
    select sum(input_tokens)::bigint as input_tokens, sum(output_tokens)::bigint as output_tokens,
           sum(cost_micros)::bigint as cost_micros
    from costs where agent_id = a.id
) c on true
where a.id = %s

-- name: children
select id, state from agents where parent_id = %s order by id

-- name: turns
-- The newest first, each with what was said and what the guards found when it came in and went out.
select t.id, t.state, t.caller, t.model, t.attempts, t.parked, t.incomplete, t.error_code, t.error_message,
       t.admitted_at, t.ended_at, t.input_tokens, t.output_tokens, t.cost_micros,
       asked.text as message, said.text as reply,
       (select l.detail from audit_log l where l.turn_id = t.id and l.action = 'chat:turn:admitted' limit 1)
           as input_verdict,
       (select l.detail from audit_log l where l.turn_id = t.id and t.state <> 'admitted'
            and l.action = 'chat:turn:' || t.state limit 1) as output_verdict
from turns t
left join messages asked on asked.turn_id = t.id and asked.role = 'user'
left join messages said on said.turn_id = t.id and said.role = 'assistant'
where t.agent_id = %s and (%s::uuid is null or t.id < %s)
order by t.id desc limit %s

-- name: steps
select turn_id, step, model, text, input_tokens, output_tokens, cost_micros, detail, began_at, ended_at
from turn_steps where turn_id = any (%s) order by turn_id, step

-- name: effects
select turn_id, step, id, tool, arguments, state, outcome, detail, asked_at, started_at, ended_at
from effects where turn_id = any (%s) order by turn_id, step, position

-- name: approvals
select turn_id, id, effect_id, kind, state, on_deadline, deadline_at, asked_at, answered_at, answered_by, reason
from approvals where turn_id = any (%s) order by asked_at, id

-- name: last_turn
-- The turn that is under way, or else the last one.
select id from turns where agent_id = %s order by (state = 'admitted') desc, id desc limit 1
