-- What a client that keeps its conversation itself sends along with a message, and profiles that are put away.

-- `given`: the guarded rest of the conversation, the client's tools and its wishes, without which the turn could not be
-- taken up after a crash. `calls`: the calls of the client's tools that the turn ended with, as they were told.
create table turn_given (
    turn_id          uuid primary key references turns on delete cascade,
    conversation_id  uuid not null references conversations on delete cascade,
    given            jsonb not null,
    calls            jsonb not null default '[]'
);
create index turn_given_of_conversation on turn_given (conversation_id);

-- `on_client_instructions`: whether a client with a key may add to the prompt. A profile that is archived takes no new
-- messages and keeps its slug.
alter table agent_profiles
    add column on_client_instructions text not null default 'append'
        check (on_client_instructions in ('append', 'refuse')),
    add column archived_at timestamptz;
