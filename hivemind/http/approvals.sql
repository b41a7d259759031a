-- name: approvals
-- Those that wait first, the next deadline before the others; then those that were answered, the newest first.
with told as (
    select p.id, p.kind, p.state, p.on_deadline, p.deadline_at, p.asked_at, p.answered_at, p.answered_by, p.reason,
           p.agent_id, p.turn_id, r.slug as profile, e.id as effect_id, e.tool, e.arguments, e.state as effect_state,
           case when p.state = 'pending' then 0 else 1 end as part,
           case when p.state = 'pending' then p.deadline_at else to_timestamp(-extract(epoch from p.answered_at)) end
               as place
    from approvals p join effects e on e.id = p.effect_id join agents a on a.id = p.agent_id
    join agent_profiles r on r.id = a.profile_id
    where (%(id)s::uuid is null or p.id = %(id)s)
      and (%(state)s::text is null or p.state = %(state)s)
      and (%(agent_id)s::uuid is null or p.agent_id = %(agent_id)s)
)
select * from told
where %(part)s::int is null or (part, place, id) > (%(part)s, %(place)s::timestamptz, %(after)s::uuid)
order by part, place, id limit %(limit)s
