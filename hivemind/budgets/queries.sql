-- name: hold
select hold_more(%s, %s, %s, make_interval(secs => %s)) as held

-- name: release_expired
select release_expired() as released

-- name: caps
-- One cap, or a page of them. Of a cap for everyone the fullest window is shown.
select c.id, c.scope, c.subject, c.period, c.limit_micros, c.soft_share, c.on_soft, c.created_at, c.updated_at,
       p.slug as name, window_of(c.period, now()) as window_start, coalesce(w.subject, '') as window_subject,
       coalesce(w.spent_micros, 0) as spent_micros, coalesce(w.reserved_micros, 0) as reserved_micros,
       w.soft_at, w.acknowledged_until
from caps c
left join agent_profiles p on c.scope = 'profile' and p.id::text = c.subject
left join lateral (
    select * from cap_windows w where w.cap_id = c.id and w.window_start = window_of(c.period, now())
    order by w.spent_micros + w.reserved_micros desc limit 1
) w on true
where c.id = coalesce(%s, c.id) and (%s::uuid is null or c.id > %s)
order by c.id limit %s

-- name: strained
select c.id, c.scope, c.subject, c.period, c.limit_micros, c.soft_share, c.on_soft, c.created_at, c.updated_at,
       p.slug as name, w.window_start, w.subject as window_subject, w.spent_micros, w.reserved_micros,
       w.soft_at, w.acknowledged_until
from caps c
join cap_windows w on w.cap_id = c.id and w.window_start = window_of(c.period, now())
left join agent_profiles p on c.scope = 'profile' and p.id::text = c.subject
where w.spent_micros + w.reserved_micros >= coalesce(c.soft_micros, c.limit_micros)
order by c.id, w.subject limit 20

-- name: create
-- No row: there is one for this scope, subject and period.
with made as (
    insert into caps (id, scope, subject, period, limit_micros, soft_share, on_soft)
    values (%s, %s, %s, %s, %s, %s, %s) on conflict (scope, subject, period) do nothing returning *
), audited as (
    insert into audit_log (action, detail)
    select 'admin:cap:created', to_jsonb(made) || jsonb_build_object('by', %s::text) from made
)
select id from made

-- name: change
with old as (
    select * from caps where id = %s for update
), changed as (
    update caps c set limit_micros = %s, soft_share = %s, on_soft = %s, updated_at = now()
    from old where c.id = old.id returning c.*
), again as (
    update cap_windows w set soft_at = null from changed c
    where w.cap_id = c.id and w.soft_at is not null
      and (c.soft_micros is null or w.spent_micros < c.soft_micros)
), audited as (
    insert into audit_log (action, detail)
    select 'admin:cap:changed', jsonb_build_object('before', to_jsonb(old), 'after', to_jsonb(changed), 'by', %s::text)
    from old, changed
)
select id from changed

-- name: delete
with gone as (
    delete from caps where id = %s returning *
), audited as (
    insert into audit_log (action, detail)
    select 'admin:cap:deleted', to_jsonb(gone) || jsonb_build_object('by', %s::text) from gone
)
select id from gone

-- name: acknowledge
-- Until the window ends, unless another time is named.
with done as (
    insert into cap_windows (cap_id, subject, window_start, acknowledged_until)
    select c.id, %s, window_of(c.period, now()),
           coalesce(%s, (window_of(c.period, now()) + ('1 ' || c.period)::interval) at time zone 'UTC')
    from caps c where c.id = %s and c.period <> 'turn'
    on conflict (cap_id, subject, window_start) do update set acknowledged_until = excluded.acknowledged_until
    returning *
), audited as (
    insert into audit_log (action, detail)
    select 'admin:cap:acknowledged', to_jsonb(done) || jsonb_build_object('by', %s::text) from done
)
select cap_id from done

-- name: costs
-- The parts in braces are fragments of `costs`, never what a caller wrote. A turn that ended before a call was
-- made has a row for that call all the same, with nothing in it.
select {slug}sums.* from (
    select {keys}coalesce(sum(c.input_tokens), 0)::bigint as input_tokens,
           coalesce(sum(c.output_tokens), 0)::bigint as output_tokens,
           coalesce(sum(c.cost_micros), 0)::bigint as cost_micros,
           count(*) filter (where c.input_tokens + c.output_tokens + c.cost_micros > 0) as calls,
           count(distinct c.turn_id) as turns
    from costs c where c.at >= %s and c.at < %s {grouped}
) sums {after} {ordered} limit %s
