-- What was done, by whom and with which verdict: appended, sealed into a chain, never changed.
--
-- A row is written inside the transaction that it tells of, unsealed: a chain that was extended there would
-- make every commit of the product wait for the one before. `audit_seal` links what has been committed since,
-- in batches. The form of what is hashed is part of the product's contract: docs/reference/audit.md.

create table audit_log (
    id          bigint generated always as identity,
    at          timestamptz not null default now(),
    action      text not null,
    profile_id  uuid,
    agent_id    uuid,
    turn_id     uuid,
    caller      text,
    -- What may be erased: verdicts and scrubbed text. The chain knows it by its salted digest only.
    detail      jsonb default '{}',
    text        text,
    -- The seal.
    seq         bigint,
    salt        bytea,
    digest      bytea,
    previous    bytea,
    hash        bytea,
    erased_at   timestamptz
);
create unique index audit_log_seq on audit_log (seq) where seq is not null;
create unique index audit_log_unsealed on audit_log (id) where seq is null;
create index audit_log_at on audit_log (at);
create index audit_log_agent on audit_log (agent_id, seq) where seq is not null;

-- The end of the chain at a time, signed with a key that the database does not have.
create table audit_heads (
    seq        bigint primary key,
    hash       bytea not null,
    signed_at  timestamptz not null,
    key_id     text not null,
    signature  bytea not null
);

create function audit_time(p_at timestamptz) returns text language sql stable as $$
    select to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;

create function audit_link(p_state bytea, p_previous bytea, p_entry text) returns bytea language sql immutable as $$
    select sha256(coalesce(p_state, p_previous) || convert_to(p_entry, 'UTF8'))
$$;

-- The hash of each entry over all before it; the first argument is the hash that the first one follows.
create aggregate audit_chain(bytea, text) (sfunc = audit_link, stype = bytea);

-- Seal up to `p_limit` rows that are committed, in the order of their ids. One caller at a time, so that the
-- chain has no fork; returns how many were sealed and where the chain ends.
create function audit_seal(p_limit integer, out sealed integer, out seq bigint, out hash bytea)
language plpgsql as $$
begin
    sealed := 0;
    perform pg_advisory_xact_lock(x'48495641'::int);
    select a.seq, a.hash into seq, hash from audit_log a where a.seq is not null order by a.seq desc limit 1;
    seq := coalesce(seq, 0);
    hash := coalesce(hash, decode(repeat('00', 32), 'hex'));
    with salted as materialized (
        select a.*, uuid_send(gen_random_uuid()) as new_salt
        from audit_log a where a.seq is null order by a.id limit p_limit
    ), digested as (
        select s.*, sha256(new_salt || convert_to(json_build_array(s.detail, s.text)::text, 'UTF8')) as new_digest
        from salted s
    ), chained as (
        select d.id, d.new_salt, d.new_digest,
               row_number() over (order by d.id) as place,
               audit_chain(audit_seal.hash, json_build_array(
                   'hivemind-audit-1', audit_time(d.at), d.action, d.profile_id, d.agent_id, d.turn_id, d.caller,
                   encode(d.new_digest, 'hex'))::text) over (order by d.id) as new_hash
        from digested d
    ), linked as (
        select c.*, coalesce(lag(c.new_hash) over (order by c.id), audit_seal.hash) as new_previous from chained c
    ), done as (
        update audit_log a
        set seq = audit_seal.seq + l.place, salt = l.new_salt, digest = l.new_digest,
            previous = l.new_previous, hash = l.new_hash
        from linked l where a.id = l.id and a.seq is null
        returning a.seq, a.hash
    )
    select count(*) over (), d.seq, d.hash into sealed, seq, hash from done d order by d.seq desc limit 1;
    if not found then
        sealed := 0;
        select a.seq, a.hash into seq, hash from audit_log a where a.seq is not null order by a.seq desc limit 1;
        seq := coalesce(seq, 0);
        hash := coalesce(hash, decode(repeat('00', 32), 'hex'));
    end if;
end $$;

-- A row may be sealed once and erased once; whoever may drop this trigger is found by verifying the chain.
create function audit_keep() returns trigger language plpgsql as $$
begin
    -- Looked into only here: the heads have other columns, and plpgsql asks for all of a condition at once.
    if tg_op = 'UPDATE' and tg_table_name = 'audit_log' then
        if old.seq is null and new.seq is not null and new.erased_at is null
           and row(new.id, new.at, new.action, new.profile_id, new.agent_id, new.turn_id, new.caller, new.detail,
                   new.text)
               is not distinct from
               row(old.id, old.at, old.action, old.profile_id, old.agent_id, old.turn_id, old.caller, old.detail,
                   old.text) then
            return new;
        end if;
        if old.seq is not null and old.erased_at is null and new.erased_at is not null
           and new.detail is null and new.text is null and new.salt is null
           and row(new.id, new.at, new.action, new.profile_id, new.agent_id, new.turn_id, new.caller, new.seq,
                   new.digest, new.previous, new.hash)
               is not distinct from
               row(old.id, old.at, old.action, old.profile_id, old.agent_id, old.turn_id, old.caller, old.seq,
                   old.digest, old.previous, old.hash) then
            return new;
        end if;
    end if;
    raise exception 'the audit log is append-only' using errcode = 'HM020';
