-- What a client that keeps its conversation itself sends along with a message, and profiles that are put away.

-- A part is a message, the client's instructions or its tools. A message names the one before it, and its digest is over
-- that one's too: a conversation that is sent again and again, each time a little longer, is kept once.
create table given_parts (
    digest  bytea primary key,
    parent  bytea references given_parts,
    part    jsonb not null
);
create index given_parts_parent on given_parts (parent) where parent is not null;

-- The guarded rest of the conversation, the client's tools and its wishes, without which the turn could not be taken up
-- after a crash. `tip` is the last message, `after` how many of them follow the one that is answered. `calls`: the calls
-- of the client's tools that the turn ended with, as they were told.
create table turn_given (
    turn_id          uuid primary key references turns on delete cascade,
    conversation_id  uuid not null references conversations on delete cascade,
    tip              bytea not null references given_parts,
    after            integer not null,
    instructions     bytea references given_parts,
    tools            bytea references given_parts,
    wishes           jsonb not null,
    calls            jsonb not null default '[]'
);
create index turn_given_of_conversation on turn_given (conversation_id);
create index turn_given_tip on turn_given (tip);
create index turn_given_instructions on turn_given (instructions) where instructions is not null;
create index turn_given_tools on turn_given (tools) where tools is not null;

-- Keep what came along with a turn; `p_parts` are [digest, parent, part], a parent before its children. Whoever removes
-- parts has the lock for itself, so that none is found here that is gone when it is referred to.
create function keep_given(
    p_turn uuid, p_conversation uuid, p_parts jsonb, p_tip text, p_after integer, p_instructions text, p_tools text,
    p_wishes jsonb
) returns void language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(x'48495647'::int);
    insert into given_parts (digest, parent, part)
    select decode(p->>0, 'hex'), decode(p->>1, 'hex'), p->2 from jsonb_array_elements(p_parts) p
    on conflict do nothing;
    insert into turn_given (turn_id, conversation_id, tip, after, instructions, tools, wishes)
    values (p_turn, p_conversation, decode(p_tip, 'hex'), p_after, decode(p_instructions, 'hex'),
            decode(p_tools, 'hex'), p_wishes);
end $$;

-- What came along with a turn, in one document; null where nothing did.
create function given_of(p_turn uuid) returns jsonb language sql stable as $$
    with recursive given as (
        select * from turn_given where turn_id = p_turn
    ), chain as (
        select p.parent, p.part, 0 as age from given g join given_parts p on p.digest = g.tip
        union all
        select p.parent, p.part, c.age + 1 from chain c join given_parts p on p.digest = c.parent
    )
    select g.wishes || jsonb_build_object(
        'instructions', coalesce((select p.part from given_parts p where p.digest = g.instructions), '""'),
        'tools', coalesce((select p.part from given_parts p where p.digest = g.tools), '[]'),
        'before', coalesce((select jsonb_agg(c.part order by c.age desc) from chain c where c.age > g.after), '[]'),
        'after', coalesce((select jsonb_agg(c.part order by c.age desc) from chain c where c.age < g.after), '[]'))
    from given g
$$;

-- Parts go with the last turn that they came along with.
create function given_parts_forget() returns trigger language plpgsql as $$
declare
    loose bytea[];
begin
    perform pg_advisory_xact_lock(x'48495647'::int);
    select array_agg(distinct e.digest) into loose
    from gone g, unnest(array[g.tip, g.instructions, g.tools]) as e (digest) where e.digest is not null;
    while loose is not null loop
        with removed as (
            delete from given_parts p
            where p.digest = any (loose)
              and not exists (select from given_parts c where c.parent = p.digest)
              and not exists (select from turn_given t where t.tip = p.digest)
              and not exists (select from turn_given t where t.instructions = p.digest)
              and not exists (select from turn_given t where t.tools = p.digest)
            returning p.parent
        )
        select array_agg(distinct r.parent) into loose from removed r where r.parent is not null;
    end loop;
    return null;
end $$;
create trigger turn_given_forget after delete on turn_given referencing old table as gone
    for each statement execute function given_parts_forget();

-- `on_client_instructions`: whether a client with a key may add to the prompt. A profile that is archived takes no new
-- messages and keeps its slug.
alter table agent_profiles
    add column on_client_instructions text not null default 'append'
        check (on_client_instructions in ('append', 'refuse')),
    add column archived_at timestamptz;
