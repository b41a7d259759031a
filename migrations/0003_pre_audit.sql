-- What was done, by whom and with which verdict: appended, never changed.

create table audit_log (
    id          bigint generated always as identity primary key,
    at          timestamptz not null default now(),
    action      text not null,
    profile_id  uuid,
    agent_id    uuid,
    turn_id     uuid,
    caller      text,
    detail      jsonb not null default '{}'
);
create index audit_log_at on audit_log (at);