end $$;
create trigger audit_log_keep before update or delete on audit_log for each row execute function audit_keep();
create trigger audit_log_keep_all before truncate on audit_log for each statement execute function audit_keep();
create trigger audit_heads_keep before update or delete on audit_heads for each row execute function audit_keep();
create trigger audit_heads_keep_all before truncate on audit_heads
    for each statement execute function audit_keep();

-- Remove text and details of rows from before a time, some at a time and from `p_after` on, so that nothing is
-- looked at twice; what explains why others are without a text keeps its own. The erasure is a row itself. `at` is
-- how far this came; null: there is nothing more.
create function audit_expire(p_after timestamptz, p_before timestamptz, p_limit integer, out at timestamptz)
language plpgsql as $$
declare
    entries integer;
begin
    with old as materialized (
        select a.id, a.at from audit_log a
        where a.at >= p_after and a.at < p_before and a.seq is not null and a.erased_at is null
          and a.action not in ('admin:conversation:erased', 'system:audit:expired', 'admin:key:rotated')
        order by a.at limit p_limit
    ), done as (
        update audit_log a set detail = null, text = null, salt = null, erased_at = now()
        from old where a.id = old.id
    )
    select count(*), max(o.at) into entries, audit_expire.at from old o;
    if entries > 0 then
        insert into audit_log (action, detail)
        values ('system:audit:expired', jsonb_build_object('before', audit_time(p_before), 'entries', entries));
    end if;
end $$;

-- Remove what was said in a conversation: its messages, what its turns' steps and tool calls say, the jobs that it
-- was opened for or that its agent gave, and the text and details of its audit rows. What it cost stays, and so does
-- the chain. Outcomes: 'erased'; 'busy' (the turn that has to end first); 'unknown'; 'done' (erased before). A message
-- that was refused before its conversation opened has audit rows only.
create function erase_conversation(
    p_conversation uuid, p_detail jsonb, out outcome text, out turn uuid, out messages integer, out entries integer
) language plpgsql as $$
declare
    profile uuid;
    was text;
    jobs uuid[];
begin
    select c.profile_id, a.state into profile, was
    from conversations c join agents a on a.id = c.id where c.id = p_conversation for update;
    if not found then
        perform from audit_log a where a.agent_id = p_conversation and a.erased_at is null and a.text is not null;
        if not found then
            outcome := 'unknown';
            return;
        end if;
    end if;
    if was = 'erased' then
        outcome := 'done';
        return;
    end if;
    select t.id into turn from turns t where t.agent_id = p_conversation and t.state = 'admitted' limit 1;
    if found then
        outcome := 'busy';
        return;
    end if;
    update agents a set state = 'erased', epoch = a.epoch + 1, failure = null, note = null, updated_at = now()
    where a.id = p_conversation;
    update conversations c set erased_at = now() where c.id = p_conversation;
    delete from messages m where m.conversation_id = p_conversation;
    get diagnostics messages = row_count;
    delete from turn_given g where g.conversation_id = p_conversation;
    loop
        exit when (select s.sealed from audit_seal(1000) s) < 1000;
    end loop;
    select array_agg(d.id) into jobs from directives d
    where d.agent_id = p_conversation or d.parent_id = p_conversation
       or d.id in (select split_part(t.idempotency_key, ':', 1)::uuid from turns t
                   where t.agent_id = p_conversation and t.idempotency_scope = 'directive');
    if jobs is not null then
        perform cancel_directives(d.id, null, 'operator') from directives d
        where d.id = any (jobs) and d.state in ('queued', 'running');
        update directives d set text = '', result = null, failure_message = null where d.id = any (jobs);
    end if;
    update tasks t set title = '[erased]', text = '', updated_at = now()
    where t.directive_id = any (jobs)
       or t.id in (select (a.detail->>'task')::uuid from audit_log a
                   where a.agent_id = p_conversation and a.seq is not null and a.action = 'agent:task:created');
    update turn_steps s set text = '', calls = '[]', detail = '{}'
    from turns t where t.id = s.turn_id and t.agent_id = p_conversation;
    update effects e set arguments = '{}', outcome = null, detail = '{}'
    from turns t where t.id = e.turn_id and t.agent_id = p_conversation;
    update approvals a set reason = null where a.agent_id = p_conversation;
    delete from turn_given g where g.conversation_id = p_conversation;
    update turns t set idempotency_scope = null, idempotency_key = null, error_message = null, asked = null
    where t.agent_id = p_conversation;
    -- Those of the jobs cancelled just now hold ids only.
    update audit_log a set detail = null, text = null, salt = null, erased_at = now()
    where a.agent_id = p_conversation and a.seq is not null and a.erased_at is null;
    get diagnostics entries = row_count;
    insert into audit_log (action, profile_id, agent_id, detail)
    values ('admin:conversation:erased', profile, p_conversation,
            p_detail || jsonb_build_object('messages', messages, 'entries', entries));
    outcome := 'erased';
end $$;
