-- The statements of a turn's steps; what changes state is a function of migrations/0005.

-- name: record_step
select record_step(%s, %s, %s::smallint, %s, %s, %s::jsonb, %s, %s, %s, %s::jsonb, %s, %s::jsonb,
                   make_interval(secs => %s), %s) as done

-- name: start_effects
select start_effects(%s, %s, %s) as done

-- name: end_effect
select end_effect(%s, %s, %s, %s, %s, %s::jsonb) as done

-- name: park
select park(%s, %s, %s::uuid[], %s::text[], make_interval(secs => %s)) as done

-- name: steps
select step, model, text, calls, input_tokens, output_tokens, cost_micros
from turn_steps where turn_id = %s order by step

-- name: effects
select id, step, position, call_id, tool, arguments, state, outcome
from effects where turn_id = %s order by step, position

-- name: answer_approval
select agent from answer_approval(%s, %s, %s, %s) as agent where agent is not null

-- name: expire_approvals
select agent from expire_approvals() as agent where agent is not null
