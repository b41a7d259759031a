-- What the system health check found, every five minutes.

create table health_checks (
    id        bigint generated always as identity primary key,
    at        timestamptz not null default now(),
    status    text not null check (status in ('ok', 'degraded', 'down')),
    checks    jsonb not null
);
create index health_checks_at on health_checks (at);
