-- The statements of the documents and their passages.

-- name: language
select 1 as known from pg_ts_config where cfgname = %s

-- name: insert_document
insert into knowledge_documents (id, collection, title, source, language, text)
values (%(id)s, %(collection)s, %(title)s, %(source)s, %(language)s, %(text)s) returning id

-- name: update_document
update knowledge_documents set collection = %(collection)s, title = %(title)s, source = %(source)s,
    language = %(language)s, text = %(text)s, updated_at = now()
where id = %(id)s returning id

-- name: delete_document
delete from knowledge_documents where id = %s returning title

-- name: delete_passages
delete from knowledge_passages where document_id = %s

-- name: insert_passages
-- The title counts for every passage, more than its words do.
insert into knowledge_passages (document_id, number, starts_at, text, collection, language, search)
select %(id)s, part.number - 1, part.starts_at, part.text, %(collection)s, %(language)s::text,
       setweight(to_tsvector(%(language)s::text::regconfig, %(title)s::text), 'A')
           || to_tsvector(%(language)s::text::regconfig, part.text)
from unnest(%(starts)s::integer[], %(texts)s::text[]) with ordinality as part (starts_at, text, number)

-- name: knowledge_created
insert into audit_log (action, detail) values ('admin:document:created', %s)

-- name: knowledge_changed
insert into audit_log (action, detail) values ('admin:document:changed', %s)

-- name: knowledge_deleted
insert into audit_log (action, detail) values ('admin:document:deleted', %s)

-- name: documents
select d.id, d.collection, d.title, d.source, d.language, length(d.text) as chars,
       (select count(*) from knowledge_passages p where p.document_id = d.id) as passages, d.created_at, d.updated_at
from knowledge_documents d
where (%(collection)s::text is null or d.collection = %(collection)s)
  and (%(after)s::uuid is null or d.id > %(after)s)
order by d.id limit %(limit)s

-- name: document
select d.id, d.collection, d.title, d.source, d.language, length(d.text) as chars,
       (select count(*) from knowledge_passages p where p.document_id = d.id) as passages, d.created_at, d.updated_at,
       d.text
from knowledge_documents d where d.id = %s

-- name: passage
select p.id, p.document_id, p.number, d.title, d.source, p.text, 1.0::float8 as rank
from knowledge_passages p join knowledge_documents d on d.id = p.document_id where p.id = %s

-- name: search_all
-- A query means something else in each language, so it is read once for each that occurs; what any of them may find is
-- one condition, for the index. Rank first, look at the texts of the best afterwards: a common word is in thousands.
with asked as (
    select l.language, q.query
    from (select distinct language from knowledge_documents
          where %(collections)s::text[] is null or collection = any (%(collections)s)) as l
    cross join lateral websearch_to_tsquery(l.language::regconfig, %(query)s) as q (query)
    where numnode(q.query) > 0
), best as (
    select p.id, ts_rank_cd(p.search, a.query, 1)::float8 as rank
    from asked a join knowledge_passages p on p.language = a.language and p.search @@ a.query
    where (%(collections)s::text[] is null or p.collection = any (%(collections)s))
      and p.search @@ (select string_agg('(' || query::text || ')', '|')::tsquery from asked)
    order by rank desc, p.id limit %(limit)s
)
select p.id, p.document_id, p.number, d.title, d.source, p.text, b.rank
from best b join knowledge_passages p on p.id = b.id join knowledge_documents d on d.id = p.document_id
order by b.rank desc, p.id

-- name: search_some
-- People and models ask in sentences, of which some words are in no document: a third of them has to be there. Only of
-- the best by rank are the words counted.
with asked as (
    select l.language, replace(plainto_tsquery(l.language::regconfig, %(query)s)::text, '&', '|')::tsquery as query,
           tsvector_to_array(to_tsvector(l.language::regconfig, %(query)s)) as words
    from (select distinct language from knowledge_documents
          where %(collections)s::text[] is null or collection = any (%(collections)s)) as l
), ranked as (
    select p.id, a.words as asked, ts_rank(p.search, a.query, 1)::float8 as rank
    from asked a join knowledge_passages p on p.language = a.language and p.search @@ a.query
    where (%(collections)s::text[] is null or p.collection = any (%(collections)s))
      and p.search @@ (select string_agg(query::text, '|')::tsquery from asked where numnode(query) > 0)
    order by rank desc, p.id limit 200
), counted as (
    select p.id, p.document_id, p.number, p.text, r.rank, m.words
    from ranked r
    join knowledge_passages p on p.id = r.id
    cross join lateral (
        select count(*) from unnest(r.asked) as word where word = any (tsvector_to_array(p.search))
    ) as m (words)
    where m.words * 3 >= cardinality(r.asked)
)
select c.id, c.document_id, c.number, d.title, d.source, c.text, c.rank
from counted c join knowledge_documents d on d.id = c.document_id
order by c.words desc, c.rank desc, c.id limit %(limit)s
