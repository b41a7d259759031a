-- What a profile offers its model, and the documents that answers are drawn from.

-- `tools`: policy and options by tool, {"http_fetch": {"policy": "ask"}, "mcp:files/*": {"policy": "allow"}}; what is
-- not named is not offered. `documents_only`: nothing is answered that no passage supports.
alter table agent_profiles
    add column tools jsonb not null default '{}' check (jsonb_typeof(tools) = 'object'),
    add column documents_only boolean not null default false;

-- `language` is the name of a text search configuration: kept as text, because a regconfig stops pg_upgrade.
create table knowledge_documents (
    id          uuid primary key,
    collection  text not null default 'default' check (collection ~ '^[a-z0-9]([a-z0-9_-]{0,62})$'),
    title       text not null check (length(title) between 1 and 300),
    source      text,
    language    text not null default 'english',
    text        text not null,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now()
);
create index knowledge_documents_of_collection on knowledge_documents (collection, id);

-- A passage is what a search finds and an answer cites. Its id is never given out again: a passage of a document that
-- was changed is gone, and a citation of it leads nowhere rather than to other words.
create table knowledge_passages (
    id           bigint generated always as identity primary key,
    document_id  uuid not null references knowledge_documents on delete cascade,
    number       integer not null,
    starts_at    integer not null,
    text         text not null,
    collection   text not null,
    language     text not null,
    search       tsvector not null,
    unique (document_id, number)
);
create index knowledge_passages_search on knowledge_passages using gin (search);
