-- The statements of the agents. The four that change state are functions of migrations/0001.

-- name: profiles
-- The fields of `Profile` and of its `Bounds`.
select id, slug, name, prompt, tier, model, cheaper_model, max_input_chars, max_output_tokens, history_messages,
       injection_threshold, on_injection, when_busy, when_client_leaves, max_messages_per_minute,
       max_steps, max_turn_seconds, max_turn_tokens, max_turn_micros, max_same_calls,
       approval_seconds, on_approval_deadline, tools, documents_only, on_client_instructions, widget_origins,
       created_at, updated_at, archived_at
from agent_profiles

-- name: admit
select outcome, turn, agent, model
from admit(%s, %s, %s, %s, %s, %s::smallint, %s, %s, %s, %s, %s, %s, make_interval(secs => %s), %s::jsonb,
           %s, %s, %s, %s)

-- name: admit_given
-- The same with what the client gave along.
select a.outcome, a.turn, a.agent, a.model,
       case when a.outcome = 'admitted' then keep_given(a.turn, a.agent, %s::jsonb, %s, %s, %s, %s, %s::jsonb) end
from admit(%s, %s, %s, %s, %s, %s::smallint, %s, %s, %s, %s, %s, %s, make_interval(secs => %s), %s::jsonb,
           %s, %s, %s, %s) a

-- name: commit
select commit_turn(%s, %s, %s, %s, %s::smallint, %s, %s, %s, %s, %s, %s, %s::jsonb) as done

-- name: commit_calls
-- The same with the calls that are the client's to make.
with ended as materialized (
    select commit_turn(%s, %s, %s, %s, %s::smallint, %s, %s, %s, %s, %s, %s, %s::jsonb) as done
), kept as (
    update turn_given g set calls = %s::jsonb from ended where ended.done and g.turn_id = %s
)
select done from ended

-- name: claim
select epoch, profile_id, agent_state, turn, turn_attempts
from claim(%s, make_interval(secs => %s), %s)

-- name: history
-- The newest messages of a conversation, oldest first, without those of turns that ended unanswered.
select role, text from (
    select m.id, m.role, m.text
    from messages m join turns t on t.id = m.turn_id
    where m.conversation_id = %s and t.state = 'answered'
    order by m.id desc limit %s
) newest order by id

-- name: unfinished
select t.caller, m.text, t.model, given_of(t.id) as given
from turns t join messages m on m.turn_id = t.id and m.role = 'user'
where t.id = %s and t.state = 'admitted'

-- name: ended_turn
select t.state, m.text, coalesce(t.input_tokens, 0) as input_tokens,
       coalesce(t.output_tokens, 0) as output_tokens, coalesce(t.cost_micros, 0) as cost_micros,
       t.incomplete, t.error_code, t.error_message, g.calls
from turns t left join messages m on m.turn_id = t.id and m.role = 'assistant'
     left join turn_given g on g.turn_id = t.id
where t.id = %s and t.agent_id = %s

-- name: unfinished_agents
-- Those that were told to wait are left alone, and those that wait for a person who has not answered; what is
-- stopped is still to be ended. What another server that lives works on is its own business; so is, while there is
-- one, what was begun so lately that nobody can have been told whose it is.
select distinct t.agent_id from turns t join agents a on a.id = t.agent_id
where t.state = 'admitted' and a.state <> 'paused'
and not exists (select from approvals p where p.turn_id = t.id and p.state = 'pending' and a.state = 'waiting_approval')
and (t.parked or not (
    coalesce(t.kept_by is distinct from %(server)s and t.kept_until > now(), false)
    or (coalesce(t.resumed_at, t.admitted_at) > now() - make_interval(secs => %(kept_seconds)s)
        and exists (select from servers s where s.id is distinct from %(server)s and s.alive_until > now()))))

-- name: keep_turns
select keep_turns(%s, make_interval(secs => %s), %s::uuid[], %s::bigint[], make_interval(secs => %s))

-- name: leave_turns
select leave_turns(%s)

-- name: give_up
update agents set state = 'failed', failure = %s, updated_at = now()
where id = %s and state not in ('stopped', 'killed', 'erased')
