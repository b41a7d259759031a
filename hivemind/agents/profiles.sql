-- The statements of the profiles' rows. What is edited is everything but id, slug and times.

-- name: page
select * from agent_profiles
where (%(after)s::text is null or slug > %(after)s) and (%(archived)s or archived_at is null)
order by slug limit %(limit)s

-- name: by_slug
select * from agent_profiles where slug = %s

-- name: lock
select * from agent_profiles where slug = %s for update

-- name: create
insert into agent_profiles (id, slug, name, prompt) values (%s, %s, '', '')
on conflict (slug) do nothing returning *

-- name: change
update agent_profiles p set
    (name, prompt, tier, model, cheaper_model, max_input_chars, max_output_tokens, history_messages,
     injection_threshold, on_injection, when_busy, when_client_leaves, max_messages_per_minute, max_steps,
     max_turn_seconds, max_turn_tokens, max_turn_micros, max_same_calls, approval_seconds, on_approval_deadline, tools,
     documents_only, on_client_instructions, widget_origins, updated_at)
    = (select r.name, r.prompt, r.tier, r.model, r.cheaper_model, r.max_input_chars, r.max_output_tokens,
              r.history_messages, r.injection_threshold, r.on_injection, r.when_busy, r.when_client_leaves,
              r.max_messages_per_minute, r.max_steps, r.max_turn_seconds, r.max_turn_tokens, r.max_turn_micros,
              r.max_same_calls, r.approval_seconds, r.on_approval_deadline, r.tools, r.documents_only,
              r.on_client_instructions, r.widget_origins, greatest(now(), p.updated_at + interval '1 microsecond')
       from jsonb_populate_record(p, %s::jsonb) r)
where p.id = %s returning *

-- name: archive
update agent_profiles
set archived_at = case when %(archived)s then now() end, updated_at = greatest(now(), updated_at + interval '1 microsecond')
where slug = %(slug)s and (archived_at is not null) <> %(archived)s returning *

-- name: delete
delete from agent_profiles where id = %s
