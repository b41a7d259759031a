-- People and their keys. What proves who somebody is lies here only as a hash.

-- `first` marks the account that opened the installation: the index lets two who try at once make one.
create table users (
    id              uuid primary key,
    username        text not null unique check (username = lower(username)),
    email           text,
    role            text not null check (role in ('viewer', 'operator', 'admin')),
    -- Missing where somebody signs in at an identity provider, which then says who they are.
    password_hash   text,
    issuer          text,
    subject         text,
    -- Whether an admin has said which role it is: otherwise the groups of the identity provider say it each time.
    bound           boolean not null default false,
    first           boolean not null default false,
    -- Goes up with what ends the sessions: one that was being opened meanwhile does not count.
    epoch           bigint not null default 0,
    disabled_at     timestamptz,
    signed_in_at    timestamptz,
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now(),
    unique (issuer, subject),
    check ((issuer is null) = (subject is null)),
    check ((issuer is null) <> (password_hash is null))
);
create unique index users_first on users (first) where first;

create table web_sessions (
    hash        bytea primary key,
    id          uuid not null unique,
    user_id     uuid not null references users (id) on delete cascade,
    epoch       bigint not null,
    caller      text,
    user_agent  text,
    created_at  timestamptz not null default now(),
    seen_at     timestamptz not null default now(),
    expires_at  timestamptz not null
);
create index web_sessions_user on web_sessions (user_id, created_at);
create index web_sessions_expiry on web_sessions (expires_at);

-- A rotated key lives on until `expires_at`, beside its successor.
create table api_keys (
    id          uuid primary key,
    name        text not null,
    role        text not null check (role in ('viewer', 'operator', 'admin')),
    hint        text not null,
    hash        bytea not null unique,
    made_by     text not null,
    replaces    uuid references api_keys (id) on delete set null,
    created_at  timestamptz not null default now(),
    used_at     timestamptz,
    expires_at  timestamptz,
    revoked_at  timestamptz
);
create index api_keys_name on api_keys (name, created_at);
