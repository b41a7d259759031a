-- The statements of the audit log. What changes it is a function of migrations/0003.

-- name: record
insert into audit_log (action, profile_id, agent_id, turn_id, caller, detail, text)
values (%s, %s, %s, %s, %s, %s, %s)

-- name: seal
select sealed, seq, hash from audit_seal(%s)

-- name: erase
select outcome, turn, messages, entries from erase_conversation(%s, %s)

-- name: expire
select at from audit_expire(%s, %s, %s) as at

-- name: end
-- Where the chain ends, and how many rows are not part of it yet.
select coalesce((select max(seq) from audit_log), 0) as seq,
       (select count(*) from audit_log where seq is null) as unsealed

-- name: chain
select e.seq as sealed_seq, e.unsealed, h.seq as signed_seq, h.signed_at, h.key_id
from (select coalesce((select max(seq) from audit_log), 0) as seq,
             (select count(*) from audit_log where seq is null) as unsealed) e
     left join lateral (select * from audit_heads order by seq desc limit 1) h on true

-- name: last_head
select seq, signed_at from audit_heads order by seq desc limit 1

-- name: sign
insert into audit_heads (seq, hash, signed_at, key_id, signature)
values (%s, %s, %s::timestamptz, %s, %s) on conflict do nothing

-- name: page
-- For the columns of `Entry`; {where} and {order} are parts of `entries`, never what a caller wrote.
select a.seq, a.at, a.action, a.profile_id, p.slug as profile, a.agent_id, a.turn_id, a.caller, a.detail, a.text,
       a.erased_at
from audit_log a left join agent_profiles p on p.id = a.profile_id
where a.seq is not null {where}
order by a.seq {order} limit %(fetch)s

-- name: export
-- Each row as its line of the export. What is hashed is told exactly as Postgres writes it.
select a.seq, json_build_object(
    'kind', 'entry', 'seq', a.seq, 'at', audit_time(a.at), 'action', a.action, 'profile_id', a.profile_id,
    'agent_id', a.agent_id, 'turn_id', a.turn_id, 'caller', a.caller, 'detail', a.detail, 'text', a.text,
    'salt', encode(a.salt, 'hex'), 'digest', encode(a.digest, 'hex'), 'previous', encode(a.previous, 'hex'),
    'hash', encode(a.hash, 'hex'), 'erased_at', a.erased_at)::text as line
from audit_log a
where a.seq is not null {where}
order by a.seq limit %(fetch)s

-- name: heads
select seq, json_build_object(
    'kind', 'head', 'seq', seq, 'hash', encode(hash, 'hex'), 'signed_at', audit_time(signed_at),
    'key_id', key_id, 'signature', encode(signature, 'hex'))::text as line
from audit_heads where seq > %s and seq <= %s order by seq
