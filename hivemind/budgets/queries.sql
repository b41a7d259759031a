-- name: release_expired
-- Each release is audited in the same statement.
with expired as (
    delete from reservations r using turns t
    where t.id = r.turn_id and t.state <> 'admitted' and r.lease_until < now()
    returning r.turn_id, r.cap_id, r.window_start, r.amount_micros
), released as (
    update cap_windows w set reserved_micros = w.reserved_micros - held.amount
    from (select cap_id, window_start, sum(amount_micros) as amount from expired group by 1, 2) held
    where w.cap_id = held.cap_id and w.window_start = held.window_start
)
insert into audit_log (action, turn_id, detail)
select 'budget:reservation:released', turn_id, jsonb_build_object('amount_micros', amount_micros) from expired
